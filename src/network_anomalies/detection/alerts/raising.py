"""One score from both kinds of evidence: findings raise the scores of their flows."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import MAIN_SHARE
from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits
from network_anomalies.detection.scoring.columns import HOUR, UNKNOWN, Coded, Keyed, encode_events, to_micros
from network_anomalies.detection.scoring.history import PROBE_BYTES, History, find_rows

AT_DESTINATION = ("ddos", "new_service")
"""Kinds whose entity is the destination of their flows; of all others it is the source."""
TO_STRANGERS = ("horizontal_scan", "lateral_movement")


def raise_scores(
    events: pd.DataFrame,
    scores: pd.DataFrame,
    findings: pd.DataFrame,
    history: History | None,
    limits: DetectorLimits = DEFAULT_LIMITS,
) -> pd.DataFrame:
    """Return scores with the surprise of the findings that a flow belongs to.

    A finding that just reaches its limit adds ``anomaly.nats_per_doubling`` of ``limits`` to the score of its flows,
    and as much again for each doubling beyond it. Of several findings the strongest counts.

    Args:
        events: whole UTC hours of events.
        scores: what ``model.score`` returned for them.
        findings: of the named detectors, columns as in ``FINDING_COLUMNS``.
        history: of the past that they were made by, None without one.
        limits: that the findings were made by.

    Returns:
        ``scores`` with ``finding``: the kind of the finding that raised the flow, "" where there is none (categories).
    """
    return raise_matched(scores, match_findings(encode_events(events), findings, history), findings, limits)


def raise_matched(
    scores: pd.DataFrame, strongest: np.ndarray, findings: pd.DataFrame, limits: DetectorLimits
) -> pd.DataFrame:
    """Return scores as ``raise_scores`` does, from the places of the strongest findings (-1: none)."""
    doublings = 1 + (findings["score"].to_numpy() - limits.score.at_limit) / limits.score.per_doubling
    raised = np.append(limits.anomaly.nats_per_doubling * doublings, 0.0)[strongest]
    kinds = pd.Index(["", *findings["kind"].unique()], dtype="str")
    kind = np.append(kinds.get_indexer(pd.Index(findings["kind"], dtype="str")), 0)[strongest]
    return scores.assign(score=scores["score"].to_numpy() + raised, finding=pd.Categorical.from_codes(kind, kinds))


def match_findings(coded: Coded, findings: pd.DataFrame, history: History | None) -> np.ndarray:
    """Return the place of the strongest finding that each event belongs to, -1 where there is none.

    A finding's flows are whole conversation-hours: of its entity, with its peer, protocol and service where it has
    such, between the hours of its first and last flow. Of a host that scans or moves through the network they are those
    with hosts that it did not know; those of a scan are small.
    """
    groups = coded.conversation_hours

    def share(service: int) -> np.ndarray:
        return groups.mean(coded.service == service)

    matched = match_conversations(coded, groups.mean(coded.log_bytes), share, findings, history)
    wide: np.ndarray = matched[groups.codes]
    return wide


def match_conversations(
    rows: Keyed,
    log_bytes: np.ndarray,
    share: Callable[[int], np.ndarray],
    findings: pd.DataFrame,
    history: History | None,
) -> np.ndarray:
    """Return the place of the strongest finding that each conversation-hour of rows belongs to, -1 where there is none.

    Args:
        rows: whole hours, flow by flow or counted.
        log_bytes: mean of ln(1 + bytes) of each conversation-hour.
        share: returns the share of a service in the flows of each conversation-hour.
        findings: as ``raise_scores`` has them.
        history: as ``raise_scores`` has it.
    """
    groups = rows.conversation_hours
    source, destination = rows.source[groups.first], rows.destination[groups.first]
    protocol, hour = rows.protocol[groups.first], rows.hour[groups.first]
    new = _are_new(rows, history)
    small = log_bytes <= np.log1p(PROBE_BYTES)
    matched = np.full(len(groups), -1)
    ordered = findings.reset_index(drop=True).sort_values("score", kind="stable")  # what is written last stays
    begins, ends = (to_micros(ordered[name]) // HOUR for name in ("first_seen", "last_seen"))
    for place, finding, begin, end in zip(ordered.index, ordered.itertuples(), begins, ends, strict=True):
        hosts = (finding.entity, finding.peer)
        sender, receiver = hosts[::-1] if finding.kind in AT_DESTINATION else hosts
        belongs = (hour >= begin) & (hour <= end)
        belongs &= _are_named(source, rows.sources, sender)
        belongs &= _are_named(destination, rows.destinations, receiver)
        belongs &= _are_named(protocol, rows.protocols, finding.protocol)
        if finding.service != UNKNOWN and belongs.any():
            belongs &= share(finding.service) > MAIN_SHARE
        if finding.kind in TO_STRANGERS:
            belongs &= new
        if finding.kind == "horizontal_scan":
            belongs &= small
        matched[belongs] = place
    return matched


def _are_new(rows: Keyed, history: History | None) -> np.ndarray:
    """Return which conversation-hours are of pairs that the past does not know; all of them without a past."""
    first = rows.conversation_hours.first
    if history is None:
        return np.ones(len(first), dtype=bool)
    ends = [(rows.source[first], rows.sources), (rows.destination[first], rows.destinations)]
    return find_rows(history, "pair", ends) < 0


def _are_named(codes: np.ndarray, names: pd.Index, name: str) -> np.ndarray | bool:
    """Return which codes stand for a name; all of them where the name is empty."""
    return codes == names.get_indexer([name])[0] if name else True
