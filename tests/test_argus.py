"""Argus: commas and tabs, local times, hexadecimal ports, and rows that are no IP flows."""

from datetime import UTC, datetime

import pytest
from flow_logs import LOGS, log_of, parse, tell

from network_anomalies.errors import ContractError
from network_anomalies.formats import LogOptions, argus

HEADER, ROW = LOGS["argus"][:2]
NAMES = HEADER.decode().strip().split(",")
VALUES = dict(zip(NAMES, ROW.decode().strip("\n").split(","), strict=True))


def line(**changes: str) -> bytes:
    return ",".join((VALUES | changes).values()).encode() + b"\n"


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        ({"Dur": ""}, "duration", None),
        ({"Sport": ""}, "src_port", None),
        ({"Sport": "0x0303", "Proto": "icmp"}, "src_port", 771),
        ({"Dport": "http"}, "dst_port", None),
        ({"Proto": " icmp"}, "protocol", "ICMP"),
        ({"Proto": "ipv6-icmp"}, "protocol", "IPV6-ICMP"),
        ({"Proto": "rtp"}, "protocol", "UDP"),
        ({"SrcBytes": ""}, "src_bytes", None),
        ({"SrcBytes": ""}, "dst_bytes", None),
        ({"TotBytes": ""}, "bytes", None),
        ({"TotBytes": "many"}, "bytes", None),
        ({"SrcAddr": " 10.0.0.9"}, "src_ip", "10.0.0.9"),
        ({"SrcAddr": "aa:bb:cc::ee:ff"}, "src_ip", "aa:bb:cc::ee:ff"),
        ({"StartTime": "1713484801.500001"}, "timestamp", datetime(2024, 4, 19, 0, 0, 1, 500_001, UTC)),
        ({"StartTime": "1970/01/01 01:00:00.000000"}, "timestamp", datetime(1970, 1, 1, 1, tzinfo=UTC)),
    ],
)
def test_values_are_read_or_missing(changes, column, expected):
    assert parse("argus", line(**changes)).events[column].to_pylist() == [expected]


@pytest.mark.parametrize(
    "changes",
    [
        *({"Proto": kind} for kind in ("man", "arp", "llc", "rarp", "ARP", "  man")),
        {"SrcAddr": "00:0c:29:aa:bb:cc"},
        {"DstAddr": " FF:ff:ff:ff:ff:ff "},
        {"Proto": "man", "StartTime": "", "SrcAddr": "0", "DstAddr": ""},
    ],
)
def test_rows_without_ip_addresses_are_no_flows(changes):
    parsed = parse("argus", line(**changes), line())
    assert tell(parsed) == (1, 1, 0)
    assert parsed.not_a_flow == {"not an IP flow": 1}


def test_times_are_local_to_the_sensor():
    parsed = parse("argus", line(), options=LogOptions(timezone="Europe/Prague"))
    assert parsed.events["timestamp"].to_pylist() == [datetime(2024, 4, 18, 22, 0, 1, 500_001, UTC)]


def test_a_log_with_tabs_gives_the_same():
    tabs = log_of("argus").replace(b",", b"\t")
    assert argus.matches(tabs)
    assert parse("argus", tabs, log=tabs).events.equals(parse("argus", log_of("argus")).events)


def test_the_header_of_each_file_that_was_put_together_is_no_flow():
    parsed = parse("argus", HEADER, line(), HEADER, line(), HEADER)
    assert tell(parsed) == (2, 3, 0)


def test_quotes_are_text():
    assert tell(parse("argus", line(Label='"'), line(Label='a"b"'), line())) == (3, 0, 0)


@pytest.mark.parametrize("missing", argus.REQUIRED)
def test_a_column_that_the_log_lacks_is_named(missing):
    header = HEADER.replace(missing.encode() + b",", b"")
    pattern = f"without {missing}:" if missing in ("Dur", "Proto", "TotBytes") else "first line does not name"
    with pytest.raises(ContractError, match=pattern):
        argus.read_header(header)


def test_a_log_may_lack_the_optional_columns():
    log = b"StartTime,Dur,Proto,SrcAddr,DstAddr,TotBytes\n2024/04/19 00:00:01,0,tcp,::1,::2,5\n"
    assert parse("argus", log, log=log).events.column_names == [
        *("timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol")
    ]
