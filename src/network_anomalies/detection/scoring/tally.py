"""Tally: what pieces of a slice tell of its hours. Those of all pieces merge to the summary and the context columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.cells import (
    CELL,
    Cells,
    add_counts,
    count_cells,
    find_cells,
    find_places,
    group_columns,
    merge_in_turn,
    recode,
    to_cells,
    to_codes,
)
from network_anomalies.detection.scoring.columns import HOUR, SECOND, Coded
from network_anomalies.detection.scoring.context import (
    count_hours,
    group_moments,
    log_gaps,
    measure_spread,
    order_by_group,
)
from network_anomalies.detection.scoring.summary import (
    CONVERSATION,
    SIZE,
    Summary,
    choose_services,
    group_services,
    mark_minutes,
    sort_by_keys,
    stack,
    summarise_coded,
)

PAIR = ["src_ip", "dst_ip", "hour"]
SERVICE = [*CONVERSATION, "service"]
_MERGED = {
    **dict.fromkeys(("flows", "bytes", "seconds", "sided", "answered", "upload", "download"), np.add),
    **dict.fromkeys(("largest", "last"), np.maximum),
    "first": np.minimum,
    "active": np.bitwise_or,
}


@dataclass(frozen=True)
class Tally:
    """Tables of a piece, or of consecutive pieces, of a slice.

    Attributes:
        conversations: as in a summary, per ``CONVERSATION``; the columns about ports only count within a piece.
        sizes: as in a summary, per ``SIZE``.
        pairs: per ``PAIR`` the columns ``flows``, ``active``, ``first``, ``last``, ``gaps``, ``gap_mean`` and
            ``gap_squares`` of a summary, for all protocols together.
        services: ``flows`` per ``SERVICE``.
        cells: ``flows`` per ``CELL``; its blocks are hours.
    """

    conversations: pd.DataFrame
    sizes: pd.DataFrame
    pairs: pd.DataFrame
    services: pd.DataFrame
    cells: pd.DataFrame

    def __len__(self) -> int:
        return sum(len(table) for table in vars(self).values())


@dataclass(frozen=True)
class Surroundings:
    """Columns that all flows of a cell have in common."""

    cells: Cells
    columns: Mapping[str, np.ndarray]

    def spread(self, coded: Coded) -> dict[str, np.ndarray]:
        """Return the columns in the order of events, each of which has a cell."""
        places = find_cells(self.cells, coded)
        return {name: values[places] for name, values in self.columns.items()}


def tally(coded: Coded) -> Tally:
    """Return the tally of the events of a piece."""
    summary = summarise_coded(coded)
    services = count_service_flows(coded)
    return Tally(summary.conversations, summary.sizes, _describe_pairs(coded), services, count_cells(coded, HOUR))


def merge_tallies(tallies: Iterable[Tally]) -> Tally:
    """Merge the tallies of pieces in order of time; two neighbours may share an instant, and no more."""
    return merge_in_turn(tallies, _merge)


def summarise_tally(whole: Tally) -> Summary:
    """Return the summary of a slice, from the tally of all its pieces."""
    talks = sort_by_keys(whole.conversations, CONVERSATION)
    known = [to_codes(talks[key]) for key in CONVERSATION]
    names = [talks[key].cat.categories for key in CONVERSATION[:3]]
    wanted = [recode(whole.services[key], like) for key, like in zip(CONVERSATION, [*names, None], strict=True)]
    service, flows = (whole.services[name].to_numpy() for name in ("service", "flows"))
    services = choose_services(find_places(known, wanted), service, flows, len(talks))
    minutes = np.bitwise_count(talks["active"].to_numpy()).astype(np.int64)
    return Summary(talks.assign(minutes=minutes, **services), sort_by_keys(whole.sizes, SIZE))


def surround_hours(whole: Tally) -> Surroundings:
    """Return the context columns of hours that a slice has, from the tally of all its pieces."""
    cells, pairs = to_cells(whole.cells, HOUR), whole.pairs
    groups = cells.pair_hours
    first = groups.first
    wanted = [cells.source[first], cells.destination[first], cells.hour[first]]
    known = [
        recode(pairs["src_ip"], cells.sources),
        recode(pairs["dst_ip"], cells.destinations),
        pairs["hour"].to_numpy(),
    ]
    at_pair = find_places(known, wanted)[groups.codes]
    spread = measure_spread(*(pairs[name].to_numpy() for name in ("flows", "gaps", "gap_squares")))
    minutes = np.bitwise_count(pairs["active"].to_numpy()).astype(np.int32)
    columns = {"pair_minutes_hour": minutes[at_pair], "pair_gap_spread_hour": spread[at_pair]}
    return Surroundings(cells, count_hours(cells) | columns)


def _describe_pairs(coded: Coded) -> pd.DataFrame:
    pair = coded.pair_hours
    order = order_by_group(pair, coded.micros)
    codes, micros = pair.codes[order], coded.micros[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    gaps, means, squares = group_moments(*log_gaps(codes, micros), len(pair))
    return pd.DataFrame(
        {
            "src_ip": pd.Categorical.from_codes(coded.source[pair.first], coded.sources),
            "dst_ip": pd.Categorical.from_codes(coded.destination[pair.first], coded.destinations),
            "hour": coded.hour[pair.first],
            "flows": pair.sizes,
            "active": mark_minutes(coded, order, starts),
            "first": micros[starts],
            "last": np.maximum.reduceat(micros, starts),
            "gaps": gaps,
            "gap_mean": means,
            "gap_squares": squares,
        }
    )


def count_service_flows(coded: Coded) -> pd.DataFrame:
    """Return ``flows`` per ``SERVICE``."""
    services, known = group_services(coded.conversation_hours, coded)
    first = known[services.first]
    return pd.DataFrame(
        {
            "src_ip": pd.Categorical.from_codes(coded.source[first], coded.sources),
            "dst_ip": pd.Categorical.from_codes(coded.destination[first], coded.destinations),
            "protocol": pd.Categorical.from_codes(coded.protocol[first], coded.protocols),
            "hour": coded.hour[first],
            "service": coded.service[first],
            "flows": services.sizes,
        }
    )


def _merge(tallies: Sequence[Tally]) -> Tally:
    if len(tallies) == 1:
        return tallies[0]
    tables = {field.name: [getattr(each, field.name) for each in tallies] for field in fields(Tally)}
    return Tally(
        conversations=_merge_tables(tables["conversations"], CONVERSATION),
        sizes=_merge_tables(tables["sizes"], SIZE),
        pairs=_merge_tables(tables["pairs"], PAIR),
        services=add_counts(tables["services"], SERVICE),
        cells=add_counts(tables["cells"], CELL),
    )


def _merge_tables(tables: Sequence[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    """Merge tables of consecutive pieces: a row per distinct key, in no order, with the columns of the first table."""
    rows = stack(tables)
    groups = group_columns([to_codes(rows[key]) for key in keys])
    order = np.argsort(groups.codes, kind="stable")  # rows of a key stay in order of the pieces
    ordered, codes = rows.take(order), groups.codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    merged = {name: how.reduceat(ordered[name].to_numpy(), starts) for name, how in _MERGED.items() if name in rows}
    if "size_mean" in rows:
        sizes = _Moments(codes, *(ordered[name].to_numpy() for name in ("flows", "size_mean", "size_squares")))
        _, merged["size_mean"], merged["size_squares"] = _merge_moments([sizes], len(groups))
    if "gaps" in rows:
        within = _Moments(codes, *(ordered[name].to_numpy() for name in ("gaps", "gap_mean", "gap_squares")))
        parts = [within, _measure_gaps(ordered, codes)]
        merged["gaps"], merged["gap_mean"], merged["gap_squares"] = _merge_moments(parts, len(groups))
    return ordered.iloc[starts].reset_index(drop=True).assign(**merged)


class _Moments(NamedTuple):
    """Parts of groups: each one's group, number of values, their mean, and their squared deviations from it."""

    codes: np.ndarray
    counts: np.ndarray
    means: np.ndarray
    squares: np.ndarray


def _measure_gaps(ordered: pd.DataFrame, codes: np.ndarray) -> _Moments:
    """Return the gaps between consecutive pieces of a key, as parts of one value each."""
    same = codes[1:] == codes[:-1]
    micros = (ordered["first"].to_numpy()[1:] - ordered["last"].to_numpy()[:-1])[same]
    count = len(micros)
    return _Moments(codes[1:][same], np.ones(count), np.log1p(micros * (1000 / SECOND)), np.zeros(count))


def _merge_moments(parts: Sequence[_Moments], size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return number, mean and squared deviations of each group's values (Chan: centred, so nothing cancels)."""
    codes, counts, means, squares = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    count = np.bincount(codes, counts, size)
    mean = np.bincount(codes, counts * means, size) / np.maximum(count, 1)
    between = np.bincount(codes, counts * (means - mean[codes]) ** 2, size)
    return count.astype(np.int64), mean, (np.bincount(codes, squares, size) + between).astype(np.float64)
