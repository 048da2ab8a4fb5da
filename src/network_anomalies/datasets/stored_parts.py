"""The parts of a day as they were written, those of superseded revisions too."""

from typing import Any

from kedro_datasets.partitions import PartitionedDataset

from network_anomalies.errors import ProjectError


class StoredPartsDataset(PartitionedDataset):  # type: ignore[misc]
    """A ``PartitionedDataset`` that says which pipeline to run where it has no part yet."""

    def load(self) -> Any:
        """Return the names of the parts to functions that read them.

        Raises:
            ProjectError: there is none.
        """
        if not self.exists():
            raise ProjectError(
                "there is no part of that source and date yet: run the ingestion (log_ingestion for real logs) "
                "pipeline of that day, or set logical_date and source"
            )
        return super().load()
