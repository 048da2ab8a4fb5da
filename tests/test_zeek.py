"""Zeek's conn.log: its header, its lines, and what becomes of each."""

import io
import math
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from flow_logs import tell
from hypothesis import example, given
from hypothesis import strategies as st

from network_anomalies.errors import ContractError
from network_anomalies.formats import LogOptions, ParsedLines, zeek
from network_anomalies.formats.blocks import parse_log
from network_anomalies.formats.parsed import merge_parsed

FIELDS = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "duration",
          "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "tunnel_parents")  # fmt: skip
ROW = dict(
    zip(
        FIELDS,
        ("1713484801.500001", "C1", "10.0.0.1", "5353", "2001:db8::1", "53", "udp", "0.25", "1", "60", "2", "40", "-"),
        strict=True,
    )
)


def header_of(fields=FIELDS, **lines) -> bytes:
    entries = {"separator \\x09": [], "unset_field": ["-"], "path": ["conn"], "fields": fields} | lines
    return b"".join("\t".join([f"#{name}", *values]).encode() + b"\n" for name, values in entries.items())


def line(end: str = "\n", **changes: str) -> bytes:
    return ("\t".join((ROW | changes).values()) + end).encode()


def parse(*lines: bytes, header: bytes = header_of()) -> ParsedLines:
    return zeek.parse_lines(b"".join(lines), zeek.read_header(header))


def parse_file(log: bytes, block_bytes: int = 2**20) -> ParsedLines:
    return merge_parsed(list(parse_log(io.BytesIO(log), zeek.FORMAT, LogOptions(), block_bytes)))


def outcome(*lines: bytes) -> tuple[int, int, int]:
    return tell(parse(*lines))


def test_a_header_gives_the_columns_and_the_sign_for_unset():
    assert zeek.read_header(header_of() + line()) == zeek.ZeekHeader(FIELDS, "-")
    assert zeek.read_header(header_of(unset_field=["(none)"])).unset == "(none)"
    assert zeek.read_header(header_of().replace(b"\n", b"\r\n")) == zeek.ZeekHeader(FIELDS, "-")
    assert zeek.read_header(b"#fields\t" + "\t".join(FIELDS).encode()) == zeek.ZeekHeader(FIELDS, "-")


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\n",
        line(),
        b'{"ts":1713484801.5}\n',
        header_of(path=["dns"]),
        header_of().replace(b"#fields", b"#names"),
        line() + header_of(),
        b"\xff\xfe\x00",
    ],
)
def test_what_does_not_begin_like_a_conn_log_is_refused(block):
    with pytest.raises(ContractError, match=r"not a Zeek conn\.log"):
        zeek.read_header(block)


@pytest.mark.parametrize("missing", zeek.REQUIRED)
def test_a_column_that_the_log_lacks_is_named(missing):
    with pytest.raises(ContractError, match=f"without {missing}:"):
        zeek.read_header(header_of([field for field in FIELDS if field != missing]))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_becomes_an_event(end):
    assert parse(line(end)).events.to_pylist() == [
        {
            "timestamp": datetime(2024, 4, 19, 0, 0, 1, 500_001, UTC),
            "src_ip": "10.0.0.1",
            "dst_ip": "2001:db8::1",
            "bytes": 100,
            "duration": 0.25,
            "protocol": "UDP",
            "src_port": 5353,
            "dst_port": 53,
            "packets": 3,
            "src_bytes": 60,
            "dst_bytes": 40,
            "flow_id": "C1",
        }
    ]


@given(micros=st.integers(0, 4_102_444_800_000_000))
def test_no_microsecond_is_lost_on_the_way(micros):
    events = parse(line(ts=f"{micros // 10**6}.{micros % 10**6:06d}")).events
    assert events["timestamp"].cast(pa.int64()).to_pylist() == [micros]


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        ({"duration": "-"}, "duration", None),
        ({"duration": "soon"}, "duration", None),
        ({"duration": "1e-06"}, "duration", 1e-6),
        ({"id.orig_h": "-"}, "src_ip", None),
        ({"id.resp_h": "-"}, "dst_ip", None),
        ({"proto": "-"}, "protocol", None),
        ({"id.orig_p": "-"}, "src_port", None),
        ({"orig_ip_bytes": "-"}, "bytes", 40),
        ({"resp_ip_bytes": "-"}, "bytes", 60),
        ({"orig_ip_bytes": "-", "resp_ip_bytes": "-"}, "bytes", None),
        ({"orig_pkts": "-"}, "packets", 2),
        ({"orig_pkts": "-", "resp_pkts": "-"}, "packets", None),
        ({"uid": "-"}, "flow_id", None),
        ({"resp_ip_bytes": "-"}, "dst_bytes", None),
        ({"id.orig_h": '"a'}, "src_ip", '"a'),
        ({"id.orig_h": ""}, "src_ip", ""),
    ],
)
def test_an_unset_value_is_null_and_one_unset_side_is_nought(changes, column, expected):
    parsed = parse(line(**changes))
    assert parsed.events[column].to_pylist() == [expected]
    assert tell(parsed) == (1, 0, 0)


def test_a_number_too_large_for_a_float_is_no_crash():
    assert parse(line(duration="1e400")).events["duration"].to_pylist() == [math.inf]


def test_a_log_may_lack_the_optional_columns():
    parsed = zeek.parse_lines(b"1713484801\t::1\t::1\ttcp\t1\t1\t1\n", zeek.ZeekHeader(zeek.REQUIRED, "-"))
    assert parsed.events.column_names == [
        *("timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol", "src_bytes", "dst_bytes")
    ]


@pytest.mark.parametrize(
    ("odd", "not_a_flow", "unparsable"),
    [
        (b"#close\t2024-04-19-23-59-59\n", 1, 0),
        (b"# a note\n", 1, 0),
        (b"#" + line(), 1, 0),
        (b"\n", 1, 0),
        (b"\r\n", 1, 0),
        (header_of(), 4, 0),
        (b"garbage\n", 0, 1),
        (line()[:-1] + b"\textra\n", 0, 1),
        (line().partition(b"\t")[2], 0, 1),
        *[(line(ts=ts), 0, 1) for ts in ("-", "", "now", "nan", "1e9", "123456789012", "2024-04-19")],
    ],
)
def test_every_line_without_an_event_is_counted_as_what_it_is(odd, not_a_flow, unparsable):
    assert outcome(odd) == (0, not_a_flow, unparsable)
    assert outcome(line(), odd, line()) == (2, not_a_flow, unparsable)


@given(lines=st.lists(st.binary(max_size=20) | st.sampled_from([b"", b"\r", b"a\rb", line("\r")]), min_size=1))
@example(lines=[b"a\rb"])
def test_every_line_is_counted_once_whatever_bytes_it_holds(lines):
    block = b"".join(each.replace(b"\n", b"") + b"\n" for each in lines)
    assert sum(outcome(block)) == len(lines)


@pytest.mark.parametrize("cut", ["one block", "two blocks", "within the header"])
@pytest.mark.parametrize(
    "fields",
    [FIELDS[:-1], (*FIELDS, "label"), ("label", *FIELDS), (FIELDS[1], FIELDS[0], *FIELDS[2:])],
    ids=["one less", "one more at the end", "one more at the start", "swapped"],
)
def test_columns_may_change_half_way(fields, cut):
    row = ROW | {"label": "x", "ts": "1713484802"}
    after = "\t".join(row[field] for field in fields).encode() + b"\n"
    log = [header_of(), line(), header_of(fields), after, b"#close\n", after]
    block_bytes = {"one block": 2**20, "two blocks": len(log[0] + log[1]), "within the header": len(log[0]) + 100}[cut]
    parsed = parse_file(b"".join(log), block_bytes)
    assert parsed.events["timestamp"].cast(pa.int64()).to_pylist() == [1713484801500001, *[1713484802000000] * 2]
    assert parsed.events["src_ip"].to_pylist() == ["10.0.0.1"] * 3
    assert (parsed.not_a_flow, parsed.unparsable.num_rows) == ({"header": 9}, 0)


def test_lines_of_another_log_in_the_same_file_are_no_flows():
    dns = header_of(("ts", "uid", "query"), path=["dns"]) + b"1713484801.5\tC1\texample.org\n\n"
    parsed = parse_file(b"".join([header_of(), line(), dns, header_of(), line(), b"garbage\n"]))
    assert parsed.events.num_rows == 2
    assert parsed.not_a_flow == {"header": 12, "line of another Zeek log": 2}
    assert parsed.unparsable.drop_columns("header").to_pylist() == [
        {"line": 17, "text": "garbage", "reason": "its number of values is not that of the header"}
    ]


def test_the_sign_for_unset_may_change_half_way():
    unset = header_of(unset_field=["(none)"])
    parsed = parse_file(b"".join([header_of(), line(duration="-"), unset, line(duration="(none)", proto="-")]))
    assert parsed.events["duration"].to_pylist() == [None, None]
    assert parsed.events["protocol"].to_pylist() == ["UDP", "-"]


def test_a_second_header_that_lacks_a_needed_column_is_refused():
    with pytest.raises(ContractError, match=r"without proto:"):
        parse_file(header_of() + line() + header_of([field for field in FIELDS if field != "proto"]))


def test_a_log_that_is_not_separated_by_tabs_is_refused():
    log = header_of().replace(b"\\x09", b"\\x2c").replace(b"\t", b",")
    with pytest.raises(ContractError, match=r"not separated by tabs"):
        zeek.read_header(log)


def test_bytes_without_headers_serve_where_nothing_else_is_logged():
    fields = [field.replace("_ip_bytes", "_bytes") for field in FIELDS]
    events = parse(line(), header=header_of(fields)).events
    assert events.select(["bytes", "src_bytes", "dst_bytes"]).to_pylist() == [
        {"bytes": 100, "src_bytes": 60, "dst_bytes": 40}
    ]
    both = parse(line(end="\t1\t2\n"), header=header_of([*FIELDS, "orig_bytes", "resp_bytes"])).events
    assert both["bytes"].to_pylist() == [100]


def test_a_bad_line_is_quoted_as_it_stands():
    bad = [b"gar\xffbage\r\n", line(ts="now").replace(b"udp", b"\\x09")]
    parsed = parse(line(), bad[0], b"#x\n", b"\n", bad[1])
    assert parsed.unparsable.drop_columns("header").to_pylist() == [
        {"line": 2, "text": "gar\\xffbage\r", "reason": "its number of values is not that of the header"},
        {"line": 5, "text": bad[1].decode()[:-1], "reason": "its time cannot be read"},
    ]


def test_bytes_that_are_no_utf8_spoil_neither_the_line_nor_the_others():
    parsed = parse(line(), line().replace(b"C1", b"\xff\x00\xc3"), line().replace(b"10.0.0.1", b"10\xff"))
    assert parsed.events["src_ip"].to_pylist() == ["10.0.0.1", "10.0.0.1", "10\N{REPLACEMENT CHARACTER}"]


def test_names_joined_by_three_spaces_as_in_iot23_are_one_column():
    header = header_of((*FIELDS[:-1], "tunnel_parents   label   detailed-label"))
    assert parse(line(tunnel_parents="-   Malicious   C&C"), header=header).events.num_rows == 1


@pytest.mark.parametrize(
    ("last", "whole"),
    [(line(""), True), (line("")[:-1], True), (line("").rpartition(b"\t")[0], False), (b"1713", False), (b"", False)],
)
def test_a_last_line_is_whole_if_all_its_columns_begin(last, whole):
    assert zeek.is_whole(last, zeek.read_header(header_of())) is whole


def test_a_last_line_is_not_whole_if_a_value_that_counts_may_be_cut():
    assert not zeek.is_whole(line("").rpartition(b"\t")[0], zeek.read_header(header_of(FIELDS[:-1])))
