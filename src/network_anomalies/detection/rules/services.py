"""Services over a protocol that the network does not speak."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import (
    find_main_services,
    name_groups,
    say_service,
    to_findings,
)
from network_anomalies.detection.rules.dialogues import ObservedDay, are_groups
from network_anomalies.detection.scoring.columns import UNKNOWN
from network_anomalies.detection.scoring.history import group_by


def find_new_services(day: ObservedDay) -> pd.DataFrame:
    """Find destinations that several sources talk to over a protocol or port new to the network.

    New is a protocol that the past does not have, or that few sources of the day speak, all with one destination,
    which nobody knew and which they reach over no other. Where there are ports, new is also a port that the past does
    not have, at a destination that nobody knew. Pings and multicast are no service.
    """
    limits = day.limits.new_service
    calls = day.dialogues[~day.dialogues["protocol"].isin(limits.control_protocols)]
    calls = calls[~are_groups(calls["dst_ip"])]
    stranger = calls["past_destination_flows"] == 0
    calls = calls[_are_new_protocols(day, calls) | (stranger & (_are_rare(day, calls) | _are_new_ports(day, calls)))]
    groups = group_by(calls, ["dst_ip", "protocol"])
    sources = group_by(calls, ["dst_ip", "protocol", "src_ip"]).count_within(groups)
    table = name_groups(calls, groups, entity="dst_ip").assign(sources=sources)
    strength = np.minimum(table["flows"] / limits.flows, sources / limits.sources)
    table = table.assign(strength=strength, value=table["flows"], limit=limits.flows)[strength >= 1]
    sentences = [
        f"{count:,} sources (limit {limits.sources}) sent {target} {flows:,} flows (limit {limits.flows}) "
        f"{say_service(protocol, port)}, a service new to the network"
        for target, count, flows, protocol, port in zip(
            table["entity"], table["sources"], table["flows"], table["protocol"], table["service"], strict=True
        )
    ]
    return to_findings("new_service", table, "flows in the day", sentences, day.limits.score)


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


def _are_new_ports(day: ObservedDay, calls: pd.DataFrame) -> np.ndarray:
    """Return which rows are about a port that the past does not have; none without a past that has ports."""
    if day.history is None or not day.has_past or day.history.tables["service"].empty:
        return np.zeros(len(calls), dtype=bool)
    services = find_main_services(calls)
    return np.asarray((services != UNKNOWN) & ~np.isin(services, day.history.tables["service"]["service"]))
