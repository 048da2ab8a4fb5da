"""What the modelling stages did: a row for each run of one, and which silver is current."""

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, and_, exists, insert, or_, select, update

from network_anomalies.registry.batches import require_running
from network_anomalies.registry.row_digests import CHANGING, digest_rows
from network_anomalies.registry.stage_log import StageEvent, find_stage, insert_stage, is_recorded
from network_anomalies.registry.tables import (
    alerts,
    evaluation_events,
    ingestion_batches,
    models,
    promotions,
    training_events,
    transformation_events,
)
from network_anomalies.registry.transactions import transaction

SAME_SILVER = ("revision", "feature_spec_sha256", "output_objects")


def record_stage(engine: Engine, event: StageEvent) -> None:
    """Add the row of a stage that has no other."""
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, event.run_id)
        insert_stage(connection, event)


def commit_transformation(engine: Engine, row: dict[str, Any], event: StageEvent) -> bool:
    """Commit a day's silver as the current one, or leave an equal current one as it is.

    Args:
        engine: the registry.
        row: the columns of ``transformation_events`` but ``status`` and ``transformed_at``.
        event: what the stage read and wrote.

    Returns:
        Whether a row was committed (False: unchanged).
    """
    table = transformation_events
    day = and_(table.c.source == row["source"], table.c.logical_date == row["logical_date"])
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, row["run_id"])
        current = connection.execute(select(table).where(day, table.c.status == "SUCCESS")).mappings().first()
        if current and all(current[name] == row[name] for name in SAME_SILVER):
            insert_stage(connection, event)
            return False
        connection.execute(update(table).where(day).values(status="SUPERSEDED"))
        _record(connection, table, row | {"status": "SUCCESS", "transformed_at": datetime.now(UTC)}, event)
    return True


def read_transformation(engine: Engine, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return the current row of ``transformation_events`` and its ``inputs_sha256``, or None."""
    rows = read_transformations(engine, source, logical_date, logical_date)
    return rows[0] if rows else None


def read_transformations(engine: Engine, source: str, first: date, last: date) -> list[dict[str, Any]]:
    """Return the current rows of ``transformation_events`` from ``first`` to ``last`` by date, with ``inputs_sha256``.

    That digest is of the latest run of the stage, which may have found the silver of an earlier one unchanged.
    """
    columns = transformation_events.c
    query = (
        select(transformation_events)
        .where(columns.source == source, columns.status == "SUCCESS", columns.logical_date.between(first, last))
        .order_by(columns.logical_date)
    )
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        events = [find_stage(connection, "transformation", source, row["logical_date"]) for row in rows]
    return [
        row | {"inputs_sha256": event["inputs_sha256"] if event else ""}
        for row, event in zip(rows, events, strict=True)
    ]


def record_training(engine: Engine, row: dict[str, Any], event: StageEvent) -> None:
    """Keep a training: the columns of ``training_events`` but ``trained_at``."""
    _keep(engine, training_events, row | {"trained_at": datetime.now(UTC)}, event)


def record_evaluation(engine: Engine, row: dict[str, Any], event: StageEvent) -> None:
    """Keep an evaluation: the columns of ``evaluation_events`` but ``evaluated_at``."""
    _keep(engine, evaluation_events, row | {"evaluated_at": datetime.now(UTC)}, event)


def read_training(engine: Engine, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return the latest row of ``training_events`` of a source and date and its ``inputs_sha256``, or None."""
    return _read_latest(engine, training_events, "training", source, logical_date)


def read_evaluation(engine: Engine, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return the latest row of ``evaluation_events`` of a source and date and its ``inputs_sha256``, or None."""
    return _read_latest(engine, evaluation_events, "evaluation", source, logical_date)


def has_made_content(engine: Engine, run_id: str) -> bool:
    """Tell whether a run made anything that was not there: a batch, silver, a model, a champion or alerts."""
    tables = (ingestion_batches, transformation_events, models, promotions, alerts)
    made = [exists().where(table.c.run_id == run_id) for table in tables]
    with engine.connect() as connection:
        return bool(connection.execute(select(or_(*made))).scalar())


def _keep(engine: Engine, table: Table, row: dict[str, Any], event: StageEvent) -> None:
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, row["run_id"])
        _record(connection, table, row, event)


def _record(connection: Connection, table: Table, row: dict[str, Any], event: StageEvent) -> None:
    """Write a stage's own row, anew if its node runs again in one run, and then the row of ``stage_events``."""
    own = table.c.run_id == row["run_id"]
    if connection.execute(select(table.c.run_id).where(own)).first():
        connection.execute(update(table).where(own).values(row))
    else:
        connection.execute(insert(table), row)
    stored = dict(connection.execute(select(table).where(own)).mappings().one())
    insert_stage(connection, event, digest_rows([stored], CHANGING))


def _read_latest(engine: Engine, table: Table, stage: str, source: str, logical_date: date) -> dict[str, Any] | None:
    with engine.connect() as connection:
        event = find_stage(connection, stage, source, logical_date)
        if event is None:
            return None
        row = connection.execute(select(table).where(table.c.run_id == event["run_id"])).mappings().one()
    return dict(row) | {"inputs_sha256": event["inputs_sha256"]}
