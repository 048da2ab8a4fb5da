"""A day's silver, as later stages load it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import count
from typing import Self

import pandas as pd
from pandas.api.types import union_categoricals

from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.transformation import SilverObject

ReadEvents = Callable[[], pd.DataFrame]
"""A function that reads events; it may be called several times."""


@dataclass(frozen=True)
class Slice:
    """The events of some hours, in one piece or, where they are too many to be in memory at once, in several.

    Attributes:
        find_pieces: function that returns the pieces in order of time. No two have a time in common, except that the
            events of one instant may be in two.
    """

    find_pieces: Callable[[], Sequence[ReadEvents]]

    def __call__(self) -> pd.DataFrame:
        """Return all events at once, whatever memory that takes."""
        return _join([read() for read in self.find_pieces()])

    @classmethod
    def of(cls, *pieces: ReadEvents) -> Self:
        """Return the slice that consists of some pieces."""
        return cls(partial(tuple, pieces))


def name_piece(hour: str, piece: int) -> str:
    """Return what names of objects say of a slice's first hour, and of the number of a piece (0: the whole slice).

    >>> name_piece("09", 0), name_piece("09", 2)
    ('09', '09_002')
    """
    return f"{hour}_{piece:03d}" if piece else hour


def number_pieces(pieces: Iterable[pd.DataFrame], is_whole: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield the pieces of a slice with their numbers: from 1, or 0 if the slice is in one piece."""
    return zip(count(0 if is_whole else 1), pieces, strict=False)


def _join(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames; text stays categories, whatever categories each frame has."""
    texts = [name for name in frames[0] if isinstance(frames[0][name].dtype, pd.CategoricalDtype)]
    united = {name: union_categoricals([frame[name] for frame in frames]) for name in texts if len(frames) > 1}
    return pd.concat(frames, ignore_index=True).assign(**united) if len(frames) > 1 else frames[0]


Slices = dict[str, Slice]
"""From the first hour of a slice, two digits, to the slice."""
FEW_EVENTS = 100_000
"""Neighbours with up to so many events in all are joined. A slice with fewer takes most of its time for itself."""


def join_slices(slices: Slices, events: Mapping[str, int]) -> Slices:
    """Return the slices, neighbours with few events joined; the first hour of the first names them.

    Args:
        slices: in order of time; what is in pieces stays alone.
        events: number of events of each.
    """
    joined: dict[str, list[Slice]] = {}
    first, total = "", FEW_EVENTS + 1
    for hour, each in slices.items():
        count = events[hour] if len(each.find_pieces()) == 1 else FEW_EVENTS + 1
        if total + count > FEW_EVENTS:
            first, total = hour, 0
        total += count
        joined.setdefault(first, []).append(each)
    return {hour: some[0] if len(some) == 1 else Slice.of(partial(_read_all, some)) for hour, some in joined.items()}


def _read_all(slices: Sequence[Slice]) -> pd.DataFrame:
    return _join([each() for each in slices])


@dataclass(frozen=True)
class SilverDay:
    """The current silver of a source on one day.

    Attributes:
        logical_date: the day.
        revision: revision of the batch that it was made from.
        run_id: id of the transformation's run.
        inputs_sha256: digest of the facts that decided it.
        objects: its objects.
        raw_objects: the RAW objects that it was made from.
        slices: its slices.
        read_summary: function that reads the bytes of its summary.
    """

    logical_date: date
    revision: int
    run_id: str
    inputs_sha256: str
    objects: Sequence[SilverObject] = field(repr=False)
    raw_objects: Sequence[LakeObject] = field(repr=False)
    slices: Slices = field(repr=False)
    read_summary: Callable[[], bytes] = field(repr=False)
