"""Makes time slices of log files. A first pass parses the files and keeps the day's events, a second makes slices.

Slices do not overlap in time, even if the files do. So exact duplicates are in the same slice, and equal events give
equal parts, however the events are spread over files.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS, TEXT_COLUMNS
from network_anomalies.formats.base import LogOptions
from network_anomalies.formats.log_file import LogFile, ParsedFile, Reading
from network_anomalies.formats.spool import EventSpool, Spool, SpooledBlock
from network_anomalies.records.batch import SourceFile

EPOCH = date(1970, 1, 1)
SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY_SECONDS = 86_400
DAY = DAY_SECONDS * SECOND
UNPARSABLE_PART_BYTES = 67_108_864
"""How much text of unparsable lines makes a part; a line may have up to 1 MiB."""


@dataclass(frozen=True)
class Fragment:
    """Events of one file and one hour: their place in the spool, and their first and last time (us since 1970)."""

    path: str
    place: SpooledBlock
    first: int
    last: int


@dataclass(frozen=True)
class UnparsableLines:
    """Lines of one file that cannot be read: their place in the spool, their number, and their size."""

    path: str
    place: SpooledBlock
    lines: int
    size_bytes: int


@dataclass
class LogIndex:
    """The content of a day's log files.

    Attributes:
        spool: the day's events and the unparsable lines.
        fragments: the places of the day's events.
        unparsable: the places of the unparsable lines.
        columns: those of the contract that the events have.
        seconds: flows in each of the day's 86,400 seconds.
        files: the record of each file.
        imputed: the number of missing values that are set to 0, by column.
        other_days: flows of other days, by day.
    """

    spool: Spool
    fragments: list[Fragment] = field(default_factory=list)
    unparsable: list[UnparsableLines] = field(default_factory=list)
    columns: tuple[str, ...] = COLUMNS
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(DAY_SECONDS, dtype=np.int64))
    files: list[SourceFile] = field(default_factory=list)
    imputed: Counter[str] = field(default_factory=Counter)
    other_days: Counter[date] = field(default_factory=Counter)


def index_logs(files: Mapping[str, LogFile], reading: Reading) -> LogIndex:
    """Read every file once, keep the events of the day and the unparsable lines, and count the others.

    Raises:
        ContractError: a file is empty, or not of its format; names the file.
    """
    spool = EventSpool()
    return merge_indexes((index_log(path, file, reading, spool) for path, file in files.items()), spool)


def index_log(path: str, file: LogFile, reading: Reading, spool: Spool) -> LogIndex:
    """Read a file once, as ``index_logs`` does.

    Args:
        path: of the file.
        file: the file.
        reading: how it is read.
        spool: where its events and unparsable lines are kept.
    """
    index = LogIndex(spool)
    try:
        _index_file(index, path, file, reading)
    except ContractError as error:
        raise ContractError(f"{path} is {error}") from error
    spool.close()
    return index


def merge_indexes(indexes: Iterable[LogIndex], spool: Spool) -> LogIndex:
    """Return the indexes of several files as one whose content ``spool`` can read."""
    merged = LogIndex(spool)
    for index in indexes:
        merged.fragments += index.fragments
        merged.unparsable += index.unparsable
        merged.columns = _unite_columns(merged.columns, index.columns)
        merged.seconds += index.seconds
        merged.files += index.files
        merged.imputed.update(index.imputed)
        merged.other_days.update(index.other_days)
    return merged


def take_span(index: LogIndex, span: tuple[int, int]) -> LogIndex:
    """Return what ``read_slice`` needs of an index for a span, small enough to be sent to a worker."""
    return LogIndex(index.spool, find_fragments(index, span), columns=index.columns, seconds=np.empty(0))


def count_flows(files: Mapping[str, LogFile], options: LogOptions, block_bytes: int) -> Counter[date]:
    """Count the flows of files by UTC day.

    Raises:
        ContractError: a file is empty, or not of its format; names the file.
    """
    days: Counter[date] = Counter()
    for path, file in files.items():
        try:
            for parsed in ParsedFile(file, options, block_bytes):
                days.update(count_days(to_micros(parsed.events)))
        except ContractError as error:
            raise ContractError(f"{path} is {error}") from error
    return days


def plan_slices(seconds: np.ndarray, slice_events: int) -> list[tuple[int, int]]:
    """Return half-open ranges of seconds with about equally many events, at most one second over ``slice_events``."""
    running = np.append(0, np.cumsum(seconds))
    total = int(running[-1])
    count = -(-total // slice_events)
    targets = [round(total * place / count) for place in range(1, count)]
    cuts = sorted({0, DAY_SECONDS, *(int(np.searchsorted(running, target)) for target in targets)})
    return [(start, end) for start, end in pairwise(cuts) if running[end] > running[start]]


def plan_unparsable(index: LogIndex, part_lines: int) -> list[list[UnparsableLines]]:
    """Return the unparsable lines in groups of at most ``part_lines`` lines, or ``UNPARSABLE_PART_BYTES``."""
    groups: list[list[UnparsableLines]] = []
    lines = size = 0
    for block in index.unparsable:
        lines, size = lines + block.lines, size + block.size_bytes
        if not groups or lines > part_lines or size > UNPARSABLE_PART_BYTES:
            groups.append([])
            lines, size = block.lines, block.size_bytes
        groups[-1].append(block)
    return groups


def find_fragments(index: LogIndex, span: tuple[int, int]) -> list[Fragment]:
    """Return the fragments with events from ``span[0]`` up to before ``span[1]`` (microseconds since 1970)."""
    return [part for part in index.fragments if part.first < span[1] and part.last >= span[0]]


def read_slice(index: LogIndex, imputed: Sequence[str], span: tuple[int, int]) -> pd.DataFrame:
    """Return the events of a span, in the index's columns.

    Args:
        index: the logs.
        imputed: the columns whose missing values become 0.
        span: half-open, in microseconds since 1970.
    """
    tables = []
    for fragment in find_fragments(index, span):
        events = index.spool.read(fragment.place)
        if fragment.first < span[0] or fragment.last >= span[1]:
            micros = to_micros(events)
            events = events.filter(pa.array((micros >= span[0]) & (micros < span[1])))
        tables.append(events)
    return _to_frame(pa.concat_tables(tables, promote_options="default"), index.columns, imputed)


def read_unparsable(spool: Spool, group: Sequence[UnparsableLines]) -> pd.DataFrame:
    """Return unparsable lines: ``file``, ``line`` (from 1), ``text``, ``reason``, ``format``, ``header``."""
    lines: pd.DataFrame = pa.concat_tables([spool.read(block.place) for block in group]).to_pandas()
    return lines


def start_of(logical_date: date) -> int:
    """Return the first instant of a UTC day, in microseconds since 1970."""
    midnight = datetime.combine(logical_date, datetime.min.time(), UTC)
    return int(midnight.timestamp()) * SECOND


def count_days(micros: np.ndarray) -> Counter[date]:
    """Count instants by UTC day."""
    days, counts = np.unique(micros // DAY, return_counts=True)
    return Counter(
        {EPOCH + timedelta(days=int(day)): int(count) for day, count in zip(days, counts, strict=True)},
    )


def to_micros(events: pa.Table) -> np.ndarray:
    """Return the times of events, in microseconds since 1970."""
    micros: np.ndarray = events["timestamp"].cast(pa.int64()).to_numpy()
    return micros


def _index_file(index: LogIndex, path: str, file: LogFile, reading: Reading) -> None:
    counts: Counter[str] = Counter()
    parsed_file = ParsedFile(file, reading.options, reading.block_bytes)
    for parsed in parsed_file:
        counts.update(lines=parsed.lines, not_a_flow=parsed.not_a_flow.total(), unparsable=parsed.unparsable.num_rows)
        if parsed.unparsable.num_rows:
            _keep_unparsable(index, path, file.format, parsed.unparsable)
        if parsed.events.num_rows:
            counts.update(_keep_events(index, path, parsed.events, reading))
    described = SourceFile(
        path=path,
        size_bytes=parsed_file.facts.size_bytes,
        sha256=parsed_file.facts.sha256,
        lines=counts["lines"],
        not_a_flow=counts["not_a_flow"],
        unparsable=counts["unparsable"],
        early=counts["early"],
        late=counts["late"],
        imputed=counts["imputed"],
        truncated=parsed_file.truncated,
    )
    index.files.append(described)


def _keep_unparsable(index: LogIndex, path: str, log_format: str, lines: pa.Table) -> None:
    named = {"file": path, "format": log_format}
    for name, value in named.items():
        lines = lines.append_column(name, pa.repeat(value, lines.num_rows))
    index.unparsable.append(UnparsableLines(path, index.spool.append(lines), lines.num_rows, lines.nbytes))


def _keep_events(index: LogIndex, path: str, events: pa.Table, reading: Reading) -> Counter[str]:
    """Keep a block's events of the day by the hour; count the others, and the values to be imputed."""
    start = start_of(reading.logical_date)
    micros = to_micros(events)
    early, late = micros < start, micros >= start + DAY
    counts = Counter(early=int(np.count_nonzero(early)), late=int(np.count_nonzero(late)))
    if counts.total():
        others = early | late
        index.other_days.update(count_days(micros[others]))
        events, micros = events.filter(pa.array(~others)), micros[~others]
    if not len(micros):
        return counts
    events = events.select([name for name in events.column_names if name in (*COLUMNS, *reading.columns)])
    index.columns = _unite_columns(index.columns, events.column_names)
    index.seconds += np.bincount((micros - start) // SECOND, minlength=DAY_SECONDS)
    for name in reading.imputed:
        index.imputed[name] += events[name].null_count
        counts["imputed"] += events[name].null_count
    for fragment, first, last in _cut_at_hours(events, micros):
        index.fragments.append(Fragment(path, index.spool.append(fragment), first, last))
    return counts


def _cut_at_hours(events: pa.Table, micros: np.ndarray) -> Iterator[tuple[pa.Table, int, int]]:
    """Yield events hour by hour, so that a slice need not read all blocks that hold one of its flows."""
    if micros.min() // HOUR == micros.max() // HOUR:
        yield events, int(micros.min()), int(micros.max())
        return
    hours = micros // HOUR
    for hour in np.unique(hours):
        chosen = hours == hour
        yield events.filter(pa.array(chosen)), int(micros[chosen].min()), int(micros[chosen].max())


def _unite_columns(known: Sequence[str], found: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in (*COLUMNS, *OPTIONAL_COLUMNS) if name in known or name in found)


def _to_frame(events: pa.Table, columns: Sequence[str], imputed: Sequence[str]) -> pd.DataFrame:
    found = {}
    for name in columns:
        empty = pa.string() if name == "flow_id" else pa.float64()
        values = events[name] if name in events.column_names else pa.nulls(events.num_rows, empty)
        values = pc.fill_null(values, 0.0) if name in imputed else values
        found[name] = _to_categorical(values) if name in TEXT_COLUMNS else values.to_pandas()
    return pd.DataFrame(found, copy=False)


def _to_categorical(values: pa.ChunkedArray) -> pd.Categorical:
    """Return text as categories; Arrow's own way makes a Python object of every address."""
    coded = values.dictionary_encode().combine_chunks()
    codes = coded.indices.fill_null(-1).to_numpy()
    categories = pd.Index(pd.array(coded.dictionary, dtype="str"))
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories), validate=False)
