"""What a flow log format gives, and how a log is read within bounded memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

OpenFile = Callable[[], BinaryIO]


@dataclass(frozen=True)
class ParsedLines:
    """Lines of a log, told apart.

    Attributes:
        events: the contract's columns as they stand in the log; ``timestamp`` is never null, other values may be.
        not_a_flow: lines that hold no flow (headers, comments, blank lines).
        unparsable: lines that should hold one and cannot be read, or not be placed in time.
    """

    events: pa.Table
    not_a_flow: int
    unparsable: int


@dataclass(frozen=True)
class LogFormat:
    """A flow log format as three pure functions of bytes.

    Attributes:
        read_header: the first block of a file to the file's header; raises ``ContractError`` if it is no such log.
        parse_lines: whole lines and the header to ``ParsedLines``.
        is_whole: whether a last line without a line end, and the header, still gives a whole event.
    """

    read_header: Callable[[bytes], Any]
    parse_lines: Callable[[bytes, Any], ParsedLines]
    is_whole: Callable[[bytes, Any], bool]


def iterate_blocks(file: BinaryIO, block_bytes: int) -> Iterator[bytes]:
    """Yield a file as blocks of whole lines, about ``block_bytes`` each; only the last may lack its line end."""
    rest = b""
    while data := file.read(block_bytes):
        lines, newline, rest_of_data = data.rpartition(b"\n")
        if newline:
            yield rest + lines + newline
            rest = rest_of_data
        else:
            rest += data
    if rest:
        yield rest
