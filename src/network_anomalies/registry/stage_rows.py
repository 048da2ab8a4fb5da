"""Rows of the modelling stages: one for each run of a stage."""

from dataclasses import replace
from datetime import date
from importlib.metadata import version

from sqlalchemy import Connection, Engine, RowMapping, Table, exists, insert, or_, select, update

from network_anomalies.records.evaluation import EvaluationReceipt
from network_anomalies.records.receipt import StageReceipt
from network_anomalies.records.scoring import ScoringReceipt
from network_anomalies.records.training import TrainingReceipt
from network_anomalies.records.transformation import TransformationReceipt
from network_anomalies.registry.batches import require_running
from network_anomalies.registry.conditions import is_current, of_day
from network_anomalies.registry.receipt_rows import (
    Row,
    read_evaluation_row,
    read_event_row,
    read_scoring_row,
    read_training_row,
    read_transformation_row,
    to_evaluation_row,
    to_training_row,
    to_transformation_row,
)
from network_anomalies.registry.row_digests import CHANGING, digest_rows
from network_anomalies.registry.stage_log import StageEvent, find_stage, insert_stage, is_recorded, read_stage
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
from network_anomalies.runs.version import read_code_version

SAME_SILVER = ("revision", "feature_spec_sha256", "output_objects")
LIBRARIES = ("kedro", "numpy", "pandas", "pyarrow")
"""Libraries whose versions are recorded with a model."""


def record_truth(engine: Engine, receipt: StageReceipt) -> None:
    """Add the row of a day's ground truth to ``stage_events``."""
    event = StageEvent.of("truth", receipt)
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, event.run_id)
        insert_stage(connection, event)


def read_receipt(stage: str, engine: Engine, source: str, logical_date: date) -> StageReceipt | None:
    """Return the receipt of the latest run of a stage without a table of its own, or None."""
    event = read_stage(engine, stage, source, logical_date)
    return read_event_row(event) if event else None


def read_scoring(engine: Engine, source: str, logical_date: date) -> ScoringReceipt | None:
    """Return the receipt of the latest scoring of a source and date, or None."""
    event = read_stage(engine, "scoring", source, logical_date)
    return read_scoring_row(event) if event else None


def commit_transformation(engine: Engine, receipt: TransformationReceipt) -> bool:
    """Commit a day's silver as the current one, unless equal silver is current.

    Returns:
        Whether a row was committed (False: unchanged).
    """
    table, row = transformation_events, to_transformation_row(receipt)
    event = StageEvent.of("transformation", receipt)
    key = (table, receipt.source, receipt.logical_date)
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, receipt.run_id)
        current = connection.execute(select(table).where(is_current(*key))).mappings().first()
        if current and all(current[name] == row[name] for name in SAME_SILVER):
            insert_stage(connection, event)
            return False
        connection.execute(update(table).where(of_day(*key)).values(status="SUPERSEDED"))
        _record(connection, table, row, event)
    return True


def read_transformation(engine: Engine, source: str, logical_date: date) -> TransformationReceipt | None:
    """Return the receipt of a day's current silver, or None."""
    receipts = read_transformations(engine, source, logical_date, logical_date)
    return receipts[0] if receipts else None


def read_transformations(engine: Engine, source: str, first: date, last: date) -> list[TransformationReceipt]:
    """Return the receipts of the current silver from ``first`` to ``last``, by date.

    Their inputs are those of the latest run of the stage, even if that run left earlier silver unchanged.
    """
    columns = transformation_events.c
    query = (
        select(transformation_events)
        .where(columns.source == source, columns.status == "SUCCESS", columns.logical_date.between(first, last))
        .order_by(columns.logical_date)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
        events = [find_stage(connection, "transformation", source, row["logical_date"]) for row in rows]
    return [read_transformation_row(row, event) for row, event in zip(rows, events, strict=True)]


def record_training(engine: Engine, receipt: TrainingReceipt) -> None:
    """Add the row of a training, with the versions of the code and of the libraries."""
    versions = {name: version(name) for name in LIBRARIES}
    complete = replace(receipt, library_versions=versions, code_version=read_code_version())
    _keep(engine, training_events, to_training_row(complete), StageEvent.of("training", receipt))


def read_training(engine: Engine, source: str, logical_date: date) -> TrainingReceipt | None:
    """Return the receipt of the latest training of a source and date, or None."""
    rows = _find_latest(engine, training_events, "training", source, logical_date)
    return read_training_row(*rows) if rows else None


def record_evaluation(engine: Engine, receipt: EvaluationReceipt) -> None:
    """Add the row of an evaluation."""
    _keep(engine, evaluation_events, to_evaluation_row(receipt), StageEvent.of("evaluation", receipt))


def read_evaluation(engine: Engine, source: str, logical_date: date) -> EvaluationReceipt | None:
    """Return the receipt of the latest evaluation of a source and date, or None."""
    rows = _find_latest(engine, evaluation_events, "evaluation", source, logical_date)
    return read_evaluation_row(*rows) if rows else None


def has_made_content(engine: Engine, run_id: str) -> bool:
    """Tell whether a run made new content: a batch, silver, a model, a champion or alerts."""
    tables = (ingestion_batches, transformation_events, models, promotions, alerts)
    has_rows = [exists().where(table.c.run_id == run_id) for table in tables]
    with engine.connect() as connection:
        return bool(connection.execute(select(or_(*has_rows))).scalar())


def _keep(engine: Engine, table: Table, row: Row, event: StageEvent) -> None:
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, event.run_id)
        _record(connection, table, row, event)


def _record(connection: Connection, table: Table, row: Row, event: StageEvent) -> None:
    """Write a stage's row and its row of ``stage_events``. If a run repeats its node, the stage's row is replaced."""
    of_run = table.c.run_id == event.run_id
    if connection.execute(select(table.c.run_id).where(of_run)).first():
        connection.execute(update(table).where(of_run).values(row))
    else:
        connection.execute(insert(table), row)
    stored = connection.execute(select(table).where(of_run)).mappings().one()
    insert_stage(connection, event, digest_rows([stored], CHANGING))


def _find_latest(
    engine: Engine, table: Table, stage: str, source: str, logical_date: date
) -> tuple[RowMapping, RowMapping] | None:
    """Return the row of a stage's table and the row of ``stage_events`` of its latest run, or None."""
    with engine.connect() as connection:
        event = find_stage(connection, stage, source, logical_date)
        if event is None:
            return None
        row = connection.execute(select(table).where(table.c.run_id == event["run_id"])).mappings().one()
    return row, event
