"""The registry's records of a source, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from network_anomalies.records.evaluation import EvaluationMetrics
from network_anomalies.records.verdicts import Latest, Subject

Kind = Literal["synthetic", "logs"]
INGESTION_OF: dict[Kind, str] = {"synthetic": "ingestion", "logs": "log_ingestion"}
"""The pipeline that ingests events of a kind."""


@dataclass(frozen=True)
class StageRecord:
    """The latest record of a stage and day: the run that wrote it, and the facts that decided its output."""

    run_id: str
    inputs: Mapping[str, str]
    inputs_sha256: str


@dataclass(frozen=True)
class BatchRecord:
    """The current batch of a day.

    Attributes:
        content_sha256: digest of its content.
        accepted: number of events in it.
        flows: number of flows of the day that came in: accepted, rejected, or dropped as duplicates.
    """

    content_sha256: str
    accepted: int
    flows: int


@dataclass(frozen=True)
class RunRecord:
    """A run of whole pipelines: its stages, its status, and its error or ""."""

    run_id: str
    stages: tuple[str, ...]
    status: str
    error: str


@dataclass(frozen=True)
class Decision:
    """A decision that a model is champion from a day on."""

    first_day: date
    model_sha256: str


@dataclass(frozen=True)
class SourceRecords:
    """The registry's records of a source.

    Attributes:
        source: name of the source.
        kind: kind of its events.
        batches: the current batch of each day.
        stages: the latest record by stage and day. The ingestion of logs is recorded as ``ingestion`` too.
        runs: the runs of each day, in the order of their start. Runs of a part of a pipeline are left out.
        champions: the current decisions, by day.
        verdicts: what people decided about its alerts.
        alerts: of each day, those that no exception suppresses. Without verdicts they decide nothing and are left out.
        metrics: of the latest evaluation of each day; left out in the same way.
    """

    source: str
    kind: Kind
    batches: Mapping[date, BatchRecord]
    stages: Mapping[tuple[str, date], StageRecord]
    runs: Mapping[date, Sequence[RunRecord]]
    champions: Sequence[Decision]
    verdicts: Latest = field(default_factory=Latest)
    alerts: Mapping[date, Sequence[Subject]] = field(default_factory=dict)
    metrics: Mapping[date, EvaluationMetrics] = field(default_factory=dict)

    def list_days(self) -> list[date]:
        """Return every day that has a record, by date."""
        return sorted({*self.batches, *self.runs, *(day for _, day in self.stages)})

    def find_digest(self, stage: str, day: date) -> str | None:
        """Return the digest of the facts that a stage recorded last, None without a record."""
        record = self.stages.get((stage, day))
        return record.inputs_sha256 if record else None

    def find_champion(self, day: date) -> str | None:
        """Return the sha256 of the champion for a day, None if there is none."""
        champions = [decision.model_sha256 for decision in self.champions if decision.first_day <= day]
        return champions[-1] if champions else None

    def list_silver(self) -> dict[date, str]:
        """Return the digest of the facts of each day's silver."""
        return {day: record.inputs_sha256 for (stage, day), record in self.stages.items() if stage == "transformation"}
