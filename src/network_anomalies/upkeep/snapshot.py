"""The registry's rows at one moment."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, Connection, Engine, Table, or_, select, true

from network_anomalies.registry.manifests import Commit, Row, read_commits
from network_anomalies.registry.tables import (
    alerts,
    evaluation_events,
    ingestion_batches,
    models,
    pipeline_runs,
    promotions,
    stage_events,
    training_events,
    transformation_events,
)

OWN_TABLES = {
    "transformation": transformation_events,
    "training": training_events,
    "evaluation": evaluation_events,
}
"""Stages that have a row for each run in a table of their own."""


@dataclass(frozen=True)
class Snapshot:
    """The registry's rows of a range of dates.

    Attributes:
        commits: the batches, by source, date and revision.
        stages: rows of ``stage_events`` by number; those of registrations are of all dates.
        runs: rows of ``pipeline_runs``, by run id.
        own_rows: rows of the tables in ``OWN_TABLES``, by stage.
        models: all rows of ``models``.
        promotions: all rows of ``promotions``, by number.
        alerts: rows of ``alerts``, by source and date.
    """

    commits: Sequence[Commit]
    stages: Sequence[Row]
    runs: Mapping[str, Row]
    own_rows: Mapping[str, Sequence[Row]]
    models: Sequence[Row]
    promotions: Sequence[Row]
    alerts: Mapping[tuple[str, date], Sequence[Row]]


@dataclass(frozen=True)
class Range:
    """Dates from ``start`` to ``end``, both included; None means no limit."""

    start: date | None = None
    end: date | None = None

    def __contains__(self, day: object) -> bool:
        """Tell whether a date is in the range. None, for a file without a date, is in a range without limits."""
        if not isinstance(day, date):
            return self.start is None and self.end is None
        return (self.start is None or day >= self.start) and (self.end is None or day <= self.end)

    def of(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row's ``logical_date`` is in the range."""
        after = table.c.logical_date >= self.start if self.start else true()
        before = table.c.logical_date <= self.end if self.end else true()
        return after & before


def read_snapshot(engine: Engine, dates: Range) -> Snapshot:
    """Read the registry's rows of some dates in one transaction."""
    # On SQLite a transaction keeps writers waiting. PostgreSQL shows other commits, except with this isolation level.
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        alerts_by_day = defaultdict(list)
        for row in _read(connection, alerts, dates.of(alerts)):
            alerts_by_day[row["source"], row["logical_date"]].append(row)
        registered = stage_events.c.stage == "registration"
        return Snapshot(
            commits=read_commits(connection, dates.of(ingestion_batches)),
            stages=_read(connection, stage_events, or_(dates.of(stage_events), registered)),
            runs={row["run_id"]: row for row in _read(connection, pipeline_runs, dates.of(pipeline_runs))},
            own_rows={stage: _read(connection, table, dates.of(table)) for stage, table in OWN_TABLES.items()},
            models=_read(connection, models, true()),
            promotions=_read(connection, promotions, true()),
            alerts=alerts_by_day,
        )


def _read(connection: Connection, table: Table, chosen: ColumnElement[bool]) -> list[Row]:
    query = select(table).where(chosen).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(query).mappings()]
