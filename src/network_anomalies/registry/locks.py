"""Locks on a source and date: one run at a time, and a dead run's lock is free within a minute."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy.exc import SQLAlchemyError

POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 10.0
"""How often a held lock's connection asks the server something; the server ends one that is idle for long."""
RELEASE_SECONDS = 2.0
"""How long a release waits for the connection to close: one that waits for a silent server closes later."""
Release = Callable[[], None]


def wait_for_lock(engine: Engine, source: str, logical_date: date, say_who: Callable[[], None]) -> Release:
    """Return the release of the lock of a source and date once it is held.

    Polls rather than blocks in the database, so that the limit of a registry call does not end the wait.

    Args:
        engine: the registry.
        source: whose events.
        logical_date: the day.
        say_who: called once if another process or thread holds the lock.
    """
    release = try_lock(engine, source, logical_date)
    if release is None:
        say_who()
    while release is None:
        time.sleep(POLL_SECONDS)
        release = try_lock(engine, source, logical_date)
    return release


@contextmanager
def hold_lock(engine: Engine, source: str, logical_date: date) -> Iterator[bool]:
    """Try to take the lock of a source and date without waiting; yields whether it is held."""
    release = try_lock(engine, source, logical_date)
    try:
        yield release is not None
    finally:
        if release:
            release()


def try_lock(engine: Engine, source: str, logical_date: date) -> Release | None:
    """Return the release of the lock of a source and date, or None if another holds it."""
    if engine.dialect.name == "sqlite":
        return _try_file_lock(engine, f"{source}_{logical_date}")
    return _try_advisory_lock(engine, f"network-anomalies/{source}/{logical_date}")


def make_key(name: str) -> int:
    """Return the number by which PostgreSQL knows the advisory lock of a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def _try_file_lock(engine: Engine, name: str) -> Release | None:
    folder = Path(f"{engine.url.database}.locks")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock.release


def _try_advisory_lock(engine: Engine, name: str) -> Release | None:
    """Lock on a connection of its own: the lock lives as long as that connection does."""
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    key, held = make_key(name), False
    try:
        held = bool(connection.execute(select(func.pg_try_advisory_lock(key))).scalar())
    finally:
        if not held:
            connection.close()
    return _start_heartbeat(connection, key) if held else None


def _start_heartbeat(connection: Connection, key: int) -> Release:
    """Let a thread own the connection: it shows the server that the lock's holder lives, and closes it at the end."""
    released = threading.Event()
    thread = threading.Thread(target=_beat, args=(connection, key, released), name="registry-lock", daemon=True)
    thread.start()

    def release() -> None:
        released.set()
        thread.join(RELEASE_SECONDS)

    return release


def _beat(connection: Connection, key: int, released: threading.Event) -> None:
    # A lost connection is a lost lock. Nothing is said here: the commit of a run that was declared dead is refused.
    with suppress(SQLAlchemyError), closing(connection):
        while not released.wait(HEARTBEAT_SECONDS):
            connection.execute(text("SELECT 1"))
        # A server takes note of a closed connection a little later.
        connection.execute(select(func.pg_advisory_unlock(key)))
