"""A small office network of several days, attacks on it at several strengths, and what merely looks like one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

DAY = 86_400
MONDAY = 1_767_571_200  # 2026-01-05
CLIENTS = [f"10.0.1.{host}" for host in range(10, 40)]
SERVERS = [f"10.0.0.{host}" for host in range(10, 16)]
RESOLVER, SCANNER, BACKUP, PORTAL = "10.0.0.2", "10.0.0.99", "10.0.0.50", "10.0.0.60"
WEB = [f"93.184.{block}.{host}" for block in range(8) for host in range(1, 40)]
NAME_SERVERS = [f"199.7.{block}.{host}" for block in range(4) for host in range(1, 60)]
CLOCKS = ["162.159.200.1", "194.58.203.20"]
UPDATES, TELEMETRY = "151.101.2.132", "20.42.65.92"


def make_flows(
    times: np.ndarray,
    src_ip: str | Sequence[str],
    dst_ip: str | Sequence[str],
    size: np.ndarray | float,
    duration: np.ndarray | float,
    protocol: str = "TCP",
) -> pd.DataFrame:
    """Return events from columns or single values; times are seconds since 1970."""
    columns = {"src_ip": src_ip, "dst_ip": dst_ip, "bytes": np.round(size), "duration": duration, "protocol": protocol}
    return pd.DataFrame({"timestamp": np.asarray(times, dtype="float64"), **columns})


def make_day(day: int, busy: float = 1.0) -> pd.DataFrame:
    """Return a normal day's events: everything in it comes back every day."""
    random = np.random.default_rng([7, day])
    start = MONDAY + DAY * day
    parts = [_browse(random, start, busy), _ask_names(random, start), _use_servers(random, start, busy)]
    parts += [_keep_time(random, start), _phone_home(random, start), _back_up(random, start), _audit(random, start)]
    parts += [_resolve(random, start), _crowd(random, start)]
    return pd.concat(parts, ignore_index=True).sort_values("timestamp", ignore_index=True)


def _working_hours(random: np.random.Generator, start: float, size: int) -> np.ndarray:
    return start + np.clip(random.normal(12.5, 3, size), 0, 23.99) * 3600


def _browse(random: np.random.Generator, start: float, busy: float) -> pd.DataFrame:
    size = int(6_000 * busy)
    popular = np.minimum(random.zipf(1.3, size) - 1, len(WEB) - 1)
    return make_flows(
        _working_hours(random, start, size),
        random.choice(CLIENTS, size),
        np.asarray(WEB)[popular],
        random.lognormal(8.5, 1.8, size),
        random.lognormal(0.5, 1.5, size),
    )


def _ask_names(random: np.random.Generator, start: float) -> pd.DataFrame:
    times = _working_hours(random, start, 5_000)
    sizes, seconds = random.lognormal(5.3, 0.3, 5_000), random.lognormal(-4, 0.7, 5_000)
    return make_flows(times, random.choice(CLIENTS, 5_000), RESOLVER, sizes, seconds, "UDP")


def _resolve(random: np.random.Generator, start: float) -> pd.DataFrame:
    times = _working_hours(random, start, 2_500)
    sizes, seconds = random.lognormal(5.5, 0.4, 2_500), random.lognormal(-3.5, 0.7, 2_500)
    return make_flows(times, RESOLVER, random.choice(NAME_SERVERS, 2_500), sizes, seconds, "UDP")


def _use_servers(random: np.random.Generator, start: float, busy: float) -> pd.DataFrame:
    size = int(4_000 * busy)
    homes = {client: random.permutation(SERVERS)[:3] for client in CLIENTS}
    clients = random.choice(CLIENTS, size)
    servers = [homes[client][pick] for client, pick in zip(clients, random.integers(0, 3, size), strict=True)]
    return make_flows(
        _working_hours(random, start, size),
        clients,
        servers,
        random.lognormal(7.5, 1.5, size),
        random.lognormal(0, 1, size),
    )


def _keep_time(random: np.random.Generator, start: float) -> pd.DataFrame:
    times = np.arange(start, start + DAY, 1024.0)
    asked = [make_flows(times + random.uniform(0, 900), host, CLOCKS[0], 152, 0.02, "UDP") for host in CLIENTS[:8]]
    asked.append(make_flows(times + 5, RESOLVER, CLOCKS[1], 152, 0.02, "UDP"))
    return pd.concat(asked)


def _phone_home(random: np.random.Generator, start: float) -> pd.DataFrame:
    hourly = np.arange(start, start + DAY, 3600.0)
    updates = [make_flows(hourly + random.uniform(0, 3000), host, UPDATES, 4_000, 0.4) for host in CLIENTS[:6]]
    every = np.arange(start, start + DAY, 300.0)
    telemetry = [make_flows(every + random.uniform(0, 290), host, TELEMETRY, 1_200, 0.2) for host in CLIENTS[6:9]]
    return pd.concat([*updates, *telemetry])


def _back_up(random: np.random.Generator, start: float) -> pd.DataFrame:
    times = start + 2 * 3600 + np.sort(random.uniform(0, 5400, 6 * len(SERVERS)))
    return make_flows(times, SERVERS * 6, BACKUP, random.lognormal(19, 0.3, len(times)), 120.0)


def _audit(random: np.random.Generator, start: float) -> pd.DataFrame:
    hosts = [f"10.0.{net}.{host}" for net in range(2) for host in range(1, 121)]
    return make_flows(start + 3 * 3600 + np.sort(random.uniform(0, 1200, 240)), SCANNER, hosts, 44, 0.0)


def _crowd(random: np.random.Generator, start: float) -> pd.DataFrame:
    times = start + 9 * 3600 + random.uniform(0, 600, 900)
    return make_flows(times, random.choice(CLIENTS, 900), PORTAL, random.lognormal(8, 0.8, 900), 0.5)


def scan(day: int, hosts: int, seconds: float, src_ip: str = CLIENTS[0]) -> pd.DataFrame:
    random = np.random.default_rng([1, hosts])
    targets = [f"10.0.{2 + host // 250}.{1 + host % 250}" for host in range(hosts)]
    times = MONDAY + DAY * day + 36_000 + np.sort(random.uniform(0, seconds, hosts))
    return make_flows(times, src_ip, targets, 44, 0.0)


def guess_passwords(day: int, tries: int, seconds: float, src_ip: str = "203.0.113.9") -> pd.DataFrame:
    random = np.random.default_rng([2, tries])
    times = MONDAY + DAY * day + 50_400 + np.sort(random.uniform(0, seconds, tries))
    return make_flows(times, src_ip, SERVERS[0], random.lognormal(7.9, 0.1, tries), random.lognormal(0.5, 0.3, tries))


def flood(day: int, sources: int, flows: int, dst_ip: str = PORTAL) -> pd.DataFrame:
    random = np.random.default_rng([3, sources])
    names = [f"198.51.{100 + source // 250}.{1 + source % 250}" for source in range(sources)]
    times = MONDAY + DAY * day + 54_000 + random.uniform(0, 600, flows)
    return make_flows(times, random.choice(names, flows), dst_ip, random.choice([40, 60, 1400], flows), 0.0, "UDP")


def leak(day: int, megabytes: float, flows: int, dst_ip: str, hours: float, src_ip: str = CLIENTS[3]) -> pd.DataFrame:
    random = np.random.default_rng([4, flows])
    times = MONDAY + DAY * day + 36_000 + np.sort(random.uniform(0, hours * 3600, flows))
    shares = random.lognormal(0, 0.2, flows)
    return make_flows(times, src_ip, dst_ip, megabytes * 1e6 * shares / shares.sum(), 20.0)


def beacon(
    day: int, period: float, jitter: float, kind: str = "symmetric", begin: float = 0.0, src_ip: str = CLIENTS[5]
) -> pd.DataFrame:
    random = np.random.default_rng([5, int(period), int(100 * jitter)])
    size = int(DAY / period * 2) + 20
    low = 1 - jitter
    gaps = period * random.uniform(low, 1 + jitter if kind == "symmetric" else 1.0, size)
    times = MONDAY + DAY * day + begin + random.uniform(0, period) + np.cumsum(gaps)
    times = times[times < MONDAY + DAY * (day + 1)]
    return make_flows(times, src_ip, "185.220.101.7", random.lognormal(6.1, 0.05, len(times)), 0.3)


def move_laterally(day: int, hosts: int, src_ip: str = CLIENTS[7]) -> pd.DataFrame:
    random = np.random.default_rng([6, hosts])
    targets = [client for client in CLIENTS if client != src_ip][:hosts] * 3
    times = MONDAY + DAY * day + 57_600 + np.sort(random.uniform(0, 3600, len(targets)))
    return make_flows(times, src_ip, targets, random.lognormal(9, 0.8, len(targets)), 3.0)


def speak(day: int, protocol: str, src_ip: str, dst_ip: str) -> pd.DataFrame:
    random = np.random.default_rng([7, len(src_ip)])
    times = MONDAY + DAY * day + 43_200 + np.sort(random.uniform(0, 14_400, 15))
    return make_flows(times, src_ip, dst_ip, random.lognormal(6.5, 0.6, 15), 1.0, protocol)
