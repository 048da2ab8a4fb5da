"""All records of a source, in a few queries, for `kedro status` and `kedro backfill`."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from network_anomalies.records.evaluation import EvaluationMetrics
from network_anomalies.records.source_history import BatchRecord, Decision, Kind, RunRecord, SourceRecords, StageRecord
from network_anomalies.records.verdicts import Subject
from network_anomalies.registry.incident_rows import find_alerts
from network_anomalies.registry.tables import (
    evaluation_events,
    ingestion_batches,
    models,
    pipeline_runs,
    promotions,
    sources,
    stage_events,
)
from network_anomalies.registry.verdict_rows import find_latest
from network_anomalies.runs.stages import INGESTION, STAGES, list_stages


def list_sources(engine: Engine) -> dict[str, Kind]:
    """Return the kind of each source, by name; also of sources whose first ingestion failed."""
    columns = pipeline_runs.c
    whole_runs = select(columns.source, columns.pipeline).where(columns.selection.is_(None)).distinct()
    with engine.connect() as connection:
        kinds: dict[str, Kind] = {row.name: row.kind for row in connection.execute(select(sources))}
        runs = [(row.source, _split(row.pipeline)) for row in connection.execute(whole_runs)]
    for source, stages in runs:
        if set(stages) & set(INGESTION):
            kinds.setdefault(source, "logs" if "log_ingestion" in stages else "synthetic")
    return dict(sorted(kinds.items()))


def read_source(engine: Engine, source: str, kind: Kind) -> SourceRecords:
    """Return the latest records of each day of a source; they are empty if the registry does not know it."""
    with engine.connect() as connection:
        decided = find_latest(connection, source)
        return SourceRecords(
            source=source,
            kind=kind,
            batches=_read_batches(connection, source),
            stages=_read_stages(connection, source),
            runs=_read_runs(connection, source),
            champions=_read_champions(connection, source),
            verdicts=decided,
            alerts=_read_alerts(connection, source) if decided.said else {},
            metrics=_read_metrics(connection, source) if decided.said else {},
        )


def _read_batches(connection: Connection, source: str) -> Mapping[date, BatchRecord]:
    columns = ingestion_batches.c
    flows = (columns.accepted + columns.rejected + columns.duplicates_dropped).label("flows")
    query = select(columns.logical_date, columns.content_sha256, columns.accepted, flows)
    rows = connection.execute(query.where(columns.source == source, columns.status == "SUCCESS"))
    return {row.logical_date: BatchRecord(row.content_sha256, row.accepted, row.flows) for row in rows}


def _read_stages(connection: Connection, source: str) -> Mapping[tuple[str, date], StageRecord]:
    """Return the row with the highest number, by stage and day."""
    columns = stage_events.c
    latest = select(func.max(columns.sequence)).where(columns.source == source)
    latest = latest.group_by(columns.stage, columns.logical_date)
    query = select(columns.stage, columns.logical_date, columns.run_id, columns.inputs, columns.inputs_sha256)
    rows = connection.execute(query.where(columns.sequence.in_(latest)))
    return {(row.stage, row.logical_date): StageRecord(row.run_id, row.inputs, row.inputs_sha256) for row in rows}


def _read_runs(connection: Connection, source: str) -> Mapping[date, list[RunRecord]]:
    """Return the runs of whole pipelines, by day, in the order of their start."""
    columns = pipeline_runs.c
    query = select(columns.logical_date, columns.run_id, columns.pipeline, columns.status, columns.error)
    query = query.where(columns.source == source, columns.selection.is_(None)).order_by(columns.started_at)
    runs: defaultdict[date, list[RunRecord]] = defaultdict(list)
    for row in connection.execute(query):
        if stages := _split(row.pipeline):
            runs[row.logical_date].append(RunRecord(row.run_id, stages, row.status, row.error or ""))
    return dict(runs)


def _read_champions(connection: Connection, source: str) -> list[Decision]:
    """Return the current decisions, by their first day."""
    of_model = (promotions.c.source == models.c.source) & (promotions.c.version == models.c.version)
    query = select(promotions.c.logical_date, models.c.model_sha256).join(models, of_model)
    query = query.where(promotions.c.source == source, promotions.c.status == "SUCCESS")
    rows: Any = connection.execute(query.order_by(promotions.c.logical_date))
    return [Decision(row.logical_date, row.model_sha256) for row in rows]


def _read_alerts(connection: Connection, source: str) -> Mapping[date, list[Subject]]:
    """Return the alerts that no exception suppresses, by day."""
    subjects: defaultdict[date, list[Subject]] = defaultdict(list)
    for alert in find_alerts(connection, source):
        if alert.suppressed_by is None:
            subjects[alert.logical_date].append(alert.subject)
    return subjects


def _read_metrics(connection: Connection, source: str) -> Mapping[date, EvaluationMetrics]:
    """Return what the latest evaluation of each day measured."""
    latest = select(func.max(stage_events.c.sequence)).where(stage_events.c.stage == "evaluation")
    latest = latest.where(stage_events.c.source == source).group_by(stage_events.c.logical_date)
    query = select(evaluation_events.c.logical_date, evaluation_events.c.metrics)
    query = query.join(stage_events, stage_events.c.run_id == evaluation_events.c.run_id)
    rows = connection.execute(query.where(stage_events.c.sequence.in_(latest)))
    return {row.logical_date: EvaluationMetrics.model_validate(row.metrics) for row in rows}


def _split(pipelines: str) -> tuple[str, ...]:
    """Return the stages that a run's pipelines consist of; other pipelines are left out."""
    return tuple(stage for stage in list_stages(pipelines.split(",")) if stage in STAGES)
