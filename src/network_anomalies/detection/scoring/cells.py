"""Cells: flows of a block of time with equal keys, counted; they merge over the pieces of a slice."""

from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import numpy as np
import pandas as pd

from network_anomalies.detection.scoring.columns import HOUR, MINUTE, Keyed
from network_anomalies.detection.scoring.groups import Groups, group_rows
from network_anomalies.detection.scoring.summary import stack

CELL = ["src_ip", "dst_ip", "protocol", "hour", "size_bin", "block"]
LEAST_PENDING = 100_000
"""Rows that wait before they are merged; fewer would be merged too often."""
_MOST_KEYS = 2**62
Part = TypeVar("Part", bound=Sized)


@dataclass(frozen=True)
class Cells(Keyed):
    """Cells as rows that stand for ``counts`` flows each; ``blocks`` are of ``block_micros`` within ``hours_of``."""

    counts: np.ndarray
    hours_of: np.ndarray
    bins: np.ndarray
    blocks: np.ndarray
    block_micros: int

    @property
    def flows(self) -> np.ndarray:
        """Flows of each cell."""
        return self.counts

    @property
    def hour(self) -> np.ndarray:
        """Hours since 1970."""
        return self.hours_of

    @property
    def minute_of_hour(self) -> np.ndarray:
        """Minutes from 0 to 59, of cells of a minute."""
        return self.block_of_hour(MINUTE)

    @property
    def size_bin(self) -> np.ndarray:
        """Bin of ln(1 + bytes), from 0."""
        return self.bins

    def block_of_hour(self, micros: int) -> np.ndarray:
        """Blocks of time of a length in microseconds, a multiple of that of the cells, from 0 in each hour."""
        return np.asarray(self.blocks // (micros // self.block_micros))


def group_cells(rows: Keyed, block_micros: int) -> Groups:
    """Return the rows of each cell."""
    cells = rows.conversation_hours.refine(rows.size_bin)
    return cells if block_micros == HOUR else cells.refine(rows.block_of_hour(block_micros))


def count_cells(rows: Keyed, block_micros: int) -> pd.DataFrame:
    """Return ``CELL`` and ``flows`` of each cell."""
    cells = group_cells(rows, block_micros)
    return pd.DataFrame(
        {
            "src_ip": pd.Categorical.from_codes(rows.source[cells.first], rows.sources),
            "dst_ip": pd.Categorical.from_codes(rows.destination[cells.first], rows.destinations),
            "protocol": pd.Categorical.from_codes(rows.protocol[cells.first], rows.protocols),
            "hour": rows.hour[cells.first],
            "size_bin": rows.size_bin[cells.first],
            "block": rows.block_of_hour(block_micros)[cells.first],
            "flows": cells.sizes,
        }
    )


def add_counts(tables: Sequence[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    """Return a row per distinct key of tables, in no order, with the sum of ``flows``."""
    rows = stack(tables)
    groups = group_columns([to_codes(rows[key]) for key in keys], rows["flows"].to_numpy())
    return rows[keys].take(groups.first).reset_index(drop=True).assign(flows=groups.sizes)


def to_cells(table: pd.DataFrame, block_micros: int) -> Cells:
    """Return a table of cells as rows with keys."""
    source, destination, protocol = (table[key] for key in ("src_ip", "dst_ip", "protocol"))
    return Cells(
        source=to_codes(source),
        destination=to_codes(destination),
        protocol=to_codes(protocol),
        sources=source.cat.categories,
        destinations=destination.cat.categories,
        protocols=protocol.cat.categories,
        counts=table["flows"].to_numpy(),
        hours_of=table["hour"].to_numpy(),
        bins=table["size_bin"].to_numpy(),
        blocks=table["block"].to_numpy(),
        block_micros=block_micros,
    )


def find_cells(cells: Cells, rows: Keyed) -> np.ndarray:
    """Return the place of each row's cell; every row has one."""
    groups = group_cells(rows, cells.block_micros)
    known = [cells.source, cells.destination, cells.protocol, cells.hour, cells.bins, cells.blocks]
    first = groups.first
    wanted = [
        cells.sources.get_indexer(rows.sources)[rows.source[first]],
        cells.destinations.get_indexer(rows.destinations)[rows.destination[first]],
        cells.protocols.get_indexer(rows.protocols)[rows.protocol[first]],
        rows.hour[first],
        rows.size_bin[first],
        rows.block_of_hour(cells.block_micros)[first],
    ]
    places = find_places(known, wanted).astype(np.int32)
    return np.asarray(places[groups.codes])


def find_places(known: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> np.ndarray:
    """Return the places of wanted keys among known ones.

    Args:
        known: whole numbers, an array per key column; no two rows are equal.
        wanted: the same columns; each row is a known one.
    """
    have, want = known[0].astype(np.int64), wanted[0].astype(np.int64)
    for known_key, wanted_key in zip(known[1:], wanted[1:], strict=True):
        low = int(known_key.min(initial=0 if len(known_key) == 0 else np.iinfo(np.int64).max))
        width = int(known_key.max(initial=0)) - low + 1
        if (int(have.max(initial=0)) + 1) * width > _MOST_KEYS:
            distinct = np.unique(have)
            have, want = np.searchsorted(distinct, have), np.searchsorted(distinct, want)
        have, want = have * width + (known_key - low), want * width + (wanted_key - low)
    order = np.argsort(have)
    return np.asarray(order[np.searchsorted(have[order], want)])


def group_columns(columns: Sequence[np.ndarray], flows: np.ndarray | None = None) -> Groups:
    """Return the rows with equal values in some columns of whole numbers."""
    start = group_rows(np.zeros(len(columns[0]), dtype=np.int64), flows)
    return reduce(lambda groups, values: groups.refine(values - values.min(initial=0)), columns, start)


def to_codes(values: pd.Series) -> np.ndarray:
    """Return a column of keys as whole numbers: codes of categories, or the numbers that it holds."""
    codes = values.cat.codes if isinstance(values.dtype, pd.CategoricalDtype) else values
    return np.asarray(codes.to_numpy().astype(np.int64))


def recode(values: pd.Series, like: pd.Index | None) -> np.ndarray:
    """Return a column of keys as codes into other categories; numbers, without such, as they are."""
    if like is None:
        return to_codes(values)
    return np.asarray(like.get_indexer(values.cat.categories)[to_codes(values)])


def merge_in_turn(parts: Iterable[Part], merge: Callable[[Sequence[Part]], Part]) -> Part:
    """Merge parts in their order, a few at a time, so that neither all of them wait nor a row is merged often.

    Parts wait until they have as many rows as what was merged before.
    """
    merged: list[Part] = []
    pending: list[Part] = []
    for part in parts:
        pending.append(part)
        if sum(map(len, pending)) > max(sum(map(len, merged)), LEAST_PENDING):
            merged, pending = [merge([*merged, *pending])], []
    return merge([*merged, *pending]) if pending else merged[0]
