"""The project's own synthetic day: whatever does not hide is found, on a first day as well as on later ones."""

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd
import pytest
from conftest import generator_parameters

from network_anomalies.detection import (
    choose_alerts,
    conclude,
    fit,
    judge_slice,
    merge_summaries,
    name_attacks,
    remember,
    summarise,
)
from network_anomalies.generator import draw_part, label_parts, plan_day

OPEN_ATTACKS = {
    "fast_scan": "horizontal_scan",
    "brute_force": "brute_force",
    "exfiltration": "exfiltration",
    "ddos": "ddos",
    "beaconing": "beaconing",
    "lateral_movement": "lateral_movement",
    "new_service": "new_service",
}
WORKDAY, SATURDAY = date(2026, 11, 18), date(2026, 11, 21)
ALLOWED_SCANNER = "10.200.255.3"
FIRST_HALF = 12


def draw(seed: int, logical_date: date) -> tuple[list[pd.DataFrame], pd.DataFrame]:
    """Return a day's events by hour, and the truth about it."""
    plan = plan_day(generator_parameters(seed=seed), logical_date)
    events = draw_part(plan, 1)
    return [part for _, part in events.groupby(events["timestamp"].dt.floor("h"))], label_parts(plan, plan.parts)


def alert(slices: Sequence[pd.DataFrame], past: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a day's alerts by a model of the past or, where there is none, of the day's own first half."""
    known = list(past or slices[:FIRST_HALF])
    model = fit([lambda part=part: part for part in known], remember(merge_summaries(map(summarise, known))))
    summary = merge_summaries(map(summarise, slices))
    named = name_attacks(summary, model, has_past=bool(past))
    flagged = [judge_slice(part, model, named, bool(past))[1] for part in slices]
    findings = conclude(flagged, named, summary)
    return choose_alerts([findings[findings["entity"] != ALLOWED_SCANNER]])


def involve(alerts: pd.DataFrame, flows: pd.DataFrame) -> pd.Series:
    """Return which alerts name the scenario's single host, at either end."""
    hosts = {host for end in ("src_ip", "dst_ip") if flows[end].nunique() == 1 for host in flows[end].astype("str")}
    return alerts["entity"].isin(hosts) | alerts["peer"].isin(hosts)


@pytest.mark.parametrize("with_past", [False, True], ids=["first day", "second day"])
@pytest.mark.parametrize(("seed", "logical_date"), [(1, WORKDAY), (7, WORKDAY), (5, SATURDAY)])
def test_every_open_attack_is_found_under_its_name_and_next_to_nothing_else(seed, logical_date, with_past):
    slices, truth = draw(seed, logical_date)
    past = draw(seed, logical_date - timedelta(days=1))[0] if with_past else []
    alerts = alert(slices, past)
    attacks = {name: flows for name, flows in truth[truth["attack"]].groupby("scenario")}
    assert attacks.keys() >= OPEN_ATTACKS.keys()
    involved = {name: involve(alerts, flows) for name, flows in attacks.items()}
    missed = {name for name, kind in OPEN_ATTACKS.items() if not (involved[name] & (alerts["kind"] == kind)).any()}
    assert not missed, alerts.to_string()
    explained = pd.concat(list(involved.values()), axis=1).any(axis=1)
    assert (~explained).sum() <= 5, alerts[~explained].to_string()


def test_without_attacks_the_look_alikes_alone_raise_next_to_no_alert():
    calm = generator_parameters(seed=3, attacks={})
    day, before = (
        [part for _, part in events.groupby(events["timestamp"].dt.floor("h"))]
        for events in (draw_part(plan_day(calm, WORKDAY - timedelta(days=shift)), 1) for shift in (0, 1))
    )
    assert len(alert(day, [])) <= 1
    assert len(alert(day, before)) <= 1
