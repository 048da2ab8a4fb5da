"""The current events of a day, for people."""

from datetime import date
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from network_anomalies.errors import ProjectError
from network_anomalies.lake import open_lake
from network_anomalies.registry.batches import read_current
from network_anomalies.registry.engine import open_registry


class CurrentEventsDataset(AbstractDataset[None, pd.DataFrame]):
    """Loads the events of the current revision of a source and date as one DataFrame, in order of time.

    The registry says which objects those are, so a half-written batch or an orphan is never seen. The whole day is
    held in memory: it is for notebooks; pipelines read object by object.
    """

    def __init__(
        self,
        *,
        source: str,
        logical_date: str,
        registry: dict[str, Any],
        lake: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            source: whose events.
            logical_date: the day, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the day's objects, and the ``credentials`` of its filesystem.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._fs, self._root = open_lake(lake["path"], lake["credentials"])
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Return the day's events with the contract's columns and types.

        Raises:
            ProjectError: nothing is committed for the day.
        """
        objects = read_current(open_registry(self._url), self._source, self._logical_date)
        if objects.empty:
            raise ProjectError(
                f"no events of source {self._source} are committed for {self._logical_date}: "
                "run the ingestion of that day, or set logical_date and source"
            )
        paths = [f"{self._root}/{file_name}" for file_name in objects["file_name"]]
        tables = [pq.read_table(BytesIO(self._fs.cat_file(path))) for path in paths]
        return pa.concat_tables(tables, promote_options="default").to_pandas()

    def save(self, data: None) -> None:
        """Refuse: events enter through the gate."""
        raise DatasetError("raw_network_events is read only: events enter RAW through the ingestion pipelines")

    def _exists(self) -> bool:
        return not read_current(open_registry(self._url), self._source, self._logical_date).empty

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "logical_date": str(self._logical_date)}
