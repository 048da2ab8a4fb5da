"""From log files to time slices: a first pass finds what lies where, a second reads slice by slice.

Slices do not overlap in time, whatever the files do, so an exact duplicate meets its twin inside one slice and equal
events give equal parts however the files were cut.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import LogFormat, OpenFile, iterate_blocks
from network_anomalies.records.batch import SourceFile

SECOND = 1_000_000
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Block:
    """Whole lines of a file: where they lie and which instants (microseconds since 1970) they span."""

    path: str
    header: Any
    offset: int
    length: int
    first: int
    last: int


@dataclass
class LogIndex:
    """What a day's log files hold.

    Attributes:
        blocks: the blocks that have flows of the day.
        seconds: flows in each of the day's 86,400 seconds.
        files: what each file is; ``imputed`` is how many flows of the day lack their duration.
    """

    blocks: list[Block] = field(default_factory=list)
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(DAY_SECONDS, dtype=np.int64))
    files: list[SourceFile] = field(default_factory=list)


def index_logs(files: Mapping[str, OpenFile], log_format: LogFormat, logical_date: date, block_bytes: int) -> LogIndex:
    """Read every file once and say what is where.

    Raises:
        ContractError: a file is empty, or not of this format; names the file.
    """
    index = LogIndex()
    for path, open_file in files.items():
        try:
            _index_file(index, path, open_file, log_format, logical_date, block_bytes)
        except ContractError as error:
            raise ContractError(f"{path} is {error}") from error
    return index


def plan_slices(seconds: np.ndarray, slice_events: int) -> list[tuple[int, int]]:
    """Return half-open ranges of seconds with about equally many events, at most one second over ``slice_events``."""
    running = np.append(0, np.cumsum(seconds))
    total = int(running[-1])
    count = -(-total // slice_events)
    targets = [round(total * place / count) for place in range(1, count)]
    cuts = sorted({0, DAY_SECONDS, *(int(np.searchsorted(running, target)) for target in targets)})
    return [(start, end) for start, end in pairwise(cuts) if running[end] > running[start]]


def read_slice(
    files: Mapping[str, OpenFile], blocks: list[Block], log_format: LogFormat, span: tuple[int, int]
) -> pa.Table:
    """Return the events from ``span[0]`` up to before ``span[1]`` (microseconds since 1970), text as dictionaries."""
    tables = []
    for block in blocks:
        if block.first < span[1] and block.last >= span[0]:
            with files[block.path]() as file:
                file.seek(block.offset)
                events = log_format.parse_lines(file.read(block.length), block.header).events
            micros = _to_micros(events)
            tables.append(events.filter(pa.array((micros >= span[0]) & (micros < span[1]))))
    events = pa.concat_tables(tables, promote_options="default")
    for place, column in enumerate(events.schema):
        if pa.types.is_string(column.type):
            events = events.set_column(place, column.name, events.column(place).dictionary_encode())
    return events


def start_of(logical_date: date) -> int:
    """Return the first instant of a UTC day, in microseconds since 1970."""
    midnight = datetime.combine(logical_date, datetime.min.time(), UTC)
    return int(midnight.timestamp()) * SECOND


def _index_file(
    index: LogIndex, path: str, open_file: OpenFile, log_format: LogFormat, logical_date: date, block_bytes: int
) -> None:
    counts: Counter[str] = Counter()
    digest, offset, header, truncated = hashlib.sha256(), 0, None, False
    with open_file() as opened:
        for data in iterate_blocks(opened, block_bytes):
            digest.update(data)
            header = log_format.read_header(data) if offset == 0 else header
            lines = _drop_partial_line(data, log_format, header)
            truncated = len(lines) < len(data)
            counts += Counter(lines=data.count(b"\n") + (not data.endswith(b"\n")), unparsable=int(truncated))
            if lines:
                parsed = log_format.parse_lines(lines, header)
                counts += Counter(not_a_flow=parsed.not_a_flow, unparsable=parsed.unparsable)
                place = Block(path, header, offset, len(lines), 0, 0)
                counts += _index_block(index, place, parsed.events, start_of(logical_date))
            offset += len(data)
    if offset == 0:
        raise ContractError("empty: remove it, or give the log that was meant")
    file = SourceFile(
        path=path,
        size_bytes=offset,
        sha256=digest.hexdigest(),
        lines=counts["lines"],
        not_a_flow=counts["not_a_flow"],
        unparsable=counts["unparsable"],
        early=counts["early"],
        late=counts["late"],
        imputed=counts["imputed"],
        truncated=truncated,
    )
    index.files.append(file)


def _index_block(index: LogIndex, place: Block, events: pa.Table, start: int) -> Counter[str]:
    """Add a block's events of the day to the index; count the others, and the durations to be imputed."""
    end = start + DAY_SECONDS * SECOND
    micros = _to_micros(events)
    today = (micros >= start) & (micros < end)
    inside = micros[today]
    if len(inside):
        index.seconds += np.bincount((inside - start) // SECOND, minlength=DAY_SECONDS)
        index.blocks.append(replace(place, first=int(inside.min()), last=int(inside.max())))
    imputed = int((today & events["duration"].is_null().to_numpy()).sum())
    return Counter(early=int((micros < start).sum()), late=int((micros >= end).sum()), imputed=imputed)


def _drop_partial_line(data: bytes, log_format: LogFormat, header: Any) -> bytes:
    """Drop a last line that ends in the middle; only a file's last block can have one."""
    lines, newline, last = data.rpartition(b"\n")
    return data if not last or log_format.is_whole(last, header) else lines + newline


def _to_micros(events: pa.Table) -> np.ndarray:
    micros: np.ndarray = events["timestamp"].cast(pa.int64()).to_numpy()
    return micros
