"""Nodes that score a day with the champion and raise its alerts."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.detection import (
    DetectorLimits,
    Model,
    Summary,
    conclude,
    feature_spec_sha256,
    judge_slice,
    list_limits,
    name_attacks,
)
from network_anomalies.detection.alerts.triage import allow_findings, rate_severity, take_budget
from network_anomalies.events.ahead import work_ahead
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS
from network_anomalies.events.parts import encode_part
from network_anomalies.parameters import AlertsParameters
from network_anomalies.pipelines.scoring.report import render_report
from network_anomalies.records.champion import Champion
from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.scoring import DayAlerts, ScoringReceipt
from network_anomalies.records.silver_day import Slices
from network_anomalies.records.transformation import TransformationReceipt
from network_anomalies.runs.inputs import list_scoring_facts

REPEATING = ("src_ip", "dst_ip", "protocol", "facet_1", "facet_2", "facet_3", "finding", "model_sha256")
"""Columns of scores that are written as dictionaries; numbers hardly repeat."""
ALERT_COLUMNS = [
    *("kind", "entity", "peer", "first_seen", "last_seen", "flows", "score", "severity", "technique", "sentence"),
    *("suppressed_by", "transformation_run_id", "model_version"),
]


def name_day_attacks(
    day_summary: Summary,
    champion_model: Champion,
    transformation_events: TransformationReceipt,
    detectors: DetectorLimits,
) -> pd.DataFrame:
    """Return what the named detectors find on the day, columns as in ``detection.FINDING_COLUMNS``."""
    has_past = _has_past(champion_model, transformation_events.logical_date)
    return name_attacks(day_summary, champion_model.model, has_past, detectors)


def score_slices(
    silver_slices: Slices,
    champion_model: Champion,
    transformation_events: TransformationReceipt,
    named_findings: pd.DataFrame,
    detectors: DetectorLimits,
) -> Iterator[tuple[dict[str, Callable[[], bytes]], pd.DataFrame, LakeObject]]:
    """Score a day's silver with the champion, a slice at a time.

    Args:
        silver_slices: first hour to a function that reads the slice.
        champion_model: the champion for the day.
        transformation_events: the receipt of the silver.
        named_findings: of the day, which raise the scores of their flows.
        detectors: limits that the findings were made by.

    Yields:
        An object, name to a function that returns Parquet bytes until the next slice is asked for: the slice's flows
        with ``score`` (higher is more anomalous), the three strongest facets and their surprise, the kind of the
        ``finding`` that raised the score, and ``model_sha256``; the conversation-hours of the slice that reach the
        model's alert score; and a record of the object.
    """
    provenance = {"silver": transformation_events.inputs_sha256}
    judge = partial(
        _judge_part,
        model=champion_model.model,
        model_sha256=champion_model.model_sha256,
        named=named_findings,
        has_past=_has_past(champion_model, transformation_events.logical_date),
        limits=detectors,
    )
    judged = work_ahead([partial(judge, read) for read in silver_slices.values()], ahead=2)
    data = b""

    def read() -> bytes:
        return data

    # Kedro's streams (itertools.tee) hold up to 57 yields, so what is yielded does not hold the bytes.
    for hour, (flows, flagged) in zip(silver_slices, judged, strict=True):
        data = encode_part(pa.Table.from_pandas(flows, preserve_index=False), provenance, REPEATING)
        digest = hashlib.sha256(data).hexdigest()
        name = f"scores_{hour}_{digest[:12]}"
        yield {name: read}, flagged, LakeObject(uri=f"{name}.parquet", sha256=digest)


def raise_alerts(
    flagged_conversations: list[pd.DataFrame],
    named_findings: pd.DataFrame,
    day_summary: Summary,
    champion_model: Champion,
    transformation_events: TransformationReceipt,
    alerts_policy: AlertsParameters,
    detectors: DetectorLimits,
    run_id: str,
) -> DayAlerts:
    """Raise the day's alerts: one per entity and kind, at most ``budget``, and those that somebody answers for."""
    day = transformation_events.logical_date
    findings = conclude(flagged_conversations, named_findings, day_summary, detectors)
    judged = allow_findings(findings, alerts_policy.allowlist, day)
    rows = pd.concat([take_budget(judged, alerts_policy.budget), judged[judged["suppressed_by"].notna()]])
    rows = rows.assign(
        severity=rate_severity(rows["score"], detectors.severity),
        transformation_run_id=transformation_events.run_id,
        model_version=champion_model.version,
    )
    alerts = rows[ALERT_COLUMNS].replace({"peer": {"": None}, "technique": {"": None}})
    return DayAlerts(run_id, transformation_events.source, day, alerts)


def format_alerts(alerts: pd.DataFrame) -> pd.DataFrame:
    """Return the alerts that are not suppressed by the field names of the Elastic Common Schema (8.17)."""
    raised = alerts[alerts["suppressed_by"].isna()]
    days = raised["logical_date"].astype("str")
    identity = raised["source"].str.cat([days, raised["kind"], raised["entity"]], sep="/")
    moments = ("created_at", "first_seen", "last_seen")
    times = {name: raised[name].map(lambda time: time.isoformat()) for name in moments}
    return pd.DataFrame(
        {
            "@timestamp": times["created_at"],
            "ecs.version": "8.17.0",
            "event.id": identity,
            "event.kind": "alert",
            "event.category": [["network"] for _ in range(len(raised))],
            "event.type": [["info"] for _ in range(len(raised))],
            "event.dataset": "network_anomalies.alerts",
            "event.start": times["first_seen"],
            "event.end": times["last_seen"],
            "event.risk_score": raised["score"],
            "event.severity": raised["severity"].map({"low": 21, "medium": 47, "high": 73, "critical": 99}),
            "rule.name": raised["kind"],
            "threat.framework": raised["technique"].map(lambda _: "MITRE ATT&CK", na_action="ignore"),
            "threat.technique.id": raised["technique"].map(lambda name: [name], na_action="ignore"),
            "host.ip": raised["entity"].map(lambda address: [address]),
            "destination.ip": raised["peer"],
            "message": raised["sentence"],
            "network_anomalies.flows": raised["flows"],
            "network_anomalies.model_version": raised["model_version"],
            "network_anomalies.run_id": raised["run_id"],
        }
    )


def write_report(
    alerts: pd.DataFrame,
    champion_model: Champion,
    transformation_events: TransformationReceipt,
    alerts_policy: AlertsParameters,
) -> str:
    """Write the day's report as one self-contained HTML page."""
    return render_report(alerts, champion_model, transformation_events, alerts_policy.budget)


def assemble_scoring(
    score_reports: list[LakeObject],
    transformation_events: TransformationReceipt,
    champion_model: Champion,
    alerts_policy: AlertsParameters,
    detectors: DetectorLimits,
    run_id: str,
    after_alert_lines: pd.DataFrame,
    after_daily_report: str,
) -> ScoringReceipt:
    """Make the receipt of the scoring, after everything that it wrote: objects, what decided them, limits of alerts."""
    day, chosen = transformation_events.logical_date, (alerts_policy, detectors)
    silver, features = transformation_events.inputs_sha256, feature_spec_sha256()
    return ScoringReceipt(
        run_id=run_id,
        source=transformation_events.source,
        logical_date=day,
        inputs=list_scoring_facts(silver, champion_model.model_sha256, chosen, features),
        outputs=score_reports,
        limits=list_limits(detectors, champion_model.model, _has_past(champion_model, day)),
    )


def _has_past(champion: Champion, day: date) -> bool:
    """Return whether the champion was trained on nothing but days before."""
    return champion.train_end <= datetime(day.year, day.month, day.day, tzinfo=UTC)


def _judge_part(
    read: Callable[[], pd.DataFrame],
    model: Model,
    model_sha256: str,
    named: pd.DataFrame,
    has_past: bool,
    limits: DetectorLimits,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    events = read()
    scores, flagged = judge_slice(events, model, named, has_past, limits)
    # One value in all rows: as a category it is neither held nor written once per flow.
    sha256 = pd.Categorical.from_codes(np.zeros(len(events), dtype=np.int8), [model_sha256])
    kept = [name for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in events.columns]
    return pd.concat([events[kept], scores], axis=1).assign(model_sha256=sha256), flagged
