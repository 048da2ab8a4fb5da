"""Suricata's EVE JSON: flows, netflows, and events of other types."""

import copy
import json
from datetime import UTC, datetime

import pytest
from flow_logs import parse, tell

from network_anomalies.errors import ContractError
from network_anomalies.formats import LogOptions, suricata

FLOW = {
    **{"timestamp": "2024-04-19T00:10:00.000000+0000", "flow_id": 2**62 + 1, "event_type": "flow"},
    **{"src_ip": "10.0.0.1", "src_port": 5353, "dest_ip": "::1", "dest_port": 53, "proto": "UDP"},
    "flow": {
        **{"pkts_toserver": 1, "pkts_toclient": 2, "bytes_toserver": 60, "bytes_toclient": 40, "age": 0},
        **{"start": "2024-04-19T00:00:01.500001+0000", "end": "2024-04-19T00:00:01.750001+0000"},
    },
}
NETFLOW = {name: value for name, value in FLOW.items() if name != "flow"} | {
    "event_type": "netflow",
    "netflow": {
        **{"pkts": 3, "bytes": 100, "age": 9},
        **{"start": "2024-04-19T00:00:01.000000+0000", "end": "2024-04-19T00:00:03.000000+0000"},
    },
}


def line(record: dict, part: str | None = None, **changes: object) -> bytes:
    record = copy.deepcopy(record)
    target = record[part] if part else record
    target.update(changes)
    for name in [name for name, value in target.items() if value is ...]:
        del target[name]
    return json.dumps(record).encode() + b"\n"


def parse_eve(*lines: bytes, timezone: str = "UTC"):
    return parse("suricata_eve", *lines, options=LogOptions(timezone=timezone))


def test_a_flow_begins_at_its_start_and_not_when_it_was_written():
    (event,) = parse_eve(line(FLOW)).events.to_pylist()
    assert event == {
        "timestamp": datetime(2024, 4, 19, 0, 0, 1, 500_001, UTC),
        **{"src_ip": "10.0.0.1", "dst_ip": "::1", "bytes": 100, "duration": 0.25, "protocol": "UDP"},
        **{"src_port": 5353, "dst_port": 53, "packets": 3, "src_bytes": 60, "dst_bytes": 40},
        "flow_id": str(2**62 + 1),
    }


def test_a_netflow_has_one_direction():
    (event,) = parse_eve(line(NETFLOW)).events.to_pylist()
    assert (event["bytes"], event["src_bytes"], event["dst_bytes"]) == (100, 100, None)
    assert (event["packets"], event["duration"]) == (3, 2)


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        ({"flow_id": "abc"}, "flow_id", "abc"),
        ({"flow_id": 2**64 - 1}, "flow_id", str(2**64 - 1)),
        ({"flow_id": ...}, "flow_id", None),
        ({"src_port": ...}, "src_port", None),
        ({"proto": "047"}, "protocol", "GRE"),
        ({"proto": "IPv6-ICMP"}, "protocol", "IPV6-ICMP"),
        ({"part": "flow", "bytes_toclient": ...}, "bytes", 60),
        ({"part": "flow", "bytes_toserver": "60"}, "bytes", 100),
        ({"part": "flow", "end": ...}, "duration", None),
        ({"part": "flow", "start": "2024-04-19T02:00:01.500001+02:00"}, "duration", 0.25),
        ({"part": "flow", "end": "2024-04-19T00:00:01.000001+0000"}, "duration", -0.5),
        ({"part": "flow", "bypassed": {"bytes_toserver": 9}}, "bytes", 100),
        ({"netflow": 5}, "bytes", 100),
    ],
)
@pytest.mark.parametrize("beside", [(), (b"{bad}\n",)], ids=["alone", "beside a bad line"])
def test_values_are_read_or_missing(changes, column, expected, beside):
    parsed = parse_eve(line(FLOW, **changes), *beside)
    assert parsed.events[column].to_pylist() == [expected]


def test_times_without_an_offset_are_local():
    old = line(FLOW, "flow", start="2024-04-19T02:00:01.5", end="2024-04-19T02:00:01.75")
    (event,) = parse_eve(old, timezone="Europe/Berlin").events.to_pylist()
    assert event["timestamp"] == datetime(2024, 4, 19, 0, 0, 1, 500_000, UTC)


def test_events_of_other_types_are_counted_and_not_kept():
    others = [line(FLOW, event_type=kind) for kind in ("alert", "dns", "stats", "Flow", 7)]
    parsed = parse_eve(*others, line(FLOW), line(NETFLOW), b"{bad\n")
    assert tell(parsed) == (2, 5, 1)
    assert parsed.not_a_flow == {"other event type": 5}


def test_a_flow_without_a_start_cannot_be_placed():
    parsed = parse_eve(
        line(FLOW, "flow", start=...), line(FLOW, flow=...), line(FLOW, flow=[]), line(NETFLOW, netflow={})
    )
    assert tell(parsed) == (0, 0, 4)
    assert set(parsed.unparsable["reason"].to_pylist()) == {"its time cannot be read"}


@pytest.mark.parametrize("block", [b"", b"{}\n", b'{"event_type":"flow"}\n', b'{"ts":1,"id.orig_h":"x"}\n'])
def test_what_is_no_eve_log_is_refused(block):
    with pytest.raises(ContractError, match=r"^not a Suricata EVE log"):
        suricata.read_header(block)


def test_an_object_without_an_event_type_is_unparsable():
    odd = [line(FLOW, event_type=kind) for kind in (..., None)]
    parsed = parse_eve(line(FLOW), *odd, b'{"ts":1713484801.5,"id.orig_h":"10.0.0.1"}\n')
    assert tell(parsed) == (1, 0, 3)
    assert parsed.unparsable["reason"].to_pylist() == [suricata.NO_TYPE] * 3
