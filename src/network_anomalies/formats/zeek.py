"""Zeek's ``conn.log``, tab-separated with its ``#`` header.

Documentation: https://docs.zeek.org/en/current/logs/conn.html (columns) and
https://docs.zeek.org/en/current/log-formats.html (header). IoT-23 joins its last three columns by three spaces, in the
header as in the rows, so they are one column here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import DEFAULT_OPTIONS, EVENT_COLUMNS, LogFormat, LogOptions, ParsedLines
from network_anomalies.formats.delimited import Columns, Shape, choose_columns, is_whole_row, parse_rows
from network_anomalies.formats.lines import starts_with
from network_anomalies.formats.parsed import count_no_flows, merge_parsed, shift_lines
from network_anomalies.formats.values import add_sides, read_epoch, to_numbers, to_protocols

REQUIRED = ("ts", "id.orig_h", "id.resp_h", "proto", "duration", "orig_ip_bytes", "resp_ip_bytes")
OPTIONAL = ("uid", "id.orig_p", "id.resp_p", "orig_pkts", "resp_pkts")
IP_BYTES = ("orig_ip_bytes", "resp_ip_bytes")
PAYLOAD_BYTES = ("orig_bytes", "resp_bytes")  # without headers; only where the others are not logged
_NEEDED = tuple(field for field in REQUIRED if field not in IP_BYTES)
NUMBERS = ("id.orig_p", "id.resp_p", "duration", "orig_pkts", "resp_pkts")
OTHER_LOG = "line of another Zeek log"
_OTHER_SEPARATOR = re.compile(rb"#separator (?!\\x09\s)")
_COMMENTS = re.compile(rb"(?m)(?:^#.*\n?)+")


@dataclass(frozen=True)
class ZeekHeader:
    """The content of the ``#`` lines.

    Attributes:
        fields: the names of the columns.
        unset: the text that stands for a value that was not set.
        path: the name of the log; the lines of another log than ``conn`` are no flows.
    """

    fields: tuple[str, ...] = ()
    unset: str = "-"
    path: str = "conn"

    @property
    def sizes(self) -> tuple[str, str]:
        """The columns of each side's bytes."""
        return IP_BYTES if set(IP_BYTES) <= set(self.fields) else PAYLOAD_BYTES

    @property
    def shape(self) -> Shape:
        """The form of the rows."""
        wanted = choose_columns(self.fields, (*_NEEDED, *OPTIONAL, *self.sizes))
        return Shape(self.fields, wanted, "\t", unset=(self.unset,), numbers=(*NUMBERS, *self.sizes))


def matches(block: bytes) -> bool:
    """Tell whether a file begins with the header of a conn.log."""
    header = _update_header(ZeekHeader(), block)
    return bool(header.fields) and header.path == "conn"


def read_header(block: bytes, options: LogOptions = DEFAULT_OPTIONS) -> ZeekHeader:
    """Read the ``#`` lines at the start of a log.

    Raises:
        ContractError: they are not those of a ``conn.log`` with the columns that an event needs.
    """
    if _OTHER_SEPARATOR.match(block):
        raise ContractError("a Zeek log that is not separated by tabs: set LogAscii::separator to its default")
    if not matches(block):
        raise ContractError("not a Zeek conn.log: it does not begin with the # header of one")
    return _require_columns(_update_header(ZeekHeader(), block))


def parse_lines(block: bytes, header: ZeekHeader) -> ParsedLines:
    """Parse whole lines of a log; a header inside them counts from there on.

    Returns:
        Events with src_bytes = orig_ip_bytes, dst_bytes = resp_ip_bytes and bytes their sum, packets = orig_pkts +
        resp_pkts (one side unset counts as 0, both as missing), flow_id = uid.

    Raises:
        ContractError: a second header lacks a column that an event needs.
    """
    parts, lines = [], 0
    for piece, piece_header in _cut_at_headers(block, header):
        parts.append(shift_lines(_parse_piece(piece, piece_header), lines))
        lines += parts[-1].lines
    return merge_parsed(parts)


def is_whole(line: bytes, header: ZeekHeader) -> bool:
    """Tell whether a line without an end is whole: a comment, or all columns begin and the last is not read."""
    return line.startswith(b"#") or is_whole_row(line, header.shape)


FORMAT = LogFormat(EVENT_COLUMNS, matches, read_header, parse_lines, is_whole, ZeekHeader)


def _update_header(header: ZeekHeader, block: bytes) -> ZeekHeader:
    """Return a header as the ``#`` lines at the start of a block change it."""
    comments = _COMMENTS.match(block)
    for line in comments[0].split(b"\n") if comments else ():
        name, *values = line.decode("utf-8", "replace").rstrip("\r").split("\t")
        if name == "#fields":
            header = replace(header, fields=tuple(values))
        elif name == "#path":
            header = replace(header, path=(values or [""])[0])
        elif name == "#unset_field":
            header = replace(header, unset=(values or [""])[0])
    return header


def _require_columns(header: ZeekHeader) -> ZeekHeader:
    sizes = PAYLOAD_BYTES if set(PAYLOAD_BYTES) <= set(header.fields) else IP_BYTES
    if missing := [field for field in (*_NEEDED, *sizes) if field not in header.fields]:
        raise ContractError(f"a Zeek conn.log without {', '.join(missing)}: log these columns (policy/protocols/conn)")
    return header


def _cut_at_headers(block: bytes, header: ZeekHeader) -> Iterator[tuple[bytes, ZeekHeader]]:
    """Yield a block in pieces, and the header that holds for each.

    ``#`` lines are a piece of their own where they change the header, and at the block's start and end; others, which
    are rare, stay among the rows.
    """
    start = at = 0
    while b"#" in block and (comments := _find_comments(block, at)):
        changed, at = _update_header(header, comments[0]), comments.end()
        if changed == header and comments.start() > 0 and at < len(block):
            continue
        if comments.start() > start:
            yield block[start : comments.start()], header
        if changed != header:
            header = _require_columns(changed) if changed.path == "conn" else changed
        yield comments[0], header
        start = at
    if start < len(block):
        yield block[start:], header


def _find_comments(block: bytes, at: int) -> re.Match[bytes] | None:
    """Return the next ``#`` lines that follow each other."""
    begins = at if block.startswith(b"#", at) else block.find(b"\n#", at) + 1
    return _COMMENTS.match(block, begins) if begins or at == 0 else None


def _parse_piece(piece: bytes, header: ZeekHeader) -> ParsedLines:
    if piece.startswith(b"#"):
        return count_no_flows(piece, "header", header)
    if header.path != "conn":
        return count_no_flows(piece, OTHER_LOG, header)
    return parse_rows(piece, header.shape, header, partial(_to_events, header), find_others=_find_comment_lines)


def _find_comment_lines(text: bytes) -> dict[str, np.ndarray]:
    return {"header": starts_with(text, "#")}


def _to_events(header: ZeekHeader, columns: Columns) -> Columns:
    sizes = header.sizes
    src_bytes, dst_bytes = (to_numbers(columns[name]) for name in sizes)
    events = {
        "timestamp": read_epoch(columns["ts"]),
        "src_ip": columns["id.orig_h"],
        "dst_ip": columns["id.resp_h"],
        "bytes": add_sides(src_bytes, dst_bytes),
        "duration": to_numbers(columns["duration"]),
        "protocol": to_protocols(columns["proto"]),
        "src_bytes": src_bytes,
        "dst_bytes": dst_bytes,
    }
    if {"id.orig_p", "id.resp_p"} <= set(columns):
        events |= {"src_port": to_numbers(columns["id.orig_p"]), "dst_port": to_numbers(columns["id.resp_p"])}
    if {"orig_pkts", "resp_pkts"} <= set(columns):
        events["packets"] = add_sides(to_numbers(columns["orig_pkts"]), to_numbers(columns["resp_pkts"]))
    if "uid" in columns:
        events["flow_id"] = columns["uid"]
    return events
