"""The commit of a batch, as a dataset."""

from datetime import date
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset

from network_anomalies.registry.batches import commit_batch, read_current
from network_anomalies.registry.engine import open_registry


class BatchCommitDataset(AbstractDataset[dict[str, Any], pd.DataFrame]):
    """Saving commits a batch in one transaction; loading gives the receipt, its rows of ``ingestion_events``.

    Example of a catalog entry:

    .. code-block:: yaml

        ingestion_events:
          type: network_anomalies.datasets.BatchCommitDataset
          source: zeek
          logical_date: 2024-04-19
          object_root: s3://cybersec-ml-raw/zeek/2024-04-19
          credentials: postgres
    """

    def __init__(
        self,
        *,
        source: str,
        logical_date: str,
        object_root: str,
        credentials: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            source: whose events.
            logical_date: the day, as YYYY-MM-DD.
            object_root: URL of the folder that holds the batch's objects.
            credentials: ``con``, the registry's SQLAlchemy URL.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._object_root = object_root.rstrip("/")
        self._url = credentials["con"]
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Commit a batch as the node ``assemble_batch`` makes it; an equal current one stays as it is."""
        objects = [row | {"object_uri": f"{self._object_root}/{row['file_name']}"} for row in data["objects"]]
        commit_batch(open_registry(self._url), data["batch"], objects, data["files"])

    def load(self) -> pd.DataFrame:
        """Return the current revision's objects, one row each."""
        return read_current(open_registry(self._url), self._source, self._logical_date)

    def _exists(self) -> bool:
        return not self.load().empty

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "logical_date": str(self._logical_date), "object_root": self._object_root}
