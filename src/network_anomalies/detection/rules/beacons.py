"""Calls at even intervals."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import name_pairs, rank_findings, say_service, to_findings
from network_anomalies.detection.rules.dialogues import (
    ObservedDay,
    are_exceptions,
    are_groups,
    are_private,
    ask_time,
    count_sources,
)
from network_anomalies.detection.scoring.columns import SIZE_BINS_PER_E
from network_anomalies.detection.scoring.history import find_rows


def find_beacons(day: ObservedDay) -> pd.DataFrame:
    """Find sources that call a destination again and again at even intervals, with flows of alike size.

    Normal are destinations that anyone knew in the past or that several sources talk to, groups of hosts, and small
    UDP flows to the port of time servers or, where no port is known, of a size that the source already had (it may ask
    another time server). Without a past, only calls that go on for hours, and begin hours into the day or lead out to
    where nobody else goes.
    """
    calls, limits = day.dialogues, day.limits.beaconing
    least_calls = limits.calls.choose(day.has_past)
    many = calls["flows"] >= limits.many_calls.choose(day.has_past)
    few = calls["period"] >= limits.few_period_seconds
    # A beacon that changes its period, or stops for a while, is even within each hour and not over the day.
    hourly = calls["own_gaps"] >= limits.hourly_share * calls["flows"]
    own_spread = np.sqrt(calls["own_squares"] / calls["own_gaps"].clip(lower=1)).where(hourly, np.inf)
    spread = np.minimum(calls["gap_spread"], own_spread)
    even = (many & (spread <= limits.gap_spread)) | (few & (calls["gap_spread"] <= limits.few_gap_spread))
    rapid = (calls["flows"] >= limits.rapid_calls) & (calls["period"] >= limits.rapid_seconds)
    even &= (calls["period"] <= limits.period_seconds[1]) & (rapid | (calls["period"] >= limits.period_seconds[0]))
    alike = (calls["flows"] >= least_calls) & (calls["size_spread"] <= limits.size_spread)
    alike &= calls["flow_bytes"] <= limits.call_bytes
    lone = count_sources(calls) <= limits.sources.choose(day.has_past)
    single = ~_may_be_clocks(day, calls) & ~are_groups(calls["dst_ip"])
    suspects = lone & single & _are_new(day, calls)
    beacons = calls[even & alike & suspects]
    count_ratio = beacons["flows"] / least_calls
    spread_ratio = limits.gap_spread / spread[beacons.index].clip(lower=0.01)
    strength = np.minimum(count_ratio, spread_ratio)
    slow = _find_slow_beacons(day, calls[suspects])
    table = name_pairs(beacons.assign(value=beacons["flows"], limit=least_calls, strength=strength))
    sentences = [
        f"{source} called {target} {flows:,} times (limit {least_calls}) {say_service(protocol, port)}, about every "
        f"{_say_seconds(period)}, with {size:,.0f} bytes each"
        for source, target, flows, protocol, port, period, size in zip(
            *(table[name] for name in ("entity", "peer", "flows", "protocol", "service")),
            *(beacons[name] for name in ("period", "flow_bytes")),
            strict=True,
        )
    ]
    return rank_findings([to_findings("beaconing", table, "even calls in the day", sentences, day.limits.score), slow])


def _find_slow_beacons(day: ObservedDay, calls: pd.DataFrame) -> pd.DataFrame:
    """Find new pairs with few calls a day on several days, each alone in its hour and of about the same size."""
    limits = day.limits.beaconing
    days, hours = calls["young_pair_days"] + 1, calls["young_pair_hours"] + calls["hours"]
    total = calls["young_pair_flows"] + calls["flows"]
    alike = (calls["size_spread"] <= limits.size_spread) & (calls["flow_bytes"] <= limits.call_bytes)
    singly = (hours >= limits.alone_share * total) & (days >= limits.slow_days) & (total >= limits.slow_calls)
    slow = calls.assign(total=total, days=days, value=total, limit=limits.slow_calls)[singly & alike]
    table = name_pairs(slow.assign(strength=slow["total"] / limits.slow_calls))
    sentences = [
        f"{source} called {target} {total:,.0f} times (limit {limits.slow_calls}) {say_service(protocol, port)} on "
        f"{days:.0f} days, each time alone in its hour, with {size:,.0f} bytes each today"
        for source, target, total, protocol, port, days, size in zip(
            *(table[name] for name in ("entity", "peer", "value", "protocol", "service")),
            *(slow[name] for name in ("days", "flow_bytes")),
            strict=True,
        )
    ]
    return to_findings("beaconing", table, "calls since the pair began", sentences, day.limits.score)


def _are_new(day: ObservedDay, calls: pd.DataFrame) -> pd.Series:
    if day.has_past:
        return calls["past_destination_flows"] == 0
    late = calls["first_hour"] >= calls["first_hour"].min() + day.limits.beaconing.late_start_hours
    lasts = (calls["hours"] >= day.limits.beaconing.hours) | (calls["flows"] >= day.limits.beaconing.rapid_calls)
    return lasts & (late | (are_exceptions(calls, day.limits.past) & ~are_private(calls["dst_ip"])))


def _may_be_clocks(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    small = (calls["protocol"] == "UDP") & (calls["flow_bytes"] <= day.limits.beaconing.clock_bytes)
    habit = (calls["ported"] == 0) & (_have_size_habit(day, calls) | (not day.has_past))
    return np.asarray(ask_time(calls, day.limits.beaconing) | (small & habit))


def _have_size_habit(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return whether the source sent flows of this protocol and about this size in several hours of the past."""
    if day.history is None:
        return np.zeros(len(calls), dtype=bool)
    source, protocol = (
        (calls[name].cat.codes.to_numpy(), calls[name].cat.categories) for name in ("src_ip", "protocol")
    )
    hours = np.append(day.history.tables["source_protocol_size"]["hours"].to_numpy(), 0)
    size_bin = np.floor(SIZE_BINS_PER_E * calls["size_mean"].to_numpy()).astype(np.int64)
    near = [
        hours[find_rows(day.history, "source_protocol_size", [source, protocol, (size_bin + step, None)])]
        for step in (-1, 0, 1)
    ]
    return np.asarray(np.sum(near, axis=0) >= day.limits.beaconing.clock_hours)


def _say_seconds(seconds: float) -> str:
    for unit, length in (("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
