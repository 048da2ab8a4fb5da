"""A day judged slice by slice: scores as they go, findings at the end."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.anomalies import choose_alerts, find_anomalies, flag_conversations
from network_anomalies.detection.limits import DEFAULT_LIMITS, AppliedLimits, DetectorLimits
from network_anomalies.detection.rules.named import detect
from network_anomalies.detection.scoring.model import Model, score
from network_anomalies.detection.scoring.summary import Summary

HOURS_A_DAY = 24


def judge_slice(events: pd.DataFrame, model: Model) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores of whole hours of events, as ``model.score`` gives them, and what they flag.

    The second frame is of ``flag_conversations``: the conversation-hours that reach the model's alert score.
    """
    scores = score(events, model)
    return scores, flag_conversations(events, scores, model)


def conclude(
    flagged: Sequence[pd.DataFrame],
    summary: Summary,
    model: Model,
    has_past: bool,
    limits: DetectorLimits = DEFAULT_LIMITS,
) -> pd.DataFrame:
    """Return the findings of a day, one row per entity and kind, the highest score first.

    Args:
        flagged: what each slice of the day flagged.
        summary: of those slices.
        model: the model that judged them.
        has_past: whether the model knows the days before and not this one; without a past the named detectors go by
            the day alone, and are stricter.
        limits: of the detectors.
    """
    named = detect(summary, model.history if has_past else None, limits)
    anomalies = find_anomalies(flagged, summary, limits)
    return choose_alerts([named, anomalies], most=len(named) + len(anomalies))


def list_limits(limits: DetectorLimits, model: Model, has_past: bool) -> AppliedLimits:
    """Return the limits that ``conclude`` goes by with the same arguments, as plain values by kind and name.

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
    tables = {name: getattr(summary, name) for name in ("conversations", "sizes")}
    return Summary(
        **{
            name: _tidy(table[np.isin(table["hour"].to_numpy() % HOURS_A_DAY, list(hours))])
            for name, table in tables.items()
        }
    )


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a fresh index whose categories are those in use."""
    text = {name: table[name].cat.remove_unused_categories() for name in table.columns if hasattr(table[name], "cat")}
    return table.assign(**text).reset_index(drop=True)
