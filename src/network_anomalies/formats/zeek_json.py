"""Zeek's ``conn.log`` as JSON lines (https://docs.zeek.org/en/current/log-formats.html#zeek-json-format-logs).

Keys have a dot (``id.orig_h``) or, after some shippers, an underscore (``id_orig_h``). Unset fields are absent. ``ts``
is in seconds since 1970 or ISO 8601 (``LogAscii::json_timestamps``).
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import DEFAULT_OPTIONS, EVENT_COLUMNS, LogFormat, LogOptions, ParsedLines, Rows
from network_anomalies.formats.json_lines import find_first_object, is_whole_object, read_objects
from network_anomalies.formats.parsed import merge_parsed, to_parsed_lines
from network_anomalies.formats.values import add_sides, read_times, to_numbers, to_protocols
from network_anomalies.formats.zeek import OTHER_LOG

_TEXTS = ("id.orig_h", "id_orig_h", "id.resp_h", "id_resp_h", "proto", "uid", "_path", "community_id")
_NUMBERS = (
    *("ts", "id.orig_p", "id_orig_p", "id.resp_p", "id_resp_p", "duration", "orig_pkts", "resp_pkts"),
    *("orig_ip_bytes", "resp_ip_bytes", "orig_bytes", "resp_bytes"),
)
_FIELDS = {name: (name, pa.string()) for name in _TEXTS} | {name: (name, pa.float64()) for name in _NUMBERS}


def matches(block: bytes) -> bool:
    """Tell whether one of the first lines is a connection."""
    keys = (("ts", host, sign) for host in ("id.orig_h", "id_orig_h") for sign in ("conn_state", "orig_pkts"))
    return any(find_first_object(block, names) for names in keys)


def read_header(block: bytes, options: LogOptions = DEFAULT_OPTIONS) -> LogOptions:
    """Return the options; JSON lines have no header.

    Raises:
        ContractError: none of the first lines is a connection.
    """
    if not matches(block):
        raise ContractError("not a Zeek conn.log in JSON lines: none of its first lines has ts, id.orig_h, conn_state")
    return options


def parse_lines(block: bytes, header: LogOptions) -> ParsedLines:
    """Parse whole lines of a log.

    Returns:
        Events with src_bytes = orig_ip_bytes (orig_bytes in a record without), dst_bytes alike and bytes their sum,
        packets = orig_pkts + resp_pkts, flow_id = uid, else the community id.
    """
    return merge_parsed([_parse_part(rows, header) for rows in read_objects(block, _FIELDS)])


FORMAT = LogFormat(EVENT_COLUMNS, matches, read_header, parse_lines, is_whole_object)


def _parse_part(rows: Rows, header: LogOptions) -> ParsedLines:
    columns = rows.columns
    numbers = {name: to_numbers(columns[name]) for name in _NUMBERS if name != "ts"}
    with_headers = pc.or_(pc.is_valid(numbers["orig_ip_bytes"]), pc.is_valid(numbers["resp_ip_bytes"]))
    src_bytes, dst_bytes = (
        pc.if_else(with_headers, numbers[f"{side}_ip_bytes"], numbers[f"{side}_bytes"]) for side in ("orig", "resp")
    )
    events = {
        "timestamp": read_times(columns["ts"], header.timezone),
        "src_ip": _either(columns, "id.orig_h", "id_orig_h"),
        "dst_ip": _either(columns, "id.resp_h", "id_resp_h"),
        "bytes": add_sides(src_bytes, dst_bytes),
        "duration": numbers["duration"],
        "protocol": to_protocols(columns["proto"]),
        "src_port": _either(numbers, "id.orig_p", "id_orig_p"),
        "dst_port": _either(numbers, "id.resp_p", "id_resp_p"),
        "packets": add_sides(numbers["orig_pkts"], numbers["resp_pkts"]),
        "src_bytes": src_bytes,
        "dst_bytes": dst_bytes,
        "flow_id": _either(columns, "uid", "community_id"),
    }
    path = columns["_path"]
    other = pc.and_(pc.is_valid(path), pc.not_equal(path, "conn")).fill_null(False)
    return to_parsed_lines(rows, events, header, {OTHER_LOG: np.asarray(other, dtype=bool)})


def _either(columns: Any, name: str, other: str) -> pa.Array:
    return columns[name] if not columns[name].null_count else pc.coalesce(columns[name], columns[other])
