"""Features of a flow as whole-number levels: how familiar, how fast, how wide, how large."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from network_anomalies.detection.scoring.columns import Coded, Groups, group_rows
from network_anomalies.detection.scoring.history import History, look_up

LEVELS_PER_E = 8  # a level spans a factor of e ** (1 / 8) = 1.13
LEVELS = 600
ZERO = 256  # the level of 0 of a feature that may be negative


@dataclass(frozen=True)
class Feature:
    """What is unusual about a feature, and how to say it.

    Attributes:
        facet: the group whose mean surprise it belongs to.
        side: ``low``, ``high`` or ``both``.
        words: the value in words.
        signed: whether its levels count from ``ZERO``.
    """

    facet: str
    side: str
    words: str
    signed: bool = False


FEATURES = {
    "source_flows": Feature("source", "low", "{} flows of this source in other hours"),
    "source_hours": Feature("source", "low", "source seen in {} other hours"),
    "destination_flows": Feature("destination", "low", "{} flows to this destination in other hours"),
    "destination_hours": Feature("destination", "low", "destination seen in {} other hours"),
    "pair_flows": Feature("destination", "low", "{} flows between the two in other hours"),
    "pair_hours": Feature("destination", "low", "the two seen together in {} other hours"),
    "source_protocol_flows": Feature("protocol", "low", "{} flows of this source over this protocol in other hours"),
    "source_protocol_hours": Feature("protocol", "low", "source seen with this protocol in {} other hours"),
    "protocol_size_flows": Feature("size", "low", "{} flows of this protocol and size in other hours"),
    "protocol_size_hours": Feature("size", "low", "this protocol and size seen in {} other hours"),
    "source_protocol_size_flows": Feature("size", "low", "{} flows of this size from this source in other hours"),
    "source_protocol_size_hours": Feature("size", "low", "this size seen from this source in {} other hours"),
    "destination_flows_hour": Feature("pace", "high", "{} flows to this destination in the hour"),
    "destination_flows_minute": Feature("pace", "high", "{} flows to this destination in the minute"),
    "pair_flows_hour": Feature("pace", "high", "{} flows between the two in the hour"),
    "pair_flows_active_minute": Feature("pace", "high", "{} flows between the two per active minute"),
    "source_flows_hour": Feature("spread", "high", "{} flows of this source in the hour"),
    "source_flows_minute": Feature("spread", "high", "{} flows of this source in the minute"),
    "source_destinations_hour": Feature("spread", "high", "{} destinations of this source in the hour"),
    "source_destinations_minute": Feature("spread", "high", "{} destinations of this source in the minute"),
    "destination_sources_hour": Feature("spread", "high", "{} sources of this destination in the hour"),
    "destination_sources_minute": Feature("spread", "high", "{} sources of this destination in the minute"),
    "same_size_destinations_hour": Feature("scan", "high", "{} destinations sent the same size in the hour"),
    "same_size_destinations_minute": Feature("scan", "high", "{} destinations sent the same size in the minute"),
    "new_destinations_hour": Feature("scan", "high", "{} unknown destinations sent the same size in the hour"),
    "new_destinations_minute": Feature("scan", "high", "{} unknown destinations sent the same size in the minute"),
    "log_bytes": Feature("shape", "both", "{} bytes", signed=True),
    "log_duration": Feature("shape", "both", "{} ms", signed=True),
    "log_rate": Feature("shape", "both", "{} bytes per ms", signed=True),
}
FACETS = tuple(dict.fromkeys(feature.facet for feature in FEATURES.values()))


def compute_levels(
    coded: Coded, context: Mapping[str, np.ndarray], history: History, inside: bool
) -> dict[str, np.ndarray]:
    """Return the level of every feature, from 0 to ``LEVELS`` - 1, in row order.

    Args:
        coded: whole hours of events.
        context: their context columns.
        history: what is familiar.
        inside: whether these events are part of the history: then each is judged without its own hour.
    """
    familiar = compute_familiarity(coded, context, history, inside)
    hour, minute = _count_new_destinations(coded, familiar["destination_hours"] == 0)
    counts = {
        **{name: values for name, values in context.items() if name in FEATURES},
        **familiar,
        "pair_flows_active_minute": context["pair_flows_hour"] / context["pair_minutes_hour"],
        "new_destinations_hour": hour,
        "new_destinations_minute": minute,
    }
    logs = {
        "log_bytes": coded.log_bytes,
        "log_duration": coded.log_duration,
        "log_rate": coded.log_bytes - coded.log_duration,
    }
    return {
        name: to_levels(logs[name], ZERO) if feature.signed else count_levels(counts[name])
        for name, feature in FEATURES.items()
    }


def count_levels(counts: np.ndarray) -> np.ndarray:
    """Return floor(8 ln(1 + count))."""
    if counts.dtype.kind == "i" and counts.max(initial=0) < len(_COUNT_LEVELS):
        return np.asarray(_COUNT_LEVELS[counts])
    return to_levels(np.log1p(counts), 0)


def to_levels(logs: np.ndarray, zero: int) -> np.ndarray:
    """Return floor(8 x) + zero, kept within the levels there are."""
    return np.asarray(np.clip(np.floor(LEVELS_PER_E * logs) + zero, 0, LEVELS - 1).astype(np.int16))


def to_value(name: str, level: int) -> float:
    """Return the smallest value of a level."""
    feature = FEATURES[name]
    value = np.exp((level - (ZERO if feature.signed else 0)) / LEVELS_PER_E)
    return float(value if name == "log_rate" else value - 1)


def compute_familiarity(
    coded: Coded, context: Mapping[str, np.ndarray], history: History, inside: bool
) -> dict[str, np.ndarray]:
    """Return for each key of ``KEYS`` the flows and hours of the history that share it, in row order."""
    # Within an hour, since those groups are there; what is looked up is the same in each.
    groups = {
        "source": coded.source_hours,
        "destination": coded.destination_hours,
        "pair": coded.pair_hours,
        "source_protocol": coded.source_hours.refine(coded.protocol),
        "protocol_size": group_rows(coded.hour).refine(coded.shape),
        "source_protocol_size": coded.size_hours,
    }
    familiar = {}
    for name, keyed in groups.items():
        flows, hours = (counts[keyed.codes] for counts in look_up(history, name, coded, keyed.first))
        # A row of the history leaves its whole hour out: a burst must not make itself familiar.
        familiar[f"{name}_flows"] = flows - context[f"{name}_flows_hour"] if inside else flows
        familiar[f"{name}_hours"] = hours - 1 if inside else hours
    return familiar


def _count_new_destinations(coded: Coded, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unknown destinations that a source sent one protocol and size to, in the hour and in the minute."""
    same_size = coded.size_hours
    return _count_new(same_size, coded, new), _count_new(same_size.refine(coded.minute_of_hour), coded, new)


def _count_new(groups: Groups, coded: Coded, new: np.ndarray) -> np.ndarray:
    first = groups.refine(coded.destination).first
    counts = np.bincount(groups.codes[first[new[first]]], minlength=len(groups))
    return np.asarray(counts[groups.codes])


_COUNT_LEVELS = to_levels(np.log1p(np.arange(65_536)), 0)  # a look-up is several times as fast as a logarithm
