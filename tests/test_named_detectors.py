"""Named detectors: attacks at several strengths are found, what merely looks like one is left alone."""

import json

import numpy as np
import pandas as pd
import pytest
import scenarios
from scenarios import CLIENTS, DAY, MONDAY, SERVERS, make_day, make_flows

from network_anomalies.detection import (
    TECHNIQUES,
    Model,
    conclude,
    fit,
    flag_conversations,
    list_limits,
    name_attacks,
    score,
)
from network_anomalies.detection.alerts.triage import rate_severity
from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits, LimitByPast, LimitGroup, PastLimits
from network_anomalies.detection.rules.named import detect
from network_anomalies.detection.scoring.history import History, merge_histories, remember
from network_anomalies.detection.scoring.summary import Summary, summarise

TODAY = 3
STRANGER = "185.199.108.153"


@pytest.fixture(scope="module")
def past() -> History:
    return merge_histories([remember(summarise(make_day(day))) for day in range(TODAY)])


@pytest.fixture(scope="module")
def today() -> pd.DataFrame:
    return make_day(TODAY)


def summary_with(today: pd.DataFrame, *attacks: pd.DataFrame) -> Summary:
    return summarise(pd.concat([today, *attacks], ignore_index=True))


ATTACKS = {
    "fast scan": ("horizontal_scan", CLIENTS[0], scenarios.scan(TODAY, 40, 120)),
    "wide scan": ("horizontal_scan", CLIENTS[0], scenarios.scan(TODAY, 1_000, 300)),
    "slow scan": ("horizontal_scan", CLIENTS[0], scenarios.scan(TODAY, 48, 12 * 3600)),
    "scan by a stranger": ("horizontal_scan", "203.0.113.5", scenarios.scan(TODAY, 60, 60, "203.0.113.5")),
    "fast guesses": ("brute_force", "203.0.113.9", scenarios.guess_passwords(TODAY, 1_500, 900)),
    "slower guesses": ("brute_force", "203.0.113.9", scenarios.guess_passwords(TODAY, 120, 1_200)),
    "guesses from inside": ("brute_force", CLIENTS[1], scenarios.guess_passwords(TODAY, 300, 1_800, CLIENTS[1])),
    "small flood": ("ddos", scenarios.PORTAL, scenarios.flood(TODAY, 150, 6_000)),
    "wide flood": ("ddos", scenarios.PORTAL, scenarios.flood(TODAY, 2_000, 20_000)),
    "flood by one": ("ddos", SERVERS[0], scenarios.flood(TODAY, 1, 5_000, SERVERS[0])),
    "leak in one go": ("exfiltration", CLIENTS[3], scenarios.leak(TODAY, 800, 4, STRANGER, 0.5)),
    "leak in pieces": ("exfiltration", CLIENTS[3], scenarios.leak(TODAY, 300, 60, STRANGER, 6)),
    "drip to a known one": ("exfiltration", CLIENTS[3], scenarios.leak(TODAY, 300, 200, scenarios.WEB[0], 10)),
    "lateral movement": ("lateral_movement", CLIENTS[7], scenarios.move_laterally(TODAY, 8)),
    "rare protocol": (
        "new_service",
        STRANGER,
        pd.concat([scenarios.speak(TODAY, "SCTP", client, STRANGER) for client in CLIENTS[:3]]),
    ),
}
BEACONS = [
    (period, jitter, kind)
    for period in (30, 300, 3_600, 4 * 3_600)
    for jitter in (0.0, 0.2, 0.5)
    for kind in ("symmetric", "shortening")
]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found_beside_the_past(name, today, past):
    kind, entity, attack = ATTACKS[name]
    found = detect(summary_with(today, attack), past)
    match = found[(found["kind"] == kind) & (found["entity"] == entity)]
    assert len(match) == 1, found.to_string()
    assert match["flows"].iloc[0] >= 0.3 * len(attack)
    assert len(found) == 1, found.to_string()


@pytest.mark.parametrize(("period", "jitter", "kind"), BEACONS)
def test_a_beacon_is_found_beside_the_past(period, jitter, kind, today, past):
    found = detect(summary_with(today, scenarios.beacon(TODAY, period, jitter, kind)), past)
    assert found[["kind", "entity"]].to_numpy().tolist() == [["beaconing", CLIENTS[5]]]


STRONG = ["fast scan", "slow scan", "wide scan", "fast guesses", "slower guesses", "small flood", "wide flood"]


@pytest.mark.parametrize("name", [*STRONG, "flood by one", "leak in one go", "lateral movement", "rare protocol"])
def test_a_strong_attack_is_found_without_a_past(name, today):
    kind, entity, attack = ATTACKS[name]
    assert (kind, entity) in set(
        detect(summary_with(today, attack))[["kind", "entity"]].itertuples(index=False, name=None)
    )


def test_an_even_call_to_where_nobody_else_goes_is_found_without_a_past_whenever_it_begins(today):
    found = detect(summary_with(today, scenarios.beacon(TODAY, 300, 0.2)))
    assert ("beaconing", CLIENTS[5]) in set(found[["kind", "entity"]].itertuples(index=False, name=None))


def test_a_beacon_that_begins_at_noon_is_found_without_a_past(today):
    found = detect(summary_with(today, scenarios.beacon(TODAY, 300, 0.2, begin=12 * 3600)))
    assert ("beaconing", CLIENTS[5]) in set(found[["kind", "entity"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("busy", [1.0, 1.5])
def test_a_normal_day_is_left_alone(busy, past):
    assert detect(summarise(make_day(TODAY, busy)), past).empty


def test_a_normal_day_is_left_alone_without_a_past_but_for_its_scanner(today):
    assert set(detect(summarise(today))["entity"]) <= {scenarios.SCANNER}


def look_alikes() -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(0)
    start = MONDAY + DAY * TODAY
    clock = np.arange(start, start + DAY, 1024.0)
    hourly = np.arange(start, start + DAY, 3600.0)
    crowd = start + 9 * 3600 + random.uniform(0, 300, 3_000)
    return {
        "a new time server for hosts that had one": make_flows(clock, CLIENTS[0], "195.113.1.1", 152, 0.02, "UDP"),
        "a new update server for several hosts": pd.concat(
            [make_flows(hourly + shift, CLIENTS[shift], "151.101.9.9", 4_000, 0.4) for shift in range(5)]
        ),
        "a larger backup": make_flows(hourly[:6], SERVERS[0], scenarios.BACKUP, 9e8, 300.0),
        "a larger morning crowd": make_flows(crowd, random.choice(CLIENTS, 3_000), scenarios.PORTAL, 3_000, 0.5),
        "the scanner on a wider net": scenarios.scan(TODAY, 300, 1_200, scenarios.SCANNER),
        "a resolver with new name servers": make_flows(
            start + random.uniform(0, DAY, 400), scenarios.RESOLVER, [f"205.251.1.{n % 200}" for n in range(400)],
            random.lognormal(5.5, 0.4, 400), random.lognormal(-3, 0.5, 400), "UDP",
        ),
        "an afternoon on a new web site": make_flows(
            start + 50_000 + random.uniform(0, 7200, 300), CLIENTS[2], "104.16.1.1",
            random.lognormal(9, 1.7, 300), random.lognormal(0, 1, 300),
        ),
        "a new mirror of some megabytes": make_flows(start + 40_000 + np.arange(4), CLIENTS[4], "104.17.1.1", 4e6, 4.0),
    }  # fmt: skip


def lone_look_alikes() -> dict[str, pd.DataFrame]:
    """What a day alone must not take for an attack."""
    random = np.random.default_rng(1)
    start = MONDAY + DAY * TODAY
    every_hour = start + random.uniform(0, DAY, 24 * 200)
    visitors = [f"203.0.{113 + n // 250}.{1 + n % 250}" for n in range(len(every_hour))]
    lone_host = [f"93.190.1.{1 + n % 90}" for n in range(90)]
    return {
        "a public server that strangers ask all day": make_flows(every_hour, visitors, SERVERS[1], 300, 0.02, "UDP"),
        "strangers who load pages in one hour": make_flows(
            start + 36_000 + random.uniform(0, 600, 200), visitors[:200], SERVERS[1], 40_000, 2.0
        ),
        "a host of other habits that moves a lot": make_flows(
            start + np.arange(90) * 600.0, "10.0.1.250", lone_host, 2e7, 20.0
        ),
        "a tunnel that the whole office uses": pd.concat(
            [scenarios.speak(TODAY, "ESP", client, "195.113.2.2") for client in CLIENTS[:10]]
        ),
        "routers that greet each other": pd.concat(
            [scenarios.speak(TODAY, "OSPFIGP", server, "224.0.0.5") for server in SERVERS[:3]]
        ),
        "pings of a gateway": pd.concat(
            [scenarios.speak(TODAY, "ICMP", server, "195.113.2.3") for server in SERVERS[:3]]
        ),
    }


@pytest.mark.parametrize("name", [*look_alikes(), *lone_look_alikes()])
def test_what_merely_looks_like_an_attack_is_left_alone_without_a_past(name, today):
    found = detect(summary_with(today, (look_alikes() | lone_look_alikes())[name]))
    assert set(found["entity"]) <= {scenarios.SCANNER}, found.to_string()


def test_a_tunnel_of_every_day_is_no_new_service(today):
    tunnel = [pd.concat([scenarios.speak(day, "ESP", client, STRANGER) for client in CLIENTS[:2]]) for day in (2, 3)]
    known = remember(summarise(pd.concat([make_day(2), tunnel[0]], ignore_index=True)))
    assert detect(summary_with(today, tunnel[1]), known).empty
    assert detect(summary_with(today, tunnel[1]))["kind"].tolist().count("new_service") == 1


@pytest.mark.parametrize("name", look_alikes())
def test_what_merely_looks_like_an_attack_is_left_alone(name, today, past):
    found = detect(summary_with(today, look_alikes()[name]), past)
    assert found.empty, found.to_string()


LIMITS = [
    ("slow scan", "horizontal_scan", "day_destinations", "with_past"),
    ("slower guesses", "brute_force", "sessions", "with_past"),
    ("flood by one", "ddos", "pair_flows", "with_past"),
    ("small flood", "ddos", "strangers", "without_past"),
    ("leak in pieces", "exfiltration", "pair_bytes", "with_past"),
    ("lateral movement", "lateral_movement", "peers", None),
]


@pytest.mark.parametrize(("attack", "kind", "name", "side"), LIMITS, ids=[name for _, _, name, _ in LIMITS])
def test_a_finding_goes_once_its_limit_is_raised_above_what_was_found(attack, kind, name, side, today, past):
    summary = summary_with(today, ATTACKS[attack][2])
    group = getattr(DEFAULT_LIMITS, kind)
    limit = getattr(group, name)

    def score_with(value: int) -> list[float]:
        new = limit.model_copy(update={side: value}) if side else value
        limits = DEFAULT_LIMITS.model_copy(update={kind: group.model_copy(update={name: new})})
        found = detect(summary, None if side == "without_past" else past, limits)
        return found.loc[(found["kind"] == kind) & (found["entity"] == ATTACKS[attack][1]), "score"].tolist()

    value = getattr(limit, side) if side else limit + 1  # above what the host of the lateral movement did before
    (score,) = score_with(value)
    reached = round(value * 2 ** ((score - 50) / 12.5))
    assert 50 < score < 100
    assert score_with(reached) == pytest.approx([50])
    assert score_with(reached + 1) == []


class Recorder:
    """Limits that write down which of them are read."""

    def __init__(self, limits: LimitGroup, path: str, seen: set[str]) -> None:
        self._limits, self._path, self._seen = limits, path, seen

    def __getattr__(self, name: str) -> object:
        value = getattr(self._limits, name)
        if isinstance(value, LimitGroup) and not isinstance(value, LimitByPast):
            return Recorder(value, f"{self._path}{name}.", self._seen)
        self._seen.add("past.least_hours" if name == "is_enough" else f"{self._path}{name}")
        return value


def read_limits(summary: Summary, model: Model, limits: DetectorLimits) -> set[str]:
    """Return the names of the limits that a day's alerts depend on, with a past and without one."""
    seen: set[str] = set()
    recorder = Recorder(limits, "", seen)
    flagged = flag_conversations(*score_all(model), model)
    for has_past in (True, False):
        findings = conclude([flagged], name_attacks(summary, model, has_past, recorder), summary, recorder)
        rate_severity(findings["score"], recorder.severity)
    return seen


def score_all(model: Model) -> tuple[pd.DataFrame, pd.DataFrame]:
    scanned = pd.concat([make_day(TODAY), scenarios.scan(TODAY, 400, 300)], ignore_index=True)
    return scanned, score(scanned, model)


def test_every_limit_is_read_and_one_that_nothing_reads_is_noticed(today, past):
    model = fit([lambda: make_day(0)], past)
    names = {f"{group}.{name}" for group, limits in DEFAULT_LIMITS for name in type(limits).model_fields}
    summary = summary_with(today, *(attack for _, _, attack in ATTACKS.values()))
    assert read_limits(summary, model, DEFAULT_LIMITS) == names

    class MoreLimits(DetectorLimits):
        unused: PastLimits = PastLimits()

    assert "unused.least_hours" not in read_limits(summary, model, MoreLimits())


@pytest.mark.parametrize("has_past", [True, False])
def test_the_limits_that_are_listed_are_those_that_held(today, past, has_past):
    model = fit([lambda: make_day(0)], past)
    applied = list_limits(DEFAULT_LIMITS, model, has_past)
    assert applied["ddos"]["strangers"] == (30 if has_past else 50)
    assert applied["brute_force"]["session_bytes"] == [300, 20_000]
    assert applied["anomaly"] == {"nats_per_doubling": 4, "flows": 2, "alert_score": model.alert_score}
    assert applied["past"]["is_known"] is has_past
    long = DEFAULT_LIMITS.model_copy(update={"past": PastLimits(least_hours=1 + past.total_hours)})
    assert list_limits(long, model, has_past)["past"]["is_known"] is False
    assert list_limits(long, model, has_past)["ddos"]["strangers"] == 50
    assert set(TECHNIQUES) <= set(applied)
    assert json.loads(json.dumps(applied, allow_nan=False)) == applied
