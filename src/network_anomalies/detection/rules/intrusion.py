"""Scans, password guessing and lateral movement."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import name_groups, name_pairs, to_findings
from network_anomalies.detection.limits import ScanLimits
from network_anomalies.detection.rules.dialogues import (
    ObservedDay,
    are_private,
    count_destinations,
    count_hours,
    count_sources,
    describe_past,
)
from network_anomalies.detection.scoring.context import group_moments
from network_anomalies.detection.scoring.history import are_probes, group_by


def find_scans(day: ObservedDay) -> pd.DataFrame:
    """Find sources that probe many destinations they never met, within an hour or over the day.

    A probe is small, alike, and over UDP unanswered. A host that scanned before (a scanner, a resolver, a monitor)
    is reported only far beyond its own widest hour or day. Without a past fewer are enough of private hosts that
    nobody else talks to.
    """
    conversations, limits = day.conversations, day.limits.horizontal_scan
    if day.has_past:
        unmet = conversations["past_pair_flows"] == 0
    else:
        unmet = count_hours(conversations, ["src_ip", "dst_ip"]) == 1
    probes = conversations[unmet & (are_probes(conversations) > 0)]
    in_hour, in_day = (limit.choose(day.has_past) for limit in (limits.hour_destinations, limits.day_destinations))
    hour_limit = np.maximum(in_hour, limits.hour_factor * probes["past_source_peak_probes"])
    day_limit = np.maximum(in_day, limits.day_factor * probes["past_source_day_probes"])
    fast = _find_wide(probes, ["src_ip", "protocol", "hour"], hour_limit, limits).assign(words="an hour")
    slow = _find_wide(probes, ["src_ip", "protocol"], day_limit, limits).assign(words="the day")
    alone = (count_sources(conversations) == 1)[probes.index] & are_private(probes["dst_ip"]) & (not day.has_past)
    lone = _find_wide(probes[alone], ["src_ip", "protocol"], limits.lone_destinations, limits)
    table = pd.concat([fast, slow, lone.assign(words="the day")], ignore_index=True)
    sentences = [
        f"{source} probed {count:,} destinations it had never met within {words}, with {flows:,} small, alike flows"
        for source, count, words, flows in zip(
            table["entity"], table["distinct"], table["words"], table["flows"], strict=True
        )
    ]
    return to_findings("horizontal_scan", table, sentences, day.limits.score)


def _find_wide(probes: pd.DataFrame, keys: list[str], limit: pd.Series | int, limits: ScanLimits) -> pd.DataFrame:
    """Return the groups of alike probes that reach their limit of distinct destinations."""
    groups = group_by(probes, keys)
    distinct = group_by(probes, [*keys, "dst_ip"]).count_within(groups)
    strength = distinct / np.broadcast_to(limit, len(probes))[groups.first]
    table = name_groups(probes, groups, entity="src_ip").assign(distinct=distinct, strength=strength)
    _, _, squares = group_moments(probes["size_mean"].to_numpy(), groups.codes, len(groups))
    return table[(np.sqrt(squares / groups.sizes) <= limits.size_spread) & (strength >= 1)]


def find_brute_force(day: ObservedDay) -> pd.DataFrame:
    """Find bursts of short alike TCP sessions from one source to one destination, as guessing passwords makes them.

    Many more in an hour than the pair ever had; without a past, in the day, from a pair that talks in few of its hours.
    Known hosts that do it together are a crowd; without a past, those are known that talk to others as well.
    """
    limits = day.limits.brute_force
    if day.has_past:
        pairs = day.conversations.assign(hours=1)
        stranger = pairs["past_source_hours"] == 0
    else:
        pairs = day.dialogues.assign(hour=day.dialogues["first_hour"])
        stranger = count_destinations(pairs) == 1
    limit = np.maximum(limits.sessions.choose(day.has_past), limits.sessions_factor * pairs["past_pair_peak_flows"])
    pairs = pairs.assign(strength=pairs["flows"] / limit, stranger=stranger)
    brief = pairs["hours"] <= limits.hours.choose(day.has_past)
    alike = pairs["flow_bytes"].between(*limits.session_bytes) & (pairs["size_spread"] <= limits.size_spread)
    rapid = (pairs["strength"] >= 1) & (pairs["pace"] >= limits.sessions_per_minute)
    bursts = pairs[(pairs["protocol"] == "TCP") & alike & brief & rapid]
    bursts = bursts[bursts["stranger"] | (_count_sources_in_hour(bursts) <= limits.sources)]
    table = name_pairs(bursts)
    sentences = [
        f"{source} opened {flows:,} sessions of about {size:,.0f} bytes to {target} in {minutes:,} busy minutes; "
        f"{describe_past(f'at most {past:,.0f} in an hour before', day)}"
        for source, target, flows, size, minutes, past in zip(
            table["entity"],
            table["peer"],
            table["flows"],
            bursts["flow_bytes"],
            bursts["minutes"],
            bursts["past_pair_peak_flows"],
            strict=True,
        )
    ]
    return to_findings("brute_force", table, sentences, day.limits.score)


def _count_sources_in_hour(bursts: pd.DataFrame) -> np.ndarray:
    """Return how many sources each row's destination has in its hour."""
    groups = group_by(bursts, ["dst_ip", "hour"])
    return np.asarray(group_by(bursts, ["dst_ip", "hour", "src_ip"]).count_within(groups)[groups.codes])


def find_lateral_movement(day: ObservedDay) -> pd.DataFrame:
    """Find private hosts that open TCP sessions to several private hosts they never met, and that are clients.

    A source that the past does not know may be a new administrator's: it takes more peers, which nobody else
    opens sessions to on the day.
    """
    calls, limits = day.dialogues, day.limits.lateral_movement
    private = are_private(calls["src_ip"]) & are_private(calls["dst_ip"])
    sessions = calls[private & (calls["protocol"] == "TCP") & (calls["flow_bytes"] >= limits.session_bytes)]
    known = sessions["past_source_hours"] > 0
    new = (sessions["past_pair_flows"] == 0) & _are_clients(day, sessions)
    suspects = sessions[new & (known | (count_sources(sessions) == 1))]
    groups = group_by(suspects, ["src_ip"])
    least = np.where(suspects["past_source_hours"] > 0, limits.peers, limits.unknown_source_peers)
    strength = groups.sizes / np.maximum(least, suspects["past_source_day_probes"].to_numpy())[groups.first]
    table = name_groups(suspects, groups, entity="src_ip").assign(peers=groups.sizes, strength=strength)
    table = table[strength >= 1]
    sentences = [
        f"{source} opened sessions to {peers:,} clients of this network that it had not met before"
        for source, peers in zip(table["entity"], table["peers"], strict=True)
    ]
    return to_findings("lateral_movement", table, sentences, day.limits.score)


def _are_clients(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return which destinations are sources in the past or, without one, on the day."""
    table = day.summary.conversations if day.history is None else day.history.tables["source"]
    return np.asarray(calls["dst_ip"].cat.categories.isin(table["src_ip"].cat.categories)[calls["dst_ip"].cat.codes])
