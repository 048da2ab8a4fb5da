"""Levels of the features of flows, from their keys, their context columns and the history."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from network_anomalies.detection.scoring.columns import HOUR, SERVICES, UNKNOWN, Coded, Keyed
from network_anomalies.detection.scoring.features import FEATURES, ZERO, count_levels, to_levels
from network_anomalies.detection.scoring.groups import Groups, group_rows
from network_anomalies.detection.scoring.history import History, find_rows, look_up

_RANDOM_SPREAD = 100 * np.pi / np.sqrt(6)
"""Per cent: the standard deviation of ln(gap) between calls at random times. Less even ones have no rhythm."""


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


@dataclass(frozen=True)
class KeyLevels:
    """What the keys of flows and their hours say, in the order of rows that stand for one flow or for several.

    Attributes:
        levels: of the features that follow from it.
        new: whether the history does not know the destination.
        lone: whether a source that meets others elsewhere is the only one that calls the destination.
    """

    levels: Mapping[str, np.ndarray]
    new: np.ndarray
    lone: np.ndarray


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
    keys = judge_keys(coded, context, history, inside)
    minute = level_new_in_minute(coded, keys.new)
    levels = {**keys.levels, **minute, **judge_flows(coded, context, keys.lone)}
    levels |= judge_services(coded, history, count_services(coded.pair_hours, coded))
    return {name: levels[name] for name in FEATURES if name in levels}


def judge_keys(rows: Keyed, hours: Mapping[str, np.ndarray], history: History, inside: bool) -> KeyLevels:
    """Return what the keys of rows say beside the history.

    Args:
        rows: all flows of whole hours, one by one or counted by cells of the history's blocks.
        hours: their context columns of hours, at least ``destination_flows_hour`` and ``pair_flows_hour``.
        history: what is familiar.
        inside: as ``compute_levels`` has it.
    """
    familiar = compute_familiarity(rows, history, inside)
    new = familiar["destination"].spread(familiar["destination"].blocks == 0)
    levels = {"new_destinations_hour": count_levels(_count_new(rows.size_hours, rows, new))}
    for name, known in familiar.items():
        levels[f"{name}_flows"] = known.spread(count_levels(known.flows))
        levels[f"{name}_hours"] = known.spread(count_levels(known.blocks))
    for name in ("pair", "destination"):
        levels[f"{name}_flows_ratio"] = familiar[name].spread(_compare_with_usual(familiar[name]))
    return KeyLevels(levels, new, _find_lone(rows, hours, history, familiar, inside))


def judge_flows(coded: Coded, context: Mapping[str, np.ndarray], lone: np.ndarray) -> dict[str, np.ndarray]:
    """Return levels of what flows and their context columns say by themselves; ``lone`` as in ``KeyLevels``."""
    logs = {
        "log_bytes": coded.log_bytes,
        "log_duration": coded.log_duration,
        "log_rate": coded.log_bytes - coded.log_duration,
    }
    counts = {name: values for name, values in context.items() if name in FEATURES}
    spread = context["pair_gap_spread_hour"]
    rhythm = np.where(lone, 100 * spread, _RANDOM_SPREAD)
    return {
        **{name: count_levels(values) for name, values in counts.items()},
        **{name: to_levels(values, ZERO) for name, values in logs.items()},
        "pair_flows_active_minute": count_levels(context["pair_flows_hour"] / context["pair_minutes_hour"]),
        "lone_rhythm": count_levels(np.fmin(rhythm, _RANDOM_SPREAD)),  # also where the spread is missing
    }


def level_new_in_minute(rows: Keyed, new: np.ndarray) -> dict[str, np.ndarray]:
    """Return the level of unknown destinations that a source sent one protocol and size to in the minute."""
    same_size = rows.size_hours.refine(rows.minute_of_hour)
    return {"new_destinations_minute": count_levels(_count_new(same_size, rows, new))}


def compute_familiarity(rows: Keyed, history: History, inside: bool) -> dict[str, Familiar]:
    """Return what the history knows of sources, destinations, pairs, protocols and sizes."""
    # Within an hour, since those groups are there; what is looked up is the same in each.
    by_hour = {
        "source": rows.source_hours,
        "destination": rows.destination_hours,
        "pair": rows.pair_hours,
        "source_protocol": rows.source_hours.refine(rows.protocol),
        "protocol_size": rows.hours.refine(rows.shape),
        "source_protocol_size": rows.size_hours,
    }
    block = history.block
    part = rows.block_of_hour(block.micros)
    familiar = {}
    for name, hours in by_hour.items():
        groups = hours if block.micros == HOUR else hours.refine(part)
        total, blocks = look_up(history, name, rows, groups.first, ("flows", block.column))
        # A row of the history leaves its whole block out: a burst must not make itself familiar.
        own = (groups.sizes, 1) if inside else (0, 0)
        familiar[name] = Familiar(groups, total - own[0], blocks - own[1], total)
    return familiar


def _compare_with_usual(known: Familiar) -> np.ndarray:
    """Return per group the level of its flows by its usual ones: those of a block at other times, one more in each."""
    usual = (known.flows + 1) / (known.blocks + 1)
    return to_levels(np.log(known.groups.sizes / usual), ZERO)


def _find_lone(
    rows: Keyed, hours: Mapping[str, np.ndarray], history: History, familiar: Mapping[str, Familiar], inside: bool
) -> np.ndarray:
    """Return, in row order, whether nobody else sends to the destination.

    Calls of a source say nothing where all its destinations are its own, as in a network of one host.
    """
    pair, first = familiar["pair"], familiar["pair"].groups.first
    at_destination, at_source = (familiar[name].groups.codes[first] for name in ("destination", "source"))
    others = familiar["destination"].total[at_destination] - pair.total
    if not inside:
        others = others + hours["destination_flows_hour"][first] - hours["pair_flows_hour"][first]
    meets_others = _meet_others(rows, history, familiar["source"])[at_source]
    return pair.spread(meets_others & (others == 0))


def _meet_others(rows: Keyed, history: History, source: Familiar) -> np.ndarray:
    """Return per group of a source whether it sends to a destination that others send to as well."""
    place = find_rows(history, "source", [(rows.source[source.groups.first], rows.sources)])
    return np.asarray(np.append(history.meets_others, False)[place])


def count_services(pair: Groups, coded: Coded) -> np.ndarray:
    """Return, in row order, how many ports of its destination the source of a flow uses."""
    known = np.flatnonzero(coded.service != UNKNOWN)
    services = group_rows(pair.codes[known] * SERVICES + coded.service[known])
    used: np.ndarray = np.bincount(pair.codes[known[services.first]], minlength=len(pair))[pair.codes]
    return used


def judge_services(coded: Coded, history: History, used: np.ndarray) -> dict[str, np.ndarray]:
    """Return levels of how often others use a port, and of how many ports of a destination a source uses (``used``)."""
    known = coded.service != UNKNOWN
    if len(history.tables["service"]) == 0 or not known.any():
        return {}
    groups = coded.pair_hours.refine(coded.service - UNKNOWN)
    services, pairs = (
        look_up(history, name, coded, groups.first, ("flows",), coded.service)[0]
        for name in ("service", "pair_service")
    )
    others = count_levels(services - pairs)[groups.codes]
    return {
        "service_other_flows": np.where(known, others, UNKNOWN),
        "pair_services_hour": np.where(known, count_levels(used), UNKNOWN),
    }


def _count_new(groups: Groups, rows: Keyed, new: np.ndarray) -> np.ndarray:
    """Return, in row order, how many unknown destinations a group has."""
    first = groups.refine(rows.destination).first
    counts = np.bincount(groups.codes[first[new[first]]], minlength=len(groups))
    return np.asarray(counts[groups.codes])
