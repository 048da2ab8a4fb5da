"""A day beside the days before it: numbers, histograms, and what was measured of the champion."""

from collections.abc import Mapping, Sequence
from datetime import date
from statistics import median

import numpy as np
import pandas as pd

from network_anomalies.detection.drift import measure_stability
from network_anomalies.parameters import EvaluationParameters
from network_anomalies.records.alert_counts import AlertCounts
from network_anomalies.records.champion import Champion
from network_anomalies.records.day_profile import DayProfile
from network_anomalies.records.day_report import HABIT_DAYS, Change, HistogramDrift
from network_anomalies.records.evaluation import EvaluationMetrics, ModelMeasures

MODERATE_PSI = 0.1
COUNTED = {
    "lines_in": "lines that came in",
    "accepted": "flows accepted",
    "rejected": "flows rejected",
    "unparsable": "lines not readable",
    "alerts": "alerts raised",
    "suppressed": "alerts suppressed",
}
MEASURED = {
    "hours": "hour of the day",
    "sizes": "bytes",
    "durations": "duration",
    "protocols": "protocol",
    "scores": "score",
}
FIGURES = {
    "average_precision": "average precision",
    "roc_auc": "ROC-AUC",
    "precision_at_budget": "alerts that name an attack",
    "recall_at_budget": "attacks that an alert names",
    "false_alerts": "false alerts",
    "alerts": "alerts",
}
SHARES = ("precision_at_budget", "recall_at_budget")


def list_changes(source_days: pd.DataFrame, alerts: AlertCounts, day: date) -> list[Change]:
    """Return the numbers of a day beside those of up to ``HABIT_DAYS`` days before it that are in the registry.

    Args:
        source_days: a row per day with ``logical_date`` and the columns of ``COUNTED``.
        alerts: the day's, counted.
        day: the day.
    """
    age = np.array([(day - other).days for other in source_days["logical_date"]], dtype=np.int64)
    near = source_days[(age >= 0) & (age <= HABIT_DAYS)].sort_values("logical_date")
    own = {"alerts": alerts.raised, "suppressed": alerts.suppressed}
    changes = []
    for column, name in COUNTED.items():
        days = [
            (row_day, own.get(column, int(count)) if row_day == day else int(count))
            for row_day, count in zip(near["logical_date"], near[column], strict=True)
        ]
        before = [count for other, count in days if other < day]
        today = days[-1][1] if days and days[-1][0] == day else own.get(column, 0)
        changes.append(Change(name, today, float(median(before)) if before else None, days))
    return changes


def measure_histograms(
    today: DayProfile, past: Sequence[DayProfile], evaluation: EvaluationParameters
) -> list[HistogramDrift]:
    """Return how far each histogram of a day has moved from the sum of those of days before."""
    return [_measure(name, column, today, past, evaluation) for column, name in MEASURED.items()]


def expect_histograms(today: DayProfile, past: Sequence[DayProfile]) -> dict[str, list[float]]:
    """Return the histograms of days before, scaled to the flows of the day; empty without such days."""
    flows = sum(profile.flows for profile in past)
    if not flows:
        return {}
    columns = [column for column in MEASURED if column != "protocols"]
    return {
        column: (np.sum([getattr(profile, column) for profile in past], axis=0) * today.flows / flows).tolist()
        for column in columns
    }


def find_figures(evaluations: pd.DataFrame, champion: Champion) -> tuple[date | None, list[tuple[str, str]]]:
    """Return the day on which the champion was measured last, and its figures in words.

    Args:
        evaluations: rows with ``logical_date``, ``model_sha256`` and ``metrics`` (``EvaluationMetrics`` as JSON), the
            latest first.
        champion: whose figures.
    """
    for row in evaluations.itertuples():
        metrics = EvaluationMetrics.model_validate(row.metrics)
        if metrics.champion_sha256 == champion.model_sha256 and metrics.champion:
            return row.logical_date, _list_figures(metrics.champion, metrics.labelled)
        if row.model_sha256 == champion.model_sha256:
            return row.logical_date, _list_figures(metrics.candidate, metrics.labelled)
    return None, []


def _list_figures(measures: ModelMeasures, labelled: bool) -> list[tuple[str, str]]:
    figures = [(name, column, getattr(measures, column)) for column, name in FIGURES.items()]
    shown = [
        (name, f"{value:.0%}" if column in SHARES else f"{value:.3f}" if isinstance(value, float) else f"{value:,}")
        for name, column, value in figures
        if value is not None
    ]
    return [*shown, ("measured against", "the ground truth" if labelled else "the number of alerts, without truth")]


def _measure(
    name: str, column: str, today: DayProfile, past: Sequence[DayProfile], evaluation: EvaluationParameters
) -> HistogramDrift:
    if column == "scores":
        past = [profile for profile in past if profile.model_sha256 == today.model_sha256]
    if not past:
        why = "no earlier day with the same model" if column == "scores" else "no earlier day"
        return HistogramDrift(name, None, why)
    if min(today.flows, sum(profile.flows for profile in past)) < evaluation.drift_rows:
        return HistogramDrift(name, None, "too few flows to tell")
    profiles = [_to_shares(profile, column) for profile in (*past, today)]
    bins = sorted(set().union(*profiles))
    weights = np.array([profile.flows for profile in past], dtype=np.float64)
    shares = np.array([[profile.get(name, 0.0) for name in bins] for profile in profiles])
    psi = measure_stability(np.average(shares[:-1], axis=0, weights=weights), shares[-1])
    verdict = "large" if psi >= evaluation.drift_psi else "moderate" if psi >= MODERATE_PSI else "stable"
    return HistogramDrift(name, psi, verdict)


def _to_shares(profile: DayProfile, column: str) -> dict[str, float]:
    counts: Mapping[str, int] | Sequence[int] = getattr(profile, column)
    named = counts.items() if isinstance(counts, Mapping) else ((f"{place:03}", n) for place, n in enumerate(counts))
    return {name: count / max(profile.flows, 1) for name, count in named}
