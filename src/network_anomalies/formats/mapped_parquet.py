"""Plain Parquet whose columns a mapping names (https://parquet.apache.org/docs/file-format), read batch by batch."""

import json
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import EVENT_COLUMNS, UNPARSABLE, LogOptions, ParsedLines, Rows, TableFormat
from network_anomalies.formats.mapped_csv import map_columns, require_columns, require_mapping
from network_anomalies.formats.parsed import NO_TIME, shift_lines, to_parsed_lines

MAGIC = b"PAR1"


def matches(block: bytes) -> bool:
    """Tell whether a file begins as Parquet does."""
    return block.startswith(MAGIC)


def parse_table(file: BinaryIO, options: LogOptions, batch_rows: int) -> Iterator[ParsedLines]:
    """Yield a file's rows, at most ``batch_rows`` at once; see ``map_columns`` for the events.

    Rows are numbered like lines. The text of a row without a time is JSON of the columns of the mapping.

    Raises:
        ContractError: there is no mapping, this is no Parquet file, it is damaged, or it lacks a column of the mapping.
    """
    mapping = require_mapping(options)
    try:
        table = pq.ParquetFile(file)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise ContractError(f"not a Parquet file, or one that was cut off ({_first_line(error)})") from error
    names = tuple(table.schema_arrow.names)
    require_columns(mapping, names, "a Parquet file")
    wanted, rows = sorted(set(mapping.columns.values())), 0
    try:
        for batch in table.iter_batches(batch_size=batch_rows, columns=wanted, use_threads=False):
            yield shift_lines(_parse_batch(batch, options), rows)
            rows += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise ContractError(f"a Parquet file that cannot be read ({_first_line(error)}): write it again") from error


FORMAT = TableFormat(EVENT_COLUMNS, matches, parse_table)


def _parse_batch(batch: pa.RecordBatch, options: LogOptions) -> ParsedLines:
    columns = {name: _to_plain(batch[name]) for name in batch.schema.names}
    events = map_columns(columns, options)
    lines = b"\n" * batch.num_rows
    parsed = to_parsed_lines(Rows(lines, columns, np.arange(batch.num_rows)), events, None)
    timeless = pc.indices_nonzero(pc.is_null(events["timestamp"]))
    texts = [json.dumps(row, default=str) for row in batch.take(timeless).to_pylist()]
    reasons = pa.array([NO_TIME] * len(texts), pa.string())
    headers = pa.nulls(len(texts), pa.string())  # a row of a table is not parsed again
    unparsable = pa.table(
        [parsed.unparsable["line"], pa.array(texts, pa.string()), reasons, headers], schema=UNPARSABLE
    )
    return ParsedLines(parsed.events, parsed.not_a_flow, unparsable, None)


def _to_plain(column: pa.Array) -> pa.Array:
    """Return text of any coding as text; numbers and times as they are."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_timestamp(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.cast(kind)
    text = column.cast(pa.string())
    text.validate(full=True)  # Parquet does not check that its text is UTF-8
    return text


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
