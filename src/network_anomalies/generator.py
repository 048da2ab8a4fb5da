"""Synthetic events, drawn from tables by integer random numbers: the same bits on every machine.

A floating-point function may differ in its last digit between processors; a table that is rounded once does not.
"""

import math
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
import pandas as pd

DAY_MICROSECONDS = 86_400_000_000
TABLE_ROWS = 4096
PROTOCOL_SHARES = {"ICMP": 0.02, "TCP": 0.65, "UDP": 0.33}


@dataclass(frozen=True)
class Tables:
    """What events are drawn from: distinct addresses and protocols, and quantiles of bytes and seconds."""

    sources: pd.Index
    destinations: pd.Index
    protocols: pd.Index
    protocol_of: np.ndarray
    bytes: np.ndarray
    duration: np.ndarray


def build_tables() -> Tables:
    """Return the tables: 4,000 sources and 1,000 destinations in 10/8, log-normal bytes, exponential seconds."""
    steps = [(row + 0.5) / TABLE_ROWS for row in range(TABLE_ROWS)]
    log_normal = NormalDist(mu=6, sigma=2)
    ends = np.cumsum([round(share * TABLE_ROWS) for share in PROTOCOL_SHARES.values()])
    return Tables(
        sources=_to_addresses("10.1", 4_000),
        destinations=_to_addresses("10.2", 1_000),
        protocols=pd.Index(list(PROTOCOL_SHARES), dtype="str"),
        protocol_of=np.searchsorted(ends, np.arange(ends[-1]), side="right").astype(np.int8),
        bytes=np.array([max(40, round(math.exp(log_normal.inv_cdf(step)))) for step in steps], dtype=np.int64),
        duration=np.array([round(-2.0 * math.log1p(-step), 6) for step in steps]),
    )


def draw_part(tables: Tables, seed: int, logical_date: date, part: int, parts: int, n_events: int) -> pd.DataFrame:
    """Return the events of one of ``parts`` equal stretches of a day, in order of time.

    Args:
        tables: what to draw from.
        seed: any number from 0.
        logical_date: the UTC day.
        part: which stretch, from 1.
        parts: how many stretches the day has.
        n_events: rows to draw.
    """
    random = np.random.default_rng([seed, logical_date.toordinal(), part])
    start = (logical_date - date(1970, 1, 1)).days * DAY_MICROSECONDS
    first, last = (start + DAY_MICROSECONDS * place // parts for place in (part - 1, part))
    times = np.sort(random.integers(first, last, n_events))
    return pd.DataFrame(
        {
            "timestamp": pd.Series(times).astype("datetime64[us]").dt.tz_localize("UTC"),
            "src_ip": _draw_category(random, tables.sources, n_events),
            "dst_ip": _draw_category(random, tables.destinations, n_events),
            "bytes": _draw(random, tables.bytes, n_events),
            "duration": _draw(random, tables.duration, n_events),
            "protocol": pd.Categorical.from_codes(_draw(random, tables.protocol_of, n_events), tables.protocols),
        }
    )


def _draw(random: np.random.Generator, table: np.ndarray, size: int) -> np.ndarray:
    return table[random.integers(0, len(table), size, dtype=np.int32)]


def _draw_category(random: np.random.Generator, values: pd.Index, size: int) -> pd.Categorical:
    return pd.Categorical.from_codes(random.integers(0, len(values), size, dtype=np.int32), values)


def _to_addresses(prefix: str, count: int) -> pd.Index:
    return pd.Index(sorted(f"{prefix}.{number >> 8}.{number & 255}" for number in range(count)), dtype="str")
