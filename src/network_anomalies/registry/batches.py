"""Batches: one transaction commits a revision and supersedes the former."""

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, func, insert, select, update

from network_anomalies.errors import ProjectError
from network_anomalies.registry.tables import (
    BATCH_COUNTS,
    ingestion_batches,
    ingestion_events,
    pipeline_runs,
    source_files,
)

IDENTITY = ("content_sha256", "contract_version", "lines_in", *BATCH_COUNTS)
"""What makes two batches of one source and date the same: their rows, and the account of what was left out."""


def commit_batch(
    engine: Engine, batch: dict[str, Any], objects: list[dict[str, Any]], files: list[dict[str, Any]]
) -> bool:
    """Commit a batch as the current revision of its source and date, or leave an equal current one as it is.

    Args:
        engine: the registry.
        batch: the columns of ``ingestion_batches`` but ``revision``, ``status`` and ``committed_at``.
        objects: per object the columns of ``ingestion_events`` that the batch does not give.
        files: per source file the columns of ``source_files`` but ``run_id``.

    Returns:
        Whether a revision was committed (False: unchanged).

    Raises:
        ProjectError: the run is not, or no longer, the one that may commit.
    """
    with engine.begin() as connection:
        require_running(connection, batch["run_id"])
        current = _find_current(connection, batch["source"], batch["logical_date"])
        if current and all(current[name] == batch[name] for name in IDENTITY):
            return False
        key = {"source": batch["source"], "logical_date": batch["logical_date"]}
        for table in (ingestion_batches, ingestion_events):
            columns = (table.c.source == key["source"], table.c.logical_date == key["logical_date"])
            connection.execute(update(table).where(*columns).values(status="SUPERSEDED"))
        now = datetime.now(UTC)
        common = {"run_id": batch["run_id"], "revision": _next_revision(connection, **key), "status": "SUCCESS"}
        connection.execute(insert(ingestion_batches), batch | common | {"committed_at": now})
        shared = key | common | {"ingested_at": now, "contract_version": batch["contract_version"]}
        connection.execute(insert(ingestion_events), [row | shared for row in objects])
        if files:
            connection.execute(insert(source_files), [row | {"run_id": batch["run_id"]} for row in files])
    return True


def read_current(engine: Engine, source: str, logical_date: date) -> pd.DataFrame:
    """Return the rows of ``ingestion_events`` of the current revision, by part; empty if there is none."""
    columns = ingestion_events.c
    query = (
        select(ingestion_events)
        .where(columns.source == source, columns.logical_date == logical_date, columns.status == "SUCCESS")
        .order_by(columns.part)
    )
    with engine.connect() as connection:
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=[column.name for column in columns])


def read_batch(engine: Engine, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return the current batch of a source and date as a row of ``ingestion_batches``, or None."""
    with engine.connect() as connection:
        return _find_current(connection, source, logical_date)


def _find_current(connection: Connection, source: str, logical_date: date) -> dict[str, Any] | None:
    columns = ingestion_batches.c
    current = (columns.source == source, columns.logical_date == logical_date, columns.status == "SUCCESS")
    row = connection.execute(select(ingestion_batches).where(*current)).mappings().first()
    return dict(row) if row else None


def _next_revision(connection: Connection, source: str, logical_date: date) -> int:
    columns = ingestion_batches.c
    latest = select(func.max(columns.revision)).where(columns.source == source, columns.logical_date == logical_date)
    return (connection.execute(latest).scalar() or 0) + 1


def require_running(connection: Connection, run_id: str) -> None:
    """Hold the run's row: a run that was declared dead meanwhile must not commit beside its successor."""
    query = select(pipeline_runs.c.status).where(pipeline_runs.c.run_id == run_id).with_for_update()
    status = connection.execute(query).scalar()
    if status != "RUNNING":
        raise ProjectError(f"run {run_id} is {status or 'not in the registry'}, so it may not commit: start a new run")
