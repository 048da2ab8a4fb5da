"""From scores of flows to anomalies of hosts, and from all findings to the alerts of a day."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import name_groups, rank_findings, to_findings
from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits
from network_anomalies.detection.scoring.columns import encode_events
from network_anomalies.detection.scoring.history import group_by
from network_anomalies.detection.scoring.model import Model
from network_anomalies.detection.scoring.summary import stack
from network_anomalies.events.contract import COLUMNS

MOST_ALERTS = 50
_WORDS = {
    "source": "an unfamiliar source",
    "destination": "an unfamiliar destination",
    "protocol": "a protocol unusual for it",
    "size": "sizes unusual for it",
    "pace": "an unusual pace",
    "spread": "unusually many flows or partners",
    "scan": "the same size sent to unusually many",
    "shape": "unusual bytes or durations",
}


def flag_conversations(events: pd.DataFrame, scores: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Return the conversation-hours of a slice that reach the model's alert score.

    Args:
        events: whole hours of events.
        scores: what ``score`` returned for them.
        model: the model that scored them.

    Returns:
        Frame with ``src_ip``, ``dst_ip``, ``protocol`` (categories), ``hour``, ``flows``, ``first`` and ``last``
        (microseconds since 1970), ``excess`` of the score over the alert score, and the strongest ``facet``.
    """
    # A conversation-hour has one score, so what reaches the limit is whole ones.
    high = scores["score"].to_numpy() >= model.alert_score
    events, scores = events.loc[high, list(COLUMNS)], scores[high]
    coded = encode_events(events)
    conversations = coded.conversation_hours
    last = np.zeros(len(conversations), dtype=np.int64)
    np.maximum.at(last, conversations.codes, coded.micros)
    first = np.full(len(conversations), np.iinfo(np.int64).max)
    np.minimum.at(first, conversations.codes, coded.micros)
    rows = conversations.first
    return pd.DataFrame(
        {
            "src_ip": pd.Categorical.from_codes(coded.source[rows], coded.sources),
            "dst_ip": pd.Categorical.from_codes(coded.destination[rows], coded.destinations),
            "protocol": pd.Categorical.from_codes(coded.protocol[rows], coded.protocols),
            "hour": coded.hour[rows],
            "flows": conversations.sizes,
            "first": first,
            "last": last,
            "excess": scores["score"].to_numpy()[rows] - model.alert_score,
            "facet": scores["facet_1"].astype("str").to_numpy()[rows],
        }
    )


def find_anomalies(flagged: Sequence[pd.DataFrame], limits: DetectorLimits = DEFAULT_LIMITS) -> pd.DataFrame:
    """Return the flagged conversation-hours of a day's slices as findings, one per host.

    The host is the source, or the destination where more flagged sources meet at it than the source has destinations.

    Args:
        flagged: what ``flag_conversations`` returned for each slice.
        limits: of the detectors; the alert score is the model's.

    Returns:
        Findings of kind ``anomaly``, comparable to those of the named detectors: ``at_limit`` points at the alert
        score, and ``per_doubling`` more for every ``nats_per_doubling`` above it.
    """
    filled = [table for table in flagged if len(table)]
    if not filled:
        return rank_findings([])
    conversations = stack(filled)
    sources, destinations = group_by(conversations, ["src_ip"]), group_by(conversations, ["dst_ip"])
    pairs = group_by(conversations, ["src_ip", "dst_ip"])
    at_destination = pairs.count_within(destinations)[destinations.codes] > pairs.count_within(sources)[sources.codes]
    of_source = _name_hosts(conversations[~at_destination], ("src_ip", "dst_ip"), "with", limits)
    of_destination = _name_hosts(conversations[at_destination], ("dst_ip", "src_ip"), "from", limits)
    return rank_findings([of_source, of_destination])


def choose_alerts(findings: Sequence[pd.DataFrame], most: int = MOST_ALERTS) -> pd.DataFrame:
    """Return a day's alerts from named findings and anomalies, one per entity and kind, the highest score first.

    An anomaly of a host that a named finding explains, as entity or peer, is left out.
    """
    ranked = rank_findings(findings)
    named = ranked[ranked["kind"] != "anomaly"]
    explained = ranked["entity"].isin([*named["entity"], *named["peer"]])
    chosen = ranked[(ranked["kind"] != "anomaly") | ~explained]
    return chosen.head(most).reset_index(drop=True)


def _name_hosts(conversations: pd.DataFrame, sides: tuple[str, str], word: str, limits: DetectorLimits) -> pd.DataFrame:
    entity, peer = sides
    conversations = conversations.sort_values("excess", ascending=False, kind="stable").reset_index(drop=True)
    groups = group_by(conversations, [entity])
    peers = group_by(conversations, [entity, peer]).count_within(groups)
    strongest = conversations.take(groups.first)  # rows are in order of excess, so a group's first is its strongest
    table = name_groups(conversations, groups, entity).assign(
        peer=strongest[peer].astype("str").to_numpy(),
        strength=np.exp2(strongest["excess"].to_numpy() / limits.anomaly.nats_per_doubling),
    )
    sentences = [
        f"{host} stands out ({flows:,} flows {word} {count:,} of its peers, {other} first of all): {_WORDS[facet]}"
        for host, flows, count, other, facet in zip(
            table["entity"], table["flows"], peers, table["peer"], strongest["facet"], strict=True
        )
    ]
    return to_findings("anomaly", table, sentences, limits.score)
