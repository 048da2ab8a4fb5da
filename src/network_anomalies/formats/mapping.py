"""The columns of a plain CSV or Parquet file that make an event."""

from collections.abc import Mapping
from dataclasses import dataclass

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS

EPOCH_UNITS = ("s", "ms", "us", "ns")
MAPPABLE = (*COLUMNS, *OPTIONAL_COLUMNS)


@dataclass(frozen=True)
class ColumnMapping:
    """The column of the file for each column of an event.

    Attributes:
        columns: event column to the file's column. The six of an event are needed; ``src_bytes`` and ``dst_bytes``
            together may stand for ``bytes``, which is then their sum.
        time: how times are written: ``auto`` (ISO 8601 or seconds since 1970), the unit of a number since 1970 (``s``,
            ``ms``, ``us``, ``ns``), or a pattern such as ``%d/%m/%Y %H:%M:%S``.
        duration: the unit of durations: ``s``, ``ms``, ``us`` or ``ns``.
        delimiter: what separates the values of a CSV file.
    """

    columns: Mapping[str, str]
    time: str = "auto"
    duration: str = "s"
    delimiter: str = ","

    def __post_init__(self) -> None:
        """Refuse a mapping that gives no whole event."""
        if unknown := [name for name in self.columns if name not in MAPPABLE]:
            raise ContractError(f"logs.mapping has column {', '.join(unknown)}: an event has {', '.join(MAPPABLE)}")
        given = set(self.columns) | ({"bytes"} if {"src_bytes", "dst_bytes"} <= set(self.columns) else set())
        if missing := [name for name in COLUMNS if name not in given]:
            raise ContractError(f"logs.mapping lacks {', '.join(missing)}: say which column of the file gives it")
        if self.time not in ("auto", *EPOCH_UNITS) and "%" not in self.time:
            raise ContractError(f"logs.mapping has time {self.time!r}: give auto, s, ms, us, ns or a pattern with %")
        if self.duration not in EPOCH_UNITS:
            raise ContractError(f"logs.mapping has duration {self.duration!r}: give s, ms, us or ns")
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n':
            raise ContractError(f"logs.mapping has delimiter {self.delimiter!r}: give one character")
