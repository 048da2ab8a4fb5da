"""What the gate rejected."""

import pandas as pd
from kedro_datasets.partitions import PartitionedDataset

COLUMNS = ("part", "row", "rule", "reason", "run_id")


class QuarantineDataset(PartitionedDataset):  # type: ignore[misc]
    """A ``PartitionedDataset`` that loads as one DataFrame: the rejects of a source and date, none on a clean day."""

    def load(self) -> pd.DataFrame:
        """Return the rejected rows as text, as they came, each with part, row, rule, reason and run id."""
        self._invalidate_caches()
        if not self._list_partitions():
            return pd.DataFrame(columns=list(COLUMNS), dtype="str")
        return pd.concat([load() for load in super().load().values()], ignore_index=True)
