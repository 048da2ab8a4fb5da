"""Nodes that report on a day: histograms, counts, what changed against the days before, figures and pages."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pandas as pd

from network_anomalies.parameters import EvaluationParameters
from network_anomalies.pipelines.scoring.comparison import (
    expect_histograms,
    find_figures,
    list_changes,
    measure_histograms,
)
from network_anomalies.pipelines.scoring.figures import draw_hours, draw_protocols, draw_rules, draw_scores, draw_sizes
from network_anomalies.pipelines.scoring.profile import merge_profiles
from network_anomalies.pipelines.scoring.report import DayReport, render_index, render_report
from network_anomalies.records.alert_counts import count_by_day, count_hours
from network_anomalies.records.alerts import Alert, KindShares, count_by_kind
from network_anomalies.records.champion import Champion
from network_anomalies.records.day_profile import DayProfile
from network_anomalies.records.day_report import HABIT_DAYS, Activities, DayChanges
from network_anomalies.records.receipt import Json
from network_anomalies.records.transformation import TransformationReceipt
from network_anomalies.records.verdicts import Verdict, read_verdicts


def profile_day(slice_profiles: list[DayProfile]) -> tuple[DayProfile, dict[str, Json]]:
    """Add up the histograms of the slices.

    Returns:
        The histograms of the day, and the same as JSON by day, YYYY-MM-DD, to be stored beside those of other days.
    """
    profile = merge_profiles(slice_profiles)
    return profile, {str(profile.logical_date): profile.to_json()}


def count_days(
    source_days: pd.DataFrame,
    alerts: pd.DataFrame,
    known_alerts: pd.DataFrame,
    verdicts: pd.DataFrame,
    transformation_events: TransformationReceipt,
) -> tuple[pd.DataFrame, list[KindShares]]:
    """Count the alerts of each day of the source, and what people decided about the alerts of each kind.

    Args:
        source_days: a row per day of the source: the counts of lines, and whether the day was scored before.
        alerts: of the day. They are among the known ones; as an input they say that they were saved before.
        known_alerts: of every day of the source.
        verdicts: about them.
        transformation_events: the receipt of the day's silver, for the day.

    Returns:
        ``source_days`` with ``alerts`` (the raised ones), ``suppressed`` and the raised ones by severity; and the
        verdicts by kind.
    """
    del alerts
    latest, day = read_verdicts(verdicts), transformation_events.logical_date
    counted = source_days.merge(count_by_day(known_alerts, latest), on="logical_date", how="left")
    counts = counted.select_dtypes("number").fillna(0).astype("int64")
    scored = counted["is_scored"].astype("bool") | (counted["logical_date"] == day)
    known = [Alert.from_row(row) for row in known_alerts.to_dict("records")]
    shares = count_by_kind(known, [Verdict(**row) for row in verdicts.to_dict("records")])
    return counted.assign(**counts, is_scored=scored), shares


def compare_days(
    day_profile: DayProfile,
    day_profiles: dict[str, Callable[[], Json]],
    counted_days: pd.DataFrame,
    recent_evaluations: pd.DataFrame,
    champion_model: Champion,
    evaluation: EvaluationParameters,
) -> DayChanges:
    """Compare the day with up to a week before it: counts, histograms; and find what was measured of its champion.

    Args:
        day_profile: the day's histograms.
        day_profiles: day as YYYY-MM-DD to a function that reads its ``DayProfile`` as JSON.
        counted_days: a row per day of the source: counts of lines and of alerts.
        recent_evaluations: of the source, the latest first.
        champion_model: the champion for the day.
        evaluation: from when on drift counts.
    """
    week = [str(day_profile.logical_date - timedelta(days=age)) for age in range(HABIT_DAYS, 0, -1)]
    past = [DayProfile.model_validate(day_profiles[day]()) for day in week if day in day_profiles]
    measured_on, figures = find_figures(recent_evaluations, champion_model)
    return DayChanges(
        changes=list_changes(counted_days, day_profile.logical_date),
        drift=measure_histograms(day_profile, past, evaluation),
        expected=expect_histograms(day_profile, past),
        past_days=[profile.logical_date for profile in past],
        figures=figures,
        measured_on=measured_on,
        profile=day_profile,
    )


def draw_day(day_profile: DayProfile, quality_report: Json, alerts: pd.DataFrame) -> tuple[Any, ...]:
    """Draw the day as Plotly figures: flows by hour, protocol, bytes, rule and score, and the raised alerts by hour."""
    return (
        draw_hours("Flows by hour (UTC)", day_profile.hours, "flows"),
        draw_protocols(day_profile),
        draw_sizes(day_profile),
        draw_rules(quality_report["rules"]),
        draw_scores(day_profile),
        draw_hours("Alerts by hour of their first flow (UTC)", count_hours(alerts), "alerts"),
    )


def write_report(
    alerts: pd.DataFrame,
    incidents: pd.DataFrame,
    entity_activity: Activities,
    day_changes: DayChanges,
    verdict_counts: list[KindShares],
    quality_report: Json,
    champion_model: Champion,
    transformation_events: TransformationReceipt,
) -> str:
    """Write the day's report as one self-contained HTML page."""
    return render_report(
        DayReport(
            alerts=alerts,
            incidents=incidents,
            activity=entity_activity,
            changes=day_changes,
            verdicts=verdict_counts,
            quality=quality_report,
            champion=champion_model,
            silver=transformation_events,
        )
    )


def write_index(counted_days: pd.DataFrame, daily_report: str, source: str) -> str:
    """Write the list of a source's days as an HTML page with a link to each day's report.

    Args:
        counted_days: a row per day of the source: counts of lines and of alerts.
        daily_report: only for the order: the report of the day is there before the link to it.
        source: whose days.
    """
    del daily_report
    return render_index(counted_days, source)
