"""Zeek's ``conn.log``, tab-separated with its ``#`` header (https://docs.zeek.org/en/current/logs/conn.html)."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import LogFormat, ParsedLines

REQUIRED = ("ts", "id.orig_h", "id.resp_h", "proto", "duration", "orig_ip_bytes", "resp_ip_bytes")
OPTIONAL = ("id.orig_p", "id.resp_p", "orig_pkts", "resp_pkts")
_INSTANT = r"^-?\d{1,11}(\.\d+)?$"
_NUMBER = r"^-?\d+(\.\d+)?([eE][-+]?\d+)?$"


@dataclass(frozen=True)
class ZeekHeader:
    """The names of a log's columns, and the text that stands for a value that was not set."""

    fields: tuple[str, ...]
    unset: str


def read_header(block: bytes) -> ZeekHeader:
    """Read the ``#`` lines at the start of a log.

    Raises:
        ContractError: they are not those of a ``conn.log`` with the columns that an event needs.
    """
    entries: dict[str, list[str]] = {}
    for line in block.split(b"\n"):
        if not line.startswith(b"#"):
            break
        name, *values = line.decode("utf-8", "replace").rstrip("\r").split("\t")
        entries[name] = values
    if "#fields" not in entries or entries.get("#path", ["conn"]) != ["conn"]:
        raise ContractError("not a Zeek conn.log: it does not begin with the # header of one")
    fields = tuple(entries["#fields"])
    if missing := [field for field in REQUIRED if field not in fields]:
        raise ContractError(f"a Zeek conn.log without {', '.join(missing)}: log these columns (policy/protocols/conn)")
    return ZeekHeader(fields, unset=entries.get("#unset_field", ["-"])[0])


def parse_lines(block: bytes, header: ZeekHeader) -> ParsedLines:
    """Parse whole lines of a log.

    Returns:
        Events with bytes = orig_ip_bytes + resp_ip_bytes and packets = orig_pkts + resp_pkts (one side unset counts
        as 0, both as missing), duration in seconds, the protocol in upper case.

    Raises:
        ContractError: a second header inside the block names other columns.
    """
    skipped = _SkippedLines(header)
    wanted = [field for field in (*REQUIRED, *OPTIONAL) if field in header.fields]
    rows = csv.read_csv(
        BytesIO(_clean(block)),
        read_options=csv.ReadOptions(column_names=list(header.fields), use_threads=False, block_size=2**30),
        parse_options=csv.ParseOptions(
            delimiter="\t", quote_char=False, ignore_empty_lines=False, invalid_row_handler=skipped
        ),
        convert_options=csv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
        ),
    )
    if skipped.columns_change or pc.any(pc.equal(rows["ts"], "#fields")).as_py():
        raise ContractError("a Zeek log whose columns change half-way: split it at its second # header")
    blank = pc.and_(*(pc.equal(rows[name], "") for name in ("ts", "proto")))
    comments = pc.or_(pc.starts_with(rows["ts"], "#"), blank)
    seconds = _to_numbers(rows["ts"], _INSTANT)
    unparsable = pc.and_(pc.is_null(seconds), pc.invert(comments))
    events = _to_events(rows, seconds, header).filter(pc.is_valid(seconds))
    return ParsedLines(events, skipped.not_a_flow + _count(comments), skipped.unparsable + _count(unparsable))


def is_whole(line: bytes, header: ZeekHeader) -> bool:
    """Tell whether a line without an end is whole: a comment, or all columns begin and the last is not read."""
    if line.startswith(b"#"):
        return True
    return line.count(b"\t") == len(header.fields) - 1 and header.fields[-1] not in (*REQUIRED, *OPTIONAL)


FORMAT = LogFormat(read_header, parse_lines, is_whole)


class _SkippedLines:
    """Counts the lines that do not have the header's number of columns."""

    def __init__(self, header: ZeekHeader) -> None:
        self._header = header
        self.not_a_flow = 0
        self.unparsable = 0
        self.columns_change = False

    def __call__(self, row: Any) -> str:
        text = row.text.rstrip("\r")
        if text.startswith("#fields"):
            self.columns_change |= tuple(text.split("\t")[1:]) != self._header.fields
        if not text or text.startswith("#"):
            self.not_a_flow += 1
        else:
            self.unparsable += 1
        return "skip"


def _clean(block: bytes) -> bytes:
    """Return UTF-8 whose lines end where Zeek ends them; Arrow would end one at a lone carriage return too."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    return block.decode("utf-8", "replace").encode()


def _to_events(rows: pa.Table, seconds: pa.ChunkedArray, header: ZeekHeader) -> pa.Table:
    micros = pc.round(pc.multiply(seconds, 1e6)).cast(pa.int64())
    columns = {
        "timestamp": micros.cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
        "src_ip": _to_text(rows["id.orig_h"], header),
        "dst_ip": _to_text(rows["id.resp_h"], header),
        "bytes": _add_sides(rows, "orig_ip_bytes", "resp_ip_bytes"),
        "duration": _to_numbers(rows["duration"], _NUMBER),
        "protocol": pc.utf8_upper(_to_text(rows["proto"], header)),
    }
    if {"id.orig_p", "id.resp_p"} <= set(header.fields):
        columns["src_port"] = _to_numbers(rows["id.orig_p"], _NUMBER)
        columns["dst_port"] = _to_numbers(rows["id.resp_p"], _NUMBER)
    if {"orig_pkts", "resp_pkts"} <= set(header.fields):
        columns["packets"] = _add_sides(rows, "orig_pkts", "resp_pkts")
    return pa.table(columns)


def _to_text(column: pa.ChunkedArray, header: ZeekHeader) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(column, header.unset), pa.scalar(None, pa.string()), column)


def _to_numbers(column: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    readable = pc.match_substring_regex(column, pattern)
    return pc.if_else(readable, column, pa.scalar(None, pa.string())).cast(pa.float64())


def _add_sides(rows: pa.Table, first: str, second: str) -> pa.ChunkedArray:
    sides = [_to_numbers(rows[name], _NUMBER) for name in (first, second)]
    total = pc.add(*(pc.fill_null(side, 0.0) for side in sides))
    return pc.if_else(pc.or_(*(pc.is_valid(side) for side in sides)), total, pa.scalar(None, pa.float64()))


def _count(mask: pa.ChunkedArray) -> int:
    return int(np.count_nonzero(mask.to_numpy()))
