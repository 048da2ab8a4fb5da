"""The table ``stage_events``: what each run of a stage read and wrote. The highest number is the latest row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Self

from sqlalchemy import Connection, Engine, RowMapping, insert, select

from network_anomalies.detection.limits import AppliedLimits
from network_anomalies.records.receipt import LakeObject, StageReceipt
from network_anomalies.registry.conditions import of_day
from network_anomalies.registry.tables import stage_events
from network_anomalies.runs.inputs import digest_facts


@dataclass(frozen=True)
class StageEvent:
    """What one run of a stage read and wrote, as in its ``StageReceipt``.

    The stage ``truth`` means the ground truth of synthetic events. ``limits`` are those that raised a scoring's alerts.
    """

    run_id: str
    stage: str
    source: str
    logical_date: date
    inputs: Mapping[str, str]
    outputs: Sequence[LakeObject]
    limits: AppliedLimits | None = None

    @classmethod
    def of(cls, stage: str, receipt: StageReceipt, limits: AppliedLimits | None = None) -> Self:
        """Return the event that a stage's receipt describes."""
        about = (receipt.source, receipt.logical_date, receipt.inputs, receipt.outputs)
        return cls(receipt.run_id, stage, *about, limits)


def insert_stage(connection: Connection, event: StageEvent, record_sha256: str | None = None) -> None:
    """Add the row of a stage; ``record_sha256`` is the digest of the stage's row in another table."""
    values = {
        "run_id": event.run_id,
        "stage": event.stage,
        "source": event.source,
        "logical_date": event.logical_date,
        "recorded_at": datetime.now(UTC),
        "inputs": dict(event.inputs),
        "inputs_sha256": digest_facts(event.inputs),
        "outputs": [{"uri": output.uri, "sha256": output.sha256} for output in event.outputs],
        "record_sha256": record_sha256,
        "limits": event.limits,
    }
    connection.execute(insert(stage_events), values)


def is_recorded(event: StageEvent) -> Callable[[Connection], bool]:
    """Return a function that tells whether an event has its row, for a COMMIT that the server did not answer."""

    def find_row(connection: Connection) -> bool:
        columns = stage_events.c
        query = select(columns.sequence).where(columns.run_id == event.run_id, columns.stage == event.stage)
        return connection.execute(query).first() is not None

    return find_row


def read_stage(engine: Engine, stage: str, source: str, logical_date: date) -> RowMapping | None:
    """Return the latest row of ``stage_events`` of a stage, source and date, or None."""
    with engine.connect() as connection:
        return find_stage(connection, stage, source, logical_date)


def find_stage(connection: Connection, stage: str, source: str, logical_date: date) -> RowMapping | None:
    """Do the same as ``read_stage`` in a transaction."""
    query = select(stage_events).where(stage_events.c.stage == stage, of_day(stage_events, source, logical_date))
    return connection.execute(query.order_by(stage_events.c.sequence.desc()).limit(1)).mappings().first()


def read_stages(engine: Engine, source: str, stages: Sequence[str]) -> list[RowMapping]:
    """Return the latest row of ``stage_events`` for each of some stages and each day of a source, by day."""
    columns = stage_events.c
    query = select(stage_events).where(columns.source == source, columns.stage.in_(stages)).order_by(columns.sequence)
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    latest = {(row["stage"], row["logical_date"]): row for row in rows}
    return sorted(latest.values(), key=lambda row: (row["logical_date"], row["sequence"]))
