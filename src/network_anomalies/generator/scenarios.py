"""What is staged on top of the background: benign look-alikes, the same every day, and attacks, new every day.

Only the visitors of a public server are benign and yet other hosts every day.

A scenario is kept as a rule, not as rows: the n-th of its flows is a function of n, so that a part draws only the flows
that fall into it, however long the day.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from network_anomalies.generator.population import BACKUP_SERVER, SCANNER, TIME_SERVER, Population
from network_anomalies.parameters import (
    GeneratorParameters,
    PeriodicParameters,
    Scenario,
    TransferParameters,
)

MINUTE = 60_000_000
DAY = 1440 * MINUTE
CROWDS = ("clients", "strangers")  # actors that share the flows of one instance
STRENGTHS = ("share", "minutes", "hosts", "megabytes", "period_seconds")
LONGEST = 300_000_000
MASK = 2**64 - 1
Actors = Literal["client", "clients", "server", "scanner", "strangers"]
Peers = Literal["hosts", "clients", "server", "known", "stranger", "time", "backup"]


@dataclass(frozen=True)
class Pattern:
    """What a kind of scenario looks like on the wire: who, with whom, and ranges of bytes and of microseconds."""

    actors: Actors
    peers: Peers
    protocol: str
    bytes: tuple[int, int]
    spread: float
    microseconds: tuple[int, int]
    instant: int = 0  # how many of 100 flows have no duration


PATTERNS = {
    "horizontal_scan": Pattern("client", "hosts", "TCP", (40, 60), 0.1, (100, 3_000), 80),
    "brute_force": Pattern("client", "server", "TCP", (1_800, 3_200), 0.15, (300_000, 2_500_000)),
    "exfiltration": Pattern("client", "stranger", "TCP", (0, 0), 1.0, (0, 0)),
    "ddos": Pattern("strangers", "server", "UDP", (60, 120), 0.3, (100, 2_000), 90),
    "beaconing": Pattern("client", "stranger", "TCP", (300, 900), 0.05, (50_000, 400_000)),
    "lateral_movement": Pattern("client", "clients", "TCP", (3_000, 20_000), 1.0, (200_000, 20_000_000)),
    "new_service": Pattern("clients", "stranger", "SCTP", (200, 2_000), 1.0, (50_000, 5_000_000)),
    "time_sync": Pattern("client", "time", "UDP", (152, 152), 0.0, (1_000, 30_000)),
    "update_check": Pattern("client", "known", "TCP", (1_500, 6_000), 0.2, (100_000, 900_000)),
    "telemetry": Pattern("client", "known", "TCP", (700, 1_500), 0.1, (50_000, 300_000)),
    "nightly_backup": Pattern("server", "backup", "TCP", (0, 0), 1.0, (0, 0)),
    "allowed_scanner": Pattern("scanner", "hosts", "TCP", (40, 60), 0.1, (100, 3_000), 80),
    "morning_crowd": Pattern("clients", "server", "TCP", (800, 4_000), 0.5, (20_000, 2_000_000)),
    "visitors": Pattern("strangers", "server", "TCP", (600, 5_000), 1.0, (10_000, 3_000_000)),
}


@dataclass(frozen=True)
class Instance:
    """One actor's (or crowd's) flows of one scenario on one day; times are microseconds of the day."""

    name: str
    number: int
    kind: str
    attack: bool
    stealth: float
    key: int
    times: np.ndarray | None  # of a periodic scenario; else the n-th flow lies within the n-th of equal steps
    start: int
    step: int
    flows: int
    sources: np.ndarray
    destinations: np.ndarray
    protocol: int
    bytes: tuple[int, int]
    microseconds: tuple[int, int]
    instant: int

    @property
    def interval(self) -> tuple[int, int]:
        """First and last microsecond of the day at which a flow may begin."""
        if self.times is not None:
            return int(self.times[0]), int(self.times[-1])
        return self.start, self.start + self.step * self.flows

    def time_of(self, index: np.ndarray) -> np.ndarray:
        """Return when the flows begin."""
        spread = index * self.step + _draw_numbers(self.key, index, 0, self.step)
        times: np.ndarray = self.start + spread if self.times is None else self.times[index]
        return times

    def count_before(self, moment: int) -> int:
        """Return how many flows begin before a microsecond of the day."""
        if self.times is not None:
            return int(np.searchsorted(self.times, moment))
        index = (moment - self.start) // self.step
        if not 0 <= index < self.flows:
            return 0 if index < 0 else self.flows
        return int(index + (self.time_of(np.array([index]))[0] < moment))


def stage_scenarios(
    generator: GeneratorParameters, population: Population, logical_date: date, strangers: np.ndarray
) -> list[Instance]:
    """Return what is staged on a day, as far as it fits: a share of few events may be no flow at all.

    Args:
        generator: its ``lookalikes`` and ``attacks``, each a share of ``n_events``.
        population: the hosts.
        logical_date: the UTC day; attacks choose hosts, hours and strangers by it, look-alikes do not.
        strangers: codes of outside addresses that nobody talked to before; taken from the front.
    """
    instances: list[Instance] = []
    left = generator.n_events
    for attack, group in ((False, generator.lookalikes), (True, generator.attacks)):
        for name, scenario in group.items():
            key = _make_key(generator.seed, logical_date if attack else None, name)
            budget = min(int(scenario.share * generator.n_events * (1 - scenario.stealth / 2)), left)
            staged = list(_stage_scenario(name, scenario, attack, budget, population, key, strangers))
            left -= sum(instance.flows for instance in staged)
            instances.extend(staged)
            strangers = strangers[_count_strangers(scenario) :]
    return instances


def vary_attacks(generator: GeneratorParameters, logical_date: date) -> GeneratorParameters:
    """Return the parameters with attacks as strong as they are on a date: the same attack is not alike every day.

    Share, minutes, megabytes, period and the size of a crowd are each multiplied by a factor of their own,
    log-uniform from 1 / ``attack_spread`` to ``attack_spread``.
    """
    varied = {}
    for name, scenario in generator.attacks.items():
        random = np.random.default_rng(_make_key(generator.seed, logical_date, f"strength of {name}"))
        varied[name] = _vary_attack(scenario, generator.attack_spread, random)
    return generator.model_copy(update={"attacks": varied})


def count_strangers(generator: GeneratorParameters) -> int:
    """Return how many never-seen outside addresses the scenarios of a day need."""
    return sum(map(_count_strangers, (*generator.lookalikes.values(), *generator.attacks.values())))


def draw_flows(instance: Instance, first: int, last: int) -> dict[str, np.ndarray]:
    """Return the flows that begin from microsecond ``first`` to before ``last``: codes, bytes and microseconds."""
    index = np.arange(instance.count_before(first), instance.count_before(last))
    low, high = instance.bytes
    sizes = low + _draw_numbers(instance.key, index, 1, high - low + 1)
    short, long = instance.microseconds
    lasting = short + _draw_numbers(instance.key, index, 2, long - short + 1)
    if instance.kind in ("exfiltration", "nightly_backup"):
        lasting = np.minimum(sizes // (2 + instance.key % 8), LONGEST)  # 2 to 9 MB/s
    place = _draw_numbers(instance.key, index, 3, len(instance.sources))
    return {
        "time": instance.time_of(index),
        "source": instance.sources[place],
        "destination": instance.destinations[index % len(instance.destinations)],
        "bytes": sizes,
        "microseconds": np.where(_draw_numbers(instance.key, index, 4, 100) < instance.instant, 0, lasting),
        "protocol": np.full(len(index), instance.protocol, dtype=np.int8),
    }


def _vary_attack(scenario: Scenario, spread: float, random: np.random.Generator) -> Scenario:
    # Rounded, so that every machine has the same factors.
    factors = np.round(spread ** np.linspace(-1, 1, 1025), 6)
    drawn = dict(zip(STRENGTHS, factors[random.integers(0, len(factors), len(STRENGTHS))].tolist(), strict=True))
    if PATTERNS[scenario.kind].actors not in CROWDS:
        del drawn["hosts"]
    values = {name: getattr(scenario, name) * factor for name, factor in drawn.items() if hasattr(scenario, name)}
    values["hosts"] = max(round(values.get("hosts", scenario.hosts)), 1)
    return scenario.model_copy(update=values | {"share": min(values["share"], 1.0)})


def _stage_scenario(
    name: str,
    scenario: Scenario,
    attack: bool,
    budget: int,
    population: Population,
    key: int,
    strangers: np.ndarray,
) -> Iterator[Instance]:
    """Yield the instances of a scenario: one per host, or one for the whole crowd, while its share lasts."""
    pattern = PATTERNS[scenario.kind]
    actors = 1 if pattern.actors in CROWDS else scenario.hosts
    earliest, latest = (int(hour * 60 * MINUTE) for hour in scenario.start_hour)
    for number in range(actors):
        random = np.random.default_rng([key, number])
        start = int(random.integers(earliest, latest + 1))
        lasts = min(int(scenario.minutes * MINUTE * (1 + 20 * scenario.stealth)), DAY - start)
        times = _draw_beats(random, scenario, start, lasts) if isinstance(scenario, PeriodicParameters) else None
        if times is not None and number == 0:  # one host calls, however few flows there are for it
            times = times[:budget]
        flows = budget // actors if times is None else len(times)
        if flows == 0 or flows * (number + 1) > budget:
            return
        yield Instance(
            name=name,
            number=number + 1,
            kind=scenario.kind,
            attack=attack,
            stealth=scenario.stealth,
            key=int(random.integers(2**63)),
            times=times,
            start=start,
            step=max(lasts // flows, 1),
            flows=flows,
            sources=_choose_sources(random, pattern.actors, scenario.hosts, population, strangers),
            destinations=_choose_destinations(random, _find_peers(pattern, scenario), population, strangers[number:]),
            protocol=population.protocols.get_loc(pattern.protocol),
            bytes=_choose_bytes(random, pattern, scenario, flows),
            microseconds=pattern.microseconds,
            instant=pattern.instant,
        )


def _draw_beats(random: np.random.Generator, scenario: PeriodicParameters, start: int, lasts: int) -> np.ndarray:
    """Return the times: each gap is the period, plus or minus half the jitter, or shortened by up to all of it."""
    period = int(scenario.period_seconds * 1e6)
    jitter = int(period * max(scenario.jitter, scenario.stealth / 2))
    gaps = period - random.integers(0, jitter + 1, lasts // max(period - jitter, 1) + 1)
    if not scenario.shortening:
        gaps += jitter // 2
    times = start + np.cumsum(gaps) - gaps[0]
    within: np.ndarray = times[times < start + lasts]
    return within


def _choose_sources(
    random: np.random.Generator, actors: Actors, hosts: int, population: Population, strangers: np.ndarray
) -> np.ndarray:
    if actors == "strangers":
        return strangers[:hosts]
    if actors == "scanner":
        return population.appliances[[SCANNER]]
    if actors == "server":
        return random.choice(population.inside_servers, 1)
    # Neither the busiest clients nor those that are hardly ever there.
    middle = np.arange(population.clients // 50, population.clients // 2)
    return random.choice(middle, min(hosts, len(middle)) if actors == "clients" else 1, replace=False)


def _choose_destinations(
    random: np.random.Generator, peers: Peers, population: Population, strangers: np.ndarray
) -> np.ndarray:
    if peers == "hosts":
        return random.permutation(population.hosts)
    if peers == "clients":
        return random.choice(population.clients, min(20, population.clients), replace=False)
    if peers == "stranger":
        return strangers[:1]
    if peers in ("time", "backup"):
        return population.appliances[[TIME_SERVER if peers == "time" else BACKUP_SERVER]]
    return random.choice(population.inside_servers if peers == "server" else population.outside_servers, 1)


def _find_peers(pattern: Pattern, scenario: Scenario) -> Peers:
    """Return whom the scenario talks to: a transfer may drip to a known place instead of a new one."""
    known = isinstance(scenario, TransferParameters) and scenario.known_peer and pattern.peers == "stranger"
    return "known" if known else pattern.peers


def _choose_bytes(random: np.random.Generator, pattern: Pattern, scenario: Scenario, flows: int) -> tuple[int, int]:
    """Return the range of bytes of an instance's flows, narrow within what the kind allows."""
    if isinstance(scenario, TransferParameters):
        mean = int(scenario.megabytes * 1e6 * (1 - 0.9 * scenario.stealth)) // flows
        return mean // 2, mean * 3 // 2
    low = int(random.integers(pattern.bytes[0], pattern.bytes[1] + 1))
    return low, int(low * (1 + pattern.spread))


def _count_strangers(scenario: Scenario) -> int:
    pattern = PATTERNS[scenario.kind]
    return scenario.hosts if "strangers" in (pattern.actors, f"{_find_peers(pattern, scenario)}s") else 0


def _make_key(seed: int, logical_date: date | None, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {logical_date} {name}".encode()).digest()[:16])


def _draw_numbers(key: int, index: np.ndarray, field: int, below: int) -> np.ndarray:
    """Return whole numbers from 0 to before ``below`` that ``key``, ``index`` and ``field`` decide (SplitMix64)."""
    start = key ^ (field * 0xD1B54A32D192ED03 & MASK)
    mixed = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    drawn: np.ndarray = ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(below)).astype(np.int64)
    return drawn
