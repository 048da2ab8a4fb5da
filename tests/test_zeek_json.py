"""Zeek's conn.log as JSON lines, and what becomes of lines that Arrow refuses."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from flow_logs import check_lines, parse, tell
from hypothesis import given, settings
from hypothesis import strategies as st

from network_anomalies.errors import ContractError
from network_anomalies.formats import LogOptions, zeek_json
from network_anomalies.formats.json_lines import NO_OBJECT

RECORD = {
    **{"ts": 1713484801.5, "uid": "C1", "id.orig_h": "10.0.0.1", "id.orig_p": 5353, "id.resp_h": "::1"},
    **{"id.resp_p": 53, "proto": "udp", "duration": 0.25, "conn_state": "SF", "orig_pkts": 1, "orig_ip_bytes": 60},
    **{"resp_pkts": 2, "resp_ip_bytes": 40},
}
NO_LINES = json.dumps(RECORD).encode()
DEEP = b'{"ts":1,"z":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"


def line(**changes: object) -> bytes:
    record = {name: value for name, value in (RECORD | changes).items() if value is not ...}
    return json.dumps(record).encode() + b"\n"


def parse_json(*lines: bytes, timezone: str = "UTC"):
    return parse("zeek_json", *lines, options=LogOptions(timezone=timezone))


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        ({"duration": ...}, "duration", None),
        ({"duration": None}, "duration", None),
        ({"duration": "0.5"}, "duration", 0.5),
        ({"duration": "soon"}, "duration", None),
        ({"duration": True}, "duration", None),
        ({"duration": [1]}, "duration", None),
        ({"duration": 1e-7}, "duration", 1e-7),
        ({"id.orig_p": "53"}, "src_port", 53),
        ({"id.orig_p": ..., "id_orig_p": 7}, "src_port", 7),
        ({"id.orig_h": ..., "id_orig_h": "10.9.9.9"}, "src_ip", "10.9.9.9"),
        ({"id.resp_h": 5}, "dst_ip", "5"),
        ({"proto": ...}, "protocol", None),
        ({"resp_ip_bytes": ...}, "bytes", 60),
        ({"resp_ip_bytes": ..., "resp_bytes": 7}, "bytes", 60),
        ({"orig_ip_bytes": ..., "resp_ip_bytes": ..., "orig_bytes": 3, "resp_bytes": 4}, "bytes", 7),
        ({"orig_ip_bytes": ..., "resp_ip_bytes": ..., "orig_bytes": 3}, "dst_bytes", None),
        ({"orig_ip_bytes": ..., "resp_ip_bytes": ...}, "bytes", None),
        ({"orig_ip_bytes": 10**18}, "bytes", 1e18),
        ({"uid": ..., "community_id": "1:x"}, "flow_id", "1:x"),
        ({"uid": ...}, "flow_id", None),
        ({"orig_pkts": ...}, "packets", 2),
        ({"ts": "2024-04-19T00:00:01.500000Z"}, "bytes", 100),
        ({"id": {"orig_h": "x"}, "tunnel_parents": ["a", {"b": []}]}, "src_ip", "10.0.0.1"),
        ({"uid": "\u00e4\ud83d\ude00\x00"}, "flow_id", "\u00e4\U0001f600\x00"),
    ],
)
@pytest.mark.parametrize("beside", [(), (b"{bad}\n",)], ids=["alone", "beside a bad line"])
def test_a_record_becomes_an_event(changes, column, expected, beside):
    parsed = parse_json(line(**changes), *beside)
    assert parsed.events[column].to_pylist() == [expected]
    assert parsed.unparsable.num_rows == len(beside)


@pytest.mark.parametrize(
    "ts",
    [
        *(1713484801.5, "1713484801.5", "2024-04-19T00:00:01.500000Z", "2024-04-19T02:00:01.5+0200"),
        "2024-04-19 02:00:01.5",
    ],
)
def test_a_time_is_seconds_or_iso(ts):
    (event,) = parse_json(line(ts=ts), timezone="Europe/Berlin").events.to_pylist()
    assert event["timestamp"] == datetime(2024, 4, 19, 0, 0, 1, 500_000, UTC)


def test_seconds_and_iso_may_stand_in_one_block():
    parsed = parse_json(*[line(), line(ts="2024-04-19T00:00:01.500000Z"), line(ts=1e-5)] * 500)
    assert parsed.events.num_rows == 1500
    assert set(parsed.events["timestamp"].cast(pa.int64()).to_pylist()) == {1713484801500000, 10}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"garbage", NO_OBJECT),
        (b"{", NO_OBJECT),
        (b"{}}", NO_OBJECT),
        (b"[1]", NO_OBJECT),
        (b"null", NO_OBJECT),
        (b"{'ts':1}", NO_OBJECT),
        (NO_LINES + NO_LINES, NO_OBJECT),
        (NO_LINES + b",", NO_OBJECT),
        (NO_LINES[:-1], NO_OBJECT),
        (b'{"uid":"a\x01"}', NO_OBJECT),
        (b'{"ts":' + b"1" * 5000 + b"}", "its time cannot be read"),
        (b"{}", "its time cannot be read"),
        (b'{"ts":null}', "its time cannot be read"),
        (b'{"ts":NaN}', "its time cannot be read"),
        (b'{"ts":1e300}', "its time cannot be read"),
        (b'{"ts":1e999}', "its time cannot be read"),
        (b'{"ts":true}', "its time cannot be read"),
        (b'{"ts":{"a":1}}', "its time cannot be read"),
        (b'{"ts":"-"}', "its time cannot be read"),
    ],
)
def test_a_bad_line_is_kept_and_spoils_no_other(bad, reason):
    for before, after in ((0, 0), (1, 1), (700, 300)):
        lines = [line()] * before + [bad + b"\n"] + [line()] * after
        parsed = parse_json(*lines)
        check_lines(parsed, lines)
        assert parsed.events.num_rows == before + after
        (kept,) = parsed.unparsable.drop_columns("header").to_pylist()
        assert kept == {"line": before + 1, "text": bad.decode(), "reason": reason}


@settings(max_examples=20)
@given(bad=st.sets(st.integers(0, 2999), max_size=40), kind=st.sampled_from([b"{x}\n", b'{"ts":"1.5"}\n', b"x\n"]))
def test_bad_lines_anywhere_in_a_block_are_found(bad, kind):
    lines = [kind if place in bad else line(uid=str(place)) for place in range(3000)]
    parsed = parse_json(*lines)
    check_lines(parsed, lines)
    expected = [str(place) for place in range(3000) if place not in bad]
    assert [uid for uid in parsed.events["flow_id"].to_pylist() if uid is not None] == expected


def test_deep_nesting_crashes_nothing():
    parsed = parse_json(DEEP, line(), DEEP.replace(b"]", b""), DEEP, b"{x}\n")
    assert parsed.lines == 5
    assert parsed.unparsable.num_rows >= 2


def test_a_key_that_comes_twice_gives_its_last_value():
    twice = NO_LINES[:-1] + b',"proto":"tcp"}\n'
    assert parse_json(twice, line()).events["protocol"].to_pylist() == ["TCP", "UDP"]


def test_records_of_other_logs_are_no_flows():
    parsed = parse_json(line(_path="conn"), line(_path="dns"), line(_path="dns", ts="x"))
    assert tell(parsed) == (1, 2, 0)
    assert parsed.not_a_flow == {"line of another Zeek log": 2}


@pytest.mark.parametrize(
    "block", [b"", b"\n", b"{}\n", b'{"ts":1,"host":"a"}\n', b'["ts","id.orig_h","conn_state"]\n', DEEP]
)
def test_what_holds_no_connection_is_refused(block):
    assert not zeek_json.matches(block)
    with pytest.raises(ContractError, match=r"^not a Zeek conn\.log in JSON lines"):
        zeek_json.read_header(block)


def test_a_log_may_begin_with_a_bad_line():
    assert zeek_json.matches(b"bad\n\n" + line())
    assert zeek_json.matches(line(**{"id.orig_h": ..., "id_orig_h": "x"}))
