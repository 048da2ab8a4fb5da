"""A day beside the days before it: numbers, histograms, and what was measured of the champion."""

from collections.abc import Mapping, Sequence
from datetime import date
from statistics import median

import numpy as np
import pandas as pd

from network_anomalies.detection.drift import measure_stability
from network_anomalies.parameters import EvaluationParameters
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


def list_changes(counted_days: pd.DataFrame, day: date) -> list[Change]:
    """Return the numbers of a day beside those of up to ``HABIT_DAYS`` days before it that are in the registry.

    Args:
        counted_days: a row per day with ``logical_date`` and the columns of ``COUNTED``.
        day: the day.
    """
    age = np.array([(day - other).days for other in counted_days["logical_date"]], dtype=np.int64)
    near = counted_days[(age >= 0) & (age <= HABIT_DAYS)].sort_values("logical_date")
    days, is_past = near["logical_date"].tolist(), (near["logical_date"] < day).to_numpy()
    return [
        Change(
            name=name,
            today=int(near[column].to_numpy()[~is_past].sum()),
            usual=float(median(near[column].to_numpy()[is_past])) if is_past.any() else None,
            days=list(zip(days, near[column].tolist(), strict=True)),
        )
        for column, name in COUNTED.items()
    ]


def measure_histograms(
    today: DayProfile, past: Sequence[DayProfile], evaluation: EvaluationParameters
) -> list[HistogramDrift]:
    """Return how far each histogram of a day has moved from the sum of those of days before."""
    return [_measure(name, column, today, past, evaluation) for column, name in MEASURED.items()]


def expect_histograms(today: DayProfile, past: Sequence[DayProfile]) -> dict[str, list[float]]:
    """Return the histograms of days before, scaled to the flows of the day; empty without such days."""
    expected = {}
    for column in MEASURED:
        alike = _take_comparable(column, today, past)
        flows = sum(profile.flows for profile in alike)
        if column != "protocols" and flows:
            total = np.sum([getattr(profile, column) for profile in alike], axis=0)
            expected[column] = (total * (today.flows / flows)).tolist()
    return expected


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
            drift = [("drift of its scores since the training (PSI)", f"{metrics.drift.psi:.3f}")]
            return row.logical_date, [*_list_figures(metrics.candidate, metrics.labelled), *drift]
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
    past = _take_comparable(column, today, past)
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


def _take_comparable(column: str, today: DayProfile, past: Sequence[DayProfile]) -> Sequence[DayProfile]:
    """Return the days whose histogram can be compared: scores of another model cannot."""
    return [profile for profile in past if column != "scores" or profile.model_sha256 == today.model_sha256]


def _to_shares(profile: DayProfile, column: str) -> dict[str, float]:
    counts: Mapping[str, int] | Sequence[int] = getattr(profile, column)
    named = counts.items() if isinstance(counts, Mapping) else ((f"{place:03}", n) for place, n in enumerate(counts))
    return {name: count / max(profile.flows, 1) for name, count in named}
