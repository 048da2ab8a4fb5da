"""The log of stages: what each run of one read and wrote. The row with the highest number is the latest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from network_anomalies.registry.tables import stage_events
from network_anomalies.runs.inputs import digest_facts


@dataclass(frozen=True)
class StageEvent:
    """What one run of a stage read and wrote.

    Attributes:
        run_id: of the run.
        stage: its name; ``truth`` is the drawing of the ground truth.
        source: whose events.
        logical_date: of which day.
        inputs: the facts that decide the output, see ``network_anomalies.runs.inputs``.
        outputs: ``uri`` and ``sha256`` of each object and file that was written.
        limits: of a scoring, those that its alerts were raised by, by kind and name.
    """

    run_id: str
    stage: str
    source: str
    logical_date: date
    inputs: Mapping[str, str]
    outputs: Sequence[Mapping[str, str]]
    limits: Mapping[str, Mapping[str, Any]] | None = None


def insert_stage(connection: Connection, event: StageEvent, record_sha256: str | None = None) -> None:
    """Add the row of a stage, in the transaction that adds the stage's own row, whose digest is ``record_sha256``."""
    values = {
        "run_id": event.run_id,
        "stage": event.stage,
        "source": event.source,
        "logical_date": event.logical_date,
        "recorded_at": datetime.now(UTC),
        "inputs": dict(event.inputs),
        "inputs_sha256": digest_facts(event.inputs),
        "outputs": [{"uri": item["uri"], "sha256": item["sha256"]} for item in event.outputs],
        "record_sha256": record_sha256,
        "limits": event.limits,
    }
    connection.execute(insert(stage_events), values)


def is_recorded(event: StageEvent) -> Callable[[Connection], bool]:
    """Return the question whether a stage of a run has its row, for a commit that was not answered."""

    def ask(connection: Connection) -> bool:
        columns = stage_events.c
        query = select(columns.sequence).where(columns.run_id == event.run_id, columns.stage == event.stage)
        return connection.execute(query).first() is not None

    return ask


def read_stage(engine: Engine, stage: str, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return the latest row of ``stage_events`` of a stage, source and date, or None."""
    with engine.connect() as connection:
        return find_stage(connection, stage, source, logical_date)


def find_stage(connection: Connection, stage: str, source: str, logical_date: date) -> dict[str, Any] | None:
    """Return what ``read_stage`` does, within a transaction."""
    columns = stage_events.c
    query = (
        select(stage_events)
        .where(columns.stage == stage, columns.source == source, columns.logical_date == logical_date)
        .order_by(columns.sequence.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def read_stages(engine: Engine, source: str, stages: Sequence[str]) -> list[dict[str, Any]]:
    """Return the latest rows of ``stage_events`` of a source, one for each of some stages and each day, by day."""
    columns = stage_events.c
    query = select(stage_events).where(columns.source == source, columns.stage.in_(stages)).order_by(columns.sequence)
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    latest = {(row["stage"], row["logical_date"]): dict(row) for row in rows}
    return sorted(latest.values(), key=lambda row: (row["logical_date"], row["sequence"]))
