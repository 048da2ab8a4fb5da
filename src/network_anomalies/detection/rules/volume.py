"""Floods, and bytes that leave."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import (
    name_groups,
    name_pairs,
    rank_findings,
    say_service,
    to_findings,
)
from network_anomalies.detection.rules.dialogues import (
    ObservedDay,
    are_exceptions,
    are_private,
    are_short,
    count_destinations,
    count_hours,
    describe_past,
    sum_groups,
)
from network_anomalies.detection.scoring.groups import Groups
from network_anomalies.detection.scoring.history import group_by

_MEGABYTE = 1e6


def find_floods(day: ObservedDay) -> pd.DataFrame:
    """Find destinations flooded with almost empty flows, by many sources or by one."""
    flows, limits = day.conversations, day.limits.ddos
    empty = flows[(flows["flow_bytes"] <= limits.empty_bytes) & (flows["flow_seconds"] <= limits.empty_seconds)]
    return rank_findings([_find_crowds(day, empty), _find_single_floods(day, empty)])


def _find_crowds(day: ObservedDay, empty: pd.DataFrame) -> pd.DataFrame:
    """Find destinations where more strangers meet in an hour than in others, or a crowd as they never had it."""
    groups = group_by(empty, ["dst_ip", "hour"])
    sources = group_by(empty, ["dst_ip", "hour", "src_ip"]).count_within(groups)
    table = name_groups(empty, groups, entity="dst_ip").assign(sources=sources)
    strength = _measure_strangers(day, empty, groups)
    if day.has_past:
        strength = np.maximum(strength, _measure_crowds(day, empty, groups, table))
    table = table.assign(strength=strength, value=sources)[strength >= 1]
    table["limit"] = table["value"] / table["strength"]
    sentences = [
        f"{target} received {flows:,} all but empty flows from {count:,} sources (limit {limit:,.0f}) within an hour"
        for target, flows, count, limit in zip(
            *(table[name] for name in ("entity", "flows", "value", "limit")), strict=True
        )
    ]
    return to_findings("ddos", table, "sources in an hour", sentences, day.limits.score)


def _measure_strangers(day: ObservedDay, empty: pd.DataFrame, groups: Groups) -> np.ndarray:
    """Return how many times their limit the sources are that nobody knew and that talk to this destination only."""
    conversations, limits = day.conversations, day.limits.ddos
    passing = count_hours(conversations, ["src_ip"]) <= limits.stranger_hours
    passing &= count_destinations(conversations) == 1
    strangers = (passing & _are_new_sources(conversations)).loc[empty.index]
    table = pd.DataFrame({name: empty[name].to_numpy()[groups.first] for name in ("dst_ip", "hour")})
    table["strangers"] = sum_groups(groups, strangers.astype("int64"))
    least = limits.strangers.choose(day.has_past)
    many = table[table["dst_ip"].isin(table["dst_ip"][table["strangers"] >= least])]
    wide = many.astype({"dst_ip": "str"}).pivot(index="dst_ip", columns="hour", values="strangers")
    usual = wide.reindex(columns=day.summary.hours).fillna(0).median(axis=1).reindex(table["dst_ip"].astype("str"))
    limit = np.fmax(least, limits.strangers_factor * usual.to_numpy(dtype="float64"))
    return np.asarray(table["strangers"] / limit)


def _measure_crowds(day: ObservedDay, empty: pd.DataFrame, groups: Groups, table: pd.DataFrame) -> np.ndarray:
    """Return how many times its limit a crowd is in flows and sources, 0 where the past knows too many of them."""
    limits = day.limits.ddos
    strangers = sum_groups(groups, _are_new_sources(empty).astype("int64"))
    peak_flows, peak_sources = (
        empty[f"past_destination_peak_{name}"].to_numpy()[groups.first] for name in ("flows", "sources")
    )
    flows_ratio = table["flows"] / np.maximum(limits.crowd_flows, limits.crowd_flows_factor * peak_flows)
    sources_ratio = table["sources"] / np.maximum(limits.crowd_sources, limits.crowd_sources_factor * peak_sources)
    known = strangers < limits.crowd_strangers_share * groups.sizes
    return np.where(known, 0.0, np.minimum(flows_ratio, sources_ratio))


def _are_new_sources(conversations: pd.DataFrame) -> pd.Series:
    """Return which rows have a source that the past does not know, or not from its first hours on."""
    return (conversations["past_source_flows"] == 0) | conversations["young_source"]


def _find_single_floods(day: ObservedDay, empty: pd.DataFrame) -> pd.DataFrame:
    """Find pairs with far more flows in an hour than ever, at a machine's pace."""
    limits = day.limits.ddos
    limit = np.maximum(limits.pair_flows.choose(day.has_past), limits.pair_flows_factor * empty["past_pair_peak_flows"])
    pairs = empty.assign(value=empty["flows"], limit=limit, strength=empty["flows"] / limit)
    brief = count_hours(pairs, ["src_ip", "dst_ip"]) <= limits.pair_hours.choose(day.has_past)
    floods = pairs[
        brief & are_short(day, pairs) & (pairs["strength"] >= 1) & (pairs["pace"] >= limits.pair_flows_per_minute)
    ]
    table = name_pairs(floods, entity="dst_ip", peer="src_ip")
    sentences = [
        f"{target} received {flows:,} all but empty flows (limit {limit:,.0f}) from {source} within an hour"
        for target, source, flows, limit in zip(
            *(table[name] for name in ("entity", "peer", "flows", "limit")), strict=True
        )
    ]
    return to_findings("ddos", table, "flows of a pair in an hour", sentences, day.limits.score)


def find_exfiltration(day: ObservedDay) -> pd.DataFrame:
    """Find sources that move far more than they ever did: to a stranger, or drip by drip to one they know.

    What a new pair moved on the days before counts with what it moves today.

    Where the events tell bytes by direction, those from the source count. Else a large download from a destination
    that nobody knew looks the same as a leak.
    """
    dialogues = _count_moved(day)
    pairs = dialogues[dialogues["moved"] >= day.limits.exfiltration.pair_bytes.choose(day.has_past)]
    limit, suspect = _judge_by_past(day, pairs) if day.has_past else _judge_by_day(day, dialogues, pairs)
    leaks = pairs.assign(value=pairs["moved"], limit=limit, strength=pairs["moved"] / limit)
    leaks = leaks[suspect & (leaks["strength"] >= 1)]
    table = name_pairs(leaks)
    sentences = [
        f"{source} {verb} {size / _MEGABYTE:,.0f} MB (limit {limit / _MEGABYTE:,.0f}) in {flows:,} flows with {target} "
        f"{say_service(protocol, port)}; "
        f"{describe_past(f'at most {past / _MEGABYTE:,.1f} MB a day with it before', day)}"
        for source, target, flows, size, limit, protocol, port, verb, past in zip(
            *(table[name] for name in ("entity", "peer", "flows", "value", "limit", "protocol", "service")),
            np.where(leaks["sided"] > 0, "sent", "moved"),
            leaks["past_pair_moved"],
            strict=True,
        )
    ]
    findings = to_findings("exfiltration", table, "bytes in the day", sentences, day.limits.score)
    known = (leaks["past_pair_flows"] > 0).to_numpy()
    return findings.assign(technique=findings["technique"].mask(known, "T1041"))


def _count_moved(day: ObservedDay) -> pd.DataFrame:
    """Return the dialogues with ``moved`` bytes: those from the source where directions are known, else all of them.

    What moved in the past (``past_pair_moved``, ``past_source_moved``) is counted in the same way if the past knows
    directions.
    """
    calls = day.dialogues
    sided = (calls["sided"] > 0).to_numpy()
    known = day.history is not None and bool(day.history.tables["pair"]["day_upload"].any())
    past = {
        f"past_{name}": calls[uploads].where(sided & known, calls[either])
        for name, uploads, either in (
            ("pair_moved", "past_pair_day_upload", "past_pair_day_bytes"),
            ("source_moved", "past_source_peak_upload", "past_source_peak_bytes"),
        )
    }
    # What a pair that is not normal yet moved on the days before counts with what it moves today.
    before = calls["young_pair_total_upload"].where(sided & known, calls["young_pair_total_bytes"])
    return calls.assign(moved=calls["upload"].where(sided, calls["bytes"]) + before, **past)


def _judge_by_past(day: ObservedDay, pairs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the limit of bytes, and whether the pair is one of a known source with a stranger, or drips."""
    limits = day.limits.exfiltration
    stranger = pairs["past_destination_flows"] == 0
    often = (pairs["flows"] >= limits.drip_flows) & (pairs["hours"] >= limits.drip_hours)
    drips = (pairs["past_pair_flows"] > 0) & often & (pairs["largest"] <= limits.drip_largest_share * pairs["bytes"])
    usual = (limits.source_factor * pairs["past_source_moved"]).where(
        stranger, limits.pair_factor * pairs["past_pair_moved"]
    )
    limit = usual.clip(lower=limits.pair_bytes.choose(day.has_past))
    return limit, (stranger | drips) & (pairs["past_source_hours"] > 0)


def _judge_by_day(day: ObservedDay, dialogues: pd.DataFrame, pairs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the limit of bytes, and whether the destination is a public one where, for once, nobody else goes."""
    limits = day.limits.exfiltration
    source = group_by(dialogues, ["src_ip"])
    of_source = pd.Series(sum_groups(source, dialogues["moved"])[source.codes], dialogues.index)
    others = of_source.loc[pairs.index] - pairs["moved"]
    alone = pd.Series(are_exceptions(dialogues, day.limits.past), dialogues.index).loc[pairs.index]
    limit = (limits.lone_factor * others).clip(lower=limits.pair_bytes.choose(day.has_past))
    return limit, alone & ~are_private(pairs["dst_ip"])
