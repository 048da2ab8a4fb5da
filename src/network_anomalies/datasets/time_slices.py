"""Slices of a day of RAW, read from the objects that overlap them; a slice with too many events is cut into pieces."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from io import BytesIO
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from network_anomalies.datasets.layers import NamedObject
from network_anomalies.datasets.objects import CheckedObjects
from network_anomalies.records.silver_day import Slice, Slices, StoredEvents

HOURS_A_DAY = 24
WIDTHS = (timedelta(minutes=1), timedelta(seconds=1), timedelta(milliseconds=1), timedelta(microseconds=1))
"""Lengths of time that edges of pieces stand at; a shorter one only where one of the longer has too many events."""

Span = tuple[datetime, datetime]
"""A range of time, the end not included."""
CountEvents = Callable[[Span, timedelta], np.ndarray]
"""Returns the number of events in each length of time of a span."""


@dataclass(frozen=True)
class DayObjects:
    """RAW objects of a day: where they are, and their names."""

    lake: CheckedObjects
    folder: str
    objects: Sequence[NamedObject]

    def list_overlapping(self, span: Span) -> list[NamedObject]:
        """Return the objects that have events in a span."""
        first, end = span
        return [item for item in self.objects if item.first and item.last and item.first < end and item.last >= first]

    def find_events(self, span: Span) -> StoredEvents:
        """Return the events of a span. When they are read, only the row groups that overlap it are decoded."""
        return StoredEvents(partial(self._read_tables, span, None))

    def count(self, span: Span, width: timedelta) -> np.ndarray:
        """Return the number of events in each ``width`` of a span."""
        start, step = _to_micros(span[0]), width // timedelta(microseconds=1)
        counts = np.zeros((span[1] - span[0]) // width, dtype=np.int64)
        for table in self._read_tables(span, ["timestamp"]):
            micros = table["timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
            counts += np.bincount((micros - start) // step, minlength=len(counts))
        return counts

    def _read_tables(self, span: Span, columns: list[str] | None) -> Iterator[pa.Table]:
        within = [("timestamp", ">=", pd.Timestamp(span[0])), ("timestamp", "<", pd.Timestamp(span[1]))]
        for item in self.list_overlapping(span):
            data = BytesIO(self.lake.read(f"{self.folder}/{item.file_name}", item.sha256))
            yield pq.read_table(data, columns=columns, filters=within)


def read_by_hours(day_objects: DayObjects, day: date, hours: int, rows: int) -> Slices:
    """Return the slices of ``hours`` hours of a day, with pieces of at most ``rows`` events.

    Slices that no object overlaps are left out. A slice is cut when its pieces are asked for, not before: that reads
    the times of its events.
    """
    midnight = datetime.combine(day, time(), UTC)
    slices: Slices = {}
    for hour in range(0, HOURS_A_DAY, hours):
        first, end = (midnight + timedelta(hours=min(edge, HOURS_A_DAY)) for edge in (hour, hour + hours))
        if overlapping := day_objects.list_overlapping((first, end)):
            chosen = DayObjects(day_objects.lake, day_objects.folder, overlapping)
            slices[f"{hour:02d}"] = Slice(partial(cut_slice, chosen, (first, end), rows))
    return slices


def cut_slice(day_objects: DayObjects, span: Span, rows: int) -> list[StoredEvents]:
    """Return the pieces of a span, each with at most ``rows`` events if these differ in time."""
    first, end = span
    if sum(item.rows for item in day_objects.objects) <= rows:
        return [day_objects.find_events(span)]
    edges = [first, *find_edges(day_objects.count, span, rows)[1:], end]
    return [day_objects.find_events(piece) for piece in pairwise(edges)]


def find_edges(count: CountEvents, span: Span, rows: int, widths: Sequence[timedelta] = WIDTHS) -> list[datetime]:
    """Return the first instants of pieces with at most ``rows`` events, if these differ in time.

    They stand at whole minutes where they can: what is counted by minute is then within one piece.
    """
    width, finer = widths[0], widths[1:]
    edges: list[datetime] = []
    held = rows  # a piece begins at the first events
    counts = count(span, width)
    for place in np.flatnonzero(counts):
        start, events = span[0] + int(place) * width, int(counts[place])
        if events > rows and finer:
            edges += find_edges(count, (start, start + width), rows, finer)
            held = rows
        elif held + events > rows:
            edges.append(start)
            held = events
        else:
            held += events
    return edges


def _to_micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
