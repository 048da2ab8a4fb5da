"""A batch: what became of its lines, part by part and in all, and the objects and files that it is made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime

import pandas as pd
import pyarrow as pa

from network_anomalies.records.source_history import Kind


@dataclass(frozen=True)
class LineCounts:
    """What became of lines, in numbers of lines. A synthetic event is a line too.

    Attributes:
        lines_in: that came in. Each has one of the seven fates that follow.
        not_a_flow: headers, comments and blank lines of logs.
        unparsable: lines of logs that cannot be read; they are in quarantine.
        early: flows of an earlier day.
        late: flows of a later day.
        rejected: flows that break the contract; they are in quarantine.
        duplicates_dropped: exact duplicates that were left out.
        accepted: events in RAW.
        duplicates: exact duplicates, left out or not.
        imputed: missing values that were set to 0.
    """

    lines_in: int = 0
    not_a_flow: int = 0
    unparsable: int = 0
    early: int = 0
    late: int = 0
    rejected: int = 0
    duplicates_dropped: int = 0
    accepted: int = 0
    duplicates: int = 0
    imputed: int = 0


NOTED = ("duplicates", "imputed")
"""Counts of lines that have one of the fates as well."""
UNPARSABLE_RULE = "unparsable"
"""What quarantine gives as the rule of a line that cannot be read."""
FATES = tuple(item.name for item in fields(LineCounts) if item.name not in ("lines_in", *NOTED))
"""The fates of a batch's lines. They add up to ``lines_in``, and the registry's table holds them to it."""


def add_counts(counts: Iterable[LineCounts]) -> LineCounts:
    """Return the sums, count by count.

    >>> add_counts([LineCounts(lines_in=3, accepted=3), LineCounts(lines_in=1, early=1)]).lines_in
    4
    """
    items = list(counts)
    return LineCounts(**{name.name: sum(getattr(item, name.name) for item in items) for name in fields(LineCounts)})


def describe_days(days: Mapping[date, int] | Mapping[str, int], most: int = 5) -> str:
    """Return the days with the most flows, in order of time; and how many days more there are.

    >>> describe_days({"2024-04-18": 4, "2024-04-20": 39059})
    '4 flows of 2024-04-18, 39059 flows of 2024-04-20'
    """
    named = sorted(sorted(days.items(), key=lambda item: -item[1])[:most], key=lambda item: str(item[0]))
    text = ", ".join(f"{count} flows of {day}" for day, count in named)
    return f"{text} and those of {len(days) - most} more days" if len(days) > most else text


@dataclass(frozen=True)
class EventPart:
    """A part of a day, which is read when its turn comes.

    Attributes:
        read: gives its events, or with ``unparsable`` its lines: ``file``, ``line``, ``text``, ``reason``, ``format``,
            ``header``.
        files: the log files that it came from, none for synthetic events.
        unparsable: whether it holds lines that cannot be read.
    """

    read: Callable[[], pd.DataFrame]
    files: Sequence[str] = ()
    unparsable: bool = False


@dataclass(frozen=True)
class JudgedPart:
    """A part that was held to the contract.

    Attributes:
        accepted: its accepted events, a canonical table.
        rejects: its rejected rows as text, as they came, or lines that cannot be read, as they stand; with ``row``,
            ``rule`` and ``reason``.
        files: the log files that its events came from.
        counts: what became of its rows; ``lines_in`` is their number.
    """

    accepted: pa.Table
    rejects: pd.DataFrame
    counts: LineCounts
    files: Sequence[str] = ()


@dataclass(frozen=True)
class PartObject:
    """A part's object in RAW: the columns of ``ingestion_events`` that a part knows.

    Attributes:
        part: its number, from 1.
        file_name: of the object.
        record_count: events in it.
        rejected_count: rows of the part that are in quarantine.
        size_bytes: of the object.
        object_sha256: of the object's bytes.
        content_sha256: of the canonical rows.
        min_timestamp: of the first event, in UTC.
        max_timestamp: of the last event, in UTC.
    """

    part: int
    file_name: str
    record_count: int
    rejected_count: int
    size_bytes: int
    object_sha256: str
    content_sha256: str
    min_timestamp: datetime
    max_timestamp: datetime


@dataclass(frozen=True)
class RejectsObject:
    """A part's object in quarantine: the columns of ``quarantine_objects`` that a part knows.

    Attributes:
        part: its number, from 1.
        file_name: of the object.
        record_count: rows in it.
        size_bytes: of the object.
        object_sha256: of the object's bytes.
    """

    part: int
    file_name: str
    record_count: int
    size_bytes: int
    object_sha256: str


@dataclass(frozen=True)
class PartReport:
    """What became of a part.

    Attributes:
        part: its number, from 1.
        counts: what became of its rows.
        rules: how many rows were rejected, by rule.
        object: its object in RAW, None if no row was accepted.
        rejects: its object in quarantine, None if no row was rejected.
        head: the first accepted events, of part 1 only.
    """

    part: int
    counts: LineCounts
    rules: Mapping[str, int]
    object: PartObject | None
    rejects: RejectsObject | None
    head: pd.DataFrame | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SourceFile:
    """A log file: the columns of ``source_files`` but the run.

    Attributes:
        path: where it lies.
        size_bytes: its size.
        sha256: of its bytes.
        lines: lines in it.
        not_a_flow: of them headers, comments and blank lines.
        unparsable: of them lines that cannot be read.
        early: of them flows of an earlier day.
        late: of them flows of a later day.
        imputed: missing values of flows of the day that were set to 0.
        truncated: whether it ends in the middle of a line, or is packed and cut off.
    """

    path: str
    size_bytes: int
    sha256: str
    lines: int
    not_a_flow: int
    unparsable: int
    early: int
    late: int
    imputed: int
    truncated: bool

    @property
    def share(self) -> float:
        """The share of its flows that are of the day; 1 if it holds no flow."""
        flows = self.lines - self.not_a_flow - self.unparsable
        return 1 - (self.early + self.late) / flows if flows else 1.0

    @property
    def counts(self) -> LineCounts:
        """All its lines, and the fates of those that are in no part: unparsable lines are in parts of their own."""
        return LineCounts(
            lines_in=self.lines,
            not_a_flow=self.not_a_flow,
            early=self.early,
            late=self.late,
            imputed=self.imputed,
        )


@dataclass(frozen=True)
class SourceReport:
    """What a batch is made of.

    Attributes:
        kind: of the source.
        format: of the logs, None for synthetic events.
        params_sha256: digest of the parameters that decide the batch's content.
        files: the log files, none for synthetic events.
        left_out: the fates of lines that are in no part, with all lines that came in as ``lines_in``. None if every
            line is in a part.
        imputed: missing values that were set to 0, by column.
        other_days: flows of other days in the files, by day.
    """

    kind: Kind
    format: str | None
    params_sha256: str
    files: Sequence[SourceFile] = ()
    left_out: LineCounts | None = None
    imputed: Mapping[str, int] = field(default_factory=dict)
    other_days: Mapping[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class QualityReport:
    """What became of every line of a batch.

    Attributes:
        run_id: of the run that says so.
        source: whose events.
        logical_date: the UTC day.
        contract_version: of the contract that the events were held to.
        counts: what became of the lines.
        rules: how many rows were rejected by each rule, the most frequent first.
        rejected_share: the share, 0 to 1, of the day's flows that are rejected or unparsable. An unparsable line has no
            date; it counts by the share of the flows of its file that are of the day.
        truncated_files: paths of the log files that end in the middle of a line.
        imputed: missing values that were set to 0, by column.
        other_days: flows of other days in the log files, by day as YYYY-MM-DD.
    """

    run_id: str
    source: str
    logical_date: date
    contract_version: str
    counts: LineCounts
    rules: Mapping[str, int]
    rejected_share: float
    truncated_files: Sequence[str]
    imputed: Mapping[str, int] = field(default_factory=dict)
    other_days: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """What a commit puts into the registry.

    Attributes:
        run_id: of the run that commits it.
        source: whose events.
        logical_date: the UTC day.
        contract_version: of the contract that the events meet.
        counts: what became of the lines.
        origin: what it is made of.
        objects: in RAW, by part.
        rejects: in quarantine, by part.
    """

    run_id: str
    source: str
    logical_date: date
    contract_version: str
    counts: LineCounts
    origin: SourceReport
    objects: Sequence[PartObject]
    rejects: Sequence[RejectsObject] = ()
