"""Features of a flow as whole-number levels: how familiar, how fast, how wide, how large, how alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from network_anomalies.detection.scoring.columns import HOUR, UNKNOWN, Coded
from network_anomalies.detection.scoring.groups import Groups, group_rows
from network_anomalies.detection.scoring.history import History, find_rows, look_up

LEVELS_PER_E = 8  # a level spans a factor of e ** (1 / 8) = 1.13
LEVELS = 600
ZERO = 256  # the level of 0 of a feature that may be negative
_NO_RHYTHM = 1_000  # per cent; more than gaps within an hour can spread


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
    "other_flows": Feature("company", "low", "{} flows to this destination from other sources"),
    "lone_rhythm": Feature("company", "low", "gaps that differ by {} % in calls to where only this source goes"),
    "log_bytes": Feature("shape", "both", "{} bytes", scale="signed"),
    "log_duration": Feature("shape", "both", "{} ms", scale="signed"),
    "log_rate": Feature("shape", "both", "{} bytes per ms", scale="ratio"),
}
PORT_FEATURES = ("service_other_flows", "pair_services_hour")
FACETS = tuple(dict.fromkeys(feature.facet for feature in FEATURES.values()))


@dataclass(frozen=True)
class Familiar:
    """What the history knows of the flows of a block of time that share a key.

    Attributes:
        groups: the flows of a block that share the key.
        flows: per group, flows with the key at other times.
        blocks: per group, other blocks of time that have such flows.
        total: per group, all flows with the key, those of its own block included if they are part of the history.
    """

    groups: Groups
    flows: np.ndarray
    blocks: np.ndarray
    total: np.ndarray

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return values of groups in row order."""
        wide: np.ndarray = values[self.groups.codes]
        return wide


def compute_levels(
    coded: Coded, context: Mapping[str, np.ndarray], history: History, inside: bool
) -> dict[str, np.ndarray]:
    """Return the level of every feature, from 0 to ``LEVELS`` - 1, in row order.

    Features of ports are missing where events or history have none, and ``UNKNOWN`` in rows without a port.

    Args:
        coded: whole hours of events.
        context: their context columns.
        history: what is familiar.
        inside: whether these events are part of the history: then each is judged without its own block of time.
    """
    familiar = compute_familiarity(coded, history, inside)
    new = familiar["destination"].spread(familiar["destination"].blocks == 0)
    hour, minute = _count_new_destinations(coded, new)
    counts = {
        **{name: values for name, values in context.items() if name in FEATURES},
        "pair_flows_active_minute": context["pair_flows_hour"] / context["pair_minutes_hour"],
        "new_destinations_hour": hour,
        "new_destinations_minute": minute,
    }
    logs = {
        "log_bytes": coded.log_bytes,
        "log_duration": coded.log_duration,
        "log_rate": coded.log_bytes - coded.log_duration,
    }
    levels = {name: count_levels(values) for name, values in counts.items()}
    levels |= {name: to_levels(values, ZERO) for name, values in logs.items()}
    for name, known in familiar.items():
        levels[f"{name}_flows"] = known.spread(count_levels(known.flows))
        levels[f"{name}_hours"] = known.spread(count_levels(known.blocks))
    for name in ("pair", "destination"):
        levels[f"{name}_flows_ratio"] = familiar[name].spread(_compare_with_usual(familiar[name]))
    levels |= _judge_company(coded, context, history, familiar, inside)
    levels |= _judge_services(coded, history)
    return {name: levels[name] for name in FEATURES if name in levels}


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


def compute_familiarity(coded: Coded, history: History, inside: bool) -> dict[str, Familiar]:
    """Return what the history knows of sources, destinations, pairs, protocols and sizes."""
    # Within an hour, since those groups are there; what is looked up is the same in each.
    by_hour = {
        "source": coded.source_hours,
        "destination": coded.destination_hours,
        "pair": coded.pair_hours,
        "source_protocol": coded.source_hours.refine(coded.protocol),
        "protocol_size": group_rows(coded.hour).refine(coded.shape),
        "source_protocol_size": coded.size_hours,
    }
    block = history.block
    part = coded.micros % HOUR // block.micros
    familiar = {}
    for name, hours in by_hour.items():
        groups = hours if block.micros == HOUR else hours.refine(part)
        total, blocks = look_up(history, name, coded, groups.first, ("flows", block.column))
        # A row of the history leaves its whole block out: a burst must not make itself familiar.
        own = (groups.sizes, 1) if inside else (0, 0)
        familiar[name] = Familiar(groups, total - own[0], blocks - own[1], total)
    return familiar


def _compare_with_usual(known: Familiar) -> np.ndarray:
    """Return per group the level of its flows by its usual ones: those of a block at other times, one more in each."""
    usual = (known.flows + 1) / (known.blocks + 1)
    return to_levels(np.log(known.groups.sizes / usual), ZERO)


def _judge_company(
    coded: Coded, context: Mapping[str, np.ndarray], history: History, familiar: Mapping[str, Familiar], inside: bool
) -> dict[str, np.ndarray]:
    """Return levels of what others send to a destination, and of how even the calls are where nobody else goes.

    Calls of a source say nothing where all its destinations are its own, as in a network of one host.
    """
    pair, rows = familiar["pair"], familiar["pair"].groups.first
    at_destination, at_source = (familiar[name].groups.codes[rows] for name in ("destination", "source"))
    others = familiar["destination"].total[at_destination] - pair.total
    if not inside:
        others = others + context["destination_flows_hour"][rows] - context["pair_flows_hour"][rows]
    meets_others = _meet_others(coded, history, familiar["source"])[at_source]
    spread = context["pair_gap_spread_hour"][rows]
    lone = meets_others & (others == 0) & ~np.isnan(spread)
    rhythm = np.where(lone, 100 * np.nan_to_num(spread), _NO_RHYTHM)
    return {"other_flows": pair.spread(count_levels(others)), "lone_rhythm": pair.spread(count_levels(rhythm))}


def _meet_others(coded: Coded, history: History, source: Familiar) -> np.ndarray:
    """Return per group of a source whether it sends to a destination that others send to as well."""
    rows = source.groups.first
    place = find_rows(history, "source", [(coded.source[rows], coded.sources)])
    return np.asarray(np.append(history.meets_others, False)[place])


def _judge_services(coded: Coded, history: History) -> dict[str, np.ndarray]:
    """Return levels of how often others use a port, and of how many ports of a destination a source uses."""
    known = coded.service != UNKNOWN
    if len(history.tables["service"]) == 0 or not known.any():
        return {}
    groups = coded.pair_hours.refine(coded.service - UNKNOWN)
    services, pairs = (
        look_up(history, name, coded, groups.first, ("flows",))[0] for name in ("service", "pair_service")
    )
    pair = coded.pair_hours
    used = np.bincount(pair.codes[groups.first[known[groups.first]]], minlength=len(pair))[pair.codes]
    others = count_levels(services - pairs)[groups.codes]
    return {
        "service_other_flows": np.where(known, others, UNKNOWN),
        "pair_services_hour": np.where(known, count_levels(used), UNKNOWN),
    }


def _count_new_destinations(coded: Coded, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unknown destinations that a source sent one protocol and size to, in the hour and in the minute."""
    same_size = coded.size_hours
    return _count_new(same_size, coded, new), _count_new(same_size.refine(coded.minute_of_hour), coded, new)


def _count_new(groups: Groups, coded: Coded, new: np.ndarray) -> np.ndarray:
    first = groups.refine(coded.destination).first
    counts = np.bincount(groups.codes[first[new[first]]], minlength=len(groups))
    return np.asarray(counts[groups.codes])


_COUNT_LEVELS = to_levels(np.log1p(np.arange(65_536)), 0)  # a look-up is several times as fast as a logarithm
