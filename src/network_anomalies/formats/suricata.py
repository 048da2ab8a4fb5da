"""Suricata's EVE JSON, event types ``flow`` and ``netflow``.

Documentation: https://docs.suricata.io/en/latest/output/eve/eve-json-format.html#event-type-flow. A ``flow`` has both
directions; a ``netflow`` has one, so its ``dst_bytes`` are missing. The event's own ``timestamp`` is when it was
written: ``start`` is when the flow began.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import DEFAULT_OPTIONS, EVENT_COLUMNS, LogFormat, LogOptions, ParsedLines, Rows
from network_anomalies.formats.json_lines import Fields, find_first_object, is_whole_object, read_objects
from network_anomalies.formats.parsed import merge_parsed, to_parsed_lines
from network_anomalies.formats.values import add_sides, read_times, subtract_times, to_numbers, to_ports, to_protocols

OTHER_EVENT = "other event type"
NO_TYPE = "it has no event_type"
_TEXTS = ("event_type", "src_ip", "dest_ip", "proto", "flow/start", "flow/end", "netflow/start", "netflow/end")
_NUMBERS = (
    *("src_port", "dest_port", "netflow/bytes", "netflow/pkts"),
    *("flow/bytes_toserver", "flow/bytes_toclient", "flow/pkts_toserver", "flow/pkts_toclient"),
)
_FIELDS: Fields = {
    **{path: (path, pa.string()) for path in _TEXTS},
    **{path: (path, pa.float64()) for path in _NUMBERS},
    "flow_id": ("flow_id", pa.int64()),  # float64 would round it
}


def matches(block: bytes) -> bool:
    """Tell whether one of the first lines is an EVE event, of whatever type."""
    return find_first_object(block, ("timestamp", "event_type"))


def read_header(block: bytes, options: LogOptions = DEFAULT_OPTIONS) -> LogOptions:
    """Return the options; JSON lines have no header.

    Raises:
        ContractError: none of the first lines is an EVE event.
    """
    if not matches(block):
        raise ContractError("not a Suricata EVE log: none of its first lines has timestamp and event_type")
    return options


def parse_lines(block: bytes, header: LogOptions) -> ParsedLines:
    """Parse whole lines of a log.

    Returns:
        Events with timestamp = start, duration = end - start, src_bytes and dst_bytes = to server and to client and
        bytes and packets the sums; for a netflow src_bytes = bytes.
    """
    return merge_parsed([_parse_part(rows, header) for rows in read_objects(block, _FIELDS)])


FORMAT = LogFormat(EVENT_COLUMNS, matches, read_header, parse_lines, is_whole_object)


def _parse_part(rows: Rows, header: LogOptions) -> ParsedLines:
    columns = rows.columns
    kind = columns["event_type"]
    is_netflow = pc.equal(kind, "netflow").fill_null(False)
    is_other = pc.invert(pc.is_in(kind, pa.array(["flow", "netflow"])))

    def choose(flow: pa.Array, netflow: pa.Array) -> pa.Array:
        return pc.if_else(is_netflow, netflow, flow)

    numbers = {path: to_numbers(columns[path]) for path in _NUMBERS if not path.endswith("_port")}
    start, end = (
        read_times(choose(columns[f"flow/{name}"], columns[f"netflow/{name}"]), header.timezone)
        for name in ("start", "end")
    )
    src_bytes = choose(numbers["flow/bytes_toserver"], numbers["netflow/bytes"])
    dst_bytes = choose(numbers["flow/bytes_toclient"], pa.scalar(None, pa.float64()))
    packets = add_sides(numbers["flow/pkts_toserver"], numbers["flow/pkts_toclient"])
    events = {
        "timestamp": start,
        "src_ip": columns["src_ip"],
        "dst_ip": columns["dest_ip"],
        "bytes": add_sides(src_bytes, dst_bytes),
        "duration": subtract_times(end, start),
        "protocol": to_protocols(columns["proto"]),
        "src_port": to_ports(columns["src_port"]),
        "dst_port": to_ports(columns["dest_port"]),
        "packets": choose(packets, numbers["netflow/pkts"]),
        "src_bytes": src_bytes,
        "dst_bytes": dst_bytes,
        "flow_id": columns["flow_id"].cast(pa.string()),
    }
    no_type = np.asarray(pc.is_null(kind), dtype=bool)
    return to_parsed_lines(
        rows, events, header, {OTHER_EVENT: np.asarray(is_other, dtype=bool) & ~no_type}, {NO_TYPE: no_type}
    )
