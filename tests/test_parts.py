"""Parts: one canonical form, its digest, and the Parquet object made of it."""

import hashlib
import io
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from network_anomalies.events.contract import OPTIONAL_COLUMNS, TEXT_COLUMNS, coerce_events
from network_anomalies.events.parts import (
    digest_content,
    encode_part,
    find_duplicates,
    name_part,
    to_canonical_table,
)
from network_anomalies.pipelines.ingestion.encoding import describe_part
from network_anomalies.records.batch import PartObject

START = datetime(2024, 4, 19, tzinfo=UTC)
ADDRESS = st.sampled_from(["10.0.0.1", "10.0.0.10", "10.0.0.2", "2001:db8::1"])
COUNT = st.integers(0, 3) | st.integers(0, 2**53)
PORT = st.none() | st.integers(0, 65_535)
VALUES = {
    "timestamp": st.integers(0, 3).map(lambda seconds: START + timedelta(microseconds=seconds)),
    "src_ip": ADDRESS,
    "dst_ip": ADDRESS,
    "bytes": COUNT,
    "duration": st.sampled_from([0.0, -0.0, 0.5, 1e-300]),
    "protocol": st.sampled_from(["TCP", "UDP"]),
    "src_port": PORT,
    "dst_port": PORT,
    **dict.fromkeys(("packets", "src_bytes", "dst_bytes"), st.none() | COUNT),
    "flow_id": st.none() | st.sampled_from(["C1", "C10", "C2", "é", "\U0001f600"]),
}
ROWS = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=12)


def to_events(rows: list[dict]) -> pd.DataFrame:
    return coerce_events(pd.DataFrame(rows, columns=list(VALUES)))


@given(rows=ROWS, data=st.data())
def test_equal_rows_give_an_equal_table_in_any_order_and_coding(rows, data):
    shuffled = to_events(data.draw(st.permutations(rows)))
    for name in TEXT_COLUMNS:
        categories = data.draw(st.permutations([*shuffled[name].cat.categories, "unused"]))
        shuffled[name] = shuffled[name].cat.set_categories(categories)
    as_text = pa.Table.from_pylist(rows)
    cut = data.draw(st.integers(0, len(rows)))
    chunked = pa.concat_tables([as_text.slice(cut), as_text.slice(0, cut)])
    tables = [to_canonical_table(events) for events in (to_events(rows), shuffled, as_text, chunked)]
    assert all(table.equals(tables[0]) for table in tables)
    assert len({digest_content(table) for table in tables}) == 1
    assert len({encode_part(table, {}) for table in tables}) == 1


@given(rows=ROWS)
def test_rows_stand_in_order_of_time_then_of_the_other_columns(rows):
    events = to_events(rows).astype(dict.fromkeys(TEXT_COLUMNS, "str"))
    expected = events.sort_values(list(VALUES), na_position="first", ignore_index=True)
    found = to_canonical_table(to_events(rows)).to_pandas().astype(expected.dtypes)
    pd.testing.assert_frame_equal(found, expected)
    assert to_canonical_table(to_canonical_table(to_events(rows))).equals(to_canonical_table(to_events(rows)))


@given(rows=ROWS, data=st.data())
def test_the_digest_differs_if_any_one_value_does(rows, data):
    place, name = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.sampled_from(list(VALUES)))
    other = data.draw(VALUES[name])
    assume(other != rows[place][name])
    changed = [*rows[:place], rows[place] | {name: other}, *rows[place + 1 :]]
    before, after = (digest_content(to_canonical_table(to_events(each))) for each in (rows, changed))
    assert before != after


@given(rows=ROWS)
def test_the_digest_differs_if_a_row_or_a_column_more_does(rows):
    digests = {digest_content(to_canonical_table(to_events(each))) for each in (rows, [*rows, rows[0]])}
    events = to_events(rows)
    digests |= {digest_content(to_canonical_table(events.drop(columns=name))) for name in OPTIONAL_COLUMNS}
    assert len(digests) == 2 + len(OPTIONAL_COLUMNS)


@given(rows=ROWS)
def test_duplicates_are_those_that_pandas_finds(rows):
    table = to_canonical_table(to_events(rows))
    np.testing.assert_array_equal(find_duplicates(table), table.to_pandas().duplicated().to_numpy())
    assert find_duplicates(table).sum() == pd.DataFrame(rows).duplicated().sum()


def test_a_table_without_rows_has_no_duplicates(make_events):
    assert len(find_duplicates(to_canonical_table(coerce_events(make_events(0))))) == 0


def test_minus_zero_and_zero_seconds_are_one_value(make_events):
    plus, minus = (to_canonical_table(make_events(1, duration=zero)) for zero in (0.0, -0.0))
    assert digest_content(plus) == digest_content(minus)
    assert encode_part(plus, {}) == encode_part(minus, {})
    assert np.copysign(1, minus["duration"][0].as_py()) == 1


@given(rows=ROWS)
def test_a_part_reads_back_as_it_was(rows):
    table = to_canonical_table(to_events(rows))
    back = pq.read_table(io.BytesIO(encode_part(table, {"source": "zeek"})))
    assert digest_content(to_canonical_table(back)) == digest_content(table)
    assert to_canonical_table(back).equals(table)


def test_a_part_has_the_contracts_types_zstd_and_its_provenance(make_events):
    optional = {"src_port": [1, None, 3], "dst_port": 2, "packets": [1, None, 2], "src_bytes": 1, "dst_bytes": 0}
    events = coerce_events(make_events(**optional, flow_id=["C1", None, "C2"]))
    file = pq.ParquetFile(io.BytesIO(encode_part(to_canonical_table(events), {"source": "zeek", "contract": "1"})))
    types = {field.name: str(field.type) for field in file.schema_arrow}
    text = "dictionary<values=string, indices=int32, ordered=0>"
    assert types == {
        "timestamp": "timestamp[us, tz=UTC]",
        "src_ip": text,
        "dst_ip": text,
        "bytes": "int64",
        "duration": "double",
        "protocol": text,
        "src_port": "int32",
        "dst_port": "int32",
        **dict.fromkeys(("packets", "src_bytes", "dst_bytes"), "int64"),
        "flow_id": "string",
    }
    group = file.metadata.row_group(0)
    assert {group.column(place).compression for place in range(group.num_columns)} == {"ZSTD"}
    assert group.column(0).statistics.max == events["timestamp"].max().to_pydatetime()
    assert {b"source": b"zeek", b"contract": b"1"}.items() <= file.metadata.metadata.items()


def test_pandas_duckdb_and_polars_read_the_same_rows(make_events, tmp_path):
    path = tmp_path / "part.parquet"
    path.write_bytes(encode_part(to_canonical_table(make_events(1000, packets=1)), {}))
    times = make_events(1000)["timestamp"]
    by_pandas, by_polars = pd.read_parquet(path), polars.read_parquet(path)
    by_duckdb = duckdb.sql(f"SELECT count(*), sum(bytes), epoch_us(max(timestamp)) FROM '{path}'").fetchall()
    expected = (1000, sum(range(100, 1100)), int(times.max().timestamp()) * 1_000_000)
    assert by_duckdb == [expected]
    assert (len(by_pandas), by_pandas["bytes"].sum(), by_pandas["timestamp"].max()) == (*expected[:2], times.max())
    assert (by_polars.height, by_polars["bytes"].sum(), by_polars["timestamp"].max()) == (*expected[:2], times.max())


def test_a_part_is_described_by_its_bytes_and_its_rows(make_events):
    table = to_canonical_table(make_events())
    data = encode_part(table, {})
    sha256 = hashlib.sha256(data).hexdigest()
    assert describe_part(table, data, 2, rejected_count=4) == PartObject(
        part=2,
        file_name=f"network_events_20240419T000001Z_0002_{sha256[:12]}.parquet",
        record_count=3,
        rejected_count=4,
        size_bytes=len(data),
        object_sha256=sha256,
        content_sha256=digest_content(table),
        min_timestamp=datetime(2024, 4, 19, 0, 0, 1, tzinfo=UTC),
        max_timestamp=datetime(2024, 4, 19, 0, 2, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("part", "name"),
    [(1, "20240419T235959Z_0001_abcdef012345"), (12_345, "20240419T235959Z_12345_abcdef012345")],
)
def test_a_name_says_the_first_instant_the_number_and_the_digest(part, name):
    first = datetime(2024, 4, 19, 23, 59, 59, 999_999, tzinfo=UTC)
    assert name_part(first, part, "abcdef012345" + "6" * 52) == f"network_events_{name}.parquet"
