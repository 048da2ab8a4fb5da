"""Silver: a day's slices and its summary, and those of the days before."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import partial
from io import BytesIO
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets.partitions import PartitionedDataset

from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.errors import ProjectError
from network_anomalies.lake import open_lake
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.stages import read_transformation, read_transformations

Slices = dict[str, Callable[[], pd.DataFrame]]


class SilverEventsDataset(PartitionedDataset):  # type: ignore[misc]
    """Saves silver objects as a ``PartitionedDataset`` does; loads the slices of the current ones.

    Loading asks the registry which objects are current, so what an interrupted or superseded transformation left is
    never seen, and checks each object's sha256.
    """

    def __init__(self, *, source: str, logical_date: str, registry: dict[str, Any], **rest: Any) -> None:
        """Take the arguments of ``PartitionedDataset``, whose day it is, and the registry's ``credentials``."""
        super().__init__(**rest)
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._lake = open_lake(rest["path"], rest.get("credentials"))

    def load(self) -> Slices:
        """Return first hour to a function that reads the slice.

        Raises:
            ProjectError: the day has no silver, or that of another feature specification.
        """
        row = read_transformation(open_registry(self._url), self._source, self._logical_date)
        if row is None:
            raise ProjectError(
                f"there is no silver of source {self._source} on {self._logical_date}: run the transformation pipeline"
            )
        filesystem, root = self._lake
        return _list_slices(CheckedObjects(filesystem), root, row)

    def _exists(self) -> bool:
        return read_transformation(open_registry(self._url), self._source, self._logical_date) is not None


class SilverHistoryDataset(AbstractDataset[None, list[dict[str, Any]]]):
    """Loads the silver of a source in the days up to a date, that date included, the earliest first.

    Each is ``logical_date``, ``revision``, ``objects`` (rows of the registry), ``raw_objects``, ``slices`` (first hour
    to a function that reads it) and ``summary`` (a function that reads its bytes).
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

    def load(self) -> list[dict[str, Any]]:
        """Return the days that have silver.

        Raises:
            ProjectError: none has, or one has that of another feature specification.
        """
        first = self._last - timedelta(days=self._days)
        rows = read_transformations(open_registry(self._url), self._source, first, self._last)
        if not rows:
            raise ProjectError(
                f"there is no silver of source {self._source} from {first} to {self._last}: "
                "run the transformation pipeline of those days"
            )
        return [self._open(row) for row in rows]

    def save(self, data: None) -> None:
        """Refuse: silver is written by the transformation."""
        raise DatasetError("silver_history is read only: silver is written by the transformation pipeline")

    def _open(self, row: Mapping[str, Any]) -> dict[str, Any]:
        root = f"{self._root}/{row['logical_date']}"
        checked = CheckedObjects(self._fs, kept=0)
        summary = next(item for item in row["output_objects"] if item["kind"] == "summary")
        return {
            "logical_date": row["logical_date"],
            "revision": row["revision"],
            "run_id": row["run_id"],
            "objects": row["output_objects"],
            "raw_objects": row["input_objects"],
            "slices": _list_slices(checked, root, row),
            "summary": partial(checked.read, f"{root}/{summary['file_name']}", summary["sha256"]),
        }

    def _exists(self) -> bool:
        return read_transformation(open_registry(self._url), self._source, self._last) is not None

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, "logical_date": str(self._last), "days": self._days}


def _list_slices(checked: CheckedObjects, root: str, row: Mapping[str, Any]) -> Slices:
    from network_anomalies.detection.storage import feature_spec_sha256

    if row["feature_spec_sha256"] != feature_spec_sha256():
        raise ProjectError(
            f"silver of source {row['source']} on {row['logical_date']} has the columns of another feature "
            "specification: run the transformation pipeline of that day again"
        )
    return {
        item["hour"]: partial(_read_slice, checked, f"{root}/{item['file_name']}", item["sha256"])
        for item in row["output_objects"]
        if item["kind"] == "slice"
    }


def _read_slice(checked: CheckedObjects, path: str, sha256: str) -> pd.DataFrame:
    return pd.read_parquet(BytesIO(checked.read(path, sha256)))
