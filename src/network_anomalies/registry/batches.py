"""Batches: one transaction commits a revision and supersedes the former."""

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
"""What makes two batches of one source and date the same: their rows, and the account of what was left out."""
SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class BucketUrls:
    """URLs of the buckets that hold a batch's objects, as the registry names them."""

    raw: str
    quarantine: str


def commit_batch(engine: Engine, batch: Batch, event: StageEvent, urls: BucketUrls, known_revision: int = 0) -> bool:
    """Commit a batch as the current revision of its source and date, or leave an equal current one as it is.

    Args:
        engine: the registry.
        batch: what to commit.
        event: what the stage read and wrote.
        urls: of the buckets that hold the batch's objects and its manifest.
        known_revision: the latest revision of which the lake has a manifest, 0 for none.

    Returns:
        Whether a revision was committed (False: unchanged).

    Raises:
        ProjectError: the run is not, or no longer, the one that may commit; the source is of the other kind; or the
            lake holds a later revision than the registry.
    """
    source, day = batch.source, batch.logical_date
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, batch.run_id)
        _require_kind(connection, source, batch.origin.kind, batch.origin.format)
        revision = find_revision(connection, source, day)
        if known_revision > revision:
            raise ProjectError(
                f"the lake holds revision {known_revision} of {source} on {day}, the registry "
                f"{f'revision {revision}' if revision else 'none'}: run `kedro restore`, then run again"
            )
        insert_stage(connection, event)
        row, current = _to_row(batch), _find_current(connection, source, day)
        if current and all(current[name] == row[name] for name in IDENTITY):
            return False
        for table in (ingestion_batches, ingestion_events):
            columns = (table.c.source == source, table.c.logical_date == day)
            connection.execute(update(table).where(*columns).values(status="SUPERSEDED"))
        _insert_batch(connection, batch, revision + 1, urls)
    return True


def check_kind(engine: Engine, source: str, kind: str) -> None:
    """Refuse events of another kind than the source's before any work is done; the commit itself does so again.

    Raises:
        ProjectError: the source holds the other kind, or its name is reserved.
    """
    with engine.connect() as connection:
        _find_kind(connection, source, kind)


def read_current(engine: Engine, source: str, logical_date: date) -> pd.DataFrame:
    """Return the rows of ``ingestion_events`` of the current revision, by part; empty if there is none.

    Raises:
        ProjectError: they do not add up to the batch's row, so a part of the day would be missing.
    """
    columns = ingestion_events.c
    query = (
        select(ingestion_events)
        .where(columns.source == source, columns.logical_date == logical_date, columns.status == "SUCCESS")
        .order_by(columns.part)
    )
    with engine.connect() as connection:
        batch = _find_current(connection, source, logical_date)
        rows = connection.execute(query).mappings().all()
    found = [row for row in rows if batch and row["run_id"] == batch["run_id"]]
    content = digest_contents([row["content_sha256"] for row in found])
    if len(found) < len(rows) or (batch and content != batch["content_sha256"]):
        raise ProjectError(
            f"the registry's rows of {source} on {logical_date} were altered, its objects do not add up to the batch: "
            "run `kedro verify` to see which, then mend them or restore the registry"
        )
    return pd.DataFrame(rows, columns=columns.keys())


def read_batch(engine: Engine, source: str, logical_date: date) -> RowMapping | None:
    """Return the current batch of a source and date as a row of ``ingestion_batches``, or None."""
    with engine.connect() as connection:
        return _find_current(connection, source, logical_date)


def read_rejects(engine: Engine, source: str, logical_date: date) -> Sequence[RowMapping]:
    """Return the rows of ``quarantine_objects`` of the current revision of a source and date, by part."""
    query = (
        select(quarantine_objects)
        .join(ingestion_batches, ingestion_batches.c.run_id == quarantine_objects.c.run_id)
        .where(
            ingestion_batches.c.source == source,
            ingestion_batches.c.logical_date == logical_date,
            ingestion_batches.c.status == "SUCCESS",
        )
        .order_by(quarantine_objects.c.part)
    )
    with engine.connect() as connection:
        return connection.execute(query).mappings().all()


def find_manifest(engine: Engine, source: str, logical_date: date, raw_root: str) -> Manifest | None:
    """Return the manifest of the current batch of a source and date from the registry's rows, None without a batch.

    A batch of before there were manifests gets its own here.

    Raises:
        ProjectError: the rows are no longer those that were committed.
    """
    with engine.begin() as connection:
        batch = _find_current(connection, source, logical_date)
        return settle_manifest(connection, batch, raw_root) if batch else None


def settle_manifest(connection: Connection, batch: RowMapping | Row, raw_root: str) -> Manifest:
    """Return the manifest of a batch, a row of ``ingestion_batches``, after ``find_manifest``."""
    manifest = make_manifest(connection, batch["run_id"])
    if batch["manifest_sha256"] is None:
        _name_manifest(connection, batch["run_id"], manifest, raw_root)
    elif batch["manifest_sha256"] != manifest.sha256:
        raise ProjectError(
            f"the registry's rows of {batch['source']} on {batch['logical_date']}, revision {batch['revision']}, were "
            "altered after the commit: run `kedro verify` to see which, then mend them or restore the registry"
        )
    return manifest


def find_revision(connection: Connection, source: str, logical_date: date) -> int:
    """Return the latest revision of a source and date that the registry knows, 0 for none."""
    columns = ingestion_batches.c
    latest = select(func.max(columns.revision)).where(columns.source == source, columns.logical_date == logical_date)
    return int(connection.execute(latest).scalar() or 0)


def require_running(connection: Connection, run_id: str) -> None:
    """Hold the run's row: a run that was declared dead meanwhile must not commit beside its successor."""
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
    """Return the columns of ``ingestion_batches`` but the revision's and the manifest's."""
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
    """Hold a source to the kind of its first batch, which makes its row.

    Two first batches at once both make it. The second one waits for the first, and is then held to its kind.
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
    known: str | None = connection.execute(select(sources.c.kind).where(sources.c.name == source)).scalar()
    if source == SYNTHETIC and kind != SYNTHETIC:
        raise ProjectError(f"source {SYNTHETIC} is the generator's: name the sensor, --params source=NAME")
    if known == kind or known is None:
        return known
    if known == SYNTHETIC:
        raise ProjectError(f"source {source} holds synthetic events: give the logs a source of their own, source=NAME")
    raise ProjectError(
        f"source {source} holds real logs, and synthetic events would replace them: "
        "use log_ingestion or log_full for logs, or leave source out for synthetic events"
    )


def _find_current(connection: Connection, source: str, logical_date: date) -> RowMapping | None:
    columns = ingestion_batches.c
    current = (columns.source == source, columns.logical_date == logical_date, columns.status == "SUCCESS")
    return connection.execute(select(ingestion_batches).where(*current)).mappings().first()
