"""From scores to alerts: a normal day raises next to none, an attack one, and at most fifty in all."""

import pandas as pd
import pytest
import scenarios
from scenarios import CLIENTS, make_day

from network_anomalies.detection import (
    FINDING_COLUMNS,
    Model,
    choose_alerts,
    detect,
    find_anomalies,
    fit,
    flag_conversations,
    merge_histories,
    remember,
    score,
    summarise,
)

TODAY = 3


def train(days: list[pd.DataFrame]) -> Model:
    history = merge_histories([remember(summarise(day)) for day in days])
    return fit([lambda day=day: day for day in days], history)


def find(events: pd.DataFrame, model: Model) -> pd.DataFrame:
    by_hour = [part for _, part in events.groupby(events["timestamp"].dt.floor("h"))]
    flagged = [flag_conversations(part, score(part, model), model) for part in by_hour]
    return find_anomalies(flagged, summarise(events))


def to_utc(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(timestamp=pd.to_datetime(events["timestamp"], unit="s", utc=True))


@pytest.fixture(scope="module")
def office() -> Model:
    return train([to_utc(make_day(day)) for day in range(TODAY)])


def test_a_normal_day_of_a_network_raises_next_to_no_alert(office):
    today = to_utc(make_day(TODAY))
    assert len(choose_alerts([find(today, office), detect(summarise(today), office.history)])) <= 5


def test_an_attack_is_one_alert_of_its_host(office):
    attack = scenarios.scan(TODAY, 400, 300)
    today = to_utc(pd.concat([make_day(TODAY), attack], ignore_index=True))
    anomalies, named = find(today, office), detect(summarise(today), office.history)
    assert CLIENTS[0] in set(anomalies["entity"])
    alerts = choose_alerts([anomalies, named])
    assert alerts["entity"].tolist().count(CLIENTS[0]) == 1
    assert alerts.iloc[0][["kind", "entity", "technique"]].tolist() == ["horizontal_scan", CLIENTS[0], "T1046"]
    assert list(alerts.columns) == list(FINDING_COLUMNS)


def test_a_flood_of_strangers_is_an_anomaly_of_the_host_that_they_meet_at(office):
    today = to_utc(pd.concat([make_day(TODAY), scenarios.flood(TODAY, 300, 3_000)], ignore_index=True))
    found = find(today, office)
    assert scenarios.PORTAL in set(found["entity"])
    assert not found["entity"].str.startswith("198.51.").any()


def make_findings(kinds: list[str], entities: list[str], scores: list[float]) -> pd.DataFrame:
    values = {
        "kind": kinds,
        "entity": entities,
        "score": scores,
        "peer": "",
        "flows": 1,
        "sentence": "",
        "technique": "",
        "protocol": "",
        "service": -1,
        "fact": "",
        "value": 1.0,
        "limit": 1.0,
    }
    times = {name: pd.Timestamp("2026-01-01", tz="UTC") for name in ("first_seen", "last_seen")}
    return pd.DataFrame(values | times)[list(FINDING_COLUMNS)].astype(FINDING_COLUMNS)


def test_alerts_are_one_per_host_and_kind_the_highest_first_and_named_ones_explain():
    kinds = ["anomaly", "beaconing", "beaconing", "anomaly", "ddos"]
    findings = make_findings(kinds, ["a", "a", "a", "b", "c"], [99.0, 60.0, 70.0, 80.0, 90.0])
    alerts = choose_alerts([findings])
    assert alerts[["kind", "entity", "score"]].to_numpy().tolist() == [
        ["ddos", "c", 90.0],
        ["anomaly", "b", 80.0],
        ["beaconing", "a", 70.0],
    ]


def test_a_day_has_at_most_fifty_alerts():
    hosts = [f"10.0.0.{host}" for host in range(80)]
    alerts = choose_alerts([make_findings(["anomaly"] * 80, hosts, [float(host) for host in range(80)])])
    assert len(alerts) == 50
    assert alerts["score"].min() == 30.0


def test_no_finding_is_no_alert():
    none = summarise(make_day(0).head(0))
    assert choose_alerts([find_anomalies([], none), detect(none)]).empty
