"""Scans, password guessing and lateral movement."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import (
    find_main_services,
    name_groups,
    name_pairs,
    rank_findings,
    say_service,
    to_findings,
)
from network_anomalies.detection.limits import ScanLimits
from network_anomalies.detection.rules.dialogues import (
    ObservedDay,
    are_answers,
    are_groups,
    are_private,
    are_short,
    count_destinations,
    count_hours,
    count_sources,
    describe_past,
    have_service,
    sum_groups,
)
from network_anomalies.detection.scoring.columns import HOUR
from network_anomalies.detection.scoring.context import group_moments
from network_anomalies.detection.scoring.history import PROBE_BYTES, are_probes, group_by


def find_scans(day: ObservedDay) -> pd.DataFrame:
    """Find sources that probe many destinations they never met, within an hour or over the day.

    A probe is small, alike, over UDP unanswered, and no answer to a host that spoke first. Where there are ports, the
    probes of a scan are about the same one. A host that scanned before (a scanner, a resolver, a monitor) is reported
    only far beyond its own widest hour or day. Without a past fewer are enough of private hosts that nobody else talks
    to.
    """
    conversations, limits = day.conversations, day.limits.horizontal_scan
    if day.has_past:
        unmet = conversations["past_pair_flows"] == 0
    else:
        unmet = count_hours(conversations, ["src_ip", "dst_ip"]) == 1
    probes = conversations[unmet & (are_probes(conversations) > 0) & ~are_groups(conversations["dst_ip"])]
    probes = probes[~are_answers(day, probes)]
    probes = probes.assign(service=find_main_services(probes))
    in_hour, in_day = (limit.choose(day.has_past) for limit in (limits.hour_destinations, limits.day_destinations))
    hour_limit = np.maximum(in_hour, limits.hour_factor * probes["past_source_peak_probes"])
    day_limit = np.maximum(in_day, limits.day_factor * probes["past_source_day_probes"])
    alike = ["src_ip", "protocol", "service"]
    fast = _find_wide(probes, [*alike, "hour"], hour_limit, limits).assign(words="an hour")
    slow = _find_wide(probes, alike, day_limit, limits).assign(words="the day")
    alone = (count_sources(conversations) == 1)[probes.index] & are_private(probes["dst_ip"]) & (not day.has_past)
    lone = _find_wide(probes[alone], alike, limits.lone_destinations, limits)
    table = pd.concat([fast, slow, lone.assign(words="the day")], ignore_index=True)
    sentences = [
        f"{source} probed {count:,.0f} destinations it had never met within {words} (limit {limit:,.0f}), "
        f"with {flows:,} small, alike flows {say_service(protocol, port)}"
        for source, count, words, limit, flows, protocol, port in zip(
            *(table[name] for name in ("entity", "value", "words", "limit", "flows", "protocol", "service")),
            strict=True,
        )
    ]
    return to_findings("horizontal_scan", table, "destinations never met before", sentences, day.limits.score)


def _find_wide(probes: pd.DataFrame, keys: list[str], limit: pd.Series | int, limits: ScanLimits) -> pd.DataFrame:
    """Return the groups of alike probes that reach their limit of distinct destinations."""
    groups = group_by(probes, keys)
    distinct = group_by(probes, [*keys, "dst_ip"]).count_within(groups)
    limit = np.broadcast_to(limit, len(probes))[groups.first]
    table = name_groups(probes, groups, entity="src_ip").assign(value=distinct, limit=limit, strength=distinct / limit)
    _, _, squares = group_moments(probes["size_mean"].to_numpy(), groups.codes, len(groups))
    return table[(np.sqrt(squares / groups.sizes) <= limits.size_spread) & (table["strength"] >= 1)]


def find_vertical_scans(day: ObservedDay) -> pd.DataFrame:
    """Find sources that probe many ports of one destination, within an hour or hour by hour; it takes ports.

    The flows are as small as probes are, and the destination did not speak first: else they answer it. A pair that
    did so before (a scanner, a monitor) is reported only far beyond its source's widest hour.
    """
    calls, limits = day.conversations, day.limits.vertical_scan
    calls = calls[(calls["ports"] >= limits.least_ports) & (calls["flow_bytes"] <= PROBE_BYTES)]
    calls = calls[~are_answers(day, calls) & ~are_groups(calls["dst_ip"])]
    groups = group_by(calls, ["src_ip", "dst_ip", "protocol"])
    known = limits.ports_factor * calls["past_source_peak_ports"].to_numpy()[groups.first]
    widest = np.zeros(len(groups), dtype=np.int64)
    np.maximum.at(widest, groups.codes, calls["ports"].to_numpy())
    ports = {"an hour": widest, "the day": sum_groups(groups, calls["ports"])}
    least = {"an hour": limits.hour_ports, "the day": limits.day_ports}
    table = name_groups(calls, groups, entity="src_ip")
    table = table.assign(peer=calls["dst_ip"].astype("str").to_numpy()[groups.first])
    tables = []
    for words, counted in ports.items():
        limit = np.maximum(least[words], known)
        scans = table.assign(value=counted, limit=limit, strength=counted / limit, words=words)
        tables.append(scans[scans["strength"] >= 1])
    found = pd.concat(tables, ignore_index=True)
    sentences = [
        f"{source} probed {count:,} ports of {target} within {words} (limit {limit:,.0f}), with {flows:,} small flows "
        f"over {protocol}"
        for source, target, count, words, limit, flows, protocol in zip(
            *(found[name] for name in ("entity", "peer", "value", "words", "limit", "flows", "protocol")), strict=True
        )
    ]
    return to_findings("vertical_scan", found, "ports of the destination", sentences, day.limits.score)


def find_brute_force(day: ObservedDay) -> pd.DataFrame:
    """Find many short alike TCP sessions from one source to one destination, as guessing passwords makes them.

    Many more in an hour than the pair ever had; without a past, in the day, from a pair that talks in few of its hours.
    Known hosts that do it together are a crowd; without a past, those are known that talk to others as well. Where the
    port says that they are logins, neither the pace matters nor, for a source outside, how long it goes on.
    """
    return rank_findings([_find_bursts(day), _find_logins(day)])


def _find_bursts(day: ObservedDay) -> pd.DataFrame:
    limits = day.limits.brute_force
    if day.has_past:
        pairs = day.conversations.assign(hours=1, stranger=day.conversations["past_source_hours"] == 0)
    else:
        stranger = count_destinations(day.dialogues) == 1
        pairs = day.dialogues.assign(hour=day.dialogues["first_hour"], stranger=stranger)
    bursts = _take_sessions(day, pairs, limits.sessions.choose(day.has_past))
    brief = bursts["hours"] <= limits.hours.choose(day.has_past)
    bursts = bursts[brief & are_short(day, bursts) & (bursts["pace"] >= limits.sessions_per_minute)]
    bursts = bursts[bursts["stranger"] | (_count_sources_in_hour(bursts) <= limits.sources)]
    return _name_guesses(day, bursts)


def _find_logins(day: ObservedDay) -> pd.DataFrame:
    """Find sources with many sessions in an hour at a port where hosts log in; without a past, from outside only."""
    logins = day.conversations[day.conversations["ported"] > 0]
    logins = _take_sessions(day, logins, day.limits.brute_force.login_sessions)
    return _name_guesses(day, logins if day.has_past else logins[~are_private(logins["src_ip"])])


def _take_sessions(day: ObservedDay, pairs: pd.DataFrame, least: int) -> pd.DataFrame:
    """Return the pairs that reach the limit of alike short sessions, at a port for logins where it is known."""
    limits = day.limits.brute_force
    limit = np.maximum(least, limits.sessions_factor * pairs["past_pair_peak_flows"])
    pairs = pairs.assign(value=pairs["flows"], limit=limit, strength=pairs["flows"] / limit)
    alike = pairs["flow_bytes"].between(*limits.session_bytes) & (pairs["size_spread"] <= limits.size_spread)
    sessions = (pairs["protocol"] == "TCP") & have_service(pairs, limits.login_ports)
    return pairs[sessions & alike & (pairs["strength"] >= 1)]


def _name_guesses(day: ObservedDay, pairs: pd.DataFrame) -> pd.DataFrame:
    table = name_pairs(pairs)
    sentences = [
        f"{source} opened {flows:,} sessions (limit {limit:,.0f}) of about {size:,.0f} bytes to {target} "
        f"{say_service('TCP', port)} in {minutes:,} busy minutes; "
        f"{describe_past(f'at most {past:,.0f} in an hour before', day)}"
        for source, target, flows, limit, port, size, minutes, past in zip(
            *(table[name] for name in ("entity", "peer", "flows", "limit", "service")),
            *(pairs[name] for name in ("flow_bytes", "minutes", "past_pair_peak_flows")),
            strict=True,
        )
    ]
    return to_findings("brute_force", table, "sessions of a pair", sentences, day.limits.score)


def _count_sources_in_hour(bursts: pd.DataFrame) -> np.ndarray:
    """Return how many sources each row's destination has in its hour."""
    groups = group_by(bursts, ["dst_ip", "hour"])
    return np.asarray(group_by(bursts, ["dst_ip", "hour", "src_ip"]).count_within(groups)[groups.codes])


def find_lateral_movement(day: ObservedDay) -> pd.DataFrame:
    """Find private hosts that open TCP sessions to several private hosts they never met, and that are clients.

    A source that the past does not know may be a new administrator's: it takes more peers, which nobody else
    opens sessions to on the day. A scanner of the past may open as many sessions as it probed hosts. Where there are
    ports, they are those of remote work.
    """
    calls, limits = day.dialogues, day.limits.lateral_movement
    private = are_private(calls["src_ip"]) & are_private(calls["dst_ip"])
    private &= have_service(calls, limits.remote_ports) & ~are_answers(day, calls)
    sessions = calls[private & (calls["protocol"] == "TCP") & (calls["flow_bytes"] >= limits.session_bytes)]
    known = sessions["past_source_hours"] > 0
    new = (sessions["past_pair_flows"] == 0) & _are_clients(day, sessions)
    suspects = sessions[new & (known | (count_sources(sessions) == 1))]
    return rank_findings([_name_movers(day, suspects), _find_slow_movers(day, sessions[new & known])])


def _find_slow_movers(day: ObservedDay, sessions: pd.DataFrame) -> pd.DataFrame:
    """Find known sources whose new peers of today and of the days before together are many, and no servers."""
    limits = day.limits.lateral_movement
    if day.history is None or sessions.empty:
        return rank_findings([])
    begun = day.history.tables["pair"]
    settled = day.history.first + day.limits.past.settling_hours * HOUR
    begun = begun[(begun["begin"] > settled) & (begun["sessions"] > 0)]
    begun = begun[begun["src_ip"].isin(sessions["src_ip"].unique())]
    begun = begun[are_private(begun["dst_ip"]) & _are_clients(day, begun) & ~_are_shared(day, begun)]
    sessions = sessions[~_are_shared(day, sessions) & sessions["src_ip"].isin(begun["src_ip"].unique())]
    met = pd.concat([frame[["src_ip", "dst_ip"]].astype("str") for frame in (begun, sessions)]).drop_duplicates()
    peers = sessions["src_ip"].astype("str").map(met["src_ip"].value_counts())
    groups = group_by(sessions, ["src_ip"])
    table = name_groups(sessions, groups, entity="src_ip").assign(value=peers.to_numpy()[groups.first])
    limit = limits.unknown_source_peers
    table = table.assign(limit=limit, strength=table["value"] / limit)[table["value"] >= limit]
    sentences = [
        f"{source} opened sessions {say_service('TCP', port)} to {peers:,} clients of this network within some days "
        f"that it had not met before (limit {limit:,.0f})"
        for source, port, peers in zip(*(table[name] for name in ("entity", "service", "value")), strict=True)
    ]
    return to_findings("lateral_movement", table, "clients never met before", sentences, day.limits.score)


def _name_movers(day: ObservedDay, suspects: pd.DataFrame) -> pd.DataFrame:
    """Return the sources whose new peers of the day are many."""
    limits = day.limits.lateral_movement
    groups = group_by(suspects, ["src_ip"])
    least = np.where(suspects["past_source_hours"] > 0, limits.peers, limits.unknown_source_peers)
    probed = suspects["past_source_day_probes"].to_numpy()
    scanned = np.where(probed >= day.limits.horizontal_scan.day_destinations.with_past, probed, 0)
    limit = np.maximum(least, scanned)[groups.first]
    strength = groups.sizes / limit
    table = name_groups(suspects, groups, entity="src_ip").assign(value=groups.sizes, limit=limit, strength=strength)
    table = table[strength >= 1]
    sentences = [
        f"{source} opened sessions {say_service('TCP', port)} to {peers:,} clients of this network that it had not met "
        f"before (limit {limit:,.0f})"
        for source, port, peers, limit in zip(
            *(table[name] for name in ("entity", "service", "value", "limit")), strict=True
        )
    ]
    return to_findings("lateral_movement", table, "clients never met before", sentences, day.limits.score)


def _are_shared(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return which destinations had more sources in an hour of the past than a client has."""
    if day.history is None:
        return np.zeros(len(calls), dtype=bool)
    known = day.history.tables["destination"]
    shared = known["dst_ip"][known["peak_sources"] > day.limits.beaconing.sources.with_past]
    return np.asarray(calls["dst_ip"].isin(shared))


def _are_clients(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return which destinations are sources on the day or in the past."""
    sources = day.summary.conversations["src_ip"].cat.categories
    if day.history is not None:
        sources = sources.append(day.history.tables["source"]["src_ip"].cat.categories)
    known = sources.unique().get_indexer(calls["dst_ip"].cat.categories) >= 0  # ten times as fast as isin
    return np.asarray(known[calls["dst_ip"].cat.codes])
