"""The network of a profile: hosts, their roles, and how large and long their flows are. It depends on the seed only."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from network_anomalies.parameters import ProfileParameters, ServiceParameters

# A flow's size is a place in the distribution of sizes: a cell, and a fraction of the way to the next one.
CELLS = 1 << 16
FRACTION_BITS = 8
SLOT_DRAWS = 1 << 12
DARK_HOSTS = 256
TIME_SERVER, BACKUP_SERVER, SCANNER = range(3)
# Blocks of ordinary unicast addresses; those that hold an address set aside for a purpose (RFC 6890) are left out.
SPECIAL_BLOCKS = (10, 100, 127, 169, 172, 192, 198, 203)
PUBLIC_BLOCKS = tuple(block for block in range(1, 224) if block not in SPECIAL_BLOCKS)[:128]
PUBLIC_HOSTS = len(PUBLIC_BLOCKS) << 24
APPLIANCES = ("10.200.255.1", "10.200.255.2", "10.200.255.3")

# Share of flows, bytes: quartiles 80, 196, 1063; 48 % of the flows have one packet and 91 % at most 16, of 150 bytes
# rising to 900; the 0.2 % above 4096 packets are a capped Pareto tail of index 0.7 (AGH 2015, arXiv 1809.03486).
BYTES = ((0.0, 40), (0.1, 52), (0.25, 80), (0.48, 180), (0.5, 196), (0.75, 1063), (0.91, 5_000), (0.998, 3_700_000))
TAIL_INDEX, LARGEST_BYTES = 0.7, 150_000_000
# Share of flows, seconds, above those of no duration: 300 is an exporter's active time-out, beyond lie service flows.
SHORTEST_SECONDS = 0.0005
SECONDS = ((0.5, 0.05), (0.75, 1.3), (0.9, 15), (0.97, 120), (0.99, 300), (0.9997, 300), (1, 86_400))


@dataclass(frozen=True)
class Population:
    """Hosts as codes into ``addresses``, and what each client's conversations are like.

    A conversation is a client (row) at a slot (column): a service that the client uses, at one server. It owns a
    stretch of its slot's sizes (``first``, ``width``). The stretches of all conversations tile the distribution: sizes
    repeat per pair, and yet all flows together have the shares of ``BYTES`` and ``SECONDS``.
    """

    addresses: pd.Index
    protocols: pd.Index
    clients: int
    inside_servers: np.ndarray
    outside_servers: np.ndarray
    appliances: np.ndarray
    dark: np.ndarray
    client_edges: np.ndarray
    slot_draws: np.ndarray
    slot_first: np.ndarray
    slot_width: np.ndarray
    slot_protocol: np.ndarray
    slot_outside: np.ndarray
    server: np.ndarray
    first: np.ndarray
    width: np.ndarray
    bytes: np.ndarray
    microseconds: np.ndarray

    @property
    def hosts(self) -> np.ndarray:
        """Codes of all addresses inside, those that nobody answers at included."""
        return np.concatenate([np.arange(self.clients), self.inside_servers, self.dark])


def build_population(profile: ProfileParameters, seed: int) -> Population:
    """Return the population of a profile; the same seed gives the same hosts, roles and sizes on every day."""
    random = np.random.default_rng([seed, 0])
    slots = [(service, place) for service in profile.services.values() for place in range(service.per_client)]
    shares = np.array([service.share / (place + 1) / _harmonic(service.per_client) for service, place in slots])
    edges = np.round(np.cumsum(shares) / shares.sum() * CELLS).astype(np.int64)
    cells = np.diff(edges, prepend=0)
    slot_first, slot_width = (edges - cells) << FRACTION_BITS, cells << FRACTION_BITS
    weights = _weigh_clients(profile)
    first, width = _divide_slots(random, weights, slot_first, slot_width)
    ranks = _order_sizes([service for service, _ in slots], cells)
    protocols = sorted({service.protocol for service in profile.services.values()} | {"SCTP", "TCP", "UDP"})
    return Population(
        protocols=pd.Index(protocols, dtype="str"),
        clients=profile.clients,
        client_edges=np.round(np.cumsum(weights) * 2**32).astype(np.int64),
        slot_draws=np.searchsorted(edges, np.arange(SLOT_DRAWS) * (CELLS // SLOT_DRAWS), side="right").astype(np.int16),
        slot_first=slot_first,
        slot_width=slot_width,
        slot_protocol=np.array([protocols.index(service.protocol) for service, _ in slots], dtype=np.int8),
        slot_outside=np.array([service.outside for service, _ in slots]),
        first=first,
        width=width,
        bytes=_tabulate(build_bytes(), ranks),
        microseconds=_tabulate(build_microseconds(profile.zero_duration), _order_durations(random, ranks)),
        **_place_hosts(random, profile, seed),
    )


def build_bytes() -> np.ndarray:
    """Return bytes per flow at each edge of the cells, ascending, the capped tail included; shape (CELLS + 1,)."""
    share = np.arange(CELLS + 1) / CELLS
    at, size = np.array(BYTES).T
    with np.errstate(divide="ignore"):
        body = np.exp(np.interp(-np.log1p(-share), -np.log1p(-at), np.log(size)))  # straight as Pareto's law is
    beyond = np.clip((1 - share) / (1 - at[-1]), 0, 1)
    cap = (size[-1] / LARGEST_BYTES) ** TAIL_INDEX
    tail = size[-1] * (cap + beyond * (1 - cap)) ** (-1 / TAIL_INDEX)
    table: np.ndarray = np.round(np.where(share < at[-1], body, tail)).astype(np.int64)
    return table


def build_microseconds(zero: float) -> np.ndarray:
    """Return microseconds per flow at each edge of the cells, ascending, 0 below the share ``zero``."""
    share = np.arange(CELLS + 1) / CELLS
    at, seconds = np.array([(zero, SHORTEST_SECONDS), *SECONDS]).T
    lasting = np.exp(np.interp(share, at, np.log(seconds)))
    table: np.ndarray = np.round(np.where(share <= zero, 0, lasting * 1e6)).astype(np.int64)
    return table


def _weigh_clients(profile: ProfileParameters) -> np.ndarray:
    """Return the share of the sessions that each client has, the busiest first: Zipf-Mandelbrot's law."""
    weights = 1.0 / (np.arange(profile.clients) + 1.0 + profile.client_shift)
    shares: np.ndarray = weights / weights.sum()
    return shares


def _tabulate(edges: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return, for each cell in its order, where it begins and how wide it is; shape (2, CELLS)."""
    return np.stack([edges[:-1], np.diff(edges)])[:, order]


def _order_sizes(slots: list[ServiceParameters], cells: np.ndarray) -> np.ndarray:
    """Return which cell of the sizes each cell of the slots is: each as near to where its service wants to lie."""
    wanted = [np.linspace(*service.size, count) for service, count in zip(slots, cells, strict=True)]
    ranks = np.empty(CELLS, dtype=np.int64)
    ranks[np.argsort(np.concatenate(wanted), kind="stable")] = np.arange(CELLS)
    return ranks


def _order_durations(random: np.random.Generator, ranks: np.ndarray) -> np.ndarray:
    """Return which cell of the durations goes with each cell: large flows last longer, the largest the longest."""
    noise = random.integers(0, CELLS, CELLS) * (CELLS - ranks) // (2 * CELLS)
    order = np.empty(CELLS, dtype=np.int64)
    order[np.argsort(ranks + noise, kind="stable")] = np.arange(CELLS)
    return order


def _divide_slots(
    random: np.random.Generator, weights: np.ndarray, slot_first: np.ndarray, slot_width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where each conversation's stretch of its slot begins, and how long it is; shape (clients, slots)."""
    # In each slot the clients' stretches lie side by side, in an order of the slot.
    order = random.permuted(np.tile(np.arange(len(weights)), (len(slot_first), 1)), axis=1)
    ends = np.cumsum(weights[order], axis=1)
    edges = np.round(np.column_stack([np.zeros(len(order)), ends]) * slot_width[:, None]).astype(np.int64)
    first, width = np.empty((2, *order.shape), dtype=np.int64)
    np.put_along_axis(first, order, edges[:, :-1], axis=1)
    np.put_along_axis(width, order, np.diff(edges, axis=1), axis=1)
    return (first + slot_first[:, None]).T.ravel(), width.T.ravel()


def _place_hosts(
    random: np.random.Generator, profile: ProfileParameters, seed: int
) -> dict[str, np.ndarray | pd.Index]:
    """Give every host its address, and every conversation its server; servers' popularity is Zipf-Mandelbrot."""
    services = profile.services.values()
    begins = np.cumsum([profile.clients, *(service.servers for service in services)])
    outside = np.repeat([service.outside for service in services], [service.servers for service in services])
    codes = np.arange(profile.clients, begins[-1])
    chosen = [
        begin + _choose_servers(random, service.servers, profile.clients)
        for begin, service in zip(begins, services, strict=False)
        for _ in range(service.per_client)
    ]
    numbers = np.arange(len(outside))
    public = iter(name_public(seed, numbers[outside]))
    servers = [next(public) if out else f"10.200.{at >> 8}.{at & 255}" for at, out in enumerate(outside)]
    clients = [f"10.{1 + code // 62_500}.{code // 250 % 250}.{1 + code % 250}" for code in range(profile.clients)]
    dark = [f"10.199.{code >> 8}.{code & 255}" for code in range(DARK_HOSTS)]
    return {
        "addresses": pd.Index([*clients, *servers, *APPLIANCES, *dark], dtype="str"),
        "inside_servers": codes[~outside],
        "outside_servers": codes[outside],
        "appliances": codes[-1] + 1 + np.arange(len(APPLIANCES)),
        "dark": codes[-1] + 1 + len(APPLIANCES) + np.arange(DARK_HOSTS),
        "server": np.stack(chosen, axis=1).astype(np.int32).ravel(),
    }


def _choose_servers(random: np.random.Generator, servers: int, clients: int) -> np.ndarray:
    edges = np.round(np.cumsum(1.0 / (np.arange(servers) + 2.0)) * 2**20).astype(np.int64)
    chosen: np.ndarray = np.searchsorted(edges, random.integers(0, edges[-1], clients), side="right")
    return chosen


def name_public(seed: int, numbers: np.ndarray) -> list[str]:
    """Return the public addresses of outside hosts; different numbers have different addresses.

    Every outside host, benign or not, has its address by this one rule: its number is mixed (invertible steps of
    xorshift and multiplication on 31 bits), so that no part of an address says which number it has.

    Args:
        seed: of the generator.
        numbers: of the hosts, int64, from 0 to before ``PUBLIC_HOSTS``.
    """
    mixed = (numbers + np.random.default_rng([seed]).integers(PUBLIC_HOSTS)) % PUBLIC_HOSTS
    for factor in (0x2C1B3C6D, 0x297A2D39):
        mixed = (mixed ^ mixed >> 15) * factor % PUBLIC_HOSTS
    mixed ^= mixed >> 16
    blocks = [PUBLIC_BLOCKS[block] for block in (mixed >> 24).tolist()]
    return [
        f"{block}.{rest >> 16 & 255}.{rest >> 8 & 255}.{rest & 255}"
        for block, rest in zip(blocks, mixed.tolist(), strict=True)
    ]


def _harmonic(count: int) -> float:
    return sum(1 / (place + 1) for place in range(count))
