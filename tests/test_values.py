"""Values as logs write them: numbers, ports, protocols and times."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from network_anomalies.events.protocols import PROTOCOL_NUMBERS, PROTOCOLS
from network_anomalies.formats.values import (
    add_sides,
    read_epoch,
    read_iso,
    read_pattern,
    read_times,
    subtract_times,
    to_numbers,
    to_ports,
    to_protocols,
)

BERLIN, KATHMANDU = "Europe/Berlin", "Asia/Kathmandu"
BAD = "no such value"
NUMBERS = st.sampled_from(
    [
        *("0", "-0", "+1", "1.", ".5", "-.5", ".", "-", "1e5", "1E+5", "1e", "inf", "-Infinity", "nan", "NaN", "0x10"),
        *("1_0", "1e400", "", " 1", "1 ", "\u0661", "nan(1)", "1d5", "infinit", "12345678901234567890", "1e-400"),
    ]
) | st.text("0123456789.-+eEinfa x", max_size=6)  # fmt: skip
TIMES = st.sampled_from(
    [
        *("2024-04-19T00:00:01Z", "2024-04-19 00:00:01.5+01:00", "2024-04-19T00:00:01.123456+0530", "2024-04-19T10"),
        *("2024-04-19T00:00:01", "2024-04-19", "2024-04-19 10:11", "2024-04-19T10:11-03", "2024-02-30T00:00:00Z"),
        *("2024-13-01T00:00:00", "2024-04-19T24:00:00", "2024-04-19T23:59:60Z", "2024-04-19T00:00:01.1234567Z"),
        *("2024-04-19T00:00:01,5Z", "2024-04-19T00:00:01+2500", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59", ""),
        *("20240419", "2024-4-19", "2024-04-19T00:00:01.Z", "now", "-", " 2024-04-19", "2024-04-19T00:00:01 Z", "1700"),
        *("1700-01-01T00:00:00Z", "2249-12-31T23:59:59.999999Z", "2250-01-01", "2024-10-27T02:30:00", "2024-04-19Z"),
    ]
)  # fmt: skip


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def micros(times: pa.Array) -> list[int | None]:
    assert times.type == pa.timestamp("us", "UTC")
    return times.cast(pa.int64()).to_pylist()


@settings(max_examples=300)
@given(value=NUMBERS)
def test_a_number_is_the_same_beside_a_bad_one(value):
    """A column of numbers alone is read a quicker way than one with other text in it."""
    alone, beside = to_numbers(texts(value)), to_numbers(texts(value, BAD))
    assert alone.equals(beside.slice(0, 1))
    assert beside[1].as_py() is None
    assert to_ports(texts(value)).equals(to_ports(texts(value, BAD)).slice(0, 1))
    assert micros(read_epoch(texts(value))) == micros(read_epoch(texts(value, BAD)))[:1]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e400", math.inf), ("nan", None), ("", None), ("1e-06", 1e-6), ("-7", -7.0), ("0x10", None), ("1_0", None)],
)
def test_numbers(text, number):
    assert to_numbers(texts(text)).to_pylist() == [number]
    assert to_numbers(pa.array([2**60, None])).to_pylist() == [2.0**60, None]


def test_ports_may_be_hexadecimal_and_must_be_whole():
    ports = to_ports(texts("53", "0x0008", "0X1F90", "3.13", "", None, "0x", "inf", "1e3"))
    assert ports.to_pylist() == [53, 8, 8080, None, None, None, None, None, 1000]
    assert to_ports(texts("53", "3.13", "8.0", "inf")).to_pylist() == [53, None, 8, None]


def test_protocols_are_upper_case_keywords():
    given_ = texts("tcp", "17", "ICMP6", "ipv6-icmp", "icmpv6", "rtp", " udp ", None, "999", "253", "nonsense", "047")
    expected = ["TCP", "UDP", *["IPV6-ICMP"] * 3, "UDP", "UDP", None, "999", "253", "NONSENSE", "GRE"]
    assert to_protocols(given_).to_pylist() == expected
    assert to_protocols(pa.array([6, None])).to_pylist() == ["TCP", None]


def test_the_numbers_of_protocols_are_those_of_iana():
    known = {0: "HOPOPT", 1: "ICMP", 6: "TCP", 17: "UDP", 33: "DCCP", 41: "IPV6", 47: "GRE", 50: "ESP", 51: "AH"}
    known |= {58: "IPV6-ICMP", 60: "IPV6-OPTS", 62: "CFTP", 64: "SAT-EXPAK", 88: "EIGRP", 89: "OSPFIGP", 94: "IPIP"}
    known |= {103: "PIM", 112: "VRRP", 115: "L2TP", 125: "FIRE", 132: "SCTP", 136: "UDPLITE", 146: "BIT-EMU"}
    assert {number: PROTOCOL_NUMBERS[number] for number in known} == known
    assert set(PROTOCOL_NUMBERS.values()) == PROTOCOLS


def test_a_side_that_is_missing_counts_as_nought():
    left, right = pa.array([1.0, None, 3.0, None]), pa.array([10.0, 20.0, None, None])
    assert add_sides(left, right).to_pylist() == [11, 20, 3, None]


@settings(max_examples=200)
@given(instant=st.integers(-(10**15), 7 * 10**15))
def test_no_microsecond_is_lost_in_a_number(instant):
    sign, (seconds, rest) = "-" if instant < 0 else "", divmod(abs(instant), 10**6)
    assert micros(read_epoch(texts(f"{sign}{seconds}.{rest:06d}"))) == [instant]
    assert micros(read_epoch(texts(str(instant)), "us")) == [instant]
    assert micros(read_epoch(texts(str(instant * 1000 + 999)), "ns")) == [instant]
    assert micros(read_epoch(pa.array([instant]), "us")) == [instant]
    assert micros(read_epoch(texts(str(instant // 1000)), "ms")) == [instant // 1000 * 1000]


@pytest.mark.parametrize("text", ["1e9", "inf", "nan", "", "-", "1,5", "123456789012", "9" * 40, "0x5", "1713484801s"])
def test_what_is_no_time_in_seconds(text):
    assert micros(read_epoch(texts(text, "1"))) == [None, 10**6]
    assert micros(read_epoch(texts(text))) == [None]


def test_times_of_1970_are_times():
    assert micros(read_epoch(texts("0", "0.5", "-1"))) == [0, 500_000, -1_000_000]
    assert micros(read_iso(texts("1970-01-01T01:00:00+0100", "1970-01-01T00:00:00.000001Z"), "UTC")) == [0, 1]


@settings(max_examples=100)
@given(value=TIMES, timezone=st.sampled_from(["UTC", BERLIN]), others=st.lists(TIMES, min_size=1, max_size=3))
@example(value="2024-04-19T00:00:01.1234567Z", timezone="UTC", others=["2024-04-19"])
def test_a_time_is_the_same_whatever_stands_beside_it(value, timezone, others):
    """A column written in one way is read a quicker way than one of several kinds."""
    alone = micros(read_iso(texts(value), timezone))
    assert micros(read_iso(texts(value, *others), timezone))[:1] == alone
    assert micros(read_times(texts(value, *others, "1.5"), timezone))[:1] == micros(read_times(texts(value), timezone))


@given(
    instant=st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).filter(lambda time: time.fold == 0),
    minutes=st.integers(-14 * 60, 14 * 60),
    separator=st.sampled_from("T "),
    colon=st.sampled_from(["", ":"]),
)
def test_offsets_are_taken_off(instant, minutes, separator, colon):
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    text = f"{instant.isoformat(separator, 'microseconds')}{sign}{hours:02d}{colon}{rest:02d}"
    expected = instant.replace(tzinfo=UTC) - timedelta(minutes=minutes)
    assert read_iso(texts(text), KATHMANDU).to_pylist() == [expected]


def test_local_times_are_those_of_the_time_zone():
    noon = texts("2024-01-19 12:00:00", "2024-07-19 12:00:00")
    assert [time.hour for time in read_iso(noon, BERLIN).to_pylist()] == [11, 10]
    assert [time.hour for time in read_iso(noon, "UTC").to_pylist()] == [12, 12]
    assert read_iso(texts("2024-01-19 12:00:00"), KATHMANDU)[0].as_py().minute == 15


def test_an_hour_that_comes_twice_is_the_first_of_the_two():
    local = texts("2024-10-27 01:59:59", "2024-10-27 02:30:00", "2024-10-27 03:00:00")
    hours = [datetime(2024, 10, 26, 23, 59, 59), datetime(2024, 10, 27, 0, 30), datetime(2024, 10, 27, 2, 0)]
    assert read_iso(local, BERLIN).to_pylist() == [hour.replace(tzinfo=UTC) for hour in hours]
    assert datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo(BERLIN)).astimezone(UTC).hour == 0  # as Python reads it


def test_an_hour_that_clocks_leave_out_is_no_time():
    local = texts("2024-03-31 01:59:59", "2024-03-31 02:30:00", "2024-03-31 03:00:00")
    times = read_iso(local, BERLIN).to_pylist()
    assert times[1] is None
    assert times[2] - times[0] == timedelta(seconds=1)


@given(local=st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1)), timezone=st.sampled_from([BERLIN, KATHMANDU]))
def test_local_times_are_read_as_python_reads_them(local, timezone):
    expected = local.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)
    exists = expected.astimezone(ZoneInfo(timezone)).replace(tzinfo=None) == local
    assert read_iso(texts(local.isoformat(" ", "microseconds")), timezone).to_pylist() == [expected if exists else None]


def test_times_by_a_pattern():
    column = texts("19/04/2024 02:00:01", "31/02/2024 00:00:00", "2024-04-19", None)
    assert micros(read_pattern(column, "%d/%m/%Y %H:%M:%S", BERLIN)) == [1713484801 * 10**6, None, None, None]
    offset = texts("19/Apr/2024:02:00:01 +0200", "19/Apr/2024:02:00:01")
    assert micros(read_pattern(offset, "%d/%b/%Y:%H:%M:%S %z", BERLIN)) == [1713484801 * 10**6, None]


def test_seconds_and_iso_may_stand_in_one_column():
    column = texts("1713484801", "2024-04-19T00:00:01Z", "2024-04-19 02:00:01", "soon", None)
    assert micros(read_times(column, BERLIN)) == [*[1713484801 * 10**6] * 3, None, None]


def test_times_of_arrow_are_taken_as_they_are():
    local = pa.array([datetime(2024, 4, 19, 2, 0, 1), None], pa.timestamp("ns"))
    assert micros(read_times(local, BERLIN)) == [1713484801 * 10**6, None]
    exact = pa.array([datetime(2024, 4, 19, 0, 0, 1, tzinfo=UTC)], pa.timestamp("ms", BERLIN))
    assert micros(read_times(exact, KATHMANDU)) == [1713484801 * 10**6]


def test_a_duration_is_the_seconds_between():
    start, end = read_epoch(texts("1.5", "1", None)), read_epoch(texts("2.500001", "0", "1"))
    assert subtract_times(end, start).to_pylist() == [1.000001, -1.0, None]


@pytest.mark.parametrize(
    "function",
    [to_numbers, to_ports, to_protocols, read_epoch, lambda column: read_iso(column, BERLIN)],
)
def test_columns_may_be_empty_or_all_missing(function):
    assert len(function(texts())) == 0
    assert function(texts(None, None)).null_count == 2
