"""Reads a log as blocks of lines. Memory is bounded, whatever the log holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import LogFormat, LogOptions, ParsedLines
from network_anomalies.formats.lines import find_lines
from network_anomalies.formats.parsed import refuse_lines, shift_lines

LINE_BYTES = 1_048_576
"""The longest line that is read. A flow takes a few hundred bytes; without a limit one line could fill the memory."""
TOO_LONG = f"longer than {LINE_BYTES:,} bytes: only its beginning is kept"
CUT_SHORT = "the file ends in the middle of it"
_KEPT_OF_LONG_LINES = 1024


class Readable(Protocol):
    """A file that a log is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""


@dataclass(frozen=True)
class LogBlock:
    """Lines of a file.

    Attributes:
        data: whole lines; or the beginning of a line that is too long.
        length: how many bytes of the file they are.
        is_too_long: whether this is one line over ``LINE_BYTES``.
    """

    data: bytes
    length: int
    is_too_long: bool = False


def iterate_blocks(file: Readable, block_bytes: int) -> Iterator[LogBlock]:
    """Yield a file as blocks of about ``block_bytes``.

    A block holds whole lines. A last line without a line end, and a line that is too long, is a block of its own.
    """
    rest, beginning, length = b"", b"", 0  # the last two are of a line that is too long, and not at its end yet
    while data := file.read(block_bytes):
        if length:
            skipped, newline, data = data.partition(b"\n")
            length += len(skipped) + len(newline)
            if not newline:
                continue
            yield LogBlock(beginning, length, is_too_long=True)
            length = 0
        data = rest + data if rest else data
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        yield from _split_long_lines(data[:cut])
        if len(rest) > LINE_BYTES:
            rest, beginning, length = b"", rest[:_KEPT_OF_LONG_LINES], len(rest)
    if length:
        yield LogBlock(beginning, length, is_too_long=True)
    if rest:
        yield LogBlock(rest, len(rest))


def parse_log(file: Readable, log_format: LogFormat, options: LogOptions, block_bytes: int) -> Iterator[ParsedLines]:
    """Yield a log block by block; lines are numbered from the start of the file.

    Raises:
        ContractError: the file is empty, or in another format.
    """
    header, lines, started = None, 0, False
    for block in iterate_blocks(file, block_bytes):
        if not started:
            header, started = log_format.read_header(block.data, options), True
        parsed = parse_block(block, log_format, header)
        yield shift_lines(parsed, lines)
        header, lines = parsed.header, lines + parsed.lines
    if not started:
        raise ContractError("empty: remove it, or give the log that was meant")


def parse_block(block: LogBlock, log_format: LogFormat, header: Any) -> ParsedLines:
    """Parse a block as ``iterate_blocks`` gives it."""
    if block.is_too_long:
        return refuse_lines(block.data, TOO_LONG, header)
    if not block.data.endswith(b"\n") and not log_format.is_whole(block.data, header):
        return refuse_lines(block.data, CUT_SHORT, header)
    return log_format.parse_lines(block.data, header)


def _split_long_lines(data: bytes) -> Iterator[LogBlock]:
    """Yield whole lines, those over the limit apart; most blocks hold none."""
    start = 0
    for first, end in _find_long_lines(data):
        if first > start:
            yield LogBlock(data[start:first], first - start)
        yield LogBlock(data[first : first + _KEPT_OF_LONG_LINES], end - first, is_too_long=True)
        start = end
    if start < len(data):
        yield LogBlock(data[start:], len(data) - start)


def _find_long_lines(data: bytes) -> list[tuple[int, int]]:
    window = LINE_BYTES // 2  # a line that is too long fills one of these
    if all(data.find(b"\n", at, at + window) >= 0 for at in range(0, len(data), window)):
        return []
    edges = find_lines(data)
    return [(int(edges[line]), int(edges[line + 1])) for line in np.flatnonzero(np.diff(edges) > LINE_BYTES)]
