"""Floods, and bytes that leave."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import name_groups, name_pairs, rank_findings, to_findings
from network_anomalies.detection.rules import limits
from network_anomalies.detection.rules.dialogues import (
    ObservedDay,
    are_exceptions,
    are_private,
    before,
    count_destinations,
    hours_of,
    total,
)
from network_anomalies.detection.scoring.columns import Groups
from network_anomalies.detection.scoring.history import group_by

_MEGABYTE = 1e6


def find_floods(day: ObservedDay) -> pd.DataFrame:
    """Find destinations flooded with all but empty flows, by many sources or by one."""
    talks = day.talks
    empty = talks[(talks["flow_bytes"] <= limits.EMPTY_BYTES) & (talks["flow_seconds"] <= limits.EMPTY_SECONDS)]
    return rank_findings([_find_crowds(day, empty), _find_single_floods(day, empty)])


def _find_crowds(day: ObservedDay, empty: pd.DataFrame) -> pd.DataFrame:
    """Find destinations where more strangers meet in an hour than in others, or a crowd as they never had it."""
    groups = group_by(empty, ["dst_ip", "hour"])
    sources = group_by(empty, ["dst_ip", "hour", "src_ip"]).count_within(groups)
    table = name_groups(empty, groups, entity="dst_ip").assign(sources=sources)
    strength = _compare_strangers(day, empty, groups)
    if day.has_past:
        strength = np.maximum(strength, _compare_crowds(empty, groups, table))
    table = table.assign(strength=strength)[strength >= 1]
    sentences = [
        f"{target} received {flows:,} all but empty flows from {count:,} sources within an hour"
        for target, flows, count in zip(table["entity"], table["flows"], table["sources"], strict=True)
    ]
    return to_findings("ddos", table, sentences)


def _compare_strangers(day: ObservedDay, empty: pd.DataFrame, groups: Groups) -> np.ndarray:
    """Return how many times the limit the sources are that nobody knew, and that came for this destination only."""
    passing = (count_destinations(day.talks) == 1) & (hours_of(day.talks, ["src_ip"]) <= limits.PASSING_HOURS)
    strange = (passing & (day.talks["past_source_flows"] == 0)).loc[empty.index]
    table = pd.DataFrame({name: empty[name].to_numpy()[groups.first] for name in ("dst_ip", "hour")})
    table["strangers"] = total(groups, strange.astype("int64"))
    many = table[table["dst_ip"].isin(table["dst_ip"][table["strangers"] >= day.limits.strangers])]
    wide = many.astype({"dst_ip": "str"}).pivot(index="dst_ip", columns="hour", values="strangers")
    usual = wide.reindex(columns=day.summary.hours).fillna(0).median(axis=1).reindex(table["dst_ip"].astype("str"))
    limit = np.fmax(day.limits.strangers, limits.FLOOD_FACTOR * usual.to_numpy(dtype="float64"))
    return np.asarray(table["strangers"] / limit)


def _compare_crowds(empty: pd.DataFrame, groups: Groups, table: pd.DataFrame) -> np.ndarray:
    """Return how many times its limit a crowd is in flows and sources, 0 unless the past knows at most half of them."""
    strangers = total(groups, (empty["past_source_flows"] == 0).astype("int64"))
    peak_flows, peak_sources = (
        empty[f"past_destination_peak_{name}"].to_numpy()[groups.first] for name in ("flows", "sources")
    )
    flows_ratio = table["flows"] / np.maximum(limits.CROWD_FLOWS, limits.CROWD_FLOWS_FACTOR * peak_flows)
    sources_ratio = table["sources"] / np.maximum(limits.CROWD_SOURCES, limits.CROWD_SOURCES_FACTOR * peak_sources)
    known = strangers < limits.CROWD_STRANGERS * groups.sizes
    return np.where(known, 0.0, np.minimum(flows_ratio, sources_ratio))


def _find_single_floods(day: ObservedDay, empty: pd.DataFrame) -> pd.DataFrame:
    """Find pairs with far more flows in an hour than ever, at a machine's pace."""
    limit = np.maximum(day.limits.flood, limits.FLOOD_FACTOR * empty["past_pair_peak_flows"])
    talks = empty.assign(strength=empty["flows"] / limit)
    brief = hours_of(talks, ["src_ip", "dst_ip"]) <= day.limits.burst_hours
    hit = talks[brief & (talks["strength"] >= 1) & (talks["pace"] >= limits.FLOOD_PACE)]
    table = name_pairs(hit, entity="dst_ip", peer="src_ip")
    sentences = [
        f"{target} received {flows:,} all but empty flows from {source} within an hour"
        for target, source, flows in zip(table["entity"], table["peer"], table["flows"], strict=True)
    ]
    return to_findings("ddos", table, sentences)


def find_exfiltration(day: ObservedDay) -> pd.DataFrame:
    """Find sources that move far more than they ever did: at once to a stranger, or drip by drip to one they know.

    Bytes have no direction here, so a large download from a destination that nobody knew looks the same.
    """
    pairs = day.dialogues[day.dialogues["bytes"] >= day.limits.leak_bytes]
    limit, suspect = _judge_by_past(day, pairs) if day.has_past else _judge_by_day(day, pairs)
    hit = pairs.assign(strength=pairs["bytes"] / limit)[suspect & (pairs["bytes"] >= limit)]
    table = name_pairs(hit)
    sentences = [
        f"{source} moved {size / _MEGABYTE:,.0f} MB in {flows:,} flows with {target}; "
        f"{before(f'at most {past / _MEGABYTE:,.1f} MB a day with it before', day)}"
        for source, target, size, flows, past in zip(
            table["entity"], table["peer"], hit["bytes"], table["flows"], hit["past_pair_day_bytes"], strict=True
        )
    ]
    findings = to_findings("exfiltration", table, sentences)
    known = (hit["past_pair_flows"] > 0).to_numpy()
    return findings.assign(technique=findings["technique"].mask(known, "T1041"))


def _judge_by_past(day: ObservedDay, pairs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the limit of bytes, and whether the pair is one of a known source with a stranger, or drips."""
    stranger = pairs["past_destination_flows"] == 0
    often = (pairs["flows"] >= limits.DRIP_FLOWS) & (pairs["hours"] >= limits.DRIP_HOURS)
    drips = (pairs["past_pair_flows"] > 0) & often & (pairs["largest"] <= limits.DRIP_LARGEST * pairs["bytes"])
    usual = (limits.LEAK_FACTOR * pairs["past_source_peak_bytes"]).where(
        stranger, limits.DRIP_FACTOR * pairs["past_pair_day_bytes"]
    )
    return usual.clip(lower=day.limits.leak_bytes), (stranger | drips) & (pairs["past_source_hours"] > 0)


def _judge_by_day(day: ObservedDay, pairs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the limit of bytes, and whether the destination is a public one where, for once, nobody else goes."""
    source = group_by(day.dialogues, ["src_ip"])
    of_source = pd.Series(total(source, day.dialogues["bytes"])[source.codes], day.dialogues.index)
    others = of_source.loc[pairs.index] - pairs["bytes"]
    alone = pd.Series(are_exceptions(day.dialogues), day.dialogues.index).loc[pairs.index]
    return (limits.LONE_LEAK_FACTOR * others).clip(lower=day.limits.leak_bytes), alone & ~are_private(pairs["dst_ip"])
