"""Keeps events of a first pass over logs, for a second pass: on the local disk, or in the store for Dask workers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from threading import Lock
from typing import Protocol
from weakref import finalize

import pyarrow as pa

OBJECT_BYTES = 33_554_432
"""About how large an object of a spool in the store is."""


@dataclass(frozen=True)
class SpooledBlock:
    """The place of a block in a spool; ``name`` is that of its object, if the spool has several."""

    offset: int
    length: int
    name: str = ""


class Spool(Protocol):
    """Where events of the first pass are kept."""

    def append(self, events: pa.Table) -> SpooledBlock:
        """Keep events, and return where."""
        ...

    def read(self, block: SpooledBlock) -> pa.Table:
        """Return events as they were kept."""
        ...

    def close(self) -> None:
        """Keep no more events."""
        ...


class SpoolFolder(Protocol):
    """A folder of the store for the objects of a spool."""

    def save(self, name: str, data: bytes) -> None:
        """Write an object once."""
        ...

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return some bytes of an object."""
        ...

    def remove(self, names: Collection[str]) -> None:
        """Delete objects."""
        ...


class EventSpool:
    """A temporary file of events. It is deleted when the spool is no longer used.

    Logs are needed twice: first to count the flows of each second, then to make parts that do not overlap in time. A
    packed log cannot be read from its middle, a log in a store would be fetched twice, and a log that grows would be
    different the second time. So each file is parsed once. The first pass puts the events of the day here, block by
    block; the second reads the blocks that it needs. The disk takes about 130 bytes for each flow. Keeping the first
    million flows in memory was tried; it took as much processor time.
    """

    def __init__(self, folder: str | None = None) -> None:
        """Open a file in ``folder``, by default where the system keeps temporary files."""
        self._file, self._lock = TemporaryFile(dir=folder), Lock()  # noqa: SIM115

    def append(self, events: pa.Table) -> SpooledBlock:
        """Write events, and return where."""
        data = _to_stream(events)
        with self._lock:
            offset = self._file.seek(0, 2)
            self._file.write(data)
        return SpooledBlock(offset, data.size)

    def read(self, block: SpooledBlock) -> pa.Table:
        """Return events as they were written."""
        with self._lock:
            self._file.seek(block.offset)
            data = self._file.read(block.length)
        return pa.ipc.open_stream(data).read_all()

    def close(self) -> None:
        """Do nothing: what was appended is written."""


@dataclass
class StoredSpool:
    """Objects of the store that hold events. It is of one file of logs, and another process can read it.

    Attributes:
        folder: where the objects are.
        prefix: beginning of their names.
        objects: how many there are.
    """

    folder: SpoolFolder
    prefix: str = ""
    objects: int = 0
    _buffer: bytearray = field(default_factory=bytearray, repr=False)

    def append(self, events: pa.Table) -> SpooledBlock:
        """Keep events for the next object, and return where they will be; full objects are written."""
        if len(self._buffer) >= OBJECT_BYTES:
            self.close()
        data, offset = _to_stream(events), len(self._buffer)
        self._buffer += memoryview(data)
        return SpooledBlock(offset, data.size, f"{self.prefix}_{self.objects:06d}")

    def close(self) -> None:
        """Write the last object."""
        if self._buffer:
            self.folder.save(f"{self.prefix}_{self.objects:06d}", bytes(self._buffer))
            self.objects += 1
            self._buffer.clear()

    def read(self, block: SpooledBlock) -> pa.Table:
        """Return events as they were written."""
        return pa.ipc.open_stream(self.folder.read(block.name, block.offset, block.length)).read_all()

    def remove_after(self, blocks: Sequence[SpooledBlock]) -> None:
        """Delete the objects of some blocks when this spool is no longer used, as a temporary file is deleted."""
        finalize(self, self.folder.remove, {block.name for block in blocks})


def _to_stream(events: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, events.schema) as writer:
        writer.write_table(events)
    return sink.getvalue()
