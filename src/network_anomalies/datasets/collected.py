"""All items that a generator node yields, kept in memory during the run."""

from typing import Any

from kedro.io import MemoryDataset


class CollectedDataset(MemoryDataset):
    """Keeps every saved item in memory, in order, and loads them as a list.

    A ``MemoryDataset`` would keep only the last item that a generator node yields.

    Example of a catalog entry:

    .. code-block:: yaml

        part_reports:
          type: network_anomalies.datasets.CollectedDataset

    >>> reports = CollectedDataset()
    >>> for part in (1, 2):
    ...     reports.save({"part": part})
    >>> reports.load()
    [{'part': 1}, {'part': 2}]
    """

    def __init__(self, *, metadata: Any = None) -> None:
        """Create an empty dataset; ``metadata`` is for plug-ins."""
        super().__init__(copy_mode="assign", metadata=metadata)

    def save(self, data: Any) -> None:
        """Add an item."""
        super().save([*(super().load() if self.exists() else []), data])

    def load(self) -> list[Any]:
        """Return the items.

        Raises:
            DatasetError: nothing was saved.
        """
        return list(super().load())
