"""Alerts of days, and what of the truth they found; shared by the benchmarks of alerts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from network_anomalies.detection import (
    conclude,
    detect,
    fit,
    flag_conversations,
    merge_histories,
    merge_summaries,
    name_attacks,
    remember,
    score,
    summarise,
)
from network_anomalies.detection.detector import split_hours

DAY = 86_400


def find_named(day: pd.DataFrame, past: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a day's named findings beside the days before, or without a past: what takes no scores."""
    summary, *before = [
        merge_summaries([summarise(frame.iloc[rows]) for rows in split_hours(frame)]) for frame in (day, *past)
    ]
    return detect(summary, merge_histories(map(remember, before)) if past else None)


def raise_alerts(day: pd.DataFrame, past: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a day's findings by a model of the days before or, without them, of the first half of its own hours.

    Args:
        day: the day's events.
        past: the events of each day before.
    """
    slices = [day.iloc[rows] for rows in split_hours(day)]
    known = [frame.iloc[rows] for frame in past for rows in split_hours(frame)] or _take_first_half(day)
    histories = [
        remember(merge_summaries([summarise(frame.iloc[rows]) for rows in split_hours(frame)])) for frame in past
    ]
    history = merge_histories(histories) if past else remember(merge_summaries(map(summarise, known)))
    model = fit([lambda part=part: part for part in known], history)
    summary = merge_summaries(map(summarise, slices))
    named = name_attacks(summary, model, has_past=bool(past))
    flagged = [flag_conversations(part, score(part, model), model) for part in slices]
    return conclude(flagged, named, summary)


def split_days(events: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the events of each UTC day that has any, in order."""
    return [day for _, day in events.groupby(events["timestamp"] // DAY)]


def name_incidents(events: pd.DataFrame) -> pd.Series:
    """Return the incident of each event, "" for none: the attack flows of one ``detail`` and UTC day."""
    attacks = events[events["label"] == "attack"]
    detail = attacks["detail"].astype("object").fillna("attack").astype("str")
    day = (attacks["timestamp"] // DAY).astype("int64").astype("str")
    return (detail + " " + day).reindex(events.index, fill_value="")


def judge_alerts(alerts: pd.DataFrame, events: pd.DataFrame, incidents: pd.Series) -> list[set[str]]:
    """Return which incidents each alert found: those with flows in it, if half of its flows belong to incidents.

    Args:
        alerts: findings.
        events: the events, with ``timestamp`` in seconds or as UTC times.
        incidents: of each event, "" for none.
    """
    attacks = events.loc[incidents != "", ["timestamp", "src_ip", "dst_ip"]].astype({"src_ip": "str", "dst_ip": "str"})
    times = attacks["timestamp"]
    if not pd.api.types.is_numeric_dtype(times):
        times = times.astype("int64") / 1e6
    names = incidents[incidents != ""]
    found = []
    for alert in alerts.itertuples():
        ends = attacks[["src_ip", "dst_ip"]].to_numpy()
        within = (ends == alert.entity).any(axis=1)
        within &= times.between(alert.first_seen.timestamp() - 1, alert.last_seen.timestamp() + 1).to_numpy()
        if alert.peer:
            within &= (ends == alert.peer).any(axis=1)
        found.append(set(names[within]) if within.sum() >= 0.5 * alert.flows else set())
    return found


def _take_first_half(day: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the slices of the hours that hold the first half of a day's events, as training does without a past."""
    hours = [day.iloc[rows] for rows in split_hours(day, rows=1)]
    sizes = np.cumsum([len(part) for part in hours])
    kept = int(np.searchsorted(sizes, 0.5 * sizes[-1])) + 1
    return hours[: max(min(kept, len(hours) - 1), 1)]
