"""From log files to time slices: a first pass finds what lies where, a second reads slice by slice.

Slices do not overlap in time, whatever the files do, so an exact duplicate meets its twin inside one slice and equal
events give equal parts however the files were cut.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import TEXT_COLUMNS
from network_anomalies.formats.base import DEFAULT_OPTIONS, LogFormat, OpenFile
from network_anomalies.formats.blocks import CUT_SHORT, iterate_blocks, parse_block
from network_anomalies.formats.lines import count_lines
from network_anomalies.formats.stored import DigestedFile

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
        files: per file a row of the registry's ``source_files``, without the run id.
    """

    blocks: list[Block] = field(default_factory=list)
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(DAY_SECONDS, dtype=np.int64))
    files: list[dict[str, Any]] = field(default_factory=list)


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
        if column.name in TEXT_COLUMNS:
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
    offset, header = 0, None
    with open_file() as opened:
        file = DigestedFile(opened)
        for block in iterate_blocks(file, block_bytes):
            header = log_format.read_header(block.data, DEFAULT_OPTIONS) if offset == 0 else header
            parsed = parse_block(block, log_format, header)
            counts += Counter(
                lines=1 if block.is_too_long else count_lines(block.data),
                not_a_flow=parsed.not_a_flow.total(),
                unparsable=parsed.unparsable.num_rows,
                truncated=pc.any(pc.equal(parsed.unparsable["reason"], CUT_SHORT)).as_py() or 0,
            )
            if parsed.events.num_rows:
                place = Block(path, header, offset, block.length, 0, 0)
                counts += _index_block(index, place, parsed.events, start_of(logical_date))
            offset, header = offset + block.length, parsed.header
    if offset == 0:
        raise ContractError("empty: remove it, or give the log that was meant")
    row = {name: counts[name] for name in ("lines", "not_a_flow", "unparsable", "early", "late", "imputed")}
    index.files.append({"path": path, **file.facts, **row, "truncated": bool(counts["truncated"])})


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


def _to_micros(events: pa.Table) -> np.ndarray:
    micros: np.ndarray = events["timestamp"].cast(pa.int64()).to_numpy()
    return micros
