"""Where the files, parts and slices of a day are worked on: in threads of this process, or by Dask workers.

``calls`` is what nodes use. Dask is imported only if the parameter ``workers.dask`` is on.
"""
