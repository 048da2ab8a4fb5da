"""AWS VPC Flow Logs: the default format, custom ones, and records without data."""

from datetime import UTC, datetime

import pytest
from flow_logs import LOGS, parse, tell

from network_anomalies.errors import ContractError
from network_anomalies.formats import vpc

ROW, _, NODATA, SKIPDATA = LOGS["aws_vpc"]
CUSTOM = (
    b"version vpc-id subnet-id instance-id pkt-srcaddr pkt-dstaddr flow-direction start end tcp-flags type region "
    b"protocol bytes dstaddr srcaddr traffic-path action\n"
)
CUSTOM_ROW = (
    b"5 vpc-1 subnet-1 i-1 10.9.9.9 10.8.8.8 ingress 1713484801 1713484861 19 IPv4 eu-west-1 "
    b"6 5000 10.0.0.2 10.0.0.1 - ACCEPT\n"
)
EMPTY_ROW = b"5 vpc-1 subnet-1 i-1 - - - 1713484801 1713484861 - - eu-west-1 - - - - - -\n"


def test_a_record_has_one_direction():
    assert parse("aws_vpc", ROW).events.to_pylist() == [
        {
            "timestamp": datetime(2024, 4, 19, 0, 0, 1, tzinfo=UTC),
            **{"src_ip": "10.0.0.1", "dst_ip": "2001:db8::1", "bytes": 100, "duration": 1, "protocol": "UDP"},
            **{"src_port": 5353, "dst_port": 53, "packets": 3, "src_bytes": 100},
        }
    ]


def test_a_header_may_name_the_default_fields():
    header = " ".join(vpc.DEFAULT_FIELDS).encode() + b"\n"
    assert parse("aws_vpc", header, ROW, log=header).events.equals(parse("aws_vpc", ROW).events)


def test_fields_may_stand_in_any_order():
    parsed = parse("aws_vpc", CUSTOM, CUSTOM_ROW, CUSTOM, log=CUSTOM)
    assert tell(parsed) == (1, 2, 0)
    (event,) = parsed.events.to_pylist()
    assert (event["src_ip"], event["dst_ip"], event["protocol"], event["bytes"], event["duration"]) == (
        *("10.0.0.1", "10.0.0.2", "TCP", 5000, 60),
    )
    assert "src_port" not in event


def test_records_without_data_are_no_flows():
    parsed = parse("aws_vpc", NODATA, ROW, SKIPDATA, NODATA)
    assert parsed.not_a_flow == {"NODATA": 2, "SKIPDATA": 1}
    assert parse("aws_vpc", EMPTY_ROW, CUSTOM_ROW, log=CUSTOM).not_a_flow == {"no data": 1}


@pytest.mark.parametrize(
    ("old", "new", "column", "expected"),
    [
        (b" 17 ", b" 143 ", "protocol", "AGGFRAG"),
        (b" 17 ", b" 250 ", "protocol", "250"),
        (b" 17 ", b" - ", "protocol", None),
        (b" 5353 ", b" - ", "src_port", None),
        (b" 100 ", b" x ", "bytes", None),
        (b" 1713484802 ", b" - ", "duration", None),
    ],
)
def test_values_are_read_or_missing(old, new, column, expected):
    assert parse("aws_vpc", ROW.replace(old, new)).events[column].to_pylist() == [expected]


def test_a_record_without_a_start_cannot_be_placed():
    assert tell(parse("aws_vpc", ROW.replace(b" 1713484801 ", b" - "), ROW)) == (1, 0, 1)


@pytest.mark.parametrize(
    ("last", "whole"),
    [(ROW[:-1], True), (ROW[:-2], False), (ROW[:-3], False), (NODATA[:-1], True), (NODATA[:-2], False), (b"", False)],
)
def test_a_last_line_is_whole_if_it_ends_in_a_state(last, whole):
    assert vpc.is_whole(last, vpc.read_header(ROW)) is whole


@pytest.mark.parametrize("missing", ["protocol", "bytes", "start", "end"])
def test_a_field_that_the_log_lacks_is_named(missing):
    with pytest.raises(ContractError, match=f"without {missing}:"):
        vpc.read_header(CUSTOM.replace(f" {missing} ".encode(), b" "))
    with pytest.raises(ContractError, match=r"^not an AWS VPC flow log"):
        vpc.read_header(CUSTOM.replace(b" srcaddr", b""))
