"""Keeps events of a first pass over logs on disk, for a second pass."""

from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Lock

import pyarrow as pa


@dataclass(frozen=True)
class SpooledBlock:
    """The place of a block in a spool."""

    offset: int
    length: int


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
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, events.schema) as writer:
            writer.write_table(events)
        data = sink.getvalue()
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
