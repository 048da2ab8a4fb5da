"""A model as bytes: one Arrow IPC stream, the same for equal models, and refused if the code has changed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from network_anomalies.detection.scoring.columns import SIZE_BINS_PER_E
from network_anomalies.detection.scoring.context import CONTEXT_COLUMNS
from network_anomalies.detection.scoring.features import FEATURES, LEVELS, LEVELS_PER_E, ZERO
from network_anomalies.detection.scoring.history import COUNTS, KEYS, LEAST_BLOCKS, History
from network_anomalies.detection.scoring.model import Model, ModelParameters
from network_anomalies.detection.scoring.summary import (
    CONVERSATION,
    SIZE,
    Summary,
    merge_summaries,
    order_by_keys,
    require_apart,
    stack,
)
from network_anomalies.detection.scoring.surprise import MASS_UNIT
from network_anomalies.errors import ProjectError

FEATURE_SPEC: dict[str, Any] = {
    "version": 3,
    "context": list(CONTEXT_COLUMNS),
    "features": {name: [feature.facet, feature.side] for name, feature in FEATURES.items()},
    "history": {name: [*keys, *COUNTS[name]] for name, keys in KEYS.items()},
    "least_blocks": LEAST_BLOCKS,
    "levels": LEVELS,
    "levels_per_e": LEVELS_PER_E,
    "mass_unit": MASS_UNIT,
    "size_bins_per_e": SIZE_BINS_PER_E,
    "zero": ZERO,
}
SUMMARY_KEYS = {"conversations": CONVERSATION, "sizes": SIZE}
"""The tables of a summary, and the columns that they are in the order of."""
FEW_BYTES = 16_000_000
"""Packed summaries of so many bytes in all take some 100 MB when they are merged at once: those of 1.3 M events."""
_HEADER = b"network_anomalies.model"


def feature_spec_sha256() -> str:
    """Return the sha256 of ``FEATURE_SPEC`` as sorted JSON."""
    return hashlib.sha256(json.dumps(FEATURE_SPEC, sort_keys=True).encode()).hexdigest()


def to_bytes(model: Model) -> bytes:
    """Return a model as an Arrow IPC stream: its tables one after another, the rest as JSON in the schema."""
    header = {
        "feature_spec_sha256": feature_spec_sha256(),
        "parameters": asdict(model.parameters),
        "alert_score": model.alert_score,
        "hours": [model.history.total_hours, model.history.first, model.history.last],
    }
    tables = {"masses": pa.table({name: model.masses[name].ravel() for name in FEATURES})}
    tables |= {name: _to_arrow(model.history.tables[name]) for name in KEYS}
    batch = pa.record_batch({name: pa.array([_to_ipc(table)], pa.large_binary()) for name, table in tables.items()})
    text = json.dumps(header, sort_keys=True).encode()
    return _to_ipc(pa.Table.from_batches([batch]).replace_schema_metadata({_HEADER: text}))


def from_bytes(data: bytes) -> Model:
    """Return the model that ``to_bytes`` wrote.

    Raises:
        ProjectError: these bytes are no model, or one of another feature specification.
    """
    try:
        table = _from_ipc(data)
        header = json.loads((table.schema.metadata or {})[_HEADER])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ProjectError("these bytes are no model: give what detection.to_bytes wrote, or train again") from error
    if header["feature_spec_sha256"] != feature_spec_sha256():
        raise ProjectError(
            f"the model was trained on feature specification {header['feature_spec_sha256'][:12]}, this code computes "
            f"{feature_spec_sha256()[:12]}: train again, or run the code version that the model names"
        )
    tables = {name: _from_ipc(table[name][0].as_py()) for name in table.column_names}
    masses = {name: tables["masses"][name].to_numpy().reshape(2, LEVELS) for name in FEATURES}
    history = History({name: _to_pandas(tables[name]) for name in KEYS}, *header["hours"])
    return Model(history, masses, ModelParameters(**header["parameters"]), header["alert_score"])


def pack_summary(summary: Summary) -> bytes:
    """Return a summary as an Arrow IPC stream, the same bytes for equal summaries."""
    return _nest({name: _to_ipc(_to_arrow(getattr(summary, name))) for name in SUMMARY_KEYS})


def unpack_summary(data: bytes) -> Summary:
    """Return the summary that ``pack_summary`` wrote."""
    tables = _from_ipc(data)
    return Summary(**{name: _to_pandas(_from_ipc(tables[name][0].as_py())) for name in SUMMARY_KEYS})


def merge_packed(parts: Sequence[bytes]) -> bytes:
    """Return ``pack_summary`` of the merged summaries of different hours.

    Of large ones only a column is unpacked at a time. Small ones are merged at once, in half the time or less.

    Raises:
        ProjectError: nothing to merge, or two summaries share an hour.
    """
    if sum(map(len, parts)) <= FEW_BYTES:
        return pack_summary(merge_summaries(map(unpack_summary, parts)))
    tables = [_from_ipc(part) for part in parts]
    streams = {name: [table[name][0].as_buffer() for table in tables] for name in SUMMARY_KEYS}
    require_apart([_read_columns(stream, ["hour"])["hour"].to_numpy() for stream in streams["conversations"]])
    return _nest({name: _to_ipc(_merge_streams(streams[name], keys)) for name, keys in SUMMARY_KEYS.items()})


def _merge_streams(streams: Sequence[pa.Buffer], keys: list[str]) -> pa.Table:
    stacked = stack([_read_columns(stream, keys) for stream in streams])
    order = order_by_keys(stacked, keys)
    columns = {}
    for name in pa.ipc.open_stream(streams[0]).schema.names:
        if name in keys:
            columns[name] = _to_arrow(stacked[[name]].take(order))[name]
        else:
            values = [_read_columns(stream, [name])[name].to_numpy() for stream in streams]
            columns[name] = pa.array(np.concatenate(values)[order])
    return pa.table(columns)


def _read_columns(stream: pa.Buffer, names: list[str]) -> pd.DataFrame:
    schema = pa.ipc.open_stream(stream).schema
    options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in names])
    with pa.ipc.open_stream(stream, options=options) as reader:
        return _to_pandas(reader.read_all().select(names))


def _nest(streams: dict[str, bytes]) -> bytes:
    return _to_ipc(pa.table({name: pa.array([data], pa.large_binary()) for name, data in streams.items()}))


def _to_arrow(table: pd.DataFrame) -> pa.Table:
    columns = {}
    for name in table.columns:
        values = table[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            codes = pa.array(values.cat.codes.to_numpy().astype(np.int32))
            columns[name] = pa.DictionaryArray.from_arrays(
                codes, pa.array(values.cat.categories.to_numpy(dtype=object), pa.string())
            )
        else:
            columns[name] = pa.array(values.to_numpy())
    return pa.table(columns)


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for name in table.column_names:
        values = table[name]
        if not pa.types.is_dictionary(values.type):
            columns[name] = values.to_numpy()
        elif values.num_chunks == 0:  # Arrow writes no chunk for no rows
            columns[name] = pd.Categorical.from_codes([], pd.Index([], dtype="str"))
        else:
            names = pd.Index(values.chunk(0).dictionary.to_pylist(), dtype="str")
            columns[name] = pd.Categorical.from_codes(values.chunk(0).indices.to_numpy(), names)
    return pd.DataFrame(columns, copy=False)  # the summary of a large day is large


def _to_ipc(table: pa.Table) -> bytes:
    """Return a table as a stream; what holds streams is not compressed once more."""
    sink = BytesIO()
    nested = all(pa.types.is_large_binary(field.type) for field in table.schema)
    options = pa.ipc.IpcWriteOptions(compression=None if nested else "zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()  # without a copy, which Arrow's own buffer would take


def _from_ipc(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
