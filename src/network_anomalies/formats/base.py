"""The type of a flow log format, and what its functions take and return."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS
from network_anomalies.formats.mapping import ColumnMapping

OpenFile = Callable[[], BinaryIO]

EVENT_COLUMNS = (*COLUMNS, *OPTIONAL_COLUMNS)
NO_EVENTS = pa.schema(
    {
        "timestamp": pa.timestamp("us", "UTC"),
        **dict.fromkeys(("src_ip", "dst_ip"), pa.string()),
        **dict.fromkeys(("bytes", "duration"), pa.float64()),
        "protocol": pa.string(),
    }
).empty_table()
UNPARSABLE = pa.schema([("line", pa.int64()), ("text", pa.string()), ("reason", pa.string()), ("header", pa.string())])


@dataclass(frozen=True)
class LogOptions:
    """Facts that a log does not contain.

    Attributes:
        timezone: IANA name of the time zone of local times; times with an offset do not need it.
        mapping: the columns of a plain CSV or Parquet file.
    """

    timezone: str = "UTC"
    mapping: ColumnMapping | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown time zone."""
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise ContractError(
                f"logs.timezone is {self.timezone!r}: give an IANA name, such as UTC or Europe/Berlin"
            ) from error


DEFAULT_OPTIONS = LogOptions()


@dataclass(frozen=True)
class Rows:
    """The rows of a block, before they are events.

    Attributes:
        block: the block that they are in.
        columns: the values of each column that was asked for, equally long.
        numbers: the line of the block, from 0, of each row.
        not_a_flow: the number of lines that are not rows, by reason.
        faults: the lines (from 0) that should be rows and cannot be read, by reason.
    """

    block: bytes
    columns: Mapping[str, pa.Array]
    numbers: np.ndarray
    not_a_flow: Counter[str] = field(default_factory=Counter)
    faults: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class ParsedLines:
    """The lines of a block: each is an event, not a flow, or unparsable.

    Attributes:
        events: those of ``EVENT_COLUMNS`` that the log gives; ``timestamp`` (microseconds, UTC) is never null, other
            values are null where they are missing; numbers float64, the others text.
        not_a_flow: the number of lines without a flow, by reason.
        unparsable: lines that cannot be read or have no time, with the columns of ``UNPARSABLE``: the number of the
            line (from 1), its text (bytes that are not UTF-8 are escaped), the reason, and the header that it was
            parsed with, as ``dump_header`` writes it.
        header: the header for the next block of the same file.
    """

    events: pa.Table
    not_a_flow: Counter[str]
    unparsable: pa.Table
    header: Any

    @property
    def lines(self) -> int:
        """The number of lines."""
        return int(self.events.num_rows + self.not_a_flow.total() + self.unparsable.num_rows)


@dataclass(frozen=True)
class LogFormat:
    """A flow log format whose files are lines of text, as pure functions of bytes.

    Attributes:
        columns: those of ``EVENT_COLUMNS`` that a log of this format can give.
        matches: whether a file with this first block looks like such a log.
        read_header: returns the header for parsing lines, from the first block of a file and the options; raises
            ``ContractError`` if the file is in another format.
        parse_lines: returns ``ParsedLines``, from whole lines and the header.
        is_whole: whether the last line of a file is whole, though it has no line end.
        header: the type of the header, for ``load_header``.
    """

    columns: tuple[str, ...]
    matches: Callable[[bytes], bool]
    read_header: Callable[[bytes, LogOptions], Any]
    parse_lines: Callable[[bytes, Any], ParsedLines]
    is_whole: Callable[[bytes, Any], bool]
    header: type[Any] = LogOptions


def dump_header(header: Any) -> str | None:
    """Return a header as JSON text, so that a line of the log can be parsed again without its file."""
    return None if header is None else TypeAdapter(type(header)).dump_json(header).decode()


def load_header(log_format: LogFormat, text: str) -> Any:
    """Return the header that ``dump_header`` wrote.

    Raises:
        ContractError: this version has another header for the format.
    """
    try:
        return TypeAdapter(log_format.header).validate_json(text)
    except ValidationError as error:
        raise ContractError("the header of its lines was written by another version: ingest the file again") from error


@dataclass(frozen=True)
class TableFormat:
    """A format whose files are tables, not lines of text.

    Attributes:
        columns: those of ``EVENT_COLUMNS`` that a file of this format can give.
        matches: whether a file with these first bytes looks like one.
        parse_table: yields ``ParsedLines``, from a file, the options and the largest number of rows at a time.
    """

    columns: tuple[str, ...]
    matches: Callable[[bytes], bool]
    parse_table: Callable[[BinaryIO, LogOptions, int], Iterator[ParsedLines]]
