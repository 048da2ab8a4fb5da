"""The silver of a day and of the days before it."""

from datetime import date, timedelta
from functools import partial
from io import BytesIO
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from network_anomalies.datasets.current import require_features
from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.errors import ProjectError
from network_anomalies.records.silver_day import SilverDay
from network_anomalies.records.transformation import TransformationReceipt
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.stage_rows import read_transformation, read_transformations


class HistorySlicesDataset(AbstractDataset[None, list[SilverDay]]):
    """Loads the silver of a source in the days up to a date, that date included, the earliest first, slice by slice.

    Example of a catalog entry:

    .. code-block:: yaml

        history_slices:
          type: network_anomalies.datasets.HistorySlicesDataset
          source: zeek
          logical_date: 2024-04-19
          days: 14
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-silver/zeek, credentials: minio}
    """

    def __init__(
        self,
        *,
        source: str,
        logical_date: str,
        days: int,
        registry: dict[str, Any],
        lake: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            source: whose events.
            logical_date: the last day, as YYYY-MM-DD.
            days: how many days to look back.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the source's days, and the ``credentials`` of its filesystem.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._source = source
        self._last = date.fromisoformat(str(logical_date))
        self._days = days
        self._url = registry["credentials"]["con"]
        self._fs, self._root = open_lake(lake["path"], lake["credentials"])
        self.metadata = metadata

    def load(self) -> list[SilverDay]:
        """Return the days that have silver.

        Raises:
            ProjectError: none has, or one has that of another feature specification.
        """
        first = self._last - timedelta(days=self._days)
        days = read_transformations(open_registry(self._url), self._source, first, self._last)
        if not days:
            raise ProjectError(
                f"there is no silver of source {self._source} from {first} to {self._last}: "
                "run the transformation pipeline of those days"
            )
        return [self._open(day) for day in days]

    def save(self, data: None) -> None:
        """Refuse: silver is written by the transformation."""
        raise DatasetError("history_slices is read only: silver is written by the transformation pipeline")

    def _open(self, silver: TransformationReceipt) -> SilverDay:
        require_features(silver)
        root = f"{self._root}/{silver.logical_date}"
        checked = CheckedObjects(self._fs, kept=0)
        summary = next(output for output in silver.outputs if output.kind == "summary")
        return SilverDay(
            logical_date=silver.logical_date,
            revision=silver.revision,
            run_id=silver.run_id,
            inputs_sha256=silver.inputs_sha256,
            objects=silver.outputs,
            raw_objects=silver.input_objects,
            slices={
                item.hour: partial(_read_slice, checked, f"{root}/{item.file_name}", item.sha256)
                for item in silver.slices
            },
            read_summary=partial(checked.read, f"{root}/{summary.file_name}", summary.sha256),
        )

    def _exists(self) -> bool:
        return read_transformation(open_registry(self._url), self._source, self._last) is not None

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "logical_date": str(self._last), "days": self._days}


def _read_slice(checked: CheckedObjects, path: str, sha256: str) -> pd.DataFrame:
    return pd.read_parquet(BytesIO(checked.read(path, sha256)))
