"""Features of a flow: how familiar, fast, wide, even and large it is; their values are whole-number levels."""

from dataclasses import dataclass

import numpy as np

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
        scale: what a level is of: ln(1 + ``count``), ln(1 + x) of a ``signed`` logarithm that counts from ``ZERO``, or
            ln(x) of a ``ratio``, which does so too.
    """

    facet: str
    side: str
    words: str
    scale: str = "count"


FEATURES = {
    "source_flows": Feature("source", "low", "{} flows of this source at other times"),
    "source_hours": Feature("source", "low", "source seen in {} other blocks of time"),
    "destination_flows": Feature("destination", "low", "{} flows to this destination at other times"),
    "destination_hours": Feature("destination", "low", "destination seen in {} other blocks of time"),
    "pair_flows": Feature("destination", "low", "{} flows between the two at other times"),
    "pair_hours": Feature("destination", "low", "the two seen together in {} other blocks of time"),
    "service_other_flows": Feature("destination", "low", "{} flows to this port between others"),
    "source_protocol_flows": Feature("protocol", "low", "{} flows of this source over this protocol at other times"),
    "source_protocol_hours": Feature("protocol", "low", "source seen with this protocol in {} other blocks of time"),
    "protocol_size_flows": Feature("size", "low", "{} flows of this protocol and size at other times"),
    "protocol_size_hours": Feature("size", "low", "this protocol and size seen in {} other blocks of time"),
    "source_protocol_size_flows": Feature("size", "low", "{} flows of this size from this source at other times"),
    "source_protocol_size_hours": Feature("size", "low", "this size seen from this source in {} other blocks of time"),
    "destination_flows_hour": Feature("pace", "high", "{} flows to this destination in the hour"),
    "destination_flows_minute": Feature("pace", "high", "{} flows to this destination in the minute"),
    "pair_flows_hour": Feature("pace", "high", "{} flows between the two in the hour"),
    "pair_flows_active_minute": Feature("pace", "high", "{} flows between the two per active minute"),
    "pair_flows_ratio": Feature("pace", "high", "{} times as many flows between the two as usual", scale="ratio"),
    "destination_flows_ratio": Feature(
        "pace", "high", "{} times as many flows to this destination as usual", scale="ratio"
    ),
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
    "pair_services_hour": Feature("scan", "high", "{} ports of this destination in the hour"),
    "lone_rhythm": Feature("rhythm", "low", "gaps that differ by {} % in calls to where only this source goes"),
    "log_bytes": Feature("shape", "both", "{} bytes", scale="signed"),
    "log_duration": Feature("shape", "both", "{} ms", scale="signed"),
    "log_rate": Feature("shape", "both", "{} bytes per ms", scale="ratio"),
}
PORT_FEATURES = ("service_other_flows", "pair_services_hour")
FACETS = tuple(dict.fromkeys(feature.facet for feature in FEATURES.values()))


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
    scale = FEATURES[name].scale
    value = np.exp((level - (0 if scale == "count" else ZERO)) / LEVELS_PER_E)
    return float(value if scale == "ratio" else value - 1)


_COUNT_LEVELS = to_levels(np.log1p(np.arange(65_536)), 0)  # a look-up is several times as fast as a logarithm
