"""Plain CSV whose columns a mapping names (RFC 4180, https://www.rfc-editor.org/rfc/rfc4180).

The first line has the names of the columns. A value in double quotes may hold the delimiter; a line end in it would
make two lines of a row, and is refused.
"""

import csv
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import EVENT_COLUMNS, LogFormat, LogOptions, ParsedLines
from network_anomalies.formats.delimited import (
    Columns,
    Shape,
    choose_columns,
    parse_rows,
    read_first_line,
)
from network_anomalies.formats.mapping import EPOCH_UNITS, ColumnMapping
from network_anomalies.formats.values import (
    add_sides,
    read_epoch,
    read_pattern,
    read_times,
    to_numbers,
    to_ports,
    to_protocols,
)

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class MappedHeader:
    """The form of the rows, and the options with the mapping."""

    shape: Shape
    options: LogOptions


def matches(block: bytes) -> bool:
    """Return False: any text may be such a file, so ``logs.format`` must name this format."""
    return False


def read_header(block: bytes, options: LogOptions) -> MappedHeader:
    """Read the line of column names.

    Raises:
        ContractError: there is no mapping, or a column that it names is missing.
    """
    mapping = require_mapping(options)
    line = read_first_line(block)
    try:
        names = tuple(name.strip() for name in next(csv.reader([line], delimiter=mapping.delimiter), []))
    except csv.Error as error:
        raise ContractError(f"not a CSV file: its first line cannot be read ({error})") from error
    require_columns(mapping, names, "a CSV file")
    wanted = choose_columns(names, tuple(mapping.columns.values()))
    return MappedHeader(Shape(names, wanted, mapping.delimiter, unset=("",), quoted=True, text=line), options)


def parse_lines(block: bytes, header: MappedHeader) -> ParsedLines:
    """Parse whole lines of a file; see ``map_columns`` for the events."""
    return parse_rows(block, header.shape, header, partial(map_columns, options=header.options))


def is_whole(line: bytes, header: MappedHeader) -> bool:
    """Tell whether a line without an end is whole: all columns begin, the last is not read, and no quote is open."""
    try:
        values = next(csv.reader([line.decode("utf-8", "replace")], delimiter=header.shape.delimiter, strict=True), [])
    except csv.Error:
        return False
    names = header.shape.names
    return len(values) == len(names) and names[-1] not in header.shape.wanted


FORMAT = LogFormat(EVENT_COLUMNS, matches, read_header, parse_lines, is_whole, MappedHeader)


def require_mapping(options: LogOptions) -> ColumnMapping:
    """Return the mapping of the options.

    Raises:
        ContractError: there is none.
    """
    if options.mapping is None:
        raise ContractError("a plain file: set logs.mapping to say which of its columns make an event")
    return options.mapping


def require_columns(mapping: ColumnMapping, names: tuple[str, ...], what: str) -> None:
    """Refuse a file that lacks a column of the mapping."""
    if missing := [name for name in mapping.columns.values() if name not in names]:
        raise ContractError(
            f"{what} without {', '.join(missing)}: correct logs.mapping, or give the file that was meant"
        )


def map_columns(columns: Columns, options: LogOptions) -> dict[str, pa.Array]:
    """Return event columns from a file's columns, which are text, numbers or times."""
    mapping = require_mapping(options)
    given = {name: columns[column] for name, column in mapping.columns.items()}
    numbers: dict[str, pa.Array] = {
        name: to_numbers(given[name]) for name in ("packets", "src_bytes", "dst_bytes") if name in given
    }
    seconds = to_numbers(given["duration"]).to_numpy(zero_copy_only=False) * _SECONDS[mapping.duration]
    return {
        "timestamp": _read_times(given["timestamp"], mapping.time, options.timezone),
        "duration": pa.array(seconds, from_pandas=True),
        "protocol": to_protocols(given["protocol"]),
        "bytes": to_numbers(given["bytes"])
        if "bytes" in given
        else add_sides(numbers["src_bytes"], numbers["dst_bytes"]),
        **numbers,
        **{name: to_ports(given[name]) for name in ("src_port", "dst_port") if name in given},
        **{name: given[name].cast(pa.string()) for name in ("src_ip", "dst_ip", "flow_id") if name in given},
    }


def _read_times(column: pa.Array, how: str, timezone: str) -> pa.Array:
    if how in EPOCH_UNITS and not pa.types.is_timestamp(column.type):
        return read_epoch(column, how)
    return read_times(column, timezone) if "%" not in how else read_pattern(column, how, timezone)
