"""Nodes that score a day with the champion and raise its alerts."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import chain, repeat

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.detection import (
    DetectorLimits,
    Model,
    Summary,
    conclude,
    feature_spec_sha256,
    judge_pieces_of_slice,
    judge_slice,
    list_limits,
    name_attacks,
)
from network_anomalies.detection.alerts.facts import find_facts, take_hosts
from network_anomalies.detection.alerts.triage import allow_findings, rate_severity, take_budget
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS
from network_anomalies.events.parts import encode_part
from network_anomalies.formats.spool import EventSpool, SpooledBlock
from network_anomalies.parameters import AlertsParameters, WorkersParameters
from network_anomalies.pipelines.scoring.activity import trace_hosts
from network_anomalies.pipelines.scoring.profile import profile_flows
from network_anomalies.pipelines.scoring.report import MOST_ALERTS
from network_anomalies.records.alerts import Alert, SourceIncidents, find_incidents
from network_anomalies.records.champion import Champion
from network_anomalies.records.day_profile import DayProfile
from network_anomalies.records.day_report import Activities
from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.scoring import DayAlerts, ScoringReceipt
from network_anomalies.records.silver_day import ReadSummary, Slice, Slices, join_slices, name_piece, number_pieces
from network_anomalies.records.transformation import TransformationReceipt
from network_anomalies.records.verdicts import (
    find_dismissal,
    list_dismissed,
    list_subjects,
    name_alert,
    read_verdicts,
)
from network_anomalies.runs.inputs import list_scoring_facts
from network_anomalies.work.calls import Folder, Made, Objects, make_objects, map_calls

REPEATING = ("src_ip", "dst_ip", "protocol", "facet_1", "facet_2", "facet_3", "finding", "model_sha256")
"""Columns of scores that are written as dictionaries; numbers hardly repeat."""
ALERT_COLUMNS = [
    *("kind", "entity", "peer", "first_seen", "last_seen", "flows", "score", "severity", "technique", "sentence"),
    *("suppressed_by", "transformation_run_id", "model_version", "alert_id", "facts"),
]


@dataclass(frozen=True)
class _PieceReport:
    """The record of a piece's scores, the conversation-hours that its slice flags, and its histograms."""

    record: LakeObject
    flagged: pd.DataFrame
    profile: DayProfile


def name_day_attacks(
    summary_reader: ReadSummary,
    champion_model: Champion,
    transformation_events: TransformationReceipt,
    detectors: DetectorLimits,
    workers: WorkersParameters,
) -> pd.DataFrame:
    """Return what the named detectors find on the day, columns as in ``detection.FINDING_COLUMNS``.

    The summary of a large day is large: on Dask, a worker reads it.
    """
    has_past = _has_past(champion_model, transformation_events.logical_date)
    (named,) = map_calls([partial(_name_attacks, summary_reader, champion_model, has_past, detectors)], workers)
    return named


def _name_attacks(
    summary_reader: ReadSummary, champion: Champion, has_past: bool, detectors: DetectorLimits
) -> pd.DataFrame:
    return name_attacks(summary_reader(), champion.model, has_past, detectors)


def score_slices(
    silver_slices: Slices,
    champion_model: Champion,
    transformation_events: TransformationReceipt,
    named_findings: pd.DataFrame,
    detectors: DetectorLimits,
    workers: WorkersParameters,
    score_folders: Sequence[Folder],
) -> Iterator[tuple[Objects, pd.DataFrame, LakeObject, DayProfile]]:
    """Score a day's silver with the champion, a slice at a time, and a large slice piece by piece.

    Args:
        silver_slices: the events by the slice's first hour.
        champion_model: the champion for the day.
        transformation_events: the receipt of the silver.
        named_findings: of the day, which raise the scores of their flows.
        detectors: limits that the findings were made by.
        workers: who works on the slices.
        score_folders: the folder where Dask workers save them.

    Yields:
        An object, name to a function that returns Parquet bytes until the next piece is asked for (none if a Dask
        worker has saved it): the piece's flows with ``score`` (higher is more anomalous), the three strongest facets
        and their surprise, the kind of the ``finding`` that raised the score, and ``model_sha256``; the
        conversation-hours of the slice that reach the model's alert score, with the first piece; a record of the
        object; and the histograms of the piece.
    """
    score = partial(
        _encode_scores,
        champion=champion_model,
        about=transformation_events,
        named=named_findings,
        limits=detectors,
    )
    slices = join_slices(silver_slices, transformation_events.count_events())
    calls = [partial(score, silver, hour) for hour, silver in slices.items()]
    for (scores,), report in make_objects(calls, workers, score_folders):
        yield scores, report.flagged, report.record, report.profile


def _encode_scores(
    silver: Slice,
    hour: str,
    champion: Champion,
    about: TransformationReceipt,
    named: pd.DataFrame,
    limits: DetectorLimits,
) -> Iterable[Made[_PieceReport]]:
    """Make the objects of a slice's scores, one for each piece; the first has what the slice flags with it.

    A slice in one piece is made before this returns, other pieces when their turn comes.
    """
    has_past = _has_past(champion, about.logical_date)
    scored = _judge_part(silver, champion.model, champion.model_sha256, named, has_past, limits)
    encode = partial(_encode_piece, hour=hour, about=about, model_sha256=champion.model_sha256)
    flagged = chain([scored.flagged], repeat(scored.flagged.iloc[:0]))
    objects = map(encode, number_pieces(scored.pieces, scored.is_whole), flagged)
    return list(objects) if scored.is_whole else objects


def _encode_piece(
    numbered: tuple[int, pd.DataFrame],
    flagged: pd.DataFrame,
    hour: str,
    about: TransformationReceipt,
    model_sha256: str,
) -> Made[_PieceReport]:
    piece, flows = numbered
    table = pa.Table.from_pandas(flows, preserve_index=False)
    data = encode_part(table, {"silver": about.inputs_sha256}, REPEATING)
    digest = hashlib.sha256(data).hexdigest()
    name = f"scores_{name_piece(hour, piece)}_{digest[:12]}"
    record = LakeObject(uri=f"{name}.parquet", sha256=digest)
    return Made(_PieceReport(record, flagged, profile_flows(flows, about, model_sha256)), [{name: data}])


def gather_findings(
    flagged_conversations: list[pd.DataFrame],
    named_findings: pd.DataFrame,
    summary_reader: ReadSummary,
    detectors: DetectorLimits,
    workers: WorkersParameters,
) -> tuple[pd.DataFrame, Summary]:
    """Gather the day's findings, named ones and anomalies.

    Returns:
        A row for each entity and kind, the highest score first; and what the summary tells of their hosts.
    """
    (gathered,) = map_calls(
        [partial(_conclude, summary_reader, flagged_conversations, named_findings, detectors)], workers
    )
    return gathered


def _conclude(
    summary_reader: ReadSummary, flagged: list[pd.DataFrame], named: pd.DataFrame, detectors: DetectorLimits
) -> tuple[pd.DataFrame, Summary]:
    summary = summary_reader()
    findings = conclude(flagged, named, summary, detectors)
    return findings, take_hosts(summary, {*findings["entity"], *findings["peer"]})


def raise_alerts(
    day_findings: pd.DataFrame,
    findings_summary: Summary,
    champion_model: Champion,
    transformation_events: TransformationReceipt,
    verdicts: pd.DataFrame,
    alerts_policy: AlertsParameters,
    detectors: DetectorLimits,
    run_id: str,
) -> tuple[DayAlerts, Activities]:
    """Raise the day's alerts: one per entity and kind, at most ``budget``, and those that somebody answers for.

    Dismissed habits take no place in the budget either. Who dismissed them is not stored with the alerts: a verdict may
    come or end later, so it is looked up when alerts are read.

    Returns:
        The alerts; and what the hosts of the raised ones did: flows by hour, and the conversations behind the alerts.
    """
    source, day = transformation_events.source, transformation_events.logical_date
    has_past = _has_past(champion_model, day)
    judged = allow_findings(day_findings, alerts_policy.allowlist, day).replace(
        {"peer": {"": None}, "technique": {"": None}}
    )
    names = zip(judged["kind"], judged["entity"], strict=True)
    judged = judged.assign(alert_id=[name_alert(source, day, kind, entity) for kind, entity in names])
    latest = read_verdicts(verdicts)
    is_dismissed = np.array([bool(find_dismissal(latest, each)) for each in list_subjects(judged, day)], dtype=bool)
    is_answered = judged["suppressed_by"].notna() | is_dismissed
    raised = take_budget(judged[~is_dismissed], alerts_policy.budget)
    rows = pd.concat([raised, judged[is_answered]])
    alerts = rows.assign(
        severity=rate_severity(rows["score"], detectors.severity),
        transformation_run_id=transformation_events.run_id,
        model_version=champion_model.version,
        facts=_list_facts(rows, findings_summary, champion_model.model if has_past else None, detectors),
    )
    activity = trace_hosts(raised.head(MOST_ALERTS), findings_summary)
    return DayAlerts(run_id, source, day, alerts[ALERT_COLUMNS]), activity


def group_alerts(
    alerts: pd.DataFrame,
    known_alerts: pd.DataFrame,
    verdicts: pd.DataFrame,
    alerts_policy: AlertsParameters,
    source: str,
) -> SourceIncidents:
    """Group the alerts of all days of the source into incidents, after those of the day were raised.

    Args:
        alerts: of the day. They are among the known ones; as an input they say that they were saved before.
        known_alerts: of every day of the source.
        verdicts: about them.
        alerts_policy: has ``incident_days``.
        source: whose alerts.
    """
    del alerts
    known = [Alert.from_row(row) for row in known_alerts.to_dict("records")]
    days = alerts_policy.incident_days
    return SourceIncidents(source, find_incidents(known, read_verdicts(verdicts), days), days)


def assemble_scoring(
    score_reports: list[LakeObject],
    transformation_events: TransformationReceipt,
    champion_model: Champion,
    known_alerts: pd.DataFrame,
    verdicts: pd.DataFrame,
    alerts_policy: AlertsParameters,
    detectors: DetectorLimits,
    run_id: str,
    *after_files: object,
) -> ScoringReceipt:
    """Make the receipt of the scoring, after everything that it wrote: objects, what decided them, limits of alerts."""
    del after_files
    day, chosen = transformation_events.logical_date, (alerts_policy, detectors)
    silver, features = transformation_events.inputs_sha256, feature_spec_sha256()
    of_day = known_alerts[(known_alerts["logical_date"] == day) & known_alerts["suppressed_by"].isna()]
    dismissed = list_dismissed(read_verdicts(verdicts), list_subjects(of_day, day), alerts_policy.budget)
    return ScoringReceipt(
        run_id=run_id,
        source=transformation_events.source,
        logical_date=day,
        inputs=list_scoring_facts(silver, champion_model.model_sha256, chosen, features, dismissed),
        outputs=score_reports,
        limits=list_limits(detectors, champion_model.model, _has_past(champion_model, day)),
    )


def _list_facts(rows: pd.DataFrame, summary: Summary, model: Model | None, detectors: DetectorLimits) -> pd.Series:
    """Return the facts of each row as plain values; without a model there is no past to compare with."""
    found = find_facts(rows, summary, model.history if model else None, detectors)
    plain = [[fact.model_dump(exclude_none=True) for fact in facts] for facts in found]
    return pd.Series(plain, index=rows.index, dtype="object")


def _has_past(champion: Champion, day: date) -> bool:
    """Return whether the champion was trained on nothing but days before."""
    return champion.train_end <= datetime(day.year, day.month, day.day, tzinfo=UTC)


@dataclass(frozen=True)
class ScoredSlice:
    """The flows of a slice with their scores.

    Attributes:
        pieces: flows; a slice in several pieces makes each when its turn comes.
        is_whole: whether the slice is one piece.
        flagged: its conversation-hours that reach the alert score.
    """

    pieces: Iterable[pd.DataFrame]
    is_whole: bool
    flagged: pd.DataFrame


def _judge_part(
    silver: Slice,
    model: Model,
    model_sha256: str,
    named: pd.DataFrame,
    has_past: bool,
    limits: DetectorLimits,
) -> ScoredSlice:
    pieces = silver.find_pieces()
    if len(pieces) > 1:
        judged, flagged = judge_pieces_of_slice(pieces, model, named, has_past, limits, _keep_in(EventSpool()))
        return ScoredSlice((_add_scores(*each, model_sha256) for each in judged), False, flagged)
    events = pieces[0]()
    scores, flagged = judge_slice(events, model, named, has_past, limits)
    return ScoredSlice([_add_scores(events, scores, model_sha256)], True, flagged)


def _add_scores(events: pd.DataFrame, scores: pd.DataFrame, model_sha256: str) -> pd.DataFrame:
    # One value in all rows: as a category it is neither held nor written once per flow.
    sha256 = pd.Categorical.from_codes(np.zeros(len(events), dtype=np.int8), [model_sha256])
    kept = [name for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in events.columns]
    return pd.concat([events[kept], scores], axis=1).assign(model_sha256=sha256)


def _keep_in(spool: EventSpool) -> Callable[[pd.DataFrame], Callable[[], pd.DataFrame]]:
    def keep(frame: pd.DataFrame) -> Callable[[], pd.DataFrame]:
        return partial(_read_kept, spool, spool.append(pa.Table.from_pandas(frame, preserve_index=False)))

    return keep


def _read_kept(spool: EventSpool, block: SpooledBlock) -> pd.DataFrame:
    frame: pd.DataFrame = spool.read(block).to_pandas()
    return frame
