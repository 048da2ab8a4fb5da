"""Events of a first pass over logs, kept on disk for a second."""

from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Lock

import pyarrow as pa


@dataclass(frozen=True)
class SpooledBlock:
    """Where a block's events lie in a spool."""

    offset: int
    length: int


class EventSpool:
    """A temporary file of events, which is gone when nobody holds it any more.

    Logs are read twice: to know how many flows lie in which second, and to make parts that do not overlap in time. A
    compressed log cannot be read from its middle, a log in a store would be fetched twice, and a log that grows
    would be another one the second time. So the first pass leaves the events of the day here, block by block, and the
    second reads those blocks that it needs. Memory stays that of a block; the disk holds the day's flows, about 130
    bytes each. Parsing, which takes longest, is done once.
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
