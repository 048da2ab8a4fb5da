"""Scans, password guessing and lateral movement."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import name_groups, name_pairs, to_findings
from network_anomalies.detection.rules import limits
from network_anomalies.detection.rules.dialogues import (
    ObservedDay,
    are_private,
    before,
    count_destinations,
    count_sources,
    hours_of,
)
from network_anomalies.detection.scoring.columns import Groups
from network_anomalies.detection.scoring.context import group_moments
from network_anomalies.detection.scoring.history import are_probes, group_by


def find_scans(day: ObservedDay) -> pd.DataFrame:
    """Find sources that probe many destinations they never met, within an hour or over the day.

    A probe is small, alike, and over UDP unanswered. A host that scanned before (a scanner, a resolver, a monitor)
    is reported only far beyond its own widest hour or day. Without a past fewer are enough of private hosts that
    nobody else talks to.
    """
    talks = day.talks
    unmet = (talks["past_pair_flows"] == 0) if day.has_past else (hours_of(talks, ["src_ip", "dst_ip"]) == 1)
    probes = talks[unmet & (are_probes(talks) > 0)]
    hour_limit = np.maximum(day.limits.scan_hour, limits.SCAN_HOUR_FACTOR * probes["past_source_peak_probes"])
    day_limit = np.maximum(day.limits.scan_day, limits.SCAN_DAY_FACTOR * probes["past_source_day_probes"])
    fast = _find_wide(probes, ["src_ip", "protocol", "hour"], hour_limit).assign(words="an hour")
    slow = _find_wide(probes, ["src_ip", "protocol"], day_limit).assign(words="the day")
    dark = probes[(count_sources(talks) == 1)[probes.index] & are_private(probes["dst_ip"]) & (not day.has_past)]
    blind = _find_wide(dark, ["src_ip", "protocol"], limits.SCAN_DARK)
    table = pd.concat([fast, slow, blind.assign(words="the day")], ignore_index=True)
    sentences = [
        f"{source} probed {count:,} destinations it had never met within {words}, with {flows:,} small, alike flows"
        for source, count, words, flows in zip(
            table["entity"], table["distinct"], table["words"], table["flows"], strict=True
        )
    ]
    return to_findings("horizontal_scan", table, sentences)


def _find_wide(probes: pd.DataFrame, keys: list[str], limit: pd.Series | int) -> pd.DataFrame:
    """Return the groups of alike probes that reach their limit of distinct destinations."""
    groups = group_by(probes, keys)
    distinct = group_by(probes, [*keys, "dst_ip"]).count_within(groups)
    strength = distinct / np.broadcast_to(limit, len(probes))[groups.first]
    table = name_groups(probes, groups, entity="src_ip").assign(distinct=distinct, strength=strength)
    return table[_are_alike(probes, groups) & (strength >= 1)]


def _are_alike(probes: pd.DataFrame, groups: Groups) -> np.ndarray:
    _, _, squares = group_moments(probes["size_mean"].to_numpy(), groups.codes, len(groups))
    return np.asarray(np.sqrt(squares / groups.sizes) <= limits.SCAN_SPREAD)


def find_brute_force(day: ObservedDay) -> pd.DataFrame:
    """Find bursts of short alike TCP sessions from one source to one destination, as guessing passwords makes them.

    Many more in an hour than the pair ever had; without a past, in the day, from a pair that talks in few of its hours.
    Known hosts that do it together are a crowd; without a past, those are known that talk to others as well.
    """
    talks = day.talks.assign(hours=1) if day.has_past else day.dialogues.assign(hour=day.dialogues["first_hour"])
    limit = np.maximum(day.limits.logins, limits.LOGIN_FACTOR * talks["past_pair_peak_flows"])
    strange = (talks["past_source_hours"] == 0) if day.has_past else (count_destinations(talks) == 1)
    talks = talks.assign(strength=talks["flows"] / limit, strange=strange)
    brief = talks["hours"] <= day.limits.burst_hours
    alike = talks["flow_bytes"].between(*limits.LOGIN_BYTES) & (talks["size_spread"] <= limits.LOGIN_SPREAD)
    rapid = (talks["strength"] >= 1) & (talks["pace"] >= limits.LOGIN_PACE)
    hit = talks[(talks["protocol"] == "TCP") & alike & brief & rapid]
    hit = hit[hit["strange"] | (_count_fellows(hit) <= limits.LOGIN_FELLOWS)]
    table = name_pairs(hit)
    sentences = [
        f"{source} opened {flows:,} sessions of about {size:,.0f} bytes to {target} in {minutes:,} busy minutes; "
        f"{before(f'at most {past:,.0f} in an hour before', day)}"
        for source, target, flows, size, minutes, past in zip(
            table["entity"],
            table["peer"],
            table["flows"],
            hit["flow_bytes"],
            hit["minutes"],
            hit["past_pair_peak_flows"],
            strict=True,
        )
    ]
    return to_findings("brute_force", table, sentences)


def _count_fellows(talks: pd.DataFrame) -> np.ndarray:
    """Return how many sources each row's destination has in its hour."""
    groups = group_by(talks, ["dst_ip", "hour"])
    return np.asarray(group_by(talks, ["dst_ip", "hour", "src_ip"]).count_within(groups)[groups.codes])


def find_lateral_movement(day: ObservedDay) -> pd.DataFrame:
    """Find private hosts that open TCP sessions to several private hosts they never met, and that are clients.

    A source that the past does not know may be a new administrator's: it takes more peers, which nobody else
    opens sessions to on the day.
    """
    calls = day.dialogues
    private = are_private(calls["src_ip"]) & are_private(calls["dst_ip"])
    sessions = calls[private & (calls["protocol"] == "TCP") & (calls["flow_bytes"] >= limits.SESSION_BYTES)]
    known = sessions["past_source_hours"] > 0
    fresh = (sessions["past_pair_flows"] == 0) & _are_clients(day, sessions)
    hit = sessions[fresh & (known | (count_sources(sessions) == 1))]
    groups = group_by(hit, ["src_ip"])
    least = np.where(hit["past_source_hours"] > 0, limits.PEERS, limits.LONE_PEERS)
    strength = groups.sizes / np.maximum(least, hit["past_source_day_probes"].to_numpy())[groups.first]
    table = name_groups(hit, groups, entity="src_ip").assign(peers=groups.sizes, strength=strength)
    table = table[strength >= 1]
    sentences = [
        f"{source} opened sessions to {peers:,} clients of this network that it had not met before"
        for source, peers in zip(table["entity"], table["peers"], strict=True)
    ]
    return to_findings("lateral_movement", table, sentences)


def _are_clients(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return which destinations are sources in the past or, without one, on the day."""
    table = day.summary.conversations if day.history is None else day.history.tables["source"]
    return np.asarray(calls["dst_ip"].cat.categories.isin(table["src_ip"].cat.categories)[calls["dst_ip"].cat.codes])
