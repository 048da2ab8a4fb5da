"""A log file of a known format, read block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow.compute as pc

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import OPTIONAL_COLUMNS
from network_anomalies.formats.base import DEFAULT_OPTIONS, LogFormat, LogOptions, OpenFile, ParsedLines, TableFormat
from network_anomalies.formats.blocks import CUT_SHORT, parse_log
from network_anomalies.formats.mapping import ColumnMapping
from network_anomalies.formats.stored import DigestedFile, StoredFacts, open_log, read_beginning
from network_anomalies.parameters import LogsParameters

TABLE_ROWS = 65_536
BLOCK_BYTES = 4_194_304


@dataclass(frozen=True)
class LogFile:
    """A log file, and the format that it is in."""

    open_file: OpenFile
    format: str
    reader: LogFormat | TableFormat


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        logical_date: the UTC day whose events are kept.
        columns: the optional columns that are kept.
        imputed: the columns whose missing values are set to 0.
        options: what the logs do not say about themselves.
        block_bytes: how much of a file is in memory at the same time.
    """

    logical_date: date
    columns: Sequence[str] = OPTIONAL_COLUMNS
    imputed: Sequence[str] = ("duration",)
    options: LogOptions = DEFAULT_OPTIONS
    block_bytes: int = BLOCK_BYTES


def describe_reading(logs: LogsParameters, logical_date: date) -> Reading:
    """Return how the parameters want files to be read."""
    return Reading(logical_date, logs.columns, list_imputed(logs), describe_options(logs), logs.block_bytes)


def describe_options(logs: LogsParameters) -> LogOptions:
    """Return what the parameters say of files that the files do not say themselves."""
    return LogOptions(logs.timezone, ColumnMapping(**logs.mapping.model_dump()) if logs.mapping else None)


def list_imputed(logs: LogsParameters) -> list[str]:
    """Return the columns whose missing values are set to 0."""
    return [column for column, policy in logs.missing if policy == "zero"]


class ParsedFile:
    """The lines of a log file, block by block.

    Attributes:
        facts: what the file is as it is stored, once it was read to its end.
        truncated: whether the file ends in the middle of a line, or is packed and cut off.
    """

    def __init__(self, file: LogFile, options: LogOptions, block_bytes: int = BLOCK_BYTES) -> None:
        """Read nothing yet."""
        self._file, self._options, self._block_bytes = file, options, block_bytes
        self.facts = StoredFacts(0, "")
        self.truncated = False

    def __iter__(self) -> Iterator[ParsedLines]:
        """Yield the lines.

        Raises:
            ContractError: the file is empty, damaged, or not of its format.
        """
        if isinstance(self._file.reader, TableFormat):
            yield from self._read_table(self._file.reader)
            return
        with open_log(self._file.open_file) as stream:
            for parsed in parse_log(stream, self._file.reader, self._options, self._block_bytes):
                self.truncated |= pc.any(pc.equal(parsed.unparsable["reason"], CUT_SHORT)).as_py() or False
                yield parsed
        self.facts = stream.stored.facts
        self.truncated |= stream.truncated

    def _read_table(self, reader: TableFormat) -> Iterator[ParsedLines]:
        with self._file.open_file() as opened:
            stored = DigestedFile(opened)
            while stored.read(self._block_bytes):
                pass
            self.facts = stored.facts
            opened.seek(0)
            yield from reader.parse_table(opened, self._options, TABLE_ROWS)


def identify_files(
    files: Mapping[str, OpenFile], formats: Mapping[str, LogFormat | TableFormat]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Read the beginning of each file.

    Returns:
        Per file, the names of the formats that it may be in; and what is wrong with files that are empty, damaged, or
        packed in a way that is not read. These are in no format.
    """
    fitting: dict[str, list[str]] = {}
    faults: dict[str, str] = {}
    for path, open_file in files.items():
        try:
            beginning = read_beginning(open_file)
        except ContractError as error:
            fitting[path], faults[path] = [], str(error)
            continue
        fitting[path] = [name for name, log_format in formats.items() if log_format.matches(beginning)]
        if not beginning:
            faults[path] = "empty"
    return fitting, faults
