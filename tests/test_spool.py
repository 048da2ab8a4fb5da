"""Events that a first pass leaves on disk."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from flow_logs import NAMES, log_of, parse

from network_anomalies.formats.spool import EventSpool


@pytest.mark.parametrize("name", NAMES)
def test_events_come_back_as_they_were(name, tmp_path):
    events = parse(name, log_of(name)).events
    spool = EventSpool(str(tmp_path))
    places = [spool.append(events.slice(0, rows)) for rows in (2, 0, 1)]
    for rows, place in zip((2, 0, 1), places, strict=True):
        assert spool.read(place).equals(events.slice(0, rows))
    assert list(tmp_path.iterdir()) == []  # no name, so a process that dies leaves nothing


def test_several_threads_may_read_while_one_writes():
    spool = EventSpool()
    tables = [pa.table({"number": list(range(number, number + 1000))}) for number in range(50)]
    places = [spool.append(table) for table in tables]
    with ThreadPoolExecutor(4) as threads:
        writing = threads.submit(lambda: [spool.append(table) for table in tables])
        assert all(threads.map(lambda place, table: spool.read(place).equals(table), places, tables))
        assert all(spool.read(place).equals(table) for place, table in zip(writing.result(), tables, strict=True))
