"""Partitions that are read as one."""

import pandas as pd
from kedro_datasets.partitions import PartitionedDataset


class OneFrameDataset(PartitionedDataset):  # type: ignore[misc]
    """A ``PartitionedDataset`` that loads as one DataFrame, without rows when nothing was ever written."""

    def __init__(self, *, columns: list[str], **rest: object) -> None:
        """Take the arguments of ``PartitionedDataset``, and the ``columns`` of a frame without rows."""
        super().__init__(**rest)
        self._columns = columns

    def load(self) -> pd.DataFrame:
        """Return the partitions' rows, one partition after the other."""
        self._invalidate_caches()
        if not self._list_partitions():
            return pd.DataFrame(columns=self._columns, dtype="str")
        return pd.concat([load() for load in super().load().values()], ignore_index=True)
