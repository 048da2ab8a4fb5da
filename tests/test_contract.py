"""The contract: how any column is read, and what each rule lets through."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from conftest import DAY
from hypothesis import given
from hypothesis import strategies as st

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import COLUMNS, LARGEST_COUNT, OPTIONAL_COLUMNS, coerce_events, find_violations

TODAY = date.fromisoformat(DAY)
FIRST = pd.Timestamp(DAY, tz="UTC").as_unit("us")
NEXT_DAY = FIRST + timedelta(days=1)
MICROSECOND = pd.Timedelta(microseconds=1)
BAD = {
    "timestamp": (None, "timestamp_missing"),
    "src_ip": ("x", "src_ip_invalid"),
    "dst_ip": ("x", "dst_ip_invalid"),
    "bytes": (-1, "bytes_invalid"),
    "duration": (-1.0, "duration_invalid"),
    "protocol": ("x", "protocol_unknown"),
    "src_port": (-1, "src_port_invalid"),
    "dst_port": (-1, "dst_port_invalid"),
    **{name: (-1, f"{name}_invalid") for name in ("packets", "src_bytes", "dst_bytes")},
    "flow_id": ("", "flow_id_invalid"),
}


def rules(events: pd.DataFrame) -> dict[int, str]:
    return find_violations(coerce_events(events), TODAY)["rule"].to_dict()


def test_good_events_break_no_rule(make_events):
    assert rules(make_events(src_port=0, dst_port=65_535, packets=LARGEST_COUNT, src_bytes=0, flow_id="C1")) == {}


def test_an_empty_frame_breaks_no_rule_and_has_the_contracts_types(make_events):
    coerced = coerce_events(make_events().iloc[:0])
    assert str(coerced["timestamp"].dtype) == "datetime64[us, UTC]"
    assert list(find_violations(coerced, TODAY).columns) == ["rule", "reason"]
    assert rules(make_events().iloc[:0]) == {}
    assert rules(pd.DataFrame(columns=list(COLUMNS))) == {}


@pytest.mark.parametrize(
    ("column", "bad", "rule"),
    [
        ("timestamp", None, "timestamp_missing"),
        ("timestamp", "yesterday", "timestamp_missing"),
        ("timestamp", FIRST - MICROSECOND, "timestamp_outside_day"),
        ("timestamp", NEXT_DAY, "timestamp_outside_day"),
        *[(ip, None, f"{ip}_missing") for ip in ("src_ip", "dst_ip")],
        *[
            (ip, text, f"{ip}_invalid")
            for ip in ("src_ip", "dst_ip")
            for text in ("256.1.1.1", "1.2.3", "01.2.3.4", "", "1.2.3.4 ", "1.2.3.4\n", "1.2.3.4.5", "::g", "::1%a\n")
        ],
        ("bytes", None, "bytes_missing"),
        ("bytes", "many", "bytes_missing"),
        *[("bytes", value, "bytes_invalid") for value in (-1, 1.5, np.inf, LARGEST_COUNT + 1)],
        ("duration", np.nan, "duration_missing"),
        *[("duration", value, "duration_invalid") for value in (-1e-9, np.inf, -np.inf)],
        ("protocol", None, "protocol_missing"),
        *[("protocol", value, "protocol_unknown") for value in ("tcp", "", "6", "TCP ")],
        *[(port, value, f"{port}_invalid") for port in ("src_port", "dst_port") for value in (-1, 65_536, 0.5)],
        *[
            (name, value, f"{name}_invalid")
            for name in ("packets", "src_bytes", "dst_bytes")
            for value in (-1, 0.5, LARGEST_COUNT + 1)
        ],
        *[("flow_id", value, "flow_id_invalid") for value in ("", "i" * 256)],
    ],
)
def test_a_value_beyond_the_boundary_breaks_just_its_own_rule(make_events, column, bad, rule):
    good = make_events(**dict.fromkeys(OPTIONAL_COLUMNS, 1)).astype({"flow_id": "str"})
    events = good.assign(**{column: [good[column].iloc[0], bad, good[column].iloc[2]]})
    assert rules(events) == {1: rule}
    reason = find_violations(coerce_events(events), TODAY)["reason"].loc[1]
    assert reason.startswith(f"{column} is ")


@pytest.mark.parametrize(
    ("column", "good"),
    [
        ("timestamp", [FIRST, NEXT_DAY - MICROSECOND, f"{DAY}T23:59:59.999999Z"]),
        ("src_ip", ["0.0.0.0", "255.255.255.255", "2001:DB8::1"]),
        ("dst_ip", ["::", "::ffff:1.2.3.4", "fe80::1"]),
        ("bytes", [0, LARGEST_COUNT, 1]),
        ("duration", [0.0, -0.0, 1e12]),
        ("protocol", ["TCP", "IPV6-ICMP", "A/N"]),
        *[(port, [0, 65_535, None]) for port in ("src_port", "dst_port")],
        *[(name, [0, LARGEST_COUNT, None]) for name in ("packets", "src_bytes", "dst_bytes")],
        ("flow_id", ["i" * 255, "<b>é</b>", None]),
        ("flow_id", [7, 2**62, None]),
    ],
)
def test_a_value_at_the_boundary_is_good(make_events, column, good):
    assert rules(make_events(**{column: pd.Series(good, dtype=object)})) == {}


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64", "object", "str"])
def test_a_count_that_float64_cannot_hold_is_refused_whatever_its_type(make_events, dtype):
    events = make_events(bytes=pd.Series([LARGEST_COUNT + 1, 2**53 + 1, 2**62 + 1]).astype(dtype))
    assert rules(events) == dict.fromkeys(range(3), "bytes_invalid")


@given(faulty=st.lists(st.sets(st.sampled_from(list(BAD)), max_size=3), min_size=1, max_size=6))
def test_a_broken_event_has_one_rule_that_of_its_first_column_at_fault(faulty):
    good = {"timestamp": FIRST, "src_ip": "::1", "dst_ip": "::1", "bytes": 1, "duration": 1.0, "protocol": "TCP"}
    row = good | dict.fromkeys(OPTIONAL_COLUMNS, 1)
    events = pd.DataFrame([row | {name: BAD[name][0] for name in names} for names in faulty])
    first = {place: min(names, key=list(BAD).index) for place, names in enumerate(faulty) if names}
    assert rules(events) == {place: BAD[name][1] for place, name in first.items()}


@pytest.mark.parametrize(
    "given_times",
    [
        pd.date_range(f"{DAY}T00:00:01", periods=3, freq="min"),
        pd.date_range(f"{DAY}T00:00:01", periods=3, freq="min", tz="UTC", unit="ns"),
        pd.date_range(f"{DAY}T00:00:01", periods=3, freq="min", tz="UTC", unit="s"),
        pd.date_range(f"{DAY}T00:00:01", periods=3, freq="min", tz="UTC").tz_convert("Asia/Kathmandu"),
        [f"{DAY}T00:00:01Z", f"{DAY} 00:01:01", f"{DAY}T05:47:01+05:45"],
        [pd.Timestamp(f"{DAY}T00:00:01"), pd.Timestamp(f"{DAY}T00:01:01Z").to_pydatetime(), f"{DAY}T00:02:01Z"],
        pd.Categorical(pd.date_range(f"{DAY}T00:00:01", periods=3, freq="min", tz="UTC")),
        pd.period_range(f"{DAY}T00:00:01", periods=3, freq="min"),
    ],
    ids=["naive", "nanoseconds", "seconds", "other zone", "text", "mixed objects", "category", "period"],
)
def test_times_of_any_type_become_utc_microseconds(make_events, given_times):
    expected = make_events()["timestamp"]
    times = coerce_events(make_events(timestamp=given_times))["timestamp"]
    assert str(times.dtype) == "datetime64[us, UTC]"
    tolerance = pd.Timedelta(seconds=1) if isinstance(given_times, pd.PeriodIndex) else pd.Timedelta(0)
    assert ((times - expected).abs() <= tolerance).all()


@pytest.mark.parametrize(
    "unreadable",
    [
        1_713_484_801,
        1_713_484_801.5,
        True,
        None,
        "not a time",
        Decimal("1713484801"),
        np.datetime64("400000-01-01", "s"),
    ],
)
def test_times_that_do_not_say_when_become_null(make_events, unreadable):
    assert coerce_events(make_events(timestamp=unreadable))["timestamp"].isna().all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1, 2, 3], "int8"), [1, 2, 3]),
        (np.array([1, 2, 3], "uint64"), [1, 2, 3]),
        (np.array([0.5, 1.5, np.nan], "float32"), [0.5, 1.5, np.nan]),
        (pd.array([1, None, 3], "Int64"), [1, np.nan, 3]),
        (["1", " 2 ", "three"], [1, 2, np.nan]),
        ([1, "2.5", None], [1, 2.5, np.nan]),
        ([Decimal(1), Decimal("2.5"), Decimal("NaN")], [1, 2.5, np.nan]),
        (pd.Categorical([3, 2, 3]), [3, 2, 3]),
        ([True, False, True], [np.nan] * 3),
        ([[1], {}, object], [np.nan] * 3),
        (pd.to_timedelta([1, 2, 3], unit="s"), [np.nan] * 3),
    ],
)
@pytest.mark.parametrize("column", ["bytes", "duration", "packets"])
def test_numbers_of_any_type_become_numbers_or_null(make_events, column, values, expected):
    numbers = coerce_events(make_events(**{column: values}))[column]
    assert numbers.dtype in ("int64", "float64")
    np.testing.assert_array_equal(numbers.to_numpy("float64"), expected)


@pytest.mark.parametrize(
    "values",
    [
        ["1.2.3.4", None, 5],
        pd.Categorical(["1.2.3.4", None, "5"], categories=["unused", "5", "1.2.3.4"]),
        pd.Series(["1.2.3.4", None, "5"], dtype="category"),
        pd.array(["1.2.3.4", None, "5"], "string[python]"),
        np.array(["1.2.3.4", None, "5"], dtype=object),
    ],
)
@pytest.mark.parametrize("column", ["src_ip", "dst_ip", "protocol"])
def test_text_of_any_type_becomes_categories_of_text(make_events, column, values):
    text = coerce_events(make_events(**{column: values}))[column]
    assert isinstance(text.dtype, pd.CategoricalDtype)
    assert [None if pd.isna(value) else value for value in text] == ["1.2.3.4", None, "5"]


@pytest.mark.parametrize("odd", ["\ud800", b"\xff"])
def test_text_that_is_no_unicode_is_rejected_like_any_other(make_events, odd):
    events = make_events(src_ip=pd.Series(["1.2.3.4", odd, "1.2.3.4"], dtype=object))
    assert rules(events) == {1: "src_ip_invalid"}


def test_rows_are_judged_by_place_whatever_the_index_says(make_events):
    events = make_events(src_ip=["1.2.3.4", "x", "1.2.3.4"]).set_index(pd.Index([7, 7, 7]))
    assert rules(events) == {1: "src_ip_invalid"}


def test_other_columns_are_left_out_and_the_given_frame_stays_as_it_is(make_events):
    events = make_events(bytes="5", label="attack")[["label", *reversed(COLUMNS)]]
    before = events.copy(deep=True)
    assert tuple(coerce_events(events).columns) == COLUMNS
    pd.testing.assert_frame_equal(events, before)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(make_events, column):
    with pytest.raises(ContractError, match=f"no column {column}:"):
        coerce_events(make_events().drop(columns=column))


@pytest.mark.parametrize("column", [*COLUMNS, *OPTIONAL_COLUMNS])
def test_a_column_that_comes_twice_is_named(make_events, column):
    events = make_events(**dict.fromkeys(OPTIONAL_COLUMNS, 1))
    with pytest.raises(ContractError, match=f"{column} twice"):
        coerce_events(pd.concat([events, events[[column]]], axis=1))


@pytest.mark.parametrize("thing", [None, [1], {"timestamp": []}, "text"])
def test_what_is_no_frame_is_refused_by_its_type(thing):
    with pytest.raises(ContractError, match=type(thing).__name__):
        coerce_events(thing)
