"""The current objects of each layer of the lake, as the registry names them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from sqlalchemy import Engine

from network_anomalies.errors import ProjectError, explain_missing
from network_anomalies.events.contract import COLUMNS
from network_anomalies.records.transformation import TransformationReceipt
from network_anomalies.registry.batches import fits_rejects, read_batch, read_current_rows, read_rejects
from network_anomalies.registry.stage_log import read_stage
from network_anomalies.registry.stage_rows import read_transformation, read_transformations
from network_anomalies.runs.stages import INGESTION


@dataclass(frozen=True)
class NamedObject:
    """An object that the registry names.

    Attributes:
        file_name: name of its file.
        sha256: sha256 of its bytes.
        key: first hour of a slice (of silver and scores), or number of a part, in digits.
        run_id: for rejects, the run that committed them.
        first: for RAW, its earliest timestamp.
        last: for RAW, its latest timestamp.
        rows: for RAW, the number of its events.
    """

    file_name: str
    sha256: str
    key: str = ""
    run_id: str = ""
    first: datetime | None = None
    last: datetime | None = None
    rows: int = 0


@dataclass(frozen=True)
class Layer:
    """How a layer's current objects are found and stored.

    Attributes:
        list_objects: returns the objects of a source and date, None if there are none yet.
        stages: the pipelines that make the objects.
        columns: columns of the empty frame that a day without objects loads as.
        optional: whether a day may have no objects.
        suffix: end of the file names.
        compare: whether saving over an existing object is an error if the bytes differ.
    """

    list_objects: Callable[[Engine, str, date], list[NamedObject] | None]
    stages: Sequence[str]
    columns: tuple[str, ...] = ()
    optional: bool = False
    suffix: str = ".parquet"
    compare: bool = False


def _list_raw(engine: Engine, source: str, day: date) -> list[NamedObject] | None:
    return [
        NamedObject(
            row["file_name"],
            row["object_sha256"],
            key=f"{row['part']:04d}",
            first=row["min_timestamp"],
            last=row["max_timestamp"],
            rows=row["record_count"],
        )
        for row in read_current_rows(engine, source, day)
    ] or None


def _list_rejects(engine: Engine, source: str, day: date) -> list[NamedObject] | None:
    batch = read_batch(engine, source, day)
    if batch is None:
        return None
    rows = read_rejects(engine, source, day)
    kept = sum(row["record_count"] for row in rows)
    if not fits_rejects(dict(batch), kept):
        raise ProjectError(
            f"the {batch['rejected']} rejects of {source} on {day} were stored by an earlier version, which did not "
            "write their names into the registry: look into the quarantine bucket"
        )
    return [NamedObject(row["file_name"], row["object_sha256"], f"{row['part']:04d}", batch["run_id"]) for row in rows]


def _list_silver(kind: str, engine: Engine, source: str, day: date) -> list[NamedObject] | None:
    receipt = read_transformation(engine, source, day)
    return name_silver(receipt, kind) if receipt else None


def _list_outputs(stage: str, prefix: str, engine: Engine, source: str, day: date) -> list[NamedObject] | None:
    row = read_stage(engine, stage, source, day)
    if row is None:
        return None
    files = [(item["uri"].rpartition("/")[2], item["sha256"]) for item in row["outputs"]]
    return [NamedObject(name, sha256, name.split("_")[1]) for name, sha256 in files if name.startswith(prefix)]


REJECT_COLUMNS = (*COLUMNS, "row", "rule", "reason", "part", "run_id")
TRUTH_COLUMNS = (
    *("event_key", "scenario", "instance", "kind", "attack", "stealth", "src_ip", "dst_ip", "first_seen", "last_seen"),
)
LAYERS = {
    "raw": Layer(_list_raw, INGESTION, compare=True),
    "quarantine": Layer(_list_rejects, INGESTION, REJECT_COLUMNS),
    "spool": Layer(lambda *_: None, INGESTION, suffix=".arrow", compare=True),
    "truth": Layer(partial(_list_outputs, "truth", "truth_"), INGESTION, TRUTH_COLUMNS, optional=True),
    "silver": Layer(partial(_list_silver, "slice"), ["transformation"]),
    "summary": Layer(partial(_list_silver, "summary"), ["transformation"], suffix=".arrow"),
    "scores": Layer(partial(_list_outputs, "scoring", "scores_"), ["scoring"]),
}


def list_current(engine: Engine, layer: str, source: str, day: date) -> list[NamedObject]:
    """Return the current objects of a layer, source and day.

    Raises:
        ProjectError: the pipeline that makes them has not run, and the layer is not optional.
    """
    objects = LAYERS[layer].list_objects(engine, source, day)
    if objects is None and not LAYERS[layer].optional:
        raise explain_missing(f"there are no {layer} objects of source {source} on {day}", LAYERS[layer].stages)
    return objects or []


def list_silver_days(engine: Engine, source: str, last: date, days: int) -> list[TransformationReceipt]:
    """Return the transformation receipts of ``last`` and of the ``days`` days before it, the earliest first.

    Raises:
        ProjectError: none of these days has silver.
    """
    first = last - timedelta(days=days)
    receipts = read_transformations(engine, source, first, last)
    if not receipts:
        raise explain_missing(f"there is no silver of source {source} from {first} to {last}", ["transformation"])
    return receipts


def name_silver(silver: TransformationReceipt, kind: str) -> list[NamedObject]:
    """Return the objects of a day's silver of one kind, ``slice`` or ``summary``.

    Raises:
        ProjectError: the silver has the columns of another feature specification.
    """
    from network_anomalies.detection.scoring.storage import feature_spec_sha256

    if silver.feature_spec_sha256 != feature_spec_sha256():
        raise ProjectError(
            f"silver of source {silver.source} on {silver.logical_date} has the columns of another feature "
            f"specification: run `kedro backfill --stale --params source={silver.source}`"
        )
    return [NamedObject(item.file_name, item.sha256, item.hour) for item in silver.outputs if item.kind == kind]
