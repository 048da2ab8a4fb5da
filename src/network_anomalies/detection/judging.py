"""A day judged slice by slice: scores as they go, findings at the end."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from network_anomalies.detection.alerts import choose_alerts, find_anomalies, flag_conversations
from network_anomalies.detection.model import Model, score
from network_anomalies.detection.named import detect
from network_anomalies.detection.summary import Summary, merge_summaries, summarise


@dataclass(frozen=True)
class Evidence:
    """What a slice tells of the day: its summary, and its conversation-hours that reach the model's alert score."""

    summary: Summary
    flagged: pd.DataFrame


def judge_slice(events: pd.DataFrame, model: Model) -> tuple[pd.DataFrame, Evidence]:
    """Return the scores of whole hours of events, as ``model.score`` gives them, and their evidence."""
    scores = score(events, model)
    return scores, Evidence(summarise(events), flag_conversations(events, scores, model))


def conclude(evidence: Sequence[Evidence], model: Model, has_past: bool) -> pd.DataFrame:
    """Return the findings of a day, one row per entity and kind, the highest score first.

    Args:
        evidence: of all slices.
        model: the model that judged them.
        has_past: whether the model knows the days before and not this one; without a past the named detectors go by
            the day alone, and are stricter.
    """
    named = detect(merge_summaries(each.summary for each in evidence), model.history if has_past else None)
    anomalies = find_anomalies([each.flagged for each in evidence])
    return choose_alerts([named, anomalies], most=len(named) + len(anomalies))
