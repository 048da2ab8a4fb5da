"""Counts, selects and quotes the lines of a block of bytes."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NEWLINE = ord("\n")


def count_lines(block: bytes) -> int:
    """Return how many lines a block has; the last may lack its end."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == _NEWLINE)) + (not block.endswith(b"\n"))


def find_lines(block: bytes) -> np.ndarray:
    """Return the offsets at which the lines of a block begin, and the end of the block."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE) + 1
    closed = len(ends) > 0 and ends[-1] == len(block)
    return np.concatenate([[0], ends, [] if closed else [len(block)]]).astype(np.int32)


def to_lines(block: bytes) -> pa.Array:
    """Return the lines of a block of UTF-8, each with its line end."""
    edges = find_lines(block)
    return pa.StringArray.from_buffers(len(edges) - 1, pa.py_buffer(edges), pa.py_buffer(block))


def keep_lines(block: bytes, kept: np.ndarray) -> bytes:
    """Return the lines of a block for which ``kept`` is true."""
    if kept.all():
        return block
    data: bytes = np.frombuffer(block, np.uint8)[np.repeat(kept, np.diff(find_lines(block)))].tobytes()
    return data


def quote_lines(block: bytes, numbers: np.ndarray) -> pa.Array:
    """Return lines of a block (numbers from 0) without their line ends; bytes that are not UTF-8 are escaped."""
    if not len(numbers):
        return pa.array([], pa.string())
    lines = to_lines(block if block.isascii() else block.decode("utf-8", "backslashreplace").encode())
    return pc.replace_substring_regex(lines.take(pa.array(numbers)), r"\n$", "")


def to_utf8(block: bytes) -> bytes:
    """Return UTF-8 with the same lines, each ended by a newline; Arrow would also end one at a carriage return."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    return block if block.isascii() else block.decode("utf-8", "replace").encode()


def starts_with(block: bytes, prefix: str) -> np.ndarray:
    """Tell which lines of a block of UTF-8 begin with ``prefix``."""
    return np.asarray(pc.starts_with(to_lines(block), prefix), dtype=bool)


def are_blank(block: bytes) -> np.ndarray:
    """Tell which lines of a block of UTF-8 hold nothing but white space."""
    return np.asarray(pc.equal(pc.utf8_trim_whitespace(to_lines(block)), ""), dtype=bool)
