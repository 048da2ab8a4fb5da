"""Floods, and bytes that leave."""

import numpy as np
import pandas as pd

from network_anomalies.detection import limits
from network_anomalies.detection.dialogues import (
    Day,
    are_private,
    before,
    count_sources,
    hours_of,
    name_groups,
    name_pairs,
    total,
)
from network_anomalies.detection.findings import rank_findings, to_findings
from network_anomalies.detection.history import aggregate, group_by

_MEGABYTE = 1e6


def find_floods(day: Day) -> pd.DataFrame:
    """Find destinations flooded with all but empty flows, by many sources or by one."""
    talks = day.talks
    empty = talks[(talks["flow_bytes"] <= limits.EMPTY_BYTES) & (talks["flow_seconds"] <= limits.EMPTY_SECONDS)]
    return rank_findings([_find_crowds(day, empty), _find_single_floods(day, empty)])


def _find_crowds(day: Day, empty: pd.DataFrame) -> pd.DataFrame:
    """Find destinations with far more sources and flows in an hour than ever, most of them strangers."""
    groups = group_by(empty, ["dst_ip", "hour"])
    sources = group_by(empty, ["dst_ip", "hour", "src_ip"]).count_within(groups)
    table = name_groups(empty, groups, entity="dst_ip").assign(sources=sources)
    if day.has_past:
        strange = (
            total(groups, (empty["past_source_flows"] == 0).astype("int64")) >= limits.CROWD_STRANGERS * groups.sizes
        )
        usual_flows = limits.CROWD_FLOWS_FACTOR * empty["past_destination_peak_flows"].to_numpy()[groups.first]
        usual_sources = limits.CROWD_SOURCES_FACTOR * empty["past_destination_peak_sources"].to_numpy()[groups.first]
    else:
        strange = np.ones(len(groups), dtype=bool)
        usual_flows = limits.FLOOD_FACTOR * _median_hour(day.talks).reindex(table["entity"]).to_numpy(dtype="float64")
        usual_sources = np.zeros(len(groups))
    flows_ratio = table["flows"] / np.maximum(day.limits.crowd_flows, usual_flows)
    sources_ratio = sources / np.maximum(day.limits.crowd_sources, usual_sources)
    table = table.assign(strength=np.minimum(flows_ratio, sources_ratio))
    table = table[strange & (table["strength"] >= 1)]
    sentences = [
        f"{target} received {flows:,} all but empty flows from {count:,} sources within an hour"
        for target, flows, count in zip(table["entity"], table["flows"], table["sources"], strict=True)
    ]
    return to_findings("ddos", table, sentences)


def _median_hour(talks: pd.DataFrame) -> pd.Series:
    """Return the median of a destination's flows in its hours of the day, 0 if it has but one."""
    hours = aggregate(talks, ["dst_ip", "hour"], ["flows"])
    by_destination = hours.groupby(hours["dst_ip"].astype("str"))["flows"]
    median: pd.Series = by_destination.median().where(by_destination.size() > 1, 0)
    return median


def _find_single_floods(day: Day, empty: pd.DataFrame) -> pd.DataFrame:
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


def find_exfiltration(day: Day) -> pd.DataFrame:
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


def _judge_by_past(day: Day, pairs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the limit of bytes, and whether the pair is one of a known source with a stranger, or drips."""
    stranger = pairs["past_destination_flows"] == 0
    often = (pairs["flows"] >= limits.DRIP_FLOWS) & (pairs["hours"] >= limits.DRIP_HOURS)
    drips = (pairs["past_pair_flows"] > 0) & often & (pairs["largest"] <= limits.DRIP_LARGEST * pairs["bytes"])
    usual = (limits.LEAK_FACTOR * pairs["past_source_peak_bytes"]).where(
        stranger, limits.DRIP_FACTOR * pairs["past_pair_day_bytes"]
    )
    return usual.clip(lower=day.limits.leak_bytes), (stranger | drips) & (pairs["past_source_hours"] > 0)


def _judge_by_day(day: Day, pairs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the limit of bytes, and whether the destination is a public one that no other source talks to."""
    source = group_by(day.dialogues, ["src_ip"])
    of_source = pd.Series(total(source, day.dialogues["bytes"])[source.codes], day.dialogues.index)
    others = of_source.loc[pairs.index] - pairs["bytes"]
    lone = pd.Series(count_sources(day.dialogues) == 1, day.dialogues.index).loc[pairs.index]
    return (limits.LONE_LEAK_FACTOR * others).clip(lower=day.limits.leak_bytes), lone & ~are_private(pairs["dst_ip"])
