"""nfdump's CSV (``nfdump -o csv`` and ``-o csv-fast``), with the header of version 1.6 or 1.7.

Documentation: https://github.com/phaag/nfdump and the manual of nfdump(1). Times are local to the machine that printed
them, without an offset; ``csv-fast`` prints milliseconds since 1970. The block that begins with ``Summary`` ends the
data, until another header follows (files that were put together). A port with a point is the type and code of ICMP.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import DEFAULT_OPTIONS, LogFormat, LogOptions, ParsedLines
from network_anomalies.formats.delimited import (
    Columns,
    Shape,
    choose_columns,
    is_whole_row,
    parse_rows,
    read_first_line,
)
from network_anomalies.formats.lines import count_lines, starts_with, to_utf8
from network_anomalies.formats.parsed import count_no_flows
from network_anomalies.formats.values import (
    add_sides,
    read_epoch,
    read_times,
    subtract_times,
    to_numbers,
    to_ports,
    to_protocols,
)

COLUMNS_GIVEN = (
    *("timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol"),
    *("src_port", "dst_port", "packets", "src_bytes", "dst_bytes"),
)
SUMMARY = "summary"
_LONG = {"ts": "start", "td": "duration", "sa": "src_ip", "da": "dst_ip", "sp": "src_port", "dp": "dst_port"} | {
    "pr": "protocol",
    "ipkt": "src_packets",
    "ibyt": "src_bytes",
    "opkt": "dst_packets",
    "obyt": "dst_bytes",
}
_SHORT = {"firstSeen": "start", "lastSeen": "end", "duration": "duration", "proto": "protocol", "srcAddr": "src_ip"} | {
    "dstAddr": "dst_ip",
    "srcPort": "src_port",
    "dstPort": "dst_port",
    "packets": "src_packets",
    "bytes": "src_bytes",
}
_NEEDED = ("start", "src_ip", "dst_ip", "protocol", "src_bytes")


@dataclass(frozen=True)
class NfdumpHeader:
    """The form of the rows, the meaning of their columns, the time zone, and whether the data has ended."""

    shape: Shape
    names: tuple[tuple[str, str], ...]
    timezone: str
    ended: bool = False


def matches(block: bytes) -> bool:
    """Tell whether a file begins with the names of nfdump's columns."""
    names = set(read_first_line(block).split(","))
    return {"ts", "te", "sa", "da"} <= names or {"firstSeen", "srcAddr", "dstAddr"} <= names


def read_header(block: bytes, options: LogOptions = DEFAULT_OPTIONS) -> NfdumpHeader:
    """Read the line of column names.

    Raises:
        ContractError: there is none, or a column is missing that an event needs.
    """
    if not matches(block):
        raise ContractError(
            "not an nfdump CSV: its first line does not name ts, te, sa, da or firstSeen, srcAddr, dstAddr"
        )
    line = read_first_line(block)
    names = tuple(line.split(","))
    known = _LONG if "ts" in names else _SHORT
    given = {meaning: name for name, meaning in known.items() if name in names}
    lacks = [name for name, meaning in known.items() if meaning in _NEEDED and meaning not in given]
    if "duration" not in given and "end" not in given:
        lacks.append("td" if known is _LONG else "duration")
    if lacks:
        raise ContractError(f"an nfdump CSV without {', '.join(lacks)}: print it with -o csv")
    shape = Shape(names, choose_columns(names, tuple(given.values())), ",", text=line)
    return NfdumpHeader(shape, tuple(given.items()), options.timezone)


def parse_lines(block: bytes, header: NfdumpHeader) -> ParsedLines:
    """Parse whole lines of a log.

    Returns:
        Events with src_bytes = ibyt, dst_bytes = obyt, and bytes and packets the sums of both directions; the short
        header has one direction, so dst_bytes are missing.
    """
    if header.ended and (header.shape.text or "").encode() not in block:
        return count_no_flows(block, SUMMARY, header)
    ended = _find_summary(header, block)[SUMMARY][-1] if header.ended or b"Summary" in block else False
    # A line that cannot be read lies before a summary or after it: it must not be read again as a line of one.
    parsed = parse_rows(
        block,
        header.shape,
        replace(header, ended=False),
        partial(_to_events, header),
        find_others=partial(_find_summary, header),
    )
    return replace(parsed, header=replace(header, ended=bool(ended)))


def is_whole(line: bytes, header: NfdumpHeader) -> bool:
    """Tell whether a line without an end is whole: of a summary, or all columns begin and the last is not read."""
    return header.ended or line == b"Summary" or is_whole_row(line, header.shape)


FORMAT = LogFormat(COLUMNS_GIVEN, matches, read_header, parse_lines, is_whole, NfdumpHeader)


def _find_summary(header: NfdumpHeader, block: bytes) -> dict[str, np.ndarray]:
    """Tell which lines lie between a line ``Summary`` and the next header."""
    lines = np.arange(count_lines(block))
    text = to_utf8(block)
    ends, begins = starts_with(text, "Summary"), starts_with(text, header.shape.text or "")
    last_end = np.maximum.accumulate(np.where(ends, lines, 0 if header.ended else -2))
    last_begin = np.maximum.accumulate(np.where(begins, lines, -1))
    return {SUMMARY: last_end > last_begin}


def _to_events(header: NfdumpHeader, row_columns: Columns) -> Columns:
    columns = {meaning: row_columns[name] for meaning, name in header.names}
    in_milliseconds = "duration" not in columns

    def read(column: pa.Array) -> pa.Array:
        return read_epoch(column, "ms") if in_milliseconds else read_times(column, header.timezone)

    start = read(columns["start"])
    sizes = {name: to_numbers(column) for name, column in columns.items() if name.endswith(("_bytes", "_packets"))}
    events: dict[str, pa.Array] = {
        "timestamp": start,
        "src_ip": columns["src_ip"],
        "dst_ip": columns["dst_ip"],
        "bytes": _add(sizes, "bytes"),
        "duration": subtract_times(read(columns["end"]), start) if in_milliseconds else to_numbers(columns["duration"]),
        "protocol": to_protocols(columns["protocol"]),
        **{name: to_ports(columns[name]) for name in ("src_port", "dst_port") if name in columns},
        **{name: sizes[name] for name in ("src_bytes", "dst_bytes") if name in sizes},
    }
    return events | ({"packets": _add(sizes, "packets")} if "src_packets" in sizes else {})


def _add(sizes: dict[str, pa.Array], what: str) -> pa.Array:
    sent = sizes[f"src_{what}"]
    return add_sides(sent, sizes[f"dst_{what}"]) if f"dst_{what}" in sizes else sent
