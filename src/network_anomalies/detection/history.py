"""History: in how many flows and hours each host, pair, protocol and size was seen; adds up over hours and days."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from network_anomalies.detection.columns import Coded, group_rows
from network_anomalies.detection.summary import Summary, sort_by_keys, stack

KEYS = {
    "source": ["src_ip"],
    "destination": ["dst_ip"],
    "pair": ["src_ip", "dst_ip"],
    "source_protocol": ["src_ip", "protocol"],
    "protocol_size": ["protocol", "size_bin"],
    "source_protocol_size": ["src_ip", "protocol", "size_bin"],
}
_SUMS = ["flows", "hours"]


@dataclass(frozen=True)
class History:
    """Counts of the past.

    Attributes:
        tables: per name in ``KEYS`` a table in the order of its keys with ``flows`` and distinct ``hours``.
        total_hours: distinct hours in all.
    """

    tables: Mapping[str, pd.DataFrame]
    total_hours: int


def remember(summary: Summary) -> History:
    """Return the counts of a summary."""
    tables = {}
    for name, keys in KEYS.items():
        table = summary.sizes if "size_bin" in keys else summary.conversations
        by_hour = _sum_by(table.assign(hours=1), [*keys, "hour"], ["flows"])
        tables[name] = _sum_by(by_hour.assign(hours=1), keys, _SUMS)
    return History(tables, len(summary.hours))


def merge_histories(histories: Iterable[History]) -> History:
    """Add up the counts of histories of different hours."""
    parts = list(histories)
    tables = {
        name: _sum_by(stack([part.tables[name] for part in parts]), keys, _SUMS) for name, keys in KEYS.items()
    }
    return History(tables, sum(part.total_hours for part in parts))


def look_up(table: pd.DataFrame, keys: list[str], coded: Coded, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``flows`` and ``hours`` of the keys of some rows, 0 where a key is unknown.

    Args:
        table: one of a history's.
        keys: its key columns.
        coded: the events.
        rows: places of the events to look up.
    """
    packed = np.zeros(len(table), dtype=np.int64)
    wanted = np.zeros(len(rows), dtype=np.int64)
    known = np.ones(len(rows), dtype=bool)
    for key in keys:
        own, values = _key_codes(table, key, coded, rows)
        width = max(int(own.max(initial=0)), int(values.max(initial=0))) + 1
        packed, wanted = packed * width + own, wanted * width + values
        known &= values >= 0
    if not len(table):
        return np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    place = np.minimum(np.searchsorted(packed, wanted), len(packed) - 1)
    found = known & (packed[place] == wanted)
    flows, hours = (np.where(found, table[name].to_numpy()[place], 0) for name in _SUMS)
    return flows, hours


def _key_codes(table: pd.DataFrame, key: str, coded: Coded, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a key column of the table, and that of the events' rows, in the table's codes (unknown: -1)."""
    if key == "size_bin":
        return table[key].to_numpy(), coded.size_bin[rows]
    codes, names = {
        "src_ip": (coded.source, coded.sources),
        "dst_ip": (coded.destination, coded.destinations),
        "protocol": (coded.protocol, coded.protocols),
    }[key]
    own = table[key].cat
    return own.codes.to_numpy().astype(np.int64), own.categories.get_indexer(names)[codes[rows]].astype(np.int64)


def _sum_by(table: pd.DataFrame, keys: list[str], sums: list[str]) -> pd.DataFrame:
    groups = group_rows(np.zeros(len(table), dtype=np.int64))
    for key in keys:
        values = table[key].cat.codes.to_numpy() if hasattr(table[key], "cat") else table[key].to_numpy()
        groups = groups.refine(values.astype(np.int64))
    rows = table[keys].take(groups.first)
    added = {
        name: np.bincount(groups.codes, table[name].to_numpy(), len(groups)).astype(np.int64) for name in sums
    }
    return sort_by_keys(rows.reset_index(drop=True).assign(**added), keys)
