"""The current events of a day, slice by slice."""

from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.errors import ProjectError
from network_anomalies.records.silver_day import Slices
from network_anomalies.registry.batches import read_current
from network_anomalies.registry.engine import open_registry

HOURS_A_DAY = 24


class RawSlicesDataset(AbstractDataset[None, Slices]):
    """Loads the current revision of a source and date as slices of whole hours: first hour to a function that reads.

    A slice is read from the RAW objects that overlap it, of which just the row groups in question are decoded.

    Example of a catalog entry:

    .. code-block:: yaml

        raw_slices:
          type: network_anomalies.datasets.RawSlicesDataset
          source: zeek
          logical_date: 2024-04-19
          slice_hours: 1
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-raw/zeek/2024-04-19, credentials: minio}
    """

    def __init__(
        self,
        *,
        source: str,
        logical_date: str,
        slice_hours: int,
        registry: dict[str, Any],
        lake: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            source: whose events.
            logical_date: the day, as YYYY-MM-DD.
            slice_hours: length of a slice.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the day's objects, and the ``credentials`` of its filesystem.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._slice_hours = slice_hours
        self._url = registry["credentials"]["con"]
        self._fs, self._root = open_lake(lake["path"], lake["credentials"])
        self.metadata = metadata

    def load(self) -> Slices:
        """Return the slices that events may lie in, in order of time.

        Raises:
            ProjectError: nothing is committed for the day, or the registry's rows of it were altered.
        """
        objects = read_current(open_registry(self._url), self._source, self._logical_date)
        if objects.empty:
            raise ProjectError(
                f"no events of source {self._source} are committed for {self._logical_date}: "
                "run the ingestion (log_ingestion for real logs) pipeline of that day, or set logical_date and source"
            )
        checked = CheckedObjects(self._fs)
        midnight = datetime.combine(self._logical_date, time(), UTC)
        slices: Slices = {}
        for hour in range(0, HOURS_A_DAY, self._slice_hours):
            first = midnight + timedelta(hours=hour)
            last = midnight + timedelta(hours=min(hour + self._slice_hours, HOURS_A_DAY))
            overlapping = objects[(objects["min_timestamp"] < last) & (objects["max_timestamp"] >= first)]
            if len(overlapping):
                slices[f"{hour:02d}"] = partial(self._read, checked, overlapping, first, last)
        return slices

    def save(self, data: None) -> None:
        """Refuse: events enter through the gate."""
        raise DatasetError("raw_slices is read only: events enter RAW through the ingestion pipelines")

    def _read(self, checked: CheckedObjects, objects: pd.DataFrame, first: datetime, last: datetime) -> pd.DataFrame:
        within = [("timestamp", ">=", pd.Timestamp(first)), ("timestamp", "<", pd.Timestamp(last))]
        paths = [f"{self._root}/{name}" for name in objects["file_name"]]
        data = [checked.read(path, sha256) for path, sha256 in zip(paths, objects["object_sha256"], strict=True)]
        tables = [pq.read_table(BytesIO(each), filters=within) for each in data]
        return pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas()

    def _exists(self) -> bool:
        return not read_current(open_registry(self._url), self._source, self._logical_date).empty

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "logical_date": str(self._logical_date), "slice_hours": self._slice_hours}
