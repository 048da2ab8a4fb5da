"""The current objects of a day, in any layer: what the registry names, and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset
from sqlalchemy import Engine

from network_anomalies.datasets.lake import open_lake
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.datasets.write_once import WriteOnceParquetDataset
from network_anomalies.errors import ProjectError
from network_anomalies.events.contract import COLUMNS
from network_anomalies.registry.batches import read_batch, read_current, read_rejects
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.stage_log import read_stage
from network_anomalies.registry.stage_rows import read_transformation


@dataclass(frozen=True)
class NamedObject:
    """An object that the registry names.

    Attributes:
        file_name: its file.
        sha256: of its bytes.
        key: the first hour of a slice, or the number of a part, in digits.
        run_id: of rejects, the run that committed them.
    """

    file_name: str
    sha256: str
    key: str = ""
    run_id: str = ""


def _list_raw(engine: Engine, source: str, day: date) -> list[NamedObject] | None:
    rows = read_current(engine, source, day).to_dict("records")
    return [NamedObject(row["file_name"], row["object_sha256"], f"{row['part']:04d}") for row in rows] or None


def _list_rejects(engine: Engine, source: str, day: date) -> list[NamedObject] | None:
    batch = read_batch(engine, source, day)
    if batch is None:
        return None
    rows = read_rejects(engine, source, day)
    if sum(row["record_count"] for row in rows) != batch["rejected"]:
        raise ProjectError(
            f"the registry does not name the {batch['rejected']} rejects of {source} on {day}, which were stored "
            "before it did: look into the quarantine bucket"
        )
    return [NamedObject(row["file_name"], row["object_sha256"], f"{row['part']:04d}", batch["run_id"]) for row in rows]


def _list_silver(kind: str, engine: Engine, source: str, day: date) -> list[NamedObject] | None:
    row = read_transformation(engine, source, day)
    if row is None:
        return None
    require_features(row)
    items = [item for item in row["output_objects"] if item["kind"] == kind]
    return [NamedObject(item["file_name"], item["sha256"], item.get("hour", "")) for item in items]


def _list_outputs(stage: str, part: str, engine: Engine, source: str, day: date) -> list[NamedObject] | None:
    row = read_stage(engine, stage, source, day)
    if row is None:
        return None
    named = [(item["uri"].rpartition("/")[2], item["sha256"]) for item in row["outputs"]]
    return [NamedObject(*pair) for pair in named if pair[0].startswith(part)]


@dataclass(frozen=True)
class Layer:
    """How a layer's current objects are found and read.

    Attributes:
        list_objects: lists them by source and date; None if there are none yet.
        made_by: the pipeline that makes them.
        columns: of a frame without rows, where a day has no object.
        optional: whether a day may have none; it then loads as such a frame.
        suffix: of the file names.
        compare: whether an object that exists must have equal bytes.
    """

    list_objects: Callable[[Engine, str, date], list[NamedObject] | None]
    made_by: str
    columns: tuple[str, ...] = ()
    optional: bool = False
    suffix: str = ".parquet"
    compare: bool = False


INGESTION = "ingestion (log_ingestion for real logs)"
REJECT_COLUMNS = (*COLUMNS, "row", "rule", "reason", "part", "run_id")
TRUTH_COLUMNS = (
    *("event_key", "scenario", "instance", "kind", "attack", "stealth", "src_ip", "dst_ip", "first_seen", "last_seen"),
)
LAYERS = {
    "raw": Layer(_list_raw, INGESTION, compare=True),
    "quarantine": Layer(_list_rejects, INGESTION, REJECT_COLUMNS),
    "truth": Layer(partial(_list_outputs, "truth", "truth_"), INGESTION, TRUTH_COLUMNS, optional=True),
    "silver": Layer(partial(_list_silver, "slice"), "transformation"),
    "summary": Layer(partial(_list_silver, "summary"), "transformation", suffix=".arrow"),
    "scores": Layer(partial(_list_outputs, "scoring", "scores_"), "scoring"),
}


class CurrentObjectsDataset(AbstractDataset[Mapping[str, bytes | Callable[[], bytes]], Any]):
    """Saves finished objects once; loads those of the current revision of a source and date, each with its sha256.

    The registry says which objects those are, so a half-written batch, an orphan or a superseded object is never seen.

    Example of a catalog entry:

    .. code-block:: yaml

        silver_events:
          type: network_anomalies.datasets.CurrentObjectsDataset
          layer: silver
          source: zeek
          logical_date: 2024-04-19
          registry: {credentials: postgres}
          lake: {path: s3://cybersec-ml-silver/zeek/2024-04-19, credentials: minio}
    """

    def __init__(
        self,
        *,
        layer: str,
        source: str,
        logical_date: str,
        registry: dict[str, Any],
        lake: dict[str, Any],
        load_as: str = "frame",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the dataset.

        Args:
            layer: one of ``LAYERS``.
            source: whose events.
            logical_date: the day, as YYYY-MM-DD.
            registry: ``credentials`` with ``con``, the registry's SQLAlchemy URL.
            lake: ``path`` of the folder that holds the day's objects, and the ``credentials`` of its filesystem.
            load_as: ``frame`` (one DataFrame), ``summary``, or ``slices`` or ``parts``: a slice's first hour or a
                part's number to a function that reads it.
            metadata: for plug-ins; Kedro ignores it.
        """
        self._name = layer
        self._layer = LAYERS[layer]
        self._source = source
        self._logical_date = date.fromisoformat(str(logical_date))
        self._url = registry["credentials"]["con"]
        self._folder, self._credentials = lake["path"].rstrip("/"), lake.get("credentials")
        self._fs, self._root = open_lake(self._folder, self._credentials)
        self._load_as = load_as
        self.metadata = metadata

    def save(self, data: Mapping[str, bytes | Callable[[], bytes]]) -> None:
        """Write each object under its name, or find it there; bytes may be given as a function that returns them."""
        for name, content in data.items():
            path, compare = f"{self._folder}/{name}{self._layer.suffix}", self._layer.compare
            WriteOnceParquetDataset(filepath=path, compare=compare, credentials=self._credentials).save(
                content() if callable(content) else content
            )

    def load(self) -> Any:
        """Return the current objects as ``load_as`` says.

        Raises:
            ProjectError: nothing is there yet (it names the pipeline to run), or an object is missing or altered.
        """
        objects = self._layer.list_objects(open_registry(self._url), self._source, self._logical_date)
        if objects is None and not self._layer.optional:
            raise ProjectError(
                f"there are no {self._name} objects of source {self._source} on {self._logical_date}: "
                f"run the {self._layer.made_by} pipeline of that day, or set logical_date and source"
            )
        checked = CheckedObjects(self._fs)
        if objects and self._load_as == "summary":
            return _read_summary(checked.read(self._path(objects[0]), objects[0].sha256))
        if self._load_as in ("slices", "parts"):
            return {each.key: partial(self._read, checked, each) for each in objects or []}
        return self._read_all(checked, objects or [])

    def _read_all(self, checked: CheckedObjects, objects: Sequence[NamedObject]) -> pd.DataFrame:
        if not objects:
            return pd.DataFrame(columns=list(self._layer.columns), dtype="str")
        tables = [pq.read_table(BytesIO(checked.read(self._path(each), each.sha256))) for each in objects]
        frame = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries().to_pandas()
        names = [each.run_id for each in objects]
        return frame.assign(run_id=np.repeat(names, [table.num_rows for table in tables])) if all(names) else frame

    def _read(self, checked: CheckedObjects, named: NamedObject) -> pd.DataFrame:
        return pd.read_parquet(BytesIO(checked.read(self._path(named), named.sha256)))

    def _path(self, named: NamedObject) -> str:
        return f"{self._root}/{named.file_name}"

    def _exists(self) -> bool:
        return bool(self._layer.list_objects(open_registry(self._url), self._source, self._logical_date))

    def _describe(self) -> dict[str, Any]:
        return {
            "layer": self._name,
            "source": self._source,
            "logical_date": str(self._logical_date),
            "path": self._folder,
            "load_as": self._load_as,
        }


def require_features(row: Any) -> None:
    """Refuse silver that was made with another feature specification.

    Raises:
        ProjectError: it was.
    """
    from network_anomalies.detection.scoring.storage import feature_spec_sha256

    if row["feature_spec_sha256"] != feature_spec_sha256():
        raise ProjectError(
            f"silver of source {row['source']} on {row['logical_date']} has the columns of another feature "
            f"specification: run `kedro backfill --stale --params source={row['source']}`"
        )


def _read_summary(data: bytes) -> Any:
    from network_anomalies.detection import unpack_summary

    return unpack_summary(data)
