"""Locks on a source and date: only one run may work on them. The lock of a dead run is free within a minute."""

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
"""How often the connection of a held lock sends a statement; the server ends a session after ``IDLE_SECONDS``."""
RELEASE_SECONDS = 2.0
"""How long a release waits until the connection is closed. If the server does not answer, it is closed later."""
Release = Callable[[], None]


def wait_for_lock(engine: Engine, source: str, logical_date: date, say_who: Callable[[], None]) -> Release:
    """Wait until the lock of a source and date is held, and return the function that releases it.

    It polls, because the time limit of a statement would end a wait inside the database. If another process or thread
    holds the lock, it calls ``say_who`` once.
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
    """Try to take the lock of a source and date without waiting; yield whether it is held."""
    release = try_lock(engine, source, logical_date)
    try:
        yield release is not None
    finally:
        if release:
            release()


def try_lock(engine: Engine, source: str, logical_date: date) -> Release | None:
    """Take the lock of a source and date and return the function that releases it, None if another run holds it."""
    if engine.dialect.name == "sqlite":
        return _try_file_lock(engine, f"{source}_{logical_date}")
    return _try_advisory_lock(engine, f"network-anomalies/{source}/{logical_date}")


def make_key(name: str) -> int:
    """Return the number of PostgreSQL's advisory lock for a name."""
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
    """Take an advisory lock on a separate connection: PostgreSQL frees the lock when the connection ends."""
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    key, held = make_key(name), False
    try:
        held = bool(connection.execute(select(func.pg_try_advisory_lock(key))).scalar())
    finally:
        if not held:
            connection.close()
    return _start_heartbeat(connection, key) if held else None


def _start_heartbeat(connection: Connection, key: int) -> Release:
    """Start a thread that sends statements on the lock's connection and closes it after the release."""
    released = threading.Event()
    thread = threading.Thread(target=_beat, args=(connection, key, released), name="registry-lock", daemon=True)
    thread.start()

    def release() -> None:
        released.set()
        thread.join(RELEASE_SECONDS)

    return release


def _beat(connection: Connection, key: int, released: threading.Event) -> None:
    # If the connection is lost, the lock is lost. No error is raised here: the commit of such a run is refused.
    with suppress(SQLAlchemyError), closing(connection):
        while not released.wait(HEARTBEAT_SECONDS):
            connection.execute(text("SELECT 1"))
        # The server would notice the closed connection a little later.
        connection.execute(select(func.pg_advisory_unlock(key)))
