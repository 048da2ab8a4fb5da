"""Batches: one transaction commits a revision and supersedes the one before."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

import pandas as pd
from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from network_anomalies.errors import ProjectError
from network_anomalies.events.parts import digest_contents
from network_anomalies.records.batch import FATES, Batch
from network_anomalies.records.source_history import Kind
from network_anomalies.registry.conditions import is_current, of_day
from network_anomalies.registry.manifests import Manifest, Row, make_manifest
from network_anomalies.registry.stage_log import StageEvent, insert_stage, is_recorded
from network_anomalies.registry.tables import (
    ingestion_batches,
    ingestion_events,
    pipeline_runs,
    quarantine_objects,
    source_files,
    sources,
)
from network_anomalies.registry.transactions import transaction

IDENTITY = ("content_sha256", "contract_version", "lines_in", *FATES)
"""Columns in which two batches of a source and date must be equal to be the same batch."""
SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class BucketUrls:
    """URLs of the buckets that hold a batch's objects, as they are written into the registry."""

    raw: str
    quarantine: str


def commit_batch(engine: Engine, batch: Batch, event: StageEvent, urls: BucketUrls, lake_revision: int = 0) -> bool:
    """Commit a batch as the current revision of its source and date, unless an equal batch is current.

    ``lake_revision`` is the latest revision that has a manifest in the lake, 0 if none has.

    Returns:
        Whether a revision was committed (False: unchanged).

    Raises:
        ProjectError: the run is not open; the source is of the other kind; or the lake holds a later revision than the
            registry.
    """
    source, day = batch.source, batch.logical_date
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, batch.run_id)
        _require_kind(connection, source, batch.origin.kind, batch.origin.format)
        revision = find_revision(connection, source, day)
        if lake_revision > revision:
            raise ProjectError(
                f"the lake holds revision {lake_revision} of {source} on {day}, the registry "
                f"{f'revision {revision}' if revision else 'none'}: run `kedro restore`, then run again"
            )
        insert_stage(connection, event)
        row, current = _to_row(batch), _find_current(connection, source, day)
        if current and all(current[name] == row[name] for name in IDENTITY):
            return False
        for table in (ingestion_batches, ingestion_events):
            connection.execute(update(table).where(of_day(table, source, day)).values(status="SUPERSEDED"))
        _insert_batch(connection, batch, revision + 1, urls)
    return True


def check_kind(engine: Engine, source: str, kind: str) -> None:
    """Check before a run that a source may take events of ``kind``. The commit checks it again.

    Raises:
        ProjectError: the source holds events of the other kind, or its name is reserved.
    """
    with engine.connect() as connection:
        _find_kind(connection, source, kind)


def read_current(engine: Engine, source: str, logical_date: date) -> pd.DataFrame:
    """Return what ``read_current_rows`` does, as a frame."""
    return pd.DataFrame(read_current_rows(engine, source, logical_date), columns=ingestion_events.c.keys())


def read_current_rows(engine: Engine, source: str, logical_date: date) -> Sequence[RowMapping]:
    """Return the rows of ``ingestion_events`` of the current revision, by part; empty if there is none.

    Raises:
        ProjectError: the rows do not agree with the batch's row, so a part of the day would be missing.
    """
    current = is_current(ingestion_events, source, logical_date)
    query = select(ingestion_events).where(current).order_by(ingestion_events.c.part)
    with engine.connect() as connection:
        batch = _find_current(connection, source, logical_date)
        rows = connection.execute(query).mappings().all()
    of_batch = [row for row in rows if batch and row["run_id"] == batch["run_id"]]
    content = digest_contents([row["content_sha256"] for row in of_batch])
    if len(of_batch) < len(rows) or (batch and content != batch["content_sha256"]):
        raise ProjectError(
            f"the registry's rows of {source} on {logical_date} were altered, its objects do not add up to the batch: "
            "run `kedro verify` to see which, then correct them or restore the registry"
        )
    return rows


def read_batch(engine: Engine, source: str, logical_date: date) -> RowMapping | None:
    """Return the current batch of a source and date as a row of ``ingestion_batches``, or None."""
    with engine.connect() as connection:
        return _find_current(connection, source, logical_date)


def read_replaced(engine: Engine, batch: RowMapping) -> RowMapping | None:
    """Return the batch of the revision before that of ``batch``, None if it is the first one."""
    day = [ingestion_batches.c[name] == batch[name] for name in ("source", "logical_date")]
    query = select(ingestion_batches).where(*day, ingestion_batches.c.revision == batch["revision"] - 1)
    with engine.connect() as connection:
        return connection.execute(query).mappings().first()


def fits_rejects(batch: Row, kept: int) -> bool:
    """Tell whether a batch may have so many rows in quarantine: version 1 kept no unparsable lines."""
    return kept in (batch["rejected"], batch["rejected"] + batch["unparsable"])


def read_rejects(engine: Engine, source: str, logical_date: date) -> Sequence[RowMapping]:
    """Return the rows of ``quarantine_objects`` of the current revision of a source and date, by part."""
    query = (
        select(quarantine_objects)
        .join(ingestion_batches, ingestion_batches.c.run_id == quarantine_objects.c.run_id)
        .where(is_current(ingestion_batches, source, logical_date))
        .order_by(quarantine_objects.c.part)
    )
    with engine.connect() as connection:
        return connection.execute(query).mappings().all()


def find_manifest(engine: Engine, source: str, logical_date: date, raw_root: str) -> Manifest | None:
    """Make the manifest of the current batch of a source and date from the registry's rows, None without a batch.

    Raises:
        ProjectError: the rows were altered since the commit.
    """
    with engine.begin() as connection:
        batch = _find_current(connection, source, logical_date)
        return ensure_manifest(connection, batch, raw_root) if batch else None


def ensure_manifest(connection: Connection, batch: RowMapping | Row, raw_root: str) -> Manifest:
    """Make the manifest of a row of ``ingestion_batches``, and write its name into a row that names none.

    Raises:
        ProjectError: the rows were altered since the commit.
    """
    manifest = make_manifest(connection, batch["run_id"])
    if batch["manifest_sha256"] is None:
        _name_manifest(connection, batch["run_id"], manifest, raw_root)
    elif batch["manifest_sha256"] != manifest.sha256:
        raise ProjectError(
            f"the registry's rows of {batch['source']} on {batch['logical_date']}, revision {batch['revision']}, were "
            "altered after the commit: run `kedro verify` to see which, then correct them or restore the registry"
        )
    return manifest


def find_revision(connection: Connection, source: str, logical_date: date) -> int:
    """Return the latest revision of a source and date in the registry, 0 for none."""
    of_batch = of_day(ingestion_batches, source, logical_date)
    return int(connection.execute(select(func.max(ingestion_batches.c.revision)).where(of_batch)).scalar() or 0)


def require_running(connection: Connection, run_id: str) -> None:
    """Lock the run's row and check that the run is open. Otherwise another run may have taken its place.

    Raises:
        ProjectError: the run is closed, for example as ``ABANDONED``, or not in the registry.
    """
    query = select(pipeline_runs.c.status).where(pipeline_runs.c.run_id == run_id).with_for_update()
    status = connection.execute(query).scalar()
    if status != "RUNNING":
        raise ProjectError(f"run {run_id} is {status or 'not in the registry'}, so it may not commit: start a new run")


def _insert_batch(connection: Connection, batch: Batch, revision: int, urls: BucketUrls) -> None:
    now, folder = datetime.now(UTC), f"{batch.source}/{batch.logical_date}"
    common = {"run_id": batch.run_id, "revision": revision, "status": "SUCCESS"}
    key = {"source": batch.source, "logical_date": batch.logical_date, "contract_version": batch.contract_version}
    connection.execute(insert(ingestion_batches), {**_to_row(batch), **common, "committed_at": now})
    objects = [
        {**asdict(item), **key, **common, "object_uri": f"{urls.raw}/{folder}/{item.file_name}", "ingested_at": now}
        for item in batch.objects
    ]
    rejects = [
        {**asdict(item), "run_id": batch.run_id, "object_uri": f"{urls.quarantine}/{folder}/{item.file_name}"}
        for item in batch.rejects
    ]
    files = [{**asdict(item), "run_id": batch.run_id} for item in batch.origin.files]
    for table, rows in ((ingestion_events, objects), (quarantine_objects, rejects), (source_files, files)):
        if rows:
            connection.execute(insert(table), rows)
    _name_manifest(connection, batch.run_id, make_manifest(connection, batch.run_id), urls.raw)


def _to_row(batch: Batch) -> dict[str, object]:
    """Return the columns of ``ingestion_batches``, except those of the revision and of the manifest."""
    return {
        "run_id": batch.run_id,
        "source": batch.source,
        "logical_date": batch.logical_date,
        "contract_version": batch.contract_version,
        **asdict(batch.counts),
        "parts": len(batch.objects),
        "size_bytes": sum(item.size_bytes for item in batch.objects),
        "content_sha256": digest_contents(item.content_sha256 for item in batch.objects),
        "min_timestamp": min(item.min_timestamp for item in batch.objects),
        "max_timestamp": max(item.max_timestamp for item in batch.objects),
        "params_sha256": batch.origin.params_sha256,
    }


def _name_manifest(connection: Connection, run_id: str, manifest: Manifest, raw_root: str) -> None:
    values = {"manifest_uri": f"{raw_root}/{manifest.path}", "manifest_sha256": manifest.sha256}
    connection.execute(update(ingestion_batches).where(ingestion_batches.c.run_id == run_id).values(values))


def _require_kind(connection: Connection, source: str, kind: Kind, log_format: str | None) -> None:
    """Check that a source holds events of ``kind``; the first batch of a source adds its row.

    If two first batches come at once, the insert of the second waits for the first and fails. The second batch then
    needs the kind of the first.
    """
    if _find_kind(connection, source, kind) is not None:
        return
    row = {"name": source, "kind": kind, "format": log_format, "first_seen": datetime.now(UTC)}
    try:
        with connection.begin_nested():
            connection.execute(insert(sources), row)
    except IntegrityError:
        _find_kind(connection, source, kind)


def _find_kind(connection: Connection, source: str, kind: str) -> str | None:
    recorded_kind: str | None = connection.execute(select(sources.c.kind).where(sources.c.name == source)).scalar()
    if source == SYNTHETIC and kind != SYNTHETIC:
        raise ProjectError(f"source {SYNTHETIC} is the generator's: name the sensor, --params source=NAME")
    if recorded_kind == kind or recorded_kind is None:
        return recorded_kind
    if recorded_kind == SYNTHETIC:
        raise ProjectError(f"source {source} holds synthetic events: give the logs a source of their own, source=NAME")
    raise ProjectError(
        f"source {source} holds real logs, and synthetic events would replace them: "
        "use log_ingestion or log_full for logs, or leave source out for synthetic events"
    )


def _find_current(connection: Connection, source: str, logical_date: date) -> RowMapping | None:
    query = select(ingestion_batches).where(is_current(ingestion_batches, source, logical_date))
    return connection.execute(query).mappings().first()
