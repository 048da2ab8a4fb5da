"""Services over a protocol that the network does not speak."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import name_groups, to_findings
from network_anomalies.detection.rules.dialogues import ObservedDay
from network_anomalies.detection.scoring.history import group_by


def find_new_services(day: ObservedDay) -> pd.DataFrame:
    """Find destinations that several sources talk to over a protocol new to the network.

    New is a protocol that the past does not have, or that few sources of the day speak, all with one destination,
    which nobody knew and which they reach over no other. Pings and multicast are no service.
    """
    limits = day.limits.new_service
    calls = day.dialogues[~day.dialogues["protocol"].isin(limits.control_protocols)]
    calls = calls[~_are_multicast(calls["dst_ip"])]
    calls = calls[_are_new_protocols(day, calls) | (_are_rare(day, calls) & (calls["past_destination_flows"] == 0))]
    groups = group_by(calls, ["dst_ip", "protocol"])
    sources = group_by(calls, ["dst_ip", "protocol", "src_ip"]).count_within(groups)
    table = name_groups(calls, groups, entity="dst_ip").assign(
        sources=sources, protocol=calls["protocol"].astype("str").to_numpy()[groups.first]
    )
    strength = np.minimum(table["flows"] / limits.flows, sources / limits.sources)
    table = table.assign(strength=strength)[strength >= 1]
    sentences = [
        f"{count:,} sources sent {target} {flows:,} flows over {protocol}, a protocol new to the network"
        for target, count, flows, protocol in zip(
            table["entity"], table["sources"], table["flows"], table["protocol"], strict=True
        )
    ]
    return to_findings("new_service", table, sentences, day.limits.score)


def _are_new_protocols(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return which protocols the past does not have; none without a past."""
    if day.history is None or not day.has_past:
        return np.zeros(len(calls), dtype=bool)
    return np.asarray(~calls["protocol"].isin(day.history.tables["source_protocol"]["protocol"].unique()))


def _are_rare(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return which protocols few sources of the day speak, with one destination, which they reach over no other."""
    protocol, destination = group_by(calls, ["protocol"]), group_by(calls, ["dst_ip"])
    speakers = group_by(calls, ["protocol", "src_ip"]).count_within(protocol)[protocol.codes]
    destinations = group_by(calls, ["protocol", "dst_ip"]).count_within(protocol)[protocol.codes]
    protocols = group_by(calls, ["dst_ip", "protocol"]).count_within(destination)[destination.codes]
    few = speakers <= day.limits.new_service.speakers_share * day.dialogues["src_ip"].nunique()
    return np.asarray(few & (destinations == 1) & (protocols == 1))


def _are_multicast(addresses: pd.Series) -> np.ndarray:
    """Return which addresses are in 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291)."""
    multicast = addresses.cat.categories.str.fullmatch(r"(22[4-9]|23\d)(\.\d+){3}|ff[0-9a-f]{2}:.*", case=False)
    return np.asarray(np.append(multicast, False)[addresses.cat.codes])
