"""Partitions of one run."""

from typing import Any

from kedro_datasets.partitions import PartitionedDataset


class FreshPartitionsDataset(PartitionedDataset):  # type: ignore[misc]
    """A ``PartitionedDataset`` that holds what one run wrote: its first save removes what earlier runs left.

    ``overwrite: true`` alone would do so at each save of a node that yields part by part.
    """

    def __init__(self, **rest: Any) -> None:
        """Take the arguments of ``PartitionedDataset`` but ``overwrite``."""
        super().__init__(**rest, overwrite=True)

    def save(self, data: dict[str, Any]) -> None:
        """Write the partitions."""
        super().save(data)
        self._overwrite = False
