"""A part: a bounded slice of a batch, in canonical order, as one Parquet object."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS, TEXT_COLUMNS

_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_TYPES = {
    "timestamp": pa.timestamp("us", tz="UTC"),
    "src_ip": _DICTIONARY,
    "dst_ip": _DICTIONARY,
    "bytes": pa.int64(),
    "duration": pa.float64(),
    "protocol": _DICTIONARY,
    "src_port": pa.int32(),
    "dst_port": pa.int32(),
    **dict.fromkeys(("packets", "src_bytes", "dst_bytes"), pa.int64()),
    "flow_id": pa.string(),
}
ROW_GROUP_ROWS = 262_144
VARYING = ("bytes", "duration", "src_port", "src_bytes", "dst_bytes", "flow_id")
"""Columns whose values hardly repeat: written without a dictionary they are smaller, and written faster."""


def to_canonical_table(events: pd.DataFrame | pa.Table) -> pa.Table:
    """Return events that meet the contract in the one order and form that their rows alone decide.

    Columns in the contract's order and types, dictionaries holding just the values used, sorted; rows sorted by
    time, then by the other columns. Equal rows give an equal table, whatever order or coding they came in.
    """
    if isinstance(events, pd.DataFrame):
        events = pa.table({name: _to_arrow(events[name]) for name in events.columns})
    names = [name for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in events.column_names]
    table = pa.table({name: _to_canonical_column(name, events[name]) for name in names})
    order = _find_order(table)
    return table if order is None else table.take(order)


def find_duplicates(table: pa.Table) -> np.ndarray:
    """Return, for a canonical table, which rows equal the row before them in every column."""
    duplicates = np.zeros(table.num_rows, dtype=bool)
    rows = _find_ties(_to_numbers(table["timestamp"].combine_chunks())) if table.num_rows else np.empty(0, dtype=int)
    if len(rows):
        keys = _sort_keys(table.take(pa.array(rows)))
        duplicates[rows[1:]] = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    return duplicates


def digest_content(table: pa.Table) -> str:
    """Return the sha256 of a canonical table's rows, independent of Parquet and of any library's version.

    Hashed per column: its name and number of rows; for addresses and protocols the sorted distinct values (UTF-8,
    newline between), then the int32 places in that list; for ``flow_id`` the int32 lengths in bytes, then the values;
    for others the values. Numbers are little-endian; nulls of optional columns are -1.
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name].combine_chunks()
        digest.update(f"{name}:{len(column)}\n".encode())
        if name == "flow_id":
            lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy(zero_copy_only=False)
            digest.update(np.ascontiguousarray(lengths).view(np.uint8).data)
            digest.update(_join_text(column))
            continue
        if name in TEXT_COLUMNS:
            digest.update("\n".join(column.dictionary.to_pylist()).encode() + b"\n")
        digest.update(_to_numbers(column).view(np.uint8).data)
    return digest.hexdigest()


def digest_contents(digests: Iterable[str]) -> str:
    """Return the content digest of a batch from those of its parts, in their order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def encode_part(table: pa.Table, provenance: Mapping[str, str], repeating: Collection[str] | None = None) -> bytes:
    """Return a table as zstd Parquet bytes whose footer carries ``provenance``.

    Columns of ``repeating`` values are written as dictionaries; None means all but those whose values hardly repeat.
    """
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(dict(provenance)),
        sink,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=[name for name in repeating or table.column_names if name not in (*times, *VARYING)],
        column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
        write_statistics=times,  # rows stand in order of time, so no other column's range skips anything
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def name_part(first: datetime, part: int, object_sha256: str) -> str:
    """Return a part's file name: its first instant in UTC, its number, the start of its digest.

    >>> name_part(datetime(2024, 4, 19, 0, 0, 2), 1, "ab" * 32)
    'network_events_20240419T000002Z_0001_abababababab.parquet'
    """
    return f"network_events_{first:%Y%m%dT%H%M%SZ}_{part:04d}_{object_sha256[:12]}.parquet"


def _join_text(column: pa.StringArray) -> memoryview | bytes:
    """Return the values of a column one after another, in UTF-8."""
    _, offsets, values = pc.fill_null(column, "").buffers()
    edges = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    return memoryview(values)[edges[0] : edges[-1]] if values else b""


def _to_arrow(values: pd.Series) -> pa.Array:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return pa.array(values.dt.tz_convert(None).to_numpy(), pa.timestamp("us", tz="UTC"))
    return pa.array(values)


def _to_canonical_column(name: str, column: pa.ChunkedArray) -> pa.Array:
    if name in TEXT_COLUMNS:
        return _sort_dictionary(column)
    column = column.cast(_TYPES[name]).combine_chunks()
    return pc.add(column, 0.0) if name == "duration" else column  # -0.0 and 0.0 are one value


def _sort_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    codes = column.indices.to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(codes, minlength=len(column.dictionary)))
    values = column.dictionary.cast(pa.string()).take(pa.array(used))
    order = pc.sort_indices(values).to_numpy()
    places = np.empty(len(column.dictionary), dtype=np.int32)
    places[used[order]] = np.arange(len(used), dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(places[codes]), values.take(pa.array(order)))


def _find_order(table: pa.Table) -> pa.Array | None:
    """Return the row order, or None if the rows stand in it already; rows at one instant are few, and sorted apart."""
    times = _to_numbers(table["timestamp"].combine_chunks())
    sorted_already = bool((times[1:] >= times[:-1]).all())
    order = np.arange(len(times)) if sorted_already else np.argsort(times, kind="stable")
    tied = _find_ties(times[order])
    if not len(tied):
        return None if sorted_already else pa.array(order)
    rows = order[tied]
    keys = _sort_keys(table.take(pa.array(rows)))
    order[tied] = rows[np.lexsort(keys[::-1])]
    return None if sorted_already and np.array_equal(order[tied], tied) else pa.array(order)


def _find_ties(times: np.ndarray) -> np.ndarray:
    """Return the places of sorted times that equal one beside them."""
    equal = np.diff(times) == 0
    return np.flatnonzero(np.append(False, equal) | np.append(equal, False))


def _sort_keys(table: pa.Table) -> list[np.ndarray]:
    return [_to_numbers(table[name].combine_chunks()) for name in table.column_names]


def _to_numbers(column: pa.Array) -> np.ndarray:
    """Return a canonical column as numbers that order as its values do; sorted dictionaries order by place."""
    if pa.types.is_string(column.type):
        column = _sort_dictionary(pa.chunked_array([pc.fill_null(column, "")]))
    if pa.types.is_dictionary(column.type):
        column = column.indices
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return np.ascontiguousarray(pc.fill_null(column, -1).to_numpy(zero_copy_only=False))
