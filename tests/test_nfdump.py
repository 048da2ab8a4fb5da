"""nfdump's CSV: three headers, local times, and the summary that ends the data."""

import io
from datetime import UTC, datetime

import pytest
from flow_logs import LOGS, parse, tell

from network_anomalies.errors import ContractError
from network_anomalies.formats import LogOptions, nfdump
from network_anomalies.formats.base import load_header
from network_anomalies.formats.blocks import parse_log
from network_anomalies.formats.parsed import merge_parsed

HEADER, ROW, *_ = LOGS["nfdump"]
SUMMARY = b"".join(LOGS["nfdump"][3:])
SHORT = b"firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,flows\n"
SHORT_ROW = b"2024-04-19 00:00:01.500,0.250,UDP,10.0.0.1,5353,::1,53,3,100,1\n"
FAST = (
    b"cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,"
    b"srcAS,dstAS,input,output,flags,srcTos,packets,bytes\n"
)
FAST_ROW = b"1,2,1713484801500,1713484801750,17,10.0.0.1,5353,::1,53,0,0,1,2,........,0,3,100\n"
VALUES = dict(zip(HEADER.decode().strip().split(","), ROW.decode().strip("\n").split(","), strict=True))


def line(**changes: str) -> bytes:
    return ",".join((VALUES | changes).values()).encode() + b"\n"


@pytest.mark.parametrize(("header", "row"), [(SHORT, SHORT_ROW), (FAST, FAST_ROW)], ids=["csv of 1.7", "csv-fast"])
def test_the_shorter_headers_have_one_direction(header, row):
    assert nfdump.matches(header)
    assert parse("nfdump", header, row, log=header).events.to_pylist() == [
        {
            "timestamp": datetime(2024, 4, 19, 0, 0, 1, 500_000, UTC),
            **{"src_ip": "10.0.0.1", "dst_ip": "::1", "bytes": 100, "duration": 0.25, "protocol": "UDP"},
            **{"src_port": 5353, "dst_port": 53, "packets": 3, "src_bytes": 100},
        }
    ]


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        ({"obyt": ""}, "bytes", 60),
        ({"opkt": "0"}, "packets", 1),
        ({"dp": "3.13", "pr": "ICMP"}, "dst_port", None),
        ({"dp": "8.0", "pr": "ICMP"}, "dst_port", 8),
        ({"pr": "ICMP6"}, "protocol", "IPV6-ICMP"),
        ({"pr": "0"}, "protocol", "HOPOPT"),
        ({"td": "x"}, "duration", None),
        ({"ibyt": "16.4 M", "obyt": "x"}, "bytes", None),
        ({"ts": "1970-01-01 00:00:00"}, "timestamp", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_values_are_read_or_missing(changes, column, expected):
    assert parse("nfdump", line(**changes)).events[column].to_pylist() == [expected]


def test_times_are_local_to_the_machine_that_printed_them():
    options = LogOptions(timezone="America/New_York")
    assert parse("nfdump", line(), options=options).events["timestamp"][0].as_py().hour == 4
    assert parse("nfdump", FAST_ROW, log=FAST, options=options).events["timestamp"][0].as_py().hour == 0


@pytest.mark.parametrize("block_bytes", [len(HEADER), len(HEADER) + len(ROW), 2**20])
def test_the_summary_ends_the_data_until_the_next_header(block_bytes):
    log = HEADER + line() + SUMMARY + line() + b"\n" + HEADER + line() + line(ts="x") + b"Summary\n" + line()[:-9]
    parsed = merge_parsed(list(parse_log(io.BytesIO(log), nfdump.FORMAT, LogOptions(), block_bytes)))
    assert tell(parsed) == (2, 9, 1)
    assert parsed.not_a_flow == {"summary": 7, "header": 2}
    assert parsed.unparsable["line"].to_pylist() == [10]


def test_a_block_after_the_summary_has_no_flows_although_its_rows_look_like_some():
    header = nfdump.read_header(HEADER)
    ended = nfdump.parse_lines(HEADER + line() + b"Summary\n", header).header
    assert tell(nfdump.parse_lines(line() * 3, ended)) == (0, 3, 0)
    assert tell(nfdump.parse_lines(HEADER + line() * 3, ended)) == (3, 1, 0)


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        (HEADER.replace(b",pr,", b","), "pr"),
        (HEADER.replace(b",ibyt", b""), "ibyt"),
        (HEADER.replace(b",td", b""), "td"),
        (SHORT.replace(b",bytes", b""), "bytes"),
        (SHORT.replace(b",duration", b""), "duration"),
    ],
)
def test_a_column_that_the_log_lacks_is_named(header, missing):
    with pytest.raises(ContractError, match=f"without {missing}:"):
        nfdump.read_header(header)


def test_a_line_before_the_summary_can_be_read_again_with_the_header_that_it_is_kept_with():
    parsed = parse("nfdump", HEADER, ROW, b"broken\n", SUMMARY)
    assert parsed.header.ended
    (kept,) = parsed.unparsable["header"].to_pylist()
    again = nfdump.parse_lines(ROW, load_header(nfdump.FORMAT, kept))
    assert again.events.num_rows == 1
