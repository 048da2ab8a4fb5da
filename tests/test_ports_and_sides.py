"""Named detectors where events have ports and bytes by direction, and where answers are flows of their own."""

import numpy as np
import pandas as pd
import pytest
import scenarios
from scenarios import CLIENTS, DAY, MONDAY, SERVERS, make_day, make_flows

from network_anomalies.detection import detect, merge_histories, remember, summarise
from network_anomalies.detection.scoring.history import History

TODAY = 3
NOON = MONDAY + DAY * TODAY + 43_200
OUTSIDE, STRANGER = "203.0.113.9", "185.199.108.153"
PORTS = {**dict.fromkeys(SERVERS, 443), scenarios.RESOLVER: 53, scenarios.BACKUP: 873, scenarios.PORTAL: 443}


def add_ports(flows: pd.DataFrame, service: object = None, upload: float = 0.4) -> pd.DataFrame:
    """Return flows with a client's port, the service's, and a share of their bytes from the source."""
    known = flows["dst_ip"].map(PORTS).fillna(443) if service is None else service
    clocks = (flows["protocol"] == "UDP") & (flows["bytes"] == 152)
    sent = np.round(upload * flows["bytes"])
    ports = {"src_port": 40_000 + np.arange(len(flows)) % 20_000, "dst_port": known}
    flows = flows.assign(**ports, src_bytes=sent, dst_bytes=flows["bytes"] - sent)
    return flows.assign(dst_port=flows["dst_port"].where(~clocks, 123) if service is None else service)


@pytest.fixture(scope="module")
def past() -> History:
    return merge_histories([remember(summarise(add_ports(make_day(day)))) for day in range(TODAY)])


@pytest.fixture(scope="module")
def today() -> pd.DataFrame:
    return add_ports(make_day(TODAY))


def find(today: pd.DataFrame, past: History | None, *extra: pd.DataFrame) -> set[tuple[str, str]]:
    found = detect(summarise(pd.concat([today, *extra], ignore_index=True)), past)
    found = found[found["entity"] != scenarios.SCANNER]  # it is a scanner, and without a past nobody knows it
    return set(zip(found["kind"], found["entity"], strict=True))


def probe_ports(count: int, seconds: float, size: float = 100) -> pd.DataFrame:
    times = NOON + np.linspace(0, seconds, count)
    return add_ports(make_flows(times, OUTSIDE, SERVERS[2], size, 0.0), 1 + 37 * np.arange(count))


def log_in(sessions: int, seconds: float, port: int, src_ip: str = OUTSIDE) -> pd.DataFrame:
    random = np.random.default_rng(sessions)
    times = NOON + np.sort(random.uniform(0, seconds, sessions))
    return add_ports(make_flows(times, src_ip, SERVERS[2], random.lognormal(8.4, 0.1, sessions), 3.0), port)


def move(port: int) -> pd.DataFrame:
    return add_ports(scenarios.move_laterally(TODAY, 8), port)


def leak(upload: float) -> pd.DataFrame:
    return add_ports(scenarios.leak(TODAY, 800, 4, STRANGER, 0.5), 443, upload)


def beacon(period: float, calls: int, port: int, protocol: str, size: float, dst_ip: str = STRANGER) -> pd.DataFrame:
    gaps = period * np.random.default_rng(calls).uniform(0.8, 1.2, calls)
    return add_ports(make_flows(NOON + np.cumsum(gaps), CLIENTS[5], dst_ip, size, 0.1, protocol), port)


def share_service(port: int, dst_ip: str = STRANGER) -> pd.DataFrame:
    return add_ports(pd.concat([scenarios.speak(TODAY, "TCP", client, dst_ip) for client in CLIENTS[:3]]), port)


ATTACKS = {
    "a vertical scan": ("vertical_scan", OUTSIDE, probe_ports(60, 600)),
    "a vertical scan over hours": ("vertical_scan", OUTSIDE, probe_ports(160, 6 * 3600)),
    "60 SSH logins in an hour": ("brute_force", OUTSIDE, log_in(63, 3_500, 22)),
    "RDP logins from inside": ("brute_force", CLIENTS[1], log_in(90, 3_500, 3389, CLIENTS[1])),
    "lateral movement over SMB": ("lateral_movement", CLIENTS[7], move(445)),
    "a leak by upload": ("exfiltration", CLIENTS[3], leak(0.98)),
    "a rapid beacon": ("beaconing", CLIENTS[5], beacon(10, 300, 6767, "TCP", 3_868)),
    "a rapid beacon over DNS": ("beaconing", CLIENTS[5], beacon(5, 500, 53, "UDP", 212)),
    "a new port at a stranger": ("new_service", STRANGER, share_service(6667)),
}
HARMLESS = {
    "a few ports of a server": probe_ports(12, 600),
    "many ports of a file server that answers": probe_ports(60, 600, 5_000),
    "20 SSH logins in an hour": log_in(20, 3_500, 22),
    "100 sessions at a web server": log_in(100, 3_500, 443),
    "hosts that discover services": move(5357),
    "a large download": leak(0.02),
    "a new port at a known server": share_service(8443, SERVERS[1]),
    "a known port at a stranger": share_service(443),
    "questions for the time": beacon(64, 40, 123, "UDP", 90),
    "announcements to a group": beacon(30, 40, 1900, "UDP", 300, "239.255.255.250"),
    "announcements to a network": beacon(30, 40, 17_500, "UDP", 300, "10.0.1.255"),
    "some quick calls": beacon(10, 60, 443, "TCP", 900),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_that_ports_or_sides_give_away_is_found_and_nothing_else(name, today, past):
    kind, entity, flows = ATTACKS[name]
    assert find(today, past, flows) == {(kind, entity)}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_ports_or_sides_explain_is_left_alone(name, today, past):
    assert find(today, past, HARMLESS[name]) == set()
    assert find(today, None, HARMLESS[name]) == set()


@pytest.mark.parametrize("name", ["a vertical scan", "a vertical scan over hours", "60 SSH logins in an hour"])
def test_what_ports_give_away_needs_no_past(name, today):
    kind, entity, flows = ATTACKS[name]
    assert find(today, None, flows) == {(kind, entity)}


def test_without_its_ports_a_slow_guessing_is_left_alone(today, past):
    hidden = ATTACKS["60 SSH logins in an hour"][2].assign(dst_port=np.nan, src_port=np.nan)
    assert find(today, past, hidden) == set()


def test_a_finding_says_what_was_counted_and_the_limit_that_it_passed(today, past):
    found = detect(summarise(pd.concat([today, log_in(90, 3_500, 22)], ignore_index=True)), past).iloc[0]
    said = found[["protocol", "service", "fact", "value", "limit"]].tolist()
    assert said == ["TCP", 22, "sessions of a pair", 90, 60]
    assert "90 sessions (limit 60)" in found["sentence"] and "on TCP port 22" in found["sentence"]


def unreachable(asked: bool) -> pd.DataFrame:
    """Return ICMP errors of one host to many and, if it was asked, the datagrams before that they answer."""
    hosts = [f"203.0.{113 + host // 250}.{1 + host % 250}" for host in range(544)]
    times = NOON + np.linspace(0, 3_000, len(hosts))
    errors = make_flows(times + 0.01, SERVERS[3], hosts, 60, 0.0, "ICMP")
    questions = make_flows(times, hosts, SERVERS[3], 90, 0.0, "UDP")
    return pd.concat([errors, questions]) if asked else errors


def test_icmp_errors_are_no_scan_if_the_other_host_spoke_first(today, past):
    bare = today[scenarios.make_day(TODAY).columns]
    assert ("horizontal_scan", SERVERS[3]) in find(bare, past, unreachable(asked=False))
    for known in (past, None):
        assert ("horizontal_scan", SERVERS[3]) not in find(bare, known, unreachable(asked=True))


def test_answers_that_a_one_way_sensor_logs_are_no_vertical_scan(today, past):
    times = NOON + np.linspace(0, 600, 90)
    asked = add_ports(make_flows(times, CLIENTS[2], SERVERS[2], 120, 0.0), 8080)
    answers = make_flows(times + 0.01, SERVERS[2], CLIENTS[2], 120, 0.0)
    answers = answers.assign(src_port=8080, dst_port=asked["src_port"].to_numpy(), src_bytes=120, dst_bytes=0)
    assert ("vertical_scan", SERVERS[2]) in find(today, past, answers)
    assert find(today, past, asked, answers) == set()


def test_a_scanner_of_every_day_is_left_alone_and_one_that_grows_is_not(today):
    daily = probe_ports(60, 600).assign(timestamp=lambda flows: flows["timestamp"] - DAY)
    known = remember(summarise(pd.concat([add_ports(make_day(TODAY - 1)), daily], ignore_index=True)))
    assert find(today, known, probe_ports(70, 600)) == set()
    assert find(today, known, probe_ports(400, 600)) == {("vertical_scan", OUTSIDE)}


def test_ports_in_half_of_the_rows_still_show_a_scan(today, past):
    half = probe_ports(160, 600)
    half.loc[::2, ["src_port", "dst_port", "src_bytes", "dst_bytes"]] = np.nan
    assert find(today, past, half) == {("vertical_scan", OUTSIDE)}


def test_a_past_without_ports_serves_a_day_that_has_them_and_the_other_way_round(today, past):
    bare = remember(summarise(make_day(TODAY - 1)))
    for kind, entity, flows in (ATTACKS[name] for name in ("a vertical scan", "a leak by upload")):
        assert find(today, bare, flows) == {(kind, entity)}
    scan = scenarios.scan(TODAY, 60, 60, OUTSIDE)
    assert find(make_day(TODAY), past, scan) == {("horizontal_scan", OUTSIDE)}
