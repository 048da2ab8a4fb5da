"""Runs: each has a row, which is written before the work and closed after it. A run locks its source and date."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, insert, select, update

from network_anomalies.errors import ProjectError, explain
from network_anomalies.records.run_start import RunStart
from network_anomalies.registry.conditions import of_day
from network_anomalies.registry.locks import hold_lock, wait_for_lock
from network_anomalies.registry.tables import pipeline_runs
from network_anomalies.registry.transactions import transaction

logger = logging.getLogger(__name__)

RUNNING = pipeline_runs.c.status == "RUNNING"


@dataclass
class Run:
    """An open run. It holds the lock of its source and date until it is closed.

    Attributes:
        engine: the registry.
        start: the columns that its row had from the start.
        status: the status of its row if no error is raised, ``SUCCESS`` or ``UNCHANGED``.
        node: the node that is running; the row of a failed run names it.
    """

    engine: Engine
    start: RunStart
    status: str = "SUCCESS"
    node: str | None = None

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.start.run_id


@contextmanager
def record_run(engine: Engine, start: RunStart) -> Iterator[Run]:
    """Record a run: wait for the lock, write the row as ``RUNNING``, close it at the end, release the lock.

    If anything is raised, the row becomes ``FAILED`` and names the node and the error. The rows of dead runs become
    ``ABANDONED`` first.

    Raises:
        ProjectError: the run id was used before, or the registry did not answer.
    """
    source, logical_date = start.source, start.logical_date
    release = wait_for_lock(engine, source, logical_date, lambda: _say_who_holds_it(engine, source, logical_date))
    try:
        abandon_dead_runs(engine, holding=(source, logical_date))
        _refuse_used_id(engine, start.run_id)
        run = Run(engine, start)
        try:
            _write_row(engine, start)
            yield run
            _close(run, run.status)
        except BaseException as error:
            _close_failed(run, error)
            raise
    finally:
        release()


def read_run(engine: Engine, run_id: str) -> RowMapping:
    """Return the row of a run that is in the registry."""
    with engine.connect() as connection:
        query = select(pipeline_runs).where(pipeline_runs.c.run_id == run_id)
        return connection.execute(query).mappings().one()


def abandon_dead_runs(engine: Engine, holding: tuple[str, date] | None = None) -> int:
    """Mark ``RUNNING`` rows whose lock is free as ``ABANDONED``; ``holding`` is a lock that the caller holds.

    Returns:
        How many rows were marked.
    """
    columns = (pipeline_runs.c.source, pipeline_runs.c.logical_date)
    with engine.connect() as connection:
        running = connection.execute(select(*columns).where(RUNNING).distinct()).all()
    marked = 0
    for source, logical_date in running:
        if (source, logical_date) == holding:
            marked += _abandon(engine, source, logical_date)
            continue
        with hold_lock(engine, source, logical_date) as held:
            if held:
                marked += _abandon(engine, source, logical_date)
    return marked


def _refuse_used_id(engine: Engine, run_id: str) -> None:
    with engine.connect() as connection:
        if _has_row(connection, pipeline_runs.c.run_id == run_id):
            raise ProjectError(f"run id {run_id} was used before: leave run_id out, or give a new one")


def _write_row(engine: Engine, start: RunStart) -> None:
    state = {"status": "RUNNING", "started_at": datetime.now(UTC), "host": socket.gethostname()}
    with transaction(engine, lambda second: _has_row(second, pipeline_runs.c.run_id == start.run_id)) as connection:
        connection.execute(insert(pipeline_runs).values(**vars(start), **state))


def _close(run: Run, status: str, node: str | None = None, error: str | None = None) -> None:
    _end_rows(run.engine, pipeline_runs.c.run_id == run.run_id, status=status, failed_node=node, error=error)


def _close_failed(run: Run, error: BaseException) -> None:
    """Write into the row why the run failed; an error in doing so is logged, so that it does not hide the run's."""
    try:
        _close(run, "FAILED", run.node, explain(error))
    except Exception as failure:
        logger.error("The run's row could not be closed: %s", explain(failure))


def _abandon(engine: Engine, source: str, logical_date: date) -> int:
    message = "the process ended without closing its run"
    return _end_rows(engine, of_day(pipeline_runs, source, logical_date), status="ABANDONED", error=message)


def _end_rows(engine: Engine, chosen: ColumnElement[bool], **outcome: str | None) -> int:
    """Write an outcome into the chosen rows that are still ``RUNNING``; return their number."""
    with transaction(engine, lambda second: not _has_row(second, and_(RUNNING, chosen))) as connection:
        change = update(pipeline_runs).where(RUNNING, chosen).values(finished_at=datetime.now(UTC), **outcome)
        return connection.execute(change).rowcount


def _say_who_holds_it(engine: Engine, source: str, logical_date: date) -> None:
    query = select(pipeline_runs).where(RUNNING, of_day(pipeline_runs, source, logical_date))
    with engine.connect() as connection:
        row = connection.execute(query.order_by(pipeline_runs.c.started_at.desc())).mappings().first()
    holder = "another run, which has no row yet"
    if row:
        since = f"{row['started_at']:%F %T} UTC"
        holder = f"run {row['run_id']} (pipeline {row['pipeline']}, host {row['host']}, since {since})"
    logger.info("Waiting for %s: it works on source %s, date %s", holder, source, logical_date)


def _has_row(connection: Connection, chosen: ColumnElement[bool]) -> bool:
    return connection.execute(select(pipeline_runs.c.run_id).where(chosen)).first() is not None
