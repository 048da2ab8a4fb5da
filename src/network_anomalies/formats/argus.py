"""Argus flows as ``ra -c ,`` prints them, with commas or tabs (``.binetflow`` files).

Documentation: https://openargus.org/using-argus and the manual of ra(1). Times are local to the sensor without an
offset, or seconds since 1970 (``ra -u``). Ports of ICMP are its type and code, in hexadecimal. Rows of ``man`` (Argus's
messages about itself), ``arp`` and ``llc`` have no IP addresses, so they are not flows.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
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
from network_anomalies.formats.values import read_times, to_numbers, to_ports, to_protocols

REQUIRED = ("StartTime", "Dur", "Proto", "SrcAddr", "DstAddr", "TotBytes")
OPTIONAL = ("Sport", "Dport", "TotPkts", "SrcBytes")
COLUMNS_GIVEN = (
    *("timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol"),
    *("src_port", "dst_port", "packets", "src_bytes", "dst_bytes"),
)
NO_IP = "not an IP flow"
_NO_IP_PROTOCOLS = ("man", "arp", "rarp", "llc")
_MAC = r"^\s*([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\s*$"


@dataclass(frozen=True)
class ArgusHeader:
    """The form of the rows, and the time zone of their times."""

    shape: Shape
    timezone: str


def matches(block: bytes) -> bool:
    """Tell whether a file begins with the names of Argus's columns."""
    return {"StartTime", "SrcAddr", "DstAddr"} <= set(_split(read_first_line(block)))


def read_header(block: bytes, options: LogOptions = DEFAULT_OPTIONS) -> ArgusHeader:
    """Read the line of column names.

    Raises:
        ContractError: there is none, or a column is missing that an event needs.
    """
    if not matches(block):
        raise ContractError("not an Argus log: its first line does not name StartTime, SrcAddr and DstAddr")
    line = read_first_line(block)
    names = _split(line)
    if missing := [name for name in REQUIRED if name not in names]:
        raise ContractError(f"an Argus log without {', '.join(missing)}: print these columns (ra -s)")
    shape = Shape(names, choose_columns(names, (*REQUIRED, *OPTIONAL)), "\t" if "\t" in line else ",", text=line)
    return ArgusHeader(shape, options.timezone)


def parse_lines(block: bytes, header: ArgusHeader) -> ParsedLines:
    """Parse whole lines of a log.

    Returns:
        Events with bytes = TotBytes, src_bytes = SrcBytes and dst_bytes the rest, packets = TotPkts.
    """
    return parse_rows(block, header.shape, header, partial(_to_events, header), _find_no_ip)


def is_whole(line: bytes, header: ArgusHeader) -> bool:
    """Tell whether a line without an end is whole: all columns begin, and the last is not read."""
    return is_whole_row(line, header.shape)


FORMAT = LogFormat(COLUMNS_GIVEN, matches, read_header, parse_lines, is_whole, ArgusHeader)


def _split(line: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in line.split("\t" if "\t" in line else ","))


def _to_events(header: ArgusHeader, columns: Columns) -> Columns:
    columns = {name: pc.utf8_trim_whitespace(column) for name, column in columns.items()}
    total = to_numbers(columns["TotBytes"])
    events = {
        "timestamp": read_times(pc.replace_substring(columns["StartTime"], "/", "-"), header.timezone),
        "src_ip": columns["SrcAddr"],
        "dst_ip": columns["DstAddr"],
        "bytes": total,
        "duration": to_numbers(columns["Dur"]),
        "protocol": to_protocols(columns["Proto"]),
    }
    if {"Sport", "Dport"} <= set(columns):
        events |= {"src_port": to_ports(columns["Sport"]), "dst_port": to_ports(columns["Dport"])}
    if "TotPkts" in columns:
        events["packets"] = to_numbers(columns["TotPkts"])
    if "SrcBytes" in columns:
        sent = to_numbers(columns["SrcBytes"])
        events |= {"src_bytes": sent, "dst_bytes": pc.subtract(total, sent)}
    return events


def _find_no_ip(columns: Columns) -> Masks:
    protocols = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(columns["Proto"])), pa.array(_NO_IP_PROTOCOLS))
    hardware = (pc.match_substring_regex(columns[name], _MAC) for name in ("SrcAddr", "DstAddr"))
    return {NO_IP: np.asarray(pc.or_(protocols, pc.or_(*hardware)), dtype=bool)}
