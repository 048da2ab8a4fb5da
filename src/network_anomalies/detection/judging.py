"""A day judged slice by slice: named findings first, scores that they raise, anomalies at the end."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import rank_findings
from network_anomalies.detection.alerts.raising import match_findings, raise_matched
from network_anomalies.detection.limits import DEFAULT_LIMITS, AppliedLimits, DetectorLimits
from network_anomalies.detection.rules.anomalies import choose_alerts, find_anomalies, flag_conversations
from network_anomalies.detection.rules.named import find_attacks
from network_anomalies.detection.scoring.model import Model, prepare, score_coded
from network_anomalies.detection.scoring.summary import Summary

HOURS_A_DAY = 24


def name_attacks(
    summary: Summary, model: Model, has_past: bool, limits: DetectorLimits = DEFAULT_LIMITS
) -> pd.DataFrame:
    """Return all findings of the named detectors on each UTC day of a summary, columns as in ``FINDING_COLUMNS``.

    Args:
        summary: of all slices.
        model: that judges them.
        has_past: whether the model knows the days before and not these; without a past the named detectors go by
            each day alone, and are stricter.
        limits: of the detectors.
    """
    history = model.history if has_past else None
    found = [table for day in _split_days(summary) for table in find_attacks(day, history, limits) if len(table)]
    return pd.concat(found, ignore_index=True) if found else rank_findings([])


def judge_slice(
    events: pd.DataFrame, model: Model, named: pd.DataFrame, has_past: bool, limits: DetectorLimits = DEFAULT_LIMITS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores of whole hours of events, and what they flag.

    Args:
        events: of the slice.
        model: that scores them.
        named: what ``name_attacks`` found on the day.
        has_past: as ``name_attacks`` had it.
        limits: that it went by.

    Returns:
        Scores as ``raise_scores`` gives them, and of ``flag_conversations`` the conversation-hours whose score reaches
        the model's alert score by itself, not raised by a finding, which is an alert already.
    """
    coded, context = prepare(events)
    scores = score_coded(coded, context, model).set_axis(events.index)
    strongest = match_findings(coded, named, model.history if has_past else None)
    return raise_matched(scores, strongest, named, limits), flag_conversations(events, scores, model)


def conclude(
    flagged: Sequence[pd.DataFrame],
    named: pd.DataFrame,
    summary: Summary,
    limits: DetectorLimits = DEFAULT_LIMITS,
) -> pd.DataFrame:
    """Return the findings of a day, one row per entity and kind, the highest score first.

    Args:
        flagged: what each slice of the day flagged.
        named: what ``name_attacks`` found on the day.
        summary: of those slices.
        limits: of the detectors.
    """
    anomalies = find_anomalies(flagged, summary, limits)
    return choose_alerts([named, anomalies], most=len(named) + len(anomalies))


def list_limits(limits: DetectorLimits, model: Model, has_past: bool) -> AppliedLimits:
    """Return the limits that ``name_attacks`` and ``conclude`` go by, as plain values by kind and name.

    Of a limit that depends on the past, it is the one that holds; ``anomaly`` also has the model's ``alert_score``, and
    ``past`` whether it ``is_known``.
    """
    is_known = has_past and limits.past.is_enough(model.history.total_hours)
    applied = limits.list_applied(is_known)
    applied["anomaly"]["alert_score"] = model.alert_score
    applied["past"]["is_known"] = is_known
    return applied


def take_hours(summary: Summary, hours: Collection[int]) -> Summary:
    """Return what a summary tells of some hours of its day."""
    if set(summary.hours % HOURS_A_DAY) <= set(hours):
        return summary  # that of a large day is large
    return _take_rows(summary, lambda hour: np.isin(hour % HOURS_A_DAY, list(hours)))


def _split_days(summary: Summary) -> list[Summary]:
    days = np.unique(summary.hours // HOURS_A_DAY)
    if len(days) <= 1:
        return [summary]
    return [_take_rows(summary, partial(_are_of_day, day)) for day in days]


def _are_of_day(day: int, hour: np.ndarray) -> np.ndarray:
    return np.asarray(hour // HOURS_A_DAY == day)


def _take_rows(summary: Summary, choose: Callable[[np.ndarray], np.ndarray]) -> Summary:
    """Return the rows of a summary whose hours are chosen."""
    tables = (summary.conversations, summary.sizes)
    return Summary(*(_tidy(table[choose(table["hour"].to_numpy())]) for table in tables))


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a fresh index whose categories are those in use."""
    text = {name: table[name].cat.remove_unused_categories() for name in table.columns if hasattr(table[name], "cat")}
    return table.assign(**text).reset_index(drop=True)
