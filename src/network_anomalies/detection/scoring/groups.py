"""Groups of rows with equal keys; a row may stand for several flows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd

_DENSE = 8  # up to so many possible keys a row, they are looked up in a table


@dataclass(frozen=True)
class Groups:
    """A partition of rows: each row's group, numbered from 0, and each group's first row.

    ``flows`` says how many flows each row stands for, None that it is one.
    """

    codes: np.ndarray
    first: np.ndarray
    flows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.first)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Flows per group."""
        if self.flows is None:
            return np.bincount(self.codes, minlength=len(self))
        return np.bincount(self.codes, self.flows, len(self)).astype(np.int64)

    def refine(self, values: np.ndarray) -> "Groups":
        """Split every group by ``values`` (whole numbers from 0)."""
        return group_rows(self.codes * (int(values.max(initial=0)) + 1) + values, self.flows)

    def count_within(self, coarser: "Groups") -> np.ndarray:
        """Return how many of these groups each group of a coarser partition holds."""
        return np.asarray(np.bincount(coarser.codes[self.first], minlength=len(coarser)))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of ``values`` per group, each flow counted once."""
        weighted = values if self.flows is None else values * self.flows
        return np.asarray(np.bincount(self.codes, weights=weighted, minlength=len(self)) / self.sizes)


def group_rows(keys: np.ndarray, flows: np.ndarray | None = None) -> Groups:
    """Return the groups of rows with equal integer keys; ``flows`` as in ``Groups``."""
    low = int(keys.min(initial=0))
    span = int(keys.max(initial=0)) - low + 1
    if span > _DENSE * len(keys):
        codes, distinct = pd.factorize(keys)
        first = np.empty(len(distinct), dtype=np.int64)
        first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
        return Groups(codes, first, flows)
    # Few keys for many rows: a table of them is several times as fast as hashing.
    places = keys - low
    table = np.full(span, -1, dtype=np.int64)
    table[places[::-1]] = np.arange(len(keys) - 1, -1, -1)
    used = np.flatnonzero(table >= 0)
    first = table[used]
    table[used] = np.arange(len(used))
    return Groups(table[places], first, flows)


class Surrounded(Protocol):
    """Rows whose conversation-hours, and hours of sources and destinations, are known."""

    @property
    def conversation_hours(self) -> Groups:
        """The flows of a pair over one protocol in an hour."""
        ...

    @property
    def source_hours(self) -> Groups:
        """The flows of a source in an hour."""
        ...

    @property
    def destination_hours(self) -> Groups:
        """The flows to a destination in an hour."""
        ...
