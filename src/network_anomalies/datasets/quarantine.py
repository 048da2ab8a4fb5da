"""What the gate rejected."""

import pandas as pd
from kedro.io import DatasetError
from kedro_datasets.partitions import PartitionedDataset

COLUMNS = ("part", "row", "rule", "reason", "run_id")


class QuarantineDataset(PartitionedDataset):  # type: ignore[misc]
    """A ``PartitionedDataset`` that loads as one DataFrame: the rejects of a source and date, none on a clean day."""

    def load(self) -> pd.DataFrame:
        """Return the rejected rows as text, as they came, each with part, row, rule, reason and run id."""
        try:
            partitions = super().load()
        except DatasetError:
            return pd.DataFrame(columns=list(COLUMNS), dtype="str")
        return pd.concat([load() for load in partitions.values()], ignore_index=True)
