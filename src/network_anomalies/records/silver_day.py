"""A day's silver, as later stages load it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Self

import pandas as pd
import pyarrow as pa

from network_anomalies.events.joining import to_frame
from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.transformation import SilverObject

if TYPE_CHECKING:
    from network_anomalies.detection import Summary

ReadSummary = Callable[[], "Summary"]
"""A function that reads the summary of a day."""


@dataclass(frozen=True)
class StoredEvents:
    """Events that are read when this is called, which may be several times.

    Attributes:
        find_tables: function that reads their tables.
    """

    find_tables: Callable[[], Iterable[pa.Table]]

    def __call__(self) -> pd.DataFrame:
        """Return the events of all tables as one frame."""
        return to_frame(self.find_tables())

    @classmethod
    def join(cls, some: Sequence[Self]) -> Self:
        """Return the events of several, one after another."""
        return cls(partial(_find_all, some))


def _find_all(some: Sequence[StoredEvents]) -> Iterator[pa.Table]:
    for each in some:
        yield from each.find_tables()


@dataclass(frozen=True)
class Slice:
    """The events of some hours, in one piece or, where they are too many to be in memory at once, in several.

    Attributes:
        find_pieces: function that returns the pieces in order of time. No two have a time in common, except that the
            events of one instant may be in two.
    """

    find_pieces: Callable[[], Sequence[StoredEvents]]

    def __call__(self) -> pd.DataFrame:
        """Return all events at once, whatever memory that takes."""
        return StoredEvents.join(self.find_pieces())()

    @classmethod
    def of(cls, *pieces: StoredEvents) -> Self:
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
    return {hour: some[0] if len(some) == 1 else _join(some) for hour, some in joined.items()}


def _join(slices: Sequence[Slice]) -> Slice:
    return Slice.of(StoredEvents.join([piece for each in slices for piece in each.find_pieces()]))


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
