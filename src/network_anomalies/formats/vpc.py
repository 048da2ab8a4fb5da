"""AWS VPC Flow Logs, version 2 (the default format) and any custom format of versions 2 to 5.

Documentation: https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html. Files delivered to S3 begin with
the names of the fields; lines without them are read as the default format. A record has one direction, so
``dst_bytes`` are missing. ``NODATA`` and ``SKIPDATA`` records say that nothing was seen or kept.
"""

import re

import numpy as np
import pyarrow.compute as pc

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import DEFAULT_OPTIONS, LogFormat, LogOptions, ParsedLines
from network_anomalies.formats.delimited import (
    Columns,
    Masks,
    Shape,
    choose_columns,
    is_whole_row,
    parse_rows,
    read_first_line,
)
from network_anomalies.formats.values import read_epoch, subtract_times, to_numbers, to_protocols

DEFAULT_FIELDS = (
    *("version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol"),
    *("packets", "bytes", "start", "end", "action", "log-status"),
)
REQUIRED = ("srcaddr", "dstaddr", "protocol", "bytes", "start", "end")
OPTIONAL = ("srcport", "dstport", "packets", "log-status")
COLUMNS_GIVEN = (
    *("timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol"),
    *("src_port", "dst_port", "packets", "src_bytes"),
)
NO_DATA = ("NODATA", "SKIPDATA")
NOTHING = "no data"
_STATES = ("OK", *NO_DATA)
_DEFAULT_LINE = re.compile(r"2 \S+ \S+ \S+ \S+ \S+ \S+ \S+ \S+ \S+ \S+ \S+ \S+ (OK|NODATA|SKIPDATA)$")


def matches(block: bytes) -> bool:
    """Tell whether a file begins with names of fields, or with a record of the default format."""
    line = read_first_line(block)
    return {"srcaddr", "dstaddr"} <= set(line.split(" ")) or bool(_DEFAULT_LINE.match(line))


def read_header(block: bytes, options: LogOptions = DEFAULT_OPTIONS) -> Shape:
    """Read the names of the fields; a file without them has the default format.

    Raises:
        ContractError: it begins with neither, or a field is missing that an event needs.
    """
    if not matches(block):
        raise ContractError(
            "not an AWS VPC flow log: its first line has no srcaddr and dstaddr, nor the default fields"
        )
    line = read_first_line(block)
    if _DEFAULT_LINE.match(line):
        return _to_shape(DEFAULT_FIELDS, None)
    names = tuple(line.split(" "))
    if missing := [name for name in REQUIRED if name not in names]:
        raise ContractError(f"an AWS VPC flow log without {', '.join(missing)}: add these fields to its format")
    return _to_shape(names, line)


def parse_lines(block: bytes, header: Shape) -> ParsedLines:
    """Parse whole lines of a log.

    Returns:
        Events with timestamp = start, duration = end - start, src_bytes = bytes; the protocol's number as its keyword.
    """
    return parse_rows(block, header, header, _to_events, _find_no_data)


def is_whole(line: bytes, header: Shape) -> bool:
    """Tell whether a line without an end is whole: it ends in a state, or all fields begin and the last is not read."""
    values = line.decode("utf-8", "replace").split(" ")
    if header.names[-1] == "log-status":
        return len(values) == len(header.names) and values[-1] in _STATES
    return is_whole_row(line, header)


FORMAT = LogFormat(COLUMNS_GIVEN, matches, read_header, parse_lines, is_whole, Shape)


def _to_shape(names: tuple[str, ...], text: str | None) -> Shape:
    return Shape(names, choose_columns(names, (*REQUIRED, *OPTIONAL)), " ", unset=("-",), text=text)


def _to_events(columns: Columns) -> Columns:
    start, sent = read_epoch(columns["start"]), to_numbers(columns["bytes"])
    events = {
        "timestamp": start,
        "src_ip": columns["srcaddr"],
        "dst_ip": columns["dstaddr"],
        "bytes": sent,
        "duration": subtract_times(read_epoch(columns["end"]), start),
        "protocol": to_protocols(columns["protocol"]),
        "src_bytes": sent,
    }
    if {"srcport", "dstport"} <= set(columns):
        events |= {"src_port": to_numbers(columns["srcport"]), "dst_port": to_numbers(columns["dstport"])}
    if "packets" in columns:
        events["packets"] = to_numbers(columns["packets"])
    return events


def _find_no_data(columns: Columns) -> Masks:
    """Tell which records hold no flow, by their state; a format without it leaves such records' fields unset."""
    if "log-status" in columns:
        state = columns["log-status"].fill_null("")
        return {name: np.asarray(pc.equal(state, name), dtype=bool) for name in NO_DATA}
    unset = [pc.is_null(columns[name]) for name in ("srcaddr", "dstaddr", "protocol", "bytes")]
    return {NOTHING: np.logical_and.reduce([np.asarray(column, dtype=bool) for column in unset])}
