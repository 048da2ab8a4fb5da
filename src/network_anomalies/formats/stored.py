"""Log files as they are stored: plain, gzip or zstd, read as one stream within bounded memory."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from network_anomalies.errors import ContractError
from network_anomalies.formats.base import OpenFile
from network_anomalies.formats.blocks import Readable

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}
_DAMAGE = re.compile("Truncated compressed stream|zlib|ZSTD")
_MAGIC_BYTES = 6
_CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class StoredFacts:
    """A file as it is stored: its size, and the sha256 of its bytes."""

    size_bytes: int
    sha256: str


class DigestedFile:
    """Reads a file as it is stored, and knows the size and the sha256 of what was read."""

    def __init__(self, file: BinaryIO) -> None:
        """Start at the file's beginning."""
        self._file, self._digest, self._size, self._ahead = file, hashlib.sha256(), 0, b""
        self.closed = False  # Arrow reads it

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data + self._take(size - len(data)) if len(data) < size else data

    def close(self) -> None:
        """Do nothing. Arrow calls this when it is done with a stream, but the caller closes the file."""

    def peek(self, size: int) -> bytes:
        """Return the next bytes, and leave them to be read."""
        while len(self._ahead) < size and (data := self._take(size)):
            self._ahead += data
        return self._ahead[:size]

    @property
    def facts(self) -> StoredFacts:
        """Size and sha256 of the file, after it was read to its end."""
        return StoredFacts(self._size, self._digest.hexdigest())

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        self._size += len(data)
        return data


class LogStream:
    """Reads the lines of a stored log, decompressed.

    Attributes:
        stored: the file as it is stored.
        truncated: whether the compressed file ends too early; what can be decompressed was given.
    """

    def __init__(self, open_file: OpenFile, stored: DigestedFile) -> None:
        """Find out how the file is compressed.

        Raises:
            ContractError: in a way that is not read.
        """
        magic = stored.peek(_MAGIC_BYTES)
        if other := next((name for start, name in _OTHERS.items() if magic.startswith(start)), None):
            raise ContractError(f"a {other} file: gzip and zstd are read, so decompress it, or compress it with those")
        self._codec = next((name for start, name in _CODECS.items() if magic.startswith(start)), None)
        self._open_file, self._given = open_file, 0
        self._source: Readable = stored if self._codec is None else self._decompress(stored)
        self.stored, self.truncated = stored, False

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes of the log; none at its end.

        Raises:
            ContractError: the compressed file is damaged.
        """
        if self.truncated:
            return b""
        try:
            data = self._source.read(size)
        except OSError as error:
            if not _DAMAGE.search(str(error)):  # the disk or the store failed
                raise
            if "Truncated" not in str(error):
                raise ContractError(f"a damaged {self._codec} file ({error}): copy it again") from error
            data, self.truncated = self._read_last(size), True
            if not self._given + len(data):
                raise ContractError(f"a {self._codec} file that is cut off at its start: copy it again") from error
        self._given += len(data)
        return data

    def _decompress(self, file: Any) -> pa.CompressedInputStream:
        return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), self._codec)

    def _read_last(self, size: int) -> bytes:
        """Return what can be decompressed of the rest: Arrow's failed read has lost it, so read it byte by byte."""
        rest = bytearray()
        with self._open_file() as file:
            source = self._decompress(file)
            for skipped in range(0, self._given, _CHUNK_BYTES):
                source.read(min(_CHUNK_BYTES, self._given - skipped))
            try:
                while len(rest) < size:
                    rest += source.read(1)
            except OSError:
                pass
        return bytes(rest)


def read_beginning(open_file: OpenFile, size: int = _CHUNK_BYTES) -> bytes:
    """Return the first bytes of a log, decompressed; they tell its format."""
    data = bytearray()
    with open_file() as file:
        stream = LogStream(open_file, DigestedFile(file))
        while len(data) < size and (more := stream.read(size - len(data))):
            data += more
    return bytes(data)


@contextmanager
def open_log(open_file: OpenFile) -> Iterator[LogStream]:
    """Open a log, compressed or not.

    A gzip file may have several members, a zstd file several frames. A file that is cut off gives what is before the
    cut.
    """
    with open_file() as file:
        stored = DigestedFile(file)
        yield LogStream(open_file, stored)
        while stored.read(_CHUNK_BYTES):  # size and digest are those of the whole file
            pass
