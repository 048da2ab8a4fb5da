"""A day: how many events each part holds and when, the background drawn as sessions, and what is staged on top."""

from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from network_anomalies.generator.population import (
    FRACTION_BITS,
    PUBLIC_HOSTS,
    SLOT_DRAWS,
    Population,
    build_population,
    name_public,
)
from network_anomalies.generator.scenarios import (
    MINUTE,
    Instance,
    count_strangers,
    draw_flows,
    stage_scenarios,
    vary_attacks,
)
from network_anomalies.generator.truth import TRUTH_COLUMNS, label_flows
from network_anomalies.parameters import GeneratorParameters, ProfileParameters

SATURDAY = 5
# A session's flows: heavy-tailed in number (Pareto, index 1.3), most of them within moments, some after minutes.
FLOWS_PER_SESSION = np.minimum(2 * (1 - (np.arange(1024) + 0.5) / 1024) ** (-1 / 1.3), 100).astype(np.int64)
GAPS = np.exp(np.interp(np.arange(4096) / 4096, [0, 0.6, 0.9, 1], np.log([1e3, 1e5, 5e6, 9e7])))
GAP_MICROSECONDS = GAPS.round().astype(np.int64)
KNOWN_HOSTS = 1 << 20  # numbers of outside hosts below this are a profile's servers


@dataclass(frozen=True)
class PlannedDay:
    """The plan of a day; a part is drawn from it alone, in any order.

    ``edges`` are the parts' bounds in microseconds of the day, ``background`` their numbers of background flows, and
    ``curve`` how much background falls before each minute; ``one_offs`` are codes of destinations seen just once.
    ``origin`` is what it was made from: another process gets that and plans again, since a plan has megabytes.
    """

    origin: tuple[GeneratorParameters, date]
    midnight: np.datetime64
    ordinal: int
    seed: int
    population: Population
    addresses: pd.Index
    curve: np.ndarray
    edges: np.ndarray
    background: np.ndarray
    one_offs: np.ndarray
    instances: list[Instance]

    def __reduce__(self) -> tuple[Any, ...]:
        return plan_day, self.origin

    @property
    def parts(self) -> range:
        """The parts' numbers, from 1."""
        return range(1, len(self.edges))

    @property
    def runs(self) -> list[range]:
        """Runs of parts; each holds about as many staged events as a part holds events."""
        staged = sum(instance.count_before(int(self.edges[-1])) for instance in self.instances)
        number = max(-(-len(self.parts) * staged // (staged + int(self.background.sum()))), 1)
        bounds = (len(self.parts) * np.arange(number + 1) // number).tolist()
        return [range(first + 1, last + 1) for first, last in pairwise(bounds)]


def plan_day(generator: GeneratorParameters, logical_date: date) -> PlannedDay:
    """Return the plan of a day of exactly ``n_events`` events in parts of at most ``part_events``."""
    origin = generator, logical_date
    generator = vary_attacks(generator, logical_date)
    profile = generator.profiles[generator.profile]
    population = build_population(profile, generator.seed)
    strange = len(population.addresses) + np.arange(count_strangers(generator))
    instances = stage_scenarios(generator, population, logical_date, strange)
    one_offs = _count_one_offs(profile, population, instances, generator.n_events)
    strangers = _name_strangers(generator.seed, logical_date, len(strange) + one_offs)
    parts = -(-generator.n_events // generator.part_events)
    curve = np.append(0, np.cumsum(build_curve(profile, logical_date.weekday() >= SATURDAY)))
    edges = find_moments(curve, curve[-1] * np.arange(parts + 1) // parts)
    sizes = np.diff(generator.n_events * np.arange(parts + 1) // parts)
    staged = np.diff([sum(instance.count_before(int(edge)) for instance in instances) for edge in edges])
    return PlannedDay(
        origin=origin,
        midnight=np.datetime64(logical_date, "us"),
        ordinal=logical_date.toordinal(),
        seed=generator.seed,
        population=population,
        addresses=population.addresses.append(pd.Index(strangers, dtype="str")),
        curve=curve,
        edges=edges,
        background=_share_out(sizes, staged),
        one_offs=len(population.addresses) + len(strange) + np.arange(one_offs),
        instances=instances,
    )


def draw_part(day: PlannedDay, part: int) -> pd.DataFrame:
    """Return the events of a part (from 1), background and staged ones, in order of time."""
    first, last = (int(edge) for edge in day.edges[part - 1 : part + 1])
    staged = [draw_flows(instance, first, last) for instance in day.instances]
    flows = _join([_draw_background_flows(day, part, first, last), *staged])
    bits = len(flows["time"]).bit_length()
    order = np.sort((flows["time"] - first) << bits | np.arange(len(flows["time"]))) & ((1 << bits) - 1)
    return _to_frame(day, {name: values[order] for name, values in flows.items()})


def label_parts(day: PlannedDay, parts: range) -> pd.DataFrame:
    """Return the truth about consecutive parts: one row per staged event, with ``TRUTH_COLUMNS``."""
    first, last = int(day.edges[parts[0] - 1]), int(day.edges[parts[-1]])
    staged = [draw_flows(instance, first, last) for instance in day.instances]
    counts = [len(flows["time"]) for flows in staged]
    if not any(counts):
        return pd.DataFrame(columns=list(TRUTH_COLUMNS)).astype(TRUTH_COLUMNS)
    return label_flows(_to_frame(day, _join(staged)), day.instances, counts, pd.Timestamp(day.midnight, tz="UTC"))


def build_curve(profile: ProfileParameters, weekend: bool) -> np.ndarray:
    """Return the weight of each minute of a day: two humps of office hours over what machines do all night."""
    hour = np.arange(1440) / 60
    humps = np.maximum(np.exp(-(((hour - 10.25) / 1.9) ** 2)), 0.95 * np.exp(-(((hour - 15) / 2.3) ** 2)))
    height = (1 - profile.night) * (profile.weekend if weekend else 1)
    weights: np.ndarray = np.round((profile.night + height * humps) * 1e6).astype(np.int64)
    return weights


def find_moments(curve: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the microsecond of the day at each place of the curve; within a minute time runs evenly."""
    minute = np.minimum(np.searchsorted(curve, places, side="right") - 1, len(curve) - 2)
    moments: np.ndarray = minute * MINUTE + (places - curve[minute]) * MINUTE // (curve[minute + 1] - curve[minute])
    return moments


def _count_one_offs(
    profile: ProfileParameters, population: Population, instances: list[Instance], n_events: int
) -> int:
    """Return how many destinations are seen once: a share of all destinations, at most 1 % of the events."""
    met = [instance.destinations[: instance.flows] for instance in instances]
    known = np.unique(np.concatenate([population.inside_servers, population.outside_servers, *met]))
    return min(round(len(known) * profile.one_offs / (1 - profile.one_offs)), n_events // 100)


def _share_out(sizes: np.ndarray, staged: np.ndarray) -> np.ndarray:
    """Return the background of each part, so that staged flows that overflow a part are made up for in the others."""
    background = np.maximum(sizes - staged, 0)
    excess = int(background.sum() - (sizes.sum() - staged.sum()))
    spare = np.cumsum(background)
    taken = np.minimum(spare, excess)
    shared: np.ndarray = background - np.diff(taken, prepend=0)
    return shared


def _draw_background_flows(day: PlannedDay, part: int, first: int, last: int) -> dict[str, np.ndarray]:
    """Return the background flows of a part: sessions of clients, each flow in one of its client's conversations."""
    population = day.population
    random = np.random.default_rng([day.seed, day.ordinal, part])
    sessions = _draw_sessions(day, part, random)
    # Random bits of each flow: 0-11 the gap before it, 12-23 its slot, 24-25 whether its size is the usual one,
    # 26-41 its place among the bytes, 42-57 its place among the durations.
    bits = random.integers(0, 2**63, len(sessions.of_flow))
    time = _find_times(sessions, bits)
    slot = population.slot_draws[bits >> 12 & (SLOT_DRAWS - 1)]
    client = sessions.clients[sessions.of_flow]
    conversation = client * len(population.slot_first) + slot
    # One flow in four is of any size that the service knows, the others are like the conversation's own.
    usual = (bits >> 24 & 3) != 0
    begin = np.where(usual, population.first[conversation], population.slot_first[slot])
    width = np.where(usual, population.width[conversation], population.slot_width[slot])
    servers, outside = population.server[conversation], population.slot_outside[slot]
    return {
        "time": first + (time - first) % (last - first),
        "source": client,
        "destination": _meet_strangers(day, part, random, servers, outside),
        "bytes": _look_up(population.bytes, begin + (width * (bits >> 26 & 0xFFFF) >> 16)),
        "microseconds": _look_up(population.microseconds, begin + (width * (bits >> 42 & 0xFFFF) >> 16)),
        "protocol": population.slot_protocol[slot],
    }


@dataclass(frozen=True)
class _Sessions:
    """Sessions of a part: when each starts, its client and the place of its first flow; and each flow's session."""

    starts: np.ndarray
    clients: np.ndarray
    first_flows: np.ndarray
    of_flow: np.ndarray


def _draw_sessions(day: PlannedDay, part: int, random: np.random.Generator) -> _Sessions:
    """Draw as many sessions as the part's background flows need, within the part by the day's curve."""
    flows, client_edges = int(day.background[part - 1]), day.population.client_edges
    sessions = flows // int(FLOWS_PER_SESSION.mean()) + 8
    counts = FLOWS_PER_SESSION[random.integers(0, len(FLOWS_PER_SESSION), sessions)]
    counts[-1] += max(flows - counts.sum(), 0)
    low, high = day.curve[-1] * np.array([part - 1, part]) // len(day.background)
    return _Sessions(
        starts=find_moments(day.curve, random.integers(low, high, sessions)),
        clients=np.searchsorted(client_edges, random.integers(0, client_edges[-1], sessions), side="right"),
        first_flows=np.minimum(np.cumsum(counts) - counts, flows),
        of_flow=np.repeat(np.arange(sessions), counts)[:flows],
    )


def _find_times(sessions: _Sessions, bits: np.ndarray) -> np.ndarray:
    """Return when each flow begins: the session's start and the gaps of the session up to the flow."""
    gaps = np.cumsum(GAP_MICROSECONDS[bits & 4095])
    before = np.append(gaps, 0)[sessions.first_flows]
    times: np.ndarray = sessions.starts[sessions.of_flow] + gaps - before[sessions.of_flow]
    return times


def _meet_strangers(
    day: PlannedDay, part: int, random: np.random.Generator, destinations: np.ndarray, outside: np.ndarray
) -> np.ndarray:
    """Send some of the flows that leave the network to places where nobody else goes on that day."""
    low, high = len(day.one_offs) * np.array([part - 1, part]) // len(day.background)
    chosen = np.unique(random.integers(0, max(len(destinations), 1), 4 * (high - low)))[: len(destinations)]
    places = random.permutation(chosen[outside[chosen]])[: high - low]
    destinations[places] = day.one_offs[low : low + len(places)]
    return destinations


def _join(flows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([group[name] for group in flows]) for name in flows[0]}


def _look_up(table: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the table's values at places between its cells."""
    cell = place >> FRACTION_BITS
    values: np.ndarray = table[0, cell] + (table[1, cell] * (place & ((1 << FRACTION_BITS) - 1)) >> FRACTION_BITS)
    return values


def _to_frame(day: PlannedDay, flows: dict[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "timestamp": pd.Series(day.midnight + flows["time"].astype("timedelta64[us]")).dt.tz_localize("UTC"),
            "src_ip": pd.Categorical.from_codes(flows["source"], day.addresses),
            "dst_ip": pd.Categorical.from_codes(flows["destination"], day.addresses),
            "bytes": flows["bytes"],
            "duration": flows["microseconds"] / 1e6,
            "protocol": pd.Categorical.from_codes(flows["protocol"], day.population.protocols),
        }
    )


def _name_strangers(seed: int, logical_date: date, count: int) -> list[str]:
    """Return outside addresses that are distinct within a day, and almost surely new on it."""
    random = np.random.default_rng([seed, logical_date.toordinal(), 0])
    begin = int(random.integers(KNOWN_HOSTS, PUBLIC_HOSTS - count))
    return name_public(seed, begin + np.arange(count))
