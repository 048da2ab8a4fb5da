"""Runs: one row each, opened before work under a lock on the (source, date), closed after it."""

import hashlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Engine, func, insert, select, update

from network_anomalies.errors import ProjectError
from network_anomalies.registry.tables import pipeline_runs

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
Release = Callable[[], None]


@dataclass(frozen=True)
class Run:
    """An open run: it holds the lock of its source and date until it is closed."""

    engine: Engine
    run_id: str
    release: Release

    def close(self, status: str, failed_node: str | None = None, error: str | None = None) -> None:
        """Write the outcome into the run's row and let the lock go."""
        try:
            with self.engine.begin() as connection:
                connection.execute(
                    update(pipeline_runs)
                    .where(pipeline_runs.c.run_id == self.run_id, pipeline_runs.c.status == "RUNNING")
                    .values(status=status, finished_at=datetime.now(UTC), failed_node=failed_node, error=error)
                )
        finally:
            self.release()


def open_run(engine: Engine, row: dict[str, Any]) -> Run:
    """Wait for the lock of the run's source and date, declare dead runs abandoned, write the row as ``RUNNING``.

    Args:
        engine: the registry, its schema in place.
        row: ``run_id``, ``parent_run_id``, ``pipeline``, ``source``, ``logical_date``, ``env``, ``code_version`` and
            ``params_sha256``; host, status and start are added here.

    Raises:
        ProjectError: the run id was used before.
    """
    release = _wait_for_lock(engine, row["source"], row["logical_date"])
    try:
        abandon_dead_runs(engine, holding=(row["source"], row["logical_date"]))
        with engine.begin() as connection:
            known = select(pipeline_runs.c.run_id).where(pipeline_runs.c.run_id == row["run_id"])
            if connection.execute(known).first():
                raise ProjectError(f"run id {row['run_id']} was used before: leave run_id out, or give a new one")
            state = {"status": "RUNNING", "started_at": datetime.now(UTC), "host": socket.gethostname()}
            connection.execute(insert(pipeline_runs).values(**row, **state))
    except BaseException:
        release()
        raise
    return Run(engine, row["run_id"], release)


def read_run(engine: Engine, run_id: str) -> dict[str, Any]:
    """Return the row of a run, which must be in the registry."""
    with engine.connect() as connection:
        query = select(pipeline_runs).where(pipeline_runs.c.run_id == run_id)
        return dict(connection.execute(query).mappings().one())


def abandon_dead_runs(engine: Engine, holding: tuple[str, date] | None = None) -> int:
    """Mark ``RUNNING`` rows whose lock is free as ``ABANDONED``; ``holding`` is a lock the caller has.

    Returns:
        How many rows were marked.
    """
    columns = (pipeline_runs.c.source, pipeline_runs.c.logical_date)
    with engine.connect() as connection:
        running = connection.execute(select(*columns).where(pipeline_runs.c.status == "RUNNING").distinct()).all()
    marked = 0
    for source, logical_date in running:
        if (source, logical_date) == holding:
            marked += _abandon(engine, source, logical_date)
            continue
        with hold_lock(engine, source, logical_date) as held:
            if held:
                marked += _abandon(engine, source, logical_date)
    return marked


@contextmanager
def hold_lock(engine: Engine, source: str, logical_date: date) -> Iterator[bool]:
    """Try to take the lock of a source and date without waiting; yields whether it is held."""
    release = _try_lock(engine, source, logical_date)
    try:
        yield release is not None
    finally:
        if release:
            release()


def _abandon(engine: Engine, source: str, logical_date: date) -> int:
    message = "the process ended without closing its run"
    with engine.begin() as connection:
        result = connection.execute(
            update(pipeline_runs)
            .where(
                pipeline_runs.c.source == source,
                pipeline_runs.c.logical_date == logical_date,
                pipeline_runs.c.status == "RUNNING",
            )
            .values(status="ABANDONED", finished_at=datetime.now(UTC), error=message)
        )
    return result.rowcount


def _wait_for_lock(engine: Engine, source: str, logical_date: date) -> Release:
    """Poll rather than block in the database: a blocked driver call would not see a signal."""
    release = _try_lock(engine, source, logical_date)
    if release is None:
        logger.info("Waiting for another run of source %s, date %s", source, logical_date)
    while release is None:
        time.sleep(POLL_SECONDS)
        release = _try_lock(engine, source, logical_date)
    return release


def _try_lock(engine: Engine, source: str, logical_date: date) -> Release | None:
    if engine.dialect.name == "sqlite":
        return _try_file_lock(engine, f"{source}_{logical_date}")
    return _try_advisory_lock(engine, f"network-anomalies/{source}/{logical_date}")


def _try_file_lock(engine: Engine, name: str) -> Release | None:
    folder = Path(f"{engine.url.database}.locks")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock.release


def _try_advisory_lock(engine: Engine, name: str) -> Release | None:
    """Lock on a connection of its own: the lock lives as long as that connection does."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    if connection.execute(select(func.pg_try_advisory_lock(key))).scalar():
        return connection.close
    connection.close()
    return None
