"""Findings and alerts of odd captures: tiny, uniform, without an hour of past, with other addresses and columns."""

import warnings
import zlib

import numpy as np
import pandas as pd
import pytest
import scenarios
from scenarios import CLIENTS, DAY, MONDAY, make_day

from network_anomalies.detection import (
    FINDING_COLUMNS,
    choose_alerts,
    conclude,
    fit,
    judge_slice,
    name_attacks,
    remember,
    summarise,
)

TODAY = 3
OUTSIDE = "203.0.113.5"


def shift_to_1970(events: pd.DataFrame) -> pd.DataFrame:
    return events.assign(timestamp=events["timestamp"] - MONDAY - DAY * (TODAY - 1))


def rename(events: pd.DataFrame, form: str) -> pd.DataFrame:
    """Return events with other names of hosts, the same on every day."""
    hosts = pd.concat([events["src_ip"], events["dst_ip"]]).unique()
    numbers = [zlib.crc32(host.encode()) for host in hosts]
    names = pd.Series([form.format(number >> 16, number & 0xFFFF) for number in numbers], hosts)
    return events.assign(src_ip=events["src_ip"].map(names), dst_ip=events["dst_ip"].map(names))


def add_ports(events: pd.DataFrame, share: float) -> pd.DataFrame:
    known = np.arange(len(events)) < share * len(events)
    sizes = {name: np.where(known, events["bytes"] / 2, np.nan) for name in ("src_bytes", "dst_bytes")}
    ports = {"src_port": np.where(known, 50_000, np.nan), "dst_port": np.where(known, 443, np.nan)}
    return events.assign(**ports, **sizes)


def take(events: pd.DataFrame, start: float, seconds: float) -> pd.DataFrame:
    begin = MONDAY + DAY * TODAY + start
    return events[events["timestamp"].between(begin, begin + seconds)].reset_index(drop=True)


ODD = {
    "one minute": lambda day: take(day, 43_200, 60),
    "one flow": lambda day: day.iloc[:1],
    "no flow": lambda day: day.iloc[:0],
    "one host": lambda day: day[day["src_ip"] == CLIENTS[3]],
    "all flows alike": lambda day: day.assign(
        src_ip=CLIENTS[0], dst_ip=CLIENTS[1], bytes=60, duration=0.0, protocol="TCP"
    ),
    "all durations missing": lambda day: day.assign(duration=np.nan),
    "all sizes missing": lambda day: day.assign(bytes=np.nan),
    "times near 1970": shift_to_1970,
    "names": lambda day: rename(day, "host-{:x}{:04x}"),
    "numbers of networks": lambda day: rename(day, "AS{}{:05}"),
    "IPv6 only": lambda day: rename(day, "2001:db8::{:x}:{:x}"),
    "ports for half of the rows": lambda day: add_ports(day, 0.5),
}

OF_A_SENSOR = ("names", "numbers of networks", "IPv6 only", "all durations missing", "all sizes missing")
"""What a sensor does on every day, so that the past is the same."""


@pytest.fixture(scope="module")
def today() -> pd.DataFrame:
    return make_day(TODAY).iloc[::3].reset_index(drop=True)  # a third, to be quick


@pytest.fixture(scope="module")
def yesterday() -> pd.DataFrame:
    return make_day(TODAY - 1).iloc[::3].reset_index(drop=True)


def find_alerts(day: pd.DataFrame, past: pd.DataFrame, has_past: bool = True) -> pd.DataFrame:
    known = past if has_past else day
    model = fit([lambda: known], remember(summarise(known)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = summarise(day)
        named = name_attacks(summary, model, has_past)
        _, flagged = judge_slice(day, model, named, has_past)
        alerts = choose_alerts([conclude([flagged], named, summary)])
    assert dict(alerts.dtypes.astype("str")) == {
        name: "datetime64[us, UTC]" if name in ("first_seen", "last_seen") else dtype
        for name, dtype in FINDING_COLUMNS.items()
    }
    assert np.isfinite(alerts[["score", "value", "limit"]]).all(axis=None)
    assert (alerts["first_seen"] <= alerts["last_seen"]).all() and not alerts["sentence"].str.contains(
        "nan|None|inf"
    ).any()
    return alerts


@pytest.mark.parametrize("name", ODD)
def test_an_odd_capture_has_next_to_no_alerts(name, today, yesterday):
    day = ODD[name](today)
    past = shift_to_1970(yesterday) if name == "times near 1970" else yesterday
    past = ODD[name](yesterday) if name in OF_A_SENSOR else past
    assert len(find_alerts(day, past, has_past=False)) <= 3
    if name != "all flows alike":  # beside a normal past, that is no normal day
        assert len(find_alerts(day, past)) <= 3


@pytest.mark.parametrize("name", ["one host", "all durations missing", "times near 1970", "ports for half of the rows"])
def test_a_scan_of_an_odd_day_is_named(name, today, yesterday):
    scanned = pd.concat([today, scenarios.scan(TODAY, 60, 60, OUTSIDE)], ignore_index=True)
    day = ODD[name](scanned)
    if name == "one host":
        day = pd.concat([day, scenarios.scan(TODAY, 60, 60, OUTSIDE)], ignore_index=True)
    past = shift_to_1970(yesterday) if name == "times near 1970" else yesterday
    alerts = find_alerts(day, past)
    assert ("horizontal_scan", OUTSIDE) in set(zip(alerts["kind"], alerts["entity"], strict=True))


@pytest.mark.parametrize("form", ["host-{:x}{:04x}", "AS{}{:05}", "2001:db8::{:x}:{:x}"])
def test_a_scan_by_hosts_of_any_name_is_named(form, today, yesterday):
    scanned = pd.concat([yesterday, today, scenarios.scan(TODAY, 60, 60, OUTSIDE)], ignore_index=True)
    named = rename(scanned, form)
    past = named["timestamp"] < MONDAY + DAY * TODAY
    alerts = find_alerts(named[~past].reset_index(drop=True), named[past].reset_index(drop=True))
    assert alerts["kind"].tolist().count("horizontal_scan") == 1


def test_a_past_of_an_hour_is_no_past(today, yesterday):
    hour = yesterday[yesterday["timestamp"] // 3_600 == yesterday["timestamp"].iloc[-3_000] // 3_600].reset_index(
        drop=True
    )
    scanned = pd.concat([today, scenarios.scan(TODAY, 60, 60, OUTSIDE)], ignore_index=True)
    named = find_alerts(scanned, hour)
    named = set(named.loc[named["kind"] != "anomaly", "kind"])
    alone = find_alerts(scanned, hour, has_past=False)
    assert named == set(alone.loc[alone["kind"] != "anomaly", "kind"])


def test_a_past_with_other_columns_than_the_day_serves(today, yesterday):
    assert len(find_alerts(add_ports(today, 1.0), yesterday)) <= 2
    assert len(find_alerts(today, add_ports(yesterday, 1.0))) <= 2
