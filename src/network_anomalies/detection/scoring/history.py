"""History: how often, and how busy at most, each host, pair, protocol and size was; adds up over days."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.columns import HOUR, MINUTE, SERVICES, SIZE_BINS, UNKNOWN, Keyed
from network_anomalies.detection.scoring.groups import Groups, group_rows
from network_anomalies.detection.scoring.summary import Summary, sort_by_keys, stack

PROBE_BYTES = 200
"""An unanswered or refused probe has at most these, headers both ways."""
PROBE_SPREAD = 0.35
"""The largest standard deviation of ln(bytes) between the flows of a pair that only probes."""
KEYS = {
    "source": ["src_ip"],
    "destination": ["dst_ip"],
    "pair": ["src_ip", "dst_ip"],
    "source_protocol": ["src_ip", "protocol"],
    "protocol_size": ["protocol", "size_bin"],
    "source_protocol_size": ["src_ip", "protocol", "size_bin"],
    "service": ["service"],
    "source_service": ["src_ip", "service"],
    "destination_service": ["dst_ip", "service"],
    "pair_service": ["src_ip", "dst_ip", "service"],
}
SUMS = ("flows", "hours", "tens", "minutes")
PEAKS = {
    "source": ("peak_probes", "day_probes", "peak_bytes", "peak_ports", "peak_upload"),
    "destination": ("peak_sources", "peak_flows"),
    "pair": ("peak_flows", "day_bytes", "day_upload"),
}
_WIDTHS = {"size_bin": SIZE_BINS, "service": SERVICES}
_TEN_MINUTES = 2**10 - 1  # as bits
_NO_SPAN = 2**62, -(2**62)
TOTALS = {"pair": ("days", "sessions", "total_bytes", "total_upload")}
BEGINS = {"source": ("begin", "begin_probes"), "destination": ("begin",), "pair": ("begin",)}
NEVER = 2**62
"""When something began that never did."""
WIDE_PROBES = 15
"""A source with so many probed destinations in an hour has begun to probe: what Zeek's scan detection asks for."""
COUNTS = {name: (*SUMS, *PEAKS.get(name, ()), *TOTALS.get(name, ()), *BEGINS.get(name, ())) for name in KEYS}


class Block(NamedTuple):
    """A length of time: microseconds, and the column of a history that counts blocks of it."""

    micros: int
    column: str


BLOCKS = (Block(HOUR, "hours"), Block(10 * MINUTE, "tens"), Block(MINUTE, "minutes"))
LEAST_BLOCKS = 6


@dataclass(frozen=True)
class History:
    """Counts of the past, from a day's summary each.

    Attributes:
        tables: per name in ``KEYS`` a table in the order of its keys with ``flows``, and the distinct ``hours``,
            ``tens`` (of minutes) and ``minutes`` that have such flows; and of
            ``PEAKS`` the most that was ever seen: destinations that a source probed in an hour (``peak_probes``) and
            a day (``day_probes``), its bytes to one destination in a day (``peak_bytes``), those that it sent there
            (``peak_upload``), and the ports of one destination that it used in an hour (``peak_ports``); sources and
            flows of a destination in an hour (``peak_sources``, ``peak_flows``); flows of a pair in an hour
            (``peak_flows``), its bytes in a day (``day_bytes``), and those from the source (``day_upload``). The
            tables with services know the most frequent service of each conversation-hour, and are empty without ports.
            Of a pair there are also ``TOTALS``: distinct ``days``, ``sessions`` (TCP flows of hours in which they are
            larger than probes), ``total_bytes`` and ``total_upload``. ``BEGINS`` say since when, in microseconds since
            1970, a source, destination or pair is known (``begin``), and since when a source probes ``WIDE_PROBES``
            destinations in an hour (``begin_probes``; ``NEVER`` if it does not).
        total_hours: distinct hours in all.
        first: time of the first flow, in microseconds since 1970.
        last: time of the last one.
    """

    tables: Mapping[str, pd.DataFrame]
    total_hours: int
    first: int
    last: int

    @cached_property
    def block(self) -> Block:
        """The longest block of time of which the history spans ``LEAST_BLOCKS``, else the shortest one."""
        span = self.last - self.first
        return next((block for block in BLOCKS if span >= LEAST_BLOCKS * block.micros), BLOCKS[-1])

    @cached_property
    def meets_others(self) -> np.ndarray:
        """Per row of the table ``source``, whether it has a destination that other sources have as well."""
        pairs, destinations, sources = (self.tables[name] for name in ("pair", "destination", "source"))
        at_destination, at_source = (
            find_rows(self, name, [(pairs[key].cat.codes.to_numpy(), pairs[key].cat.categories)])
            for name, key in (("destination", "dst_ip"), ("source", "src_ip"))
        )
        shared = destinations["flows"].to_numpy()[at_destination] > pairs["flows"].to_numpy()
        return np.bincount(at_source, shared, len(sources)) > 0

    @cached_property
    def packed(self) -> dict[str, np.ndarray]:
        """The keys of each table as one whole number a row, to look them up by."""
        return {name: _pack(self.tables[name], keys) for name, keys in KEYS.items()}


def remember(summary: Summary) -> History:
    """Return the counts and peaks of a day's summary."""
    talks = summary.conversations
    tables = {name: _count(_choose_rows(summary, keys), keys) for name, keys in KEYS.items()}
    probes = aggregate(talks.assign(probes=are_probes(talks)), ["src_ip", "dst_ip", "hour"], peaks=["probes"])
    pair_hours = probes.assign(ones=1)
    probed = aggregate(probes, ["src_ip", "dst_ip"], peaks=["probes"])
    pairs = aggregate(
        talks.assign(sessions=_count_sessions(talks)),
        *(["src_ip", "dst_ip"], ["bytes", "upload", "sessions"], ["ports"]),
        lows=["first"],
    )
    most = aggregate(pairs, ["src_ip"], peaks=["bytes", "upload", "ports"])
    peaks = {
        "source": {
            "peak_probes": _peak(pair_hours, "src_ip", "probes"),
            "day_probes": aggregate(probed, ["src_ip"], ["probes"])["probes"],
            "peak_bytes": most["bytes"],
            "peak_ports": most["ports"],
            "peak_upload": most["upload"],
            "begin": aggregate(pairs, ["src_ip"], lows=["first"])["first"],
            "begin_probes": _find_begin_of_probes(pair_hours),
        },
        "destination": {
            "peak_sources": _peak(pair_hours, "dst_ip", "ones"),
            "begin": aggregate(pairs, ["dst_ip"], lows=["first"])["first"],
        },
        "pair": {
            "day_bytes": pairs["bytes"],
            "day_upload": pairs["upload"],
            "days": 1,
            "sessions": pairs["sessions"],
            "total_bytes": pairs["bytes"],
            "total_upload": pairs["upload"],
            "begin": pairs["first"],
        },
    }
    for name, columns in peaks.items():
        tables[name] = tables[name].assign(**columns)
    kept = {name: table[[*KEYS[name], *COUNTS[name]]] for name, table in tables.items()}
    first, last = (int(talks["first"].min()), int(talks["last"].max())) if len(talks) else _NO_SPAN
    return History(kept, len(summary.hours), first, last)


def _choose_rows(summary: Summary, keys: list[str]) -> pd.DataFrame:
    """Return the table that has the keys, with what it knows of them."""
    if "size_bin" in keys:
        return summary.sizes
    talks = summary.conversations
    if "service" in keys:
        talks = talks[talks["service"] != UNKNOWN]
        return talks.assign(flows=talks["service_flows"])
    return talks


def _count(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return ``SUMS`` and ``peak_flows``, the most flows in an hour, per key."""
    by_hour = aggregate(rows, [*keys, "hour"], sums=["flows"], bits=["active"])
    active = by_hour["active"].to_numpy()
    tens = sum((active >> 10 * place) & _TEN_MINUTES > 0 for place in range(6))
    counted = by_hour.assign(
        hours=1,
        tens=np.asarray(tens, dtype=np.int64),
        minutes=np.bitwise_count(active).astype(np.int64),
        peak_flows=by_hour["flows"],
    )
    return aggregate(counted, keys, SUMS, ["peak_flows"])


def merge_histories(histories: Iterable[History]) -> History:
    """Add up the counts of histories of different days, and keep the higher peaks."""
    parts = list(histories)
    tables = {
        name: aggregate(
            stack([part.tables[name] for part in parts]),
            *(keys, (*SUMS, *TOTALS.get(name, ())), PEAKS.get(name, ())),
            lows=BEGINS.get(name, ()),
        )
        for name, keys in KEYS.items()
    }
    first, last = min(part.first for part in parts), max(part.last for part in parts)
    return History(tables, sum(part.total_hours for part in parts), first, last)


def look_up(
    history: History,
    name: str,
    coded: Keyed,
    rows: np.ndarray,
    counts: tuple[str, ...],
    service: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    """Return counts of the keys of some rows, 0 where a key is unknown.

    Args:
        history: the past.
        name: one of its tables.
        coded: the events, or rows that stand for several.
        rows: places of those to look up.
        counts: columns of the table.
        service: of all rows, for a table that has it as a key.
    """
    columns: dict[str, tuple[np.ndarray, pd.Index | None]] = {
        "src_ip": (coded.source[rows], coded.sources),
        "dst_ip": (coded.destination[rows], coded.destinations),
        "protocol": (coded.protocol[rows], coded.protocols),
        "size_bin": (coded.size_bin[rows], None),
    }
    if service is not None:
        columns["service"] = (service[rows], None)
    place = find_rows(history, name, [columns[key] for key in KEYS[name]])
    return tuple(np.append(history.tables[name][count].to_numpy(), 0)[place] for count in counts)


def find_rows(history: History, name: str, wanted: list[tuple[np.ndarray, pd.Index | None]]) -> np.ndarray:
    """Return the places of keys in a table of a history; -1 where it does not have them.

    Args:
        history: the past.
        name: one of its tables.
        wanted: per key column the codes looked for and their vocabulary, or None if the key is a number.
    """
    table, packed = history.tables[name], history.packed[name]
    sought = np.zeros(len(wanted[0][0]), dtype=np.int64)
    known = np.ones(len(sought), dtype=bool)
    for key, (codes, names) in zip(KEYS[name], wanted, strict=True):
        values = codes if names is None else table[key].cat.categories.get_indexer(names)[codes]
        sought = sought * _width(table, key) + values
        known &= values >= 0
    # Sorted, the searches walk through the table once instead of jumping about in it.
    order = np.argsort(sought)
    place = np.empty(len(sought), dtype=np.int64)
    place[order] = np.searchsorted(packed, sought[order])
    place[place == len(packed)] = 0
    found = known & (packed[place] == sought) if len(packed) else np.zeros(len(sought), dtype=bool)
    return np.where(found, place, -1)


def _pack(table: pd.DataFrame, keys: list[str]) -> np.ndarray:
    """Return one whole number per row, in order as the rows are."""
    packed = np.zeros(len(table), dtype=np.int64)
    for key in keys:
        codes = table[key].cat.codes if isinstance(table[key].dtype, pd.CategoricalDtype) else table[key]
        packed = packed * _width(table, key) + codes.to_numpy()
    return packed


def _width(table: pd.DataFrame, key: str) -> int:
    return _WIDTHS[key] if key in _WIDTHS else len(table[key].cat.categories)


def aggregate(
    table: pd.DataFrame,
    keys: list[str],
    sums: Iterable[str] = (),
    peaks: Iterable[str] = (),
    bits: Iterable[str] = (),
    lows: Iterable[str] = (),
) -> pd.DataFrame:
    """Return a row per distinct key, in order, with sums, maxima, unions of bits and minima of some columns."""
    groups = group_by(table, keys)
    columns = {}
    for name in sums:
        total = np.bincount(groups.codes, table[name].to_numpy(), len(groups))
        columns[name] = total.astype(table[name].dtype)
    for name in peaks:
        columns[name] = np.zeros(len(groups), dtype=table[name].dtype)
        np.maximum.at(columns[name], groups.codes, table[name].to_numpy())
    for name in lows:
        columns[name] = np.full(len(groups), np.iinfo(np.int64).max)
        np.minimum.at(columns[name], groups.codes, table[name].to_numpy())
    for name in bits:
        columns[name] = np.zeros(len(groups), dtype=table[name].dtype)
        np.bitwise_or.at(columns[name], groups.codes, table[name].to_numpy())
    return sort_by_keys(table[keys].take(groups.first).reset_index(drop=True).assign(**columns), keys)


def group_by(table: pd.DataFrame, keys: list[str]) -> Groups:
    """Return the rows of a table with equal keys."""
    groups = group_rows(np.zeros(len(table), dtype=np.int64))
    for key in keys:
        values = table[key].cat.codes if isinstance(table[key].dtype, pd.CategoricalDtype) else table[key]
        groups = groups.refine(values.to_numpy().astype(np.int64))
    return groups


def are_probes(talks: pd.DataFrame) -> np.ndarray:
    """Return which conversation-hours are small and alike, and over UDP unanswered (int64, 0 or 1)."""
    small = np.expm1(talks["size_mean"]) <= PROBE_BYTES
    alike = np.sqrt(talks["size_squares"] / talks["flows"]) <= PROBE_SPREAD
    silent = (talks["protocol"] != "UDP") | (talks["seconds"] == 0)
    return np.asarray(small & alike & silent, dtype=np.int64)


def _count_sessions(talks: pd.DataFrame) -> np.ndarray:
    """Return the TCP flows of each conversation-hour in which they are larger than probes."""
    larger = (talks["protocol"] == "TCP") & (np.expm1(talks["size_mean"]) > PROBE_BYTES)
    return np.where(larger, talks["flows"], 0)


def _find_begin_of_probes(pair_hours: pd.DataFrame) -> pd.Series:
    """Return the beginning of the first hour in which each source probed ``WIDE_PROBES`` destinations, or ``NEVER``."""
    by_hour = aggregate(pair_hours, ["src_ip", "hour"], ["probes"])
    wide = by_hour["probes"] >= WIDE_PROBES
    begins = by_hour.assign(begin=(by_hour["hour"] * HOUR).where(wide, NEVER))
    return aggregate(begins, ["src_ip"], lows=["begin"])["begin"]


def _peak(pair_hours: pd.DataFrame, key: str, counted: str) -> pd.Series:
    """Return the most partners that each source, or destination, had in an hour."""
    return aggregate(aggregate(pair_hours, [key, "hour"], [counted]), [key], peaks=[counted])[counted]
