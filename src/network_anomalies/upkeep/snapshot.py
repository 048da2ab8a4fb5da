"""What the registry says, read at one moment."""

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
"""Stages with a table of their own, a row for each run."""


@dataclass(frozen=True)
class Snapshot:
    """The registry's rows of a range of dates.

    Attributes:
        commits: the batches, by source, date and revision.
        stages: rows of ``stage_events`` in their order. Those of registrations are of all dates.
        runs: rows of ``pipeline_runs``, by run id.
        own_rows: of each stage with a table of its own, that table's rows.
        models: all rows of ``models``.
        promotions: all rows of ``promotions``, in their order.
        alerts: rows of ``alerts`` by source and date.
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
    """Dates from ``start`` to ``end``, both included; None is open."""

    start: date | None = None
    end: date | None = None

    def __contains__(self, day: object) -> bool:
        """Tell whether a date is in the range; what belongs to no date (None) is, if the range is open."""
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
    # SQLite has one writer, which the transaction keeps waiting; PostgreSQL must be told not to look twice.
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        raised = defaultdict(list)
        for row in _read(connection, alerts, dates.of(alerts)):
            raised[row["source"], row["logical_date"]].append(row)
        registered = stage_events.c.stage == "registration"
        return Snapshot(
            commits=read_commits(connection, dates.of(ingestion_batches)),
            stages=_read(connection, stage_events, or_(dates.of(stage_events), registered)),
            runs={row["run_id"]: row for row in _read(connection, pipeline_runs, dates.of(pipeline_runs))},
            own_rows={stage: _read(connection, table, dates.of(table)) for stage, table in OWN_TABLES.items()},
            models=_read(connection, models, true()),
            promotions=_read(connection, promotions, true()),
            alerts=raised,
        )


def _read(connection: Connection, table: Table, chosen: ColumnElement[bool]) -> list[Row]:
    query = select(table).where(chosen).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(query).mappings()]
