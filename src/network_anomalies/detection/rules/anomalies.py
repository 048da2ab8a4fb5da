"""From scores of flows to anomalies of hosts, and from all findings to the alerts of a day."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.findings import name_groups, rank_findings, say_service, to_findings
from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits
from network_anomalies.detection.rules.dialogues import (
    ObservedDay,
    are_answers,
    are_groups,
    ask_time,
    sum_groups,
)
from network_anomalies.detection.scoring.columns import Keyed, encode_events
from network_anomalies.detection.scoring.history import History, find_rows, group_by
from network_anomalies.detection.scoring.model import Model
from network_anomalies.detection.scoring.summary import CONVERSATION, Summary, stack, summarise_coded
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS

MOST_ALERTS = 50
FLAGGED = [*CONVERSATION, "flows", "first", "last", "ported", "service", "service_flows", "size_mean"]
_WORDS = {
    "source": "an unfamiliar source",
    "destination": "an unfamiliar destination",
    "protocol": "a protocol unusual for it",
    "size": "sizes unusual for it",
    "pace": "an unusual pace",
    "spread": "unusually many flows or partners",
    "scan": "the same size sent to unusually many",
    "rhythm": "even calls to where nobody else goes",
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
        (microseconds since 1970), ``ported``, ``service``, ``service_flows`` and ``size_mean`` as in a summary,
        ``score``, ``excess`` of the score over the alert score, the strongest ``facet``, and whether the model
        ``knows`` source or destination from other flows.
    """
    # A conversation-hour has one score, so what reaches the limit is whole ones.
    high = scores["score"].to_numpy() >= model.alert_score
    kept = [name for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in events.columns]
    scores, coded = scores[high], encode_events(events.loc[high, kept])
    first = coded.conversation_hours.first
    keys = (coded.hour, coded.protocol, coded.destination, coded.source)
    rows = first[np.lexsort([key[first] for key in keys])]  # in the order of the summary
    score = scores["score"].to_numpy()[rows]
    return (
        summarise_coded(coded)
        .conversations[FLAGGED]
        .assign(
            score=score,
            excess=score - model.alert_score,
            facet=scores["facet_1"].astype("str").to_numpy()[rows],
            knows=know_ends(coded, rows, model.history),
        )
    )


def know_ends(coded: Keyed, rows: np.ndarray, history: History) -> np.ndarray:
    """Return whether the source or the destination of rows has several flows in the history, at either end."""
    known = np.zeros(len(rows), dtype=bool)
    for codes, names in ((coded.source[rows], coded.sources), (coded.destination[rows], coded.destinations)):
        flows = np.zeros(len(rows), dtype=np.int64)
        for table in ("source", "destination"):
            counts = np.append(history.tables[table]["flows"].to_numpy(), 0)
            flows += counts[find_rows(history, table, [(codes, names)])]
        known |= flows > 1  # a reference that holds the flow itself does not know it by that
    return known


def find_anomalies(
    flagged: Sequence[pd.DataFrame], summary: Summary, limits: DetectorLimits = DEFAULT_LIMITS
) -> pd.DataFrame:
    """Return the flagged conversation-hours of a day's slices as findings, one per host.

    The host is the source, or the destination where more flagged sources meet at it than the source has destinations.
    What goes to a group of hosts, asks for the time or, like an ICMP error, answers a host that spoke first is left
    out, and so is the only flow of two addresses that the model does not know.

    Args:
        flagged: what ``flag_conversations`` returned for each slice.
        summary: of these slices.
        limits: of the detectors; the alert score is the model's.

    Returns:
        Findings of kind ``anomaly`` with at least ``limits.anomaly.flows`` flows, comparable to those of the named
        detectors: ``at_limit`` points at the alert score, and ``per_doubling`` more for every ``nats_per_doubling``
        above it.
    """
    filled = [table for table in flagged if len(table)]
    if not filled:
        return rank_findings([])
    conversations = _leave_out_strays(stack(filled), ObservedDay(summary, limits=limits))
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
    others = strongest[peer].astype("str").to_numpy()
    table = name_groups(conversations, groups, entity).assign(
        peer=np.where(peers == 1, others, ""),
        value=strongest["score"].to_numpy(),
        limit=(strongest["score"] - strongest["excess"]).to_numpy(),
        strength=np.exp2(strongest["excess"].to_numpy() / limits.anomaly.nats_per_doubling),
        facet=strongest["facet"].to_numpy(),
        words=[
            f"{word} {other}" if count == 1 else f"{word} {count:,} hosts, {other} first of all"
            for count, other in zip(peers, others, strict=True)
        ],
    )
    table = table[table["flows"] >= limits.anomaly.flows]
    sentences = [
        f"{host} stands out ({flows:,} flows {say_service(protocol, port) if protocol else 'over several protocols'} "
        f"{peers}): {_WORDS[facet]}"
        for host, flows, protocol, port, peers, facet in zip(
            *(table[name] for name in ("entity", "flows", "protocol", "service", "words", "facet")), strict=True
        )
    ]
    return to_findings("anomaly", table, "score of the strongest conversation", sentences, limits.score)


def _leave_out_strays(conversations: pd.DataFrame, day: ObservedDay) -> pd.DataFrame:
    """Leave out questions for the time, answers, what goes to groups, and only flows of pairs that nobody knows."""
    pairs = group_by(conversations, ["src_ip", "dst_ip"])
    once = sum_groups(pairs, conversations["flows"])[pairs.codes] == 1
    stray = (once & ~conversations["knows"]) | are_groups(conversations["dst_ip"])
    control = conversations["protocol"].isin(day.limits.new_service.control_protocols)
    stray |= ask_time(conversations, day.limits.beaconing) | (control & are_answers(day, conversations))
    return conversations[~stray].reset_index(drop=True)
