"""Rows of delimited text, read by Arrow."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from network_anomalies.formats.base import ParsedLines, Rows
from network_anomalies.formats.lines import (
    are_blank,
    keep_lines,
    to_lines,
    to_utf8,
)
from network_anomalies.formats.parsed import to_parsed_lines

UNEVEN = "its number of values is not that of the header"
BAD_QUOTES = "its quotes do not match"


@dataclass(frozen=True)
class Shape:
    """The form of the lines of a table.

    Attributes:
        names: the columns, in the order of the file.
        wanted: the columns that are read.
        delimiter: what separates values.
        unset: the texts that stand for a missing value.
        quoted: whether values may stand in double quotes.
        text: the header line, if the file has one. Files that were joined repeat it.
        numbers: columns that usually hold numbers or an unset text. A block in which they do is read faster.
    """

    names: tuple[str, ...]
    wanted: tuple[str, ...]
    delimiter: str
    unset: tuple[str, ...] = ()
    quoted: bool = False
    text: str | None = None
    numbers: tuple[str, ...] = ()


Columns = Mapping[str, pa.Array]
Masks = Mapping[str, np.ndarray]
ToEvents = Callable[[Columns], Columns]
FindLines = Callable[[Columns], Masks]


def _find_none(source: object) -> Masks:
    return {}


def read_first_line(block: bytes) -> str:
    """Return a file's first line that is not blank, without its end; bytes that are no UTF-8 replaced."""
    return block.lstrip(b"\r\n").partition(b"\n")[0].decode("utf-8-sig", "replace").rstrip("\r")


def choose_columns(names: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the wanted columns that a table has."""
    return tuple(name for name in wanted if name in names)


def parse_rows(
    block: bytes,
    shape: Shape,
    header: Any,
    to_events: ToEvents,
    find_no_flows: FindLines = _find_none,
    find_others: Callable[[bytes], Masks] = _find_none,
) -> ParsedLines:
    """Parse whole lines of a table.

    Most blocks hold rows only, so a block is first read as if it did. If a line then has another number of values, or
    no time, the block is read again, line by line where needed.

    Args:
        block: whole lines.
        shape: how they are written.
        header: the header for the next block.
        to_events: the wanted columns (text, or float64 for ``numbers``; null where they are unset) to event columns.
        find_no_flows: the same columns to the rows, by reason, that are no flow.
        find_others: the block's text to the lines, by reason, that are no row; it must find none in a block whose rows
            all have a time. Blank lines and the header line are found here.
    """
    rows = _read_even_rows(block, shape)
    events = to_events(rows.columns) if rows else None
    if rows is None or events is None or events["timestamp"].null_count:
        rows = _read_rows(block, shape, find_others)
        events = to_events(rows.columns)
    return to_parsed_lines(rows, events, header, find_no_flows(rows.columns))


def is_whole_row(line: bytes, shape: Shape) -> bool:
    """Tell whether a line without an end is whole: all columns begin, and the last is not read."""
    values = line.count(shape.delimiter.encode()) + 1
    return values == len(shape.names) and shape.names[-1] not in shape.wanted


def _read_even_rows(block: bytes, shape: Shape) -> Rows | None:
    """Return the rows of a block whose lines are all rows, but for a header line at its start; None if some are not."""
    text = to_utf8(block)
    if shape.quoted and b'"' in text:
        return None
    headers = int(shape.text is not None and text.startswith(shape.text.encode() + b"\n"))
    rest = text[len((shape.text or "").encode()) + 1 :] if headers else text
    try:
        columns, skipped = _read_columns(rest, shape, shape.numbers)
    except pa.ArrowInvalid:  # a number that is none
        columns, skipped = _read_columns(rest, shape)
    if len(skipped):
        return None
    rows = len(next(iter(columns.values())))
    return Rows(block, columns, np.arange(headers, headers + rows), Counter(header=headers))


def _read_rows(block: bytes, shape: Shape, find_others: Callable[[bytes], Masks]) -> Rows:
    """Return the rows of any block; lines with another number of values, or quotes that do not match, are faults."""
    text = to_utf8(block)
    others = {**find_others(text), "blank": are_blank(text)}
    if shape.text is not None:
        others["header"] = np.asarray(pc.equal(pc.utf8_trim(to_lines(text), "\n\ufeff"), shape.text), dtype=bool)
    faults, kept = {}, ~np.logical_or.reduce(list(others.values()))
    if shape.quoted and b'"' in text:
        odd = kept & ~_have_matching_quotes(text, shape)
        faults[BAD_QUOTES], kept = np.flatnonzero(odd), kept & ~odd
    lines = np.flatnonzero(kept)
    columns, skipped = _read_columns(keep_lines(text, kept), shape)
    faults[UNEVEN] = lines[skipped]
    return Rows(block, columns, np.delete(lines, skipped), _count_first(others), faults)


def _count_first(reasons: Mapping[str, np.ndarray]) -> Counter[str]:
    """Count lines by the first reason that holds."""
    counts: Counter[str] = Counter()
    free = np.ones((), dtype=bool)
    for reason, lines in reasons.items():
        counts[reason] = int(np.count_nonzero(lines & free))
        free = free & ~lines
    return +counts


def _have_matching_quotes(text: bytes, shape: Shape) -> np.ndarray:
    """Tell which lines have matching quotes; of others, Arrow would read the lines that follow as one value."""
    value = rf'("([^"\n]|"")*"|[^"\n{_escape(shape.delimiter)}][^\n{_escape(shape.delimiter)}]*|)'
    pattern = rf"^{value}({_escape(shape.delimiter)}{value})*\n?$"
    return np.asarray(pc.match_substring_regex(to_lines(text), pattern), dtype=bool)


def _escape(delimiter: str) -> str:
    return f"\\x{ord(delimiter):02x}"


def _to_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies a single chunk too


def _read_columns(text: bytes, shape: Shape, numbers: Collection[str] = ()) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Return the wanted columns, and which rows (from 0) do not have the header's number of values.

    Args:
        text: the rows.
        shape: how they are written.
        numbers: the columns that are float64; the others are text.

    Raises:
        ArrowInvalid: one of the numbers is none.
    """
    skipped: list[int] = []
    places = {name: str(shape.names.index(name)) for name in shape.wanted}
    if not text:
        return {name: pa.array([], pa.string()) for name in places}, np.array(skipped, dtype=np.int64)

    def skip(row: Any) -> str:
        skipped.append(row.number - 1)
        return "skip"

    table = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(
            column_names=[str(place) for place in range(len(shape.names))],  # a file may name two columns alike
            use_threads=False,
            block_size=len(text) + 1,
        ),
        parse_options=csv.ParseOptions(
            delimiter=shape.delimiter,
            quote_char='"' if shape.quoted else False,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        convert_options=csv.ConvertOptions(
            include_columns=list(places.values()),
            column_types={place: pa.float64() if name in numbers else pa.string() for name, place in places.items()},
            null_values=list(shape.unset),
            strings_can_be_null=bool(shape.unset),
        ),
    )
    columns = {name: _to_array(table[place]) for name, place in places.items()}
    return columns, np.array(skipped, dtype=np.int64)
