"""What the modelling stages did: one row each, and which silver is current."""

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, and_, delete, exists, insert, or_, select, update

from network_anomalies.registry.batches import require_running
from network_anomalies.registry.tables import (
    alerts,
    evaluation_events,
    ingestion_batches,
    models,
    training_events,
    transformation_events,
)

SAME_SILVER = ("revision", "feature_spec_sha256", "output_objects")


def commit_transformation(engine: Engine, row: dict[str, Any]) -> bool:
    """Commit a day's silver as the current one, or leave an equal current one as it is.

    Args:
        engine: the registry.
        row: the columns of ``transformation_events`` but ``status`` and ``transformed_at``.

    Returns:
        Whether a row was committed (False: unchanged).
    """
    table = transformation_events
    with engine.begin() as connection:
        require_running(connection, row["run_id"])
        current = _find_latest(connection, table, row["source"], row["logical_date"], table.c.status == "SUCCESS")
        if current and all(current[name] == row[name] for name in SAME_SILVER):
            return False
        day = and_(table.c.source == row["source"], table.c.logical_date == row["logical_date"])
        connection.execute(update(table).where(day).values(status="SUPERSEDED"))
        connection.execute(insert(table), row | {"status": "SUCCESS", "transformed_at": datetime.now(UTC)})
    return True


def read_transformation(engine: Engine, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return the current row of ``transformation_events`` of a source and date, or None."""
    with engine.connect() as connection:
        current = transformation_events.c.status == "SUCCESS"
        return _find_latest(connection, transformation_events, source, logical_date, current)


def read_transformations(engine: Engine, source: str, first: date, last: date) -> list[dict[str, Any]]:
    """Return the current rows of ``transformation_events`` of a source from ``first`` to ``last``, by date."""
    columns = transformation_events.c
    query = (
        select(transformation_events)
        .where(columns.source == source, columns.status == "SUCCESS", columns.logical_date.between(first, last))
        .order_by(columns.logical_date)
    )
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def record_training(engine: Engine, row: dict[str, Any]) -> None:
    """Keep a training: the columns of ``training_events`` but ``trained_at``; a node that runs again replaces it."""
    _record(engine, training_events, row | {"trained_at": datetime.now(UTC)})


def record_evaluation(engine: Engine, row: dict[str, Any]) -> None:
    """Keep an evaluation: the columns of ``evaluation_events`` but ``evaluated_at``."""
    _record(engine, evaluation_events, row | {"evaluated_at": datetime.now(UTC)})


def read_training(engine: Engine, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return the latest row of ``training_events`` of a source and date, or None."""
    with engine.connect() as connection:
        return _find_latest(connection, training_events, source, logical_date)


def read_evaluation(engine: Engine, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return the latest row of ``evaluation_events`` of a source and date, or None."""
    with engine.connect() as connection:
        return _find_latest(connection, evaluation_events, source, logical_date)


def has_made_content(engine: Engine, run_id: str) -> bool:
    """Tell whether a run made anything that was not there: a batch, silver, a model or alerts."""
    made = [
        exists().where(table.c.run_id == run_id) for table in (ingestion_batches, transformation_events, models, alerts)
    ]
    with engine.connect() as connection:
        return bool(connection.execute(select(or_(*made))).scalar())


def _record(engine: Engine, table: Table, row: dict[str, Any]) -> None:
    with engine.begin() as connection:
        require_running(connection, row["run_id"])
        connection.execute(delete(table).where(table.c.run_id == row["run_id"]))
        connection.execute(insert(table), row)


def _find_latest(
    connection: Connection, table: Table, source: str, logical_date: date, *conditions: Any
) -> dict[str, Any] | None:
    made_at = next(column for column in table.c if column.name in ("transformed_at", "trained_at", "evaluated_at"))
    query = (
        select(table)
        .where(table.c.source == source, table.c.logical_date == logical_date, *conditions)
        .order_by(made_at.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None
