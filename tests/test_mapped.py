"""Plain CSV and Parquet whose columns a mapping names."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flow_logs import LOGS, MAPPING, OPTIONS, check_lines, log_of, parse, tell
from hypothesis import given, settings
from hypothesis import strategies as st

from network_anomalies.errors import ContractError
from network_anomalies.formats import FORMATS, TABLE_FORMATS, LogOptions
from network_anomalies.formats.delimited import BAD_QUOTES, UNEVEN
from network_anomalies.formats.mapping import ColumnMapping
from network_anomalies.formats.parsed import merge_parsed

SIX = {name: name for name in ("timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol")}
HEADER = b"timestamp,src_ip,dst_ip,bytes,duration,protocol,note\n"
ROW = b"1713484801,::1,::2,5,0.5,tcp,x\n"
PARQUET = TABLE_FORMATS["parquet"]


def options(timezone: str = "UTC", columns: dict[str, str] | None = None, **changes: str) -> LogOptions:
    return LogOptions(timezone, ColumnMapping(columns or SIX, **changes))


def parse_csv(*lines: bytes, header: bytes = HEADER, **changes):
    return parse("csv", *lines, log=header, options=options(**changes))


def to_parquet(table: pa.Table, **how) -> io.BytesIO:
    sink = io.BytesIO()
    pq.write_table(table, sink, **how)
    return io.BytesIO(sink.getvalue())


def parse_parquet(table: pa.Table, rows: int = 1000, chosen: LogOptions = OPTIONS):
    return merge_parsed(list(PARQUET.parse_table(to_parquet(table), chosen, rows)))


def plain_table(**changes: pa.Array) -> pa.Table:
    columns = {
        "when": pa.array([datetime(2024, 4, 19, 0, 0, 1), None, datetime(2024, 4, 19, 0, 0, 2)], pa.timestamp("ns")),
        "source": pa.array(["10.0.0.1", "x", "10.0.0.2"]).dictionary_encode(),
        "target": pa.array(["::1", "x", None], pa.large_string()),
        "took": pa.array([0.5, None, None], pa.float32()),
        "ip proto": pa.array([17, 6, 6], pa.uint8()),
        "sport": pa.array([53, None, None], pa.int32()),
        "dport": pa.array(["53", "x", None]),
        "pkts": pa.array([3, 1, None], pa.int64()),
        "out": pa.array([60, 1, 2**60], pa.int64()),
        "in": pa.array([40, 1, None], pa.int64()),
        "id": pa.array([7, 8, 9], pa.int64()),
        "unused": pa.array([[1], [], None], pa.list_(pa.int64())),
    }
    return pa.table(columns | changes)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("auto", "1713484801.5"),
        ("auto", "2024-04-19T02:00:01.5+02:00"),
        ("auto", "2024-04-19 02:00:01.500"),
        ("s", "1713484801.5"),
        ("ms", "1713484801500"),
        ("us", "1713484801500000"),
        ("ns", "1713484801500000000"),
        ("%d.%m.%Y %H:%M:%S.%f", "19.04.2024 02:00:01.5"),
        ("%d.%m.%Y %H:%M:%S.%f %z", "19.04.2024 00:00:01.5 +0000"),
    ],
)
def test_times_are_written_as_the_mapping_says(time, text):
    parsed = parse_csv(ROW.replace(b"1713484801", text.encode()), time=time, timezone="Europe/Berlin")
    assert parsed.events["timestamp"].to_pylist() == [datetime(2024, 4, 19, 0, 0, 1, 500_000, UTC)]


@pytest.mark.parametrize(("unit", "seconds"), [("s", 250.0), ("ms", 0.25), ("us", 250e-6), ("ns", 250e-9)])
def test_durations_are_in_the_unit_that_the_mapping_says(unit, seconds):
    events = parse_csv(ROW.replace(b"0.5", b"250"), ROW.replace(b"0.5", b""), duration=unit).events
    assert events["duration"].to_pylist() == [pytest.approx(seconds, rel=1e-12), None]


def test_the_delimiter_and_quotes_are_as_written():
    header = HEADER.replace(b",", b";").replace(b"src_ip", b'"src_ip"')
    row = b'"1713484801";"::1";::2;"5";0.5;"tcp";"a;b ""c"""\n'
    assert tell(parse_csv(row, row.replace(b'"', b""), ROW, header=header, delimiter=";")) == (1, 0, 2)


def test_both_sides_may_stand_for_the_bytes():
    columns = {name: name for name in SIX if name != "bytes"} | {"src_bytes": "bytes", "dst_bytes": "note"}
    (event,) = parse_csv(ROW.replace(b"x", b"7"), columns=columns).events.to_pylist()
    assert (event["bytes"], event["src_bytes"], event["dst_bytes"]) == (12, 5, 7)


def test_one_column_may_give_two():
    columns = SIX | {"flow_id": "note", "src_bytes": "bytes"}
    (event,) = parse_csv(ROW, columns=columns).events.to_pylist()
    assert (event["bytes"], event["src_bytes"], event["flow_id"]) == (5, 5, "x")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'1713484801,::1,::2,5,0.5,tcp,"x\n', BAD_QUOTES),
        (b'1713484801,::1,::2,5,0.5,tcp,"x" \n', BAD_QUOTES),
        (b'1713484801,::1,::2,5,0.5,"tcp,x\n', BAD_QUOTES),
        (b'"\n', BAD_QUOTES),
        (b'1713484801,::1,::2,5,0.5,tcp,"a,b\n', BAD_QUOTES),
        (b"1713484801,::1,::2,5,0.5,tcp\n", UNEVEN),
        (b'1713484801,::1,::2,5,0.5,tcp,"a",b\n', UNEVEN),
        (b"today,::1,::2,5,0.5,tcp,x\n", "its time cannot be read"),
        (b",::1,::2,5,0.5,tcp,x\n", "its time cannot be read"),
    ],
)
def test_a_bad_line_takes_no_other_with_it(bad, reason):
    lines = [ROW, bad, ROW, ROW.replace(b"x", b'"x"'), bad, ROW.replace(b"x", b'x"y')]
    parsed = parse_csv(*lines)
    check_lines(parsed, lines)
    assert tell(parsed) == (4, 0, 2)
    assert parsed.unparsable["reason"].to_pylist() == [reason] * 2


@settings(max_examples=200)
@given(note=st.text(st.sampled_from('a"" ,\t'), max_size=8), place=st.integers(0, 2))
def test_whatever_stands_in_quotes_stays_in_its_line(note, place):
    rows = [ROW] * 3
    rows[place] = ROW.replace(b"x", note.encode())
    parsed = parse_csv(*rows)
    check_lines(parsed, rows)
    assert parsed.events.num_rows >= 2


def test_a_byte_order_mark_and_names_in_quotes_are_no_part_of_the_header():
    header = b"\xef\xbb\xbf" + HEADER.replace(b"timestamp", b'"timestamp"')
    for more in ((), (b"bad\n",)):
        parsed = parse_csv(header, ROW, *more, header=header)
        assert parsed.not_a_flow == {"header": 1}
        assert (parsed.events.num_rows, parsed.unparsable.num_rows) == (1, len(more))


def test_a_column_name_that_comes_twice_means_the_first():
    header = HEADER.replace(b"note", b"bytes")
    assert parse_csv(ROW, header=header).events["bytes"].to_pylist() == [5]


@pytest.mark.parametrize("missing", SIX)
def test_a_column_of_the_mapping_that_the_file_lacks_is_named(missing):
    with pytest.raises(ContractError, match=rf"^a CSV file without {missing}: correct logs\.mapping"):
        parse_csv(ROW, header=HEADER.replace(missing.encode(), b"other"))
    table = plain_table().drop_columns("took")
    with pytest.raises(ContractError, match=r"^a Parquet file without took: correct"):
        parse_parquet(table)


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        (SIX | {"port": "x"}, {}, "has column port: an event has"),
        ({"timestamp": "x"}, {}, "lacks src_ip, dst_ip, bytes, duration, protocol"),
        ({name: name for name in SIX if name != "bytes"} | {"src_bytes": "x"}, {}, "lacks bytes"),
        (SIX, {"time": "epoch"}, "has time 'epoch'"),
        (SIX, {"duration": "min"}, "has duration 'min'"),
        (SIX, {"delimiter": "||"}, "has delimiter"),
        (SIX, {"delimiter": '"'}, "has delimiter"),
        (SIX, {"delimiter": "\n"}, "has delimiter"),
    ],
)
def test_a_mapping_that_cannot_give_an_event_is_refused(columns, changes, message):
    with pytest.raises(ContractError, match=rf"logs\.mapping {message}"):
        ColumnMapping(columns, **changes)


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t", "^", "]", "\\", "-", " "])
def test_any_delimiter_does(delimiter):
    log = b"".join(LOGS["csv"][:2]).replace(b",", delimiter.encode()).replace(b"ip proto", b"ip_proto")
    columns = {name: column.replace(" ", "_") for name, column in MAPPING.columns.items()}
    if delimiter == "-":
        log = log.replace(b"2024-04-19T02:00:01.500001+02:00", b"1713484801.500001")
    if delimiter == " ":
        log = log.replace(b'"a ""word""  and more"', b"x")
    chosen = replace(OPTIONS, mapping=replace(MAPPING, columns=columns, delimiter=delimiter))
    parsed = parse("csv", log, log=log, options=chosen)
    assert tell(parsed) == (1, 1, 0)
    assert parsed.events["bytes"].to_pylist() == [100]


def test_a_parquet_table_becomes_events():
    parsed = parse_parquet(plain_table())
    assert tell(parsed) == (2, 0, 1)
    first, second = parsed.events.to_pylist()
    assert first == {
        "timestamp": datetime(2024, 4, 19, 0, 0, 1, tzinfo=UTC),
        **{"src_ip": "10.0.0.1", "dst_ip": "::1", "bytes": 100, "duration": 0.5, "protocol": "UDP"},
        **{"src_port": 53, "dst_port": 53, "packets": 3, "src_bytes": 60, "dst_bytes": 40, "flow_id": "7"},
    }
    assert (second["bytes"], second["duration"], second["dst_ip"]) == (2.0**60, None, None)
    (bad,) = parsed.unparsable.to_pylist()
    assert (bad["line"], bad["reason"]) == (2, "its time cannot be read")
    assert json.loads(bad["text"])["source"] == "x"


def test_a_parquet_table_is_read_batch_by_batch():
    table = pa.concat_tables([plain_table()] * 40)
    parts = list(PARQUET.parse_table(to_parquet(table, row_group_size=7), OPTIONS, 5))
    assert max(part.lines for part in parts) == 5
    parsed = merge_parsed(parts)
    assert parsed.events.equals(parse_parquet(table).events)
    assert parsed.unparsable["line"].to_pylist() == list(range(2, 121, 3))


@pytest.mark.parametrize(
    ("when", "time"),
    [
        (pa.array([1713484801.5]), "auto"),
        (pa.array([1713484801500], pa.int64()), "ms"),
        (pa.array([1713484801500000000], pa.int64()), "ns"),
        (pa.array(["2024-04-19T02:00:01.5"]), "auto"),
        (pa.array(["19.04.2024 02:00:01.5"]), "%d.%m.%Y %H:%M:%S.%f"),
        (pa.array([datetime(2024, 4, 19, 2, 0, 1, 500_000)], pa.timestamp("us")), "s"),
        (pa.array([datetime(2024, 4, 19, 0, 0, 1, 500_000)], pa.timestamp("ms", "UTC")), "auto"),
    ],
)
def test_times_in_parquet_may_be_of_any_type(when, time):
    chosen = LogOptions("Europe/Berlin", replace(MAPPING, time=time))
    events = parse_parquet(plain_table().slice(0, 1).set_column(0, "when", when), chosen=chosen).events
    assert events["timestamp"].cast(pa.int64()).to_pylist()[0] // 1000 == 1713484801500


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", to_parquet(plain_table()).getvalue()[:-40], log_of("csv")]
)
def test_what_is_no_parquet_file_is_refused(data):
    with pytest.raises(ContractError, match=r"^not a Parquet file"):
        list(PARQUET.parse_table(io.BytesIO(data), OPTIONS, 10))


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_parquet_file_crashes_nothing(data):
    whole = bytearray(to_parquet(pa.concat_tables([plain_table()] * 30)).getvalue())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=8)):
        whole[place] ^= data.draw(st.integers(1, 255))
    try:
        parts = list(PARQUET.parse_table(io.BytesIO(bytes(whole)), OPTIONS, 50))
    except ContractError as error:
        assert "\n" not in str(error)
    else:
        assert all(part.lines <= 50 for part in parts)


def test_a_column_that_cannot_be_a_value_is_refused():
    table = plain_table(source=pa.array([[1], [2], [3]]))
    with pytest.raises(ContractError, match=r"^a Parquet file that cannot be read"):
        parse_parquet(table)


def test_csv_is_never_guessed():
    assert not FORMATS["csv"].matches(HEADER)
