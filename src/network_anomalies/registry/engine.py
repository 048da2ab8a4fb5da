"""Connections to the registry, and its schema."""

import selectors
import time
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, func, inspect, select, text
from sqlalchemy.pool import NullPool

from network_anomalies.errors import ProjectError
from network_anomalies.registry.locks import POLL_SECONDS, make_key
from network_anomalies.registry.transactions import transaction

HEAD = "0004"
"""Number of the newest migration. A run compares it with the registry's version, so it need not load Alembic."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""How long PostgreSQL may take to answer a statement, also a COMMIT."""
IDLE_SECONDS = 40.0
"""How long a session may send no statement before the server ends it, and with it the lock of a dead run."""
MIGRATION_SECONDS = 60.0
"""How long a migration waits for another one."""


@cache
def connect(url: str) -> Engine:
    """Return the engine of a registry's URL; each process has one engine per URL."""
    engine = create_engine(url, poolclass=NullPool, connect_args=_connect_args(url))
    if engine.dialect.name == "postgresql":
        _limit_waits()
    else:
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        event.listen(engine, "handle_error", _note_file)
    return engine


def open_registry(url: str) -> Engine:
    """Return the engine of a registry after ``ensure_schema``."""
    engine = connect(url)
    ensure_schema(engine)
    return engine


def ensure_schema(engine: Engine) -> None:
    """Make sure that the registry has this code's schema version; a SQLite registry is migrated.

    Raises:
        ProjectError: a PostgreSQL registry has no schema, or another version of it.
    """
    misfit = describe_misfit(read_version(engine))
    if misfit and engine.dialect.name != "sqlite":
        raise ProjectError(misfit)
    if misfit:
        migrate(engine)


def describe_misfit(version: str | None) -> str | None:
    """Say how a schema version differs from this code's and what to do; None if they are equal.

    Versions are numbers of four digits, so strings compare as numbers do.
    """
    if version == HEAD:
        return None
    if version and version > HEAD:
        return f"the registry has schema version {version}, newer than this code's {HEAD}: update this code"
    difference = f"has schema version {version}, this code needs {HEAD}" if version else "has no schema"
    return f"the registry {difference}: run `kedro setup` for this environment"


def read_version(engine: Engine) -> str | None:
    """Return the version of the registry's schema, None if it has no schema."""
    with engine.connect() as connection:
        return _find_version(connection)


def migrate(engine: Engine) -> None:
    """Migrate the schema to ``HEAD``, in one transaction; a second migration waits for the first.

    Raises:
        ProjectError: this code does not know the schema's version, or another migration takes over a minute.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "network_anomalies:registry/migrations")
    with transaction(engine, lambda second: _find_version(second) == HEAD) as connection:
        _wait_for_other_migrations(connection)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ProjectError(f"the registry's schema cannot be migrated ({error}): update this code") from error


def _find_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def _wait_for_other_migrations(connection: Connection) -> None:
    """Take PostgreSQL's lock on the schema until the transaction ends; SQLite allows only one writer."""
    if connection.dialect.name == "sqlite":
        return
    lock = select(func.pg_try_advisory_xact_lock(make_key("network-anomalies/schema")))
    deadline = time.monotonic() + MIGRATION_SECONDS
    while not connection.execute(lock).scalar():
        if time.monotonic() > deadline:
            raise ProjectError(
                f"another `kedro setup` has been changing the schema for {MIGRATION_SECONDS:.0f} s: "
                "wait until it ends, then run again"
            )
        time.sleep(POLL_SECONDS)


def _connect_args(url: str) -> dict[str, Any]:
    """Return the driver's arguments: on PostgreSQL the time limits of the server for statements and sessions.

    They are not in the URL, because other datasets use the URL too. The server's limit for a statement is shorter than
    this process's limit, so that the server's error arrives first.
    """
    if url.startswith("sqlite"):
        return {"timeout": 30}
    limits = {
        "statement_timeout": f"{ANSWER_SECONDS * 900:.0f}",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS * 1000:.0f}",
        "idle_session_timeout": f"{IDLE_SECONDS * 1000:.0f}",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    return {"options": " ".join(f"-c {name}={value}" for name, value in limits.items())}


@cache
def _limit_waits() -> None:
    """Make psycopg2 wait for PostgreSQL in Python, with a time limit.

    By default psycopg2 waits in C without a limit, and Python handles no signal during the wait. ``connect_timeout``
    and the limits of TCP do not end the wait if the server, or a proxy, keeps the connection open but sends nothing.
    The callback holds for the whole process, so every other use of psycopg2 has the same limits.
    """
    from psycopg2.extensions import set_wait_callback

    set_wait_callback(_await_answer)


def _await_answer(connection: Any) -> None:
    """Return when the server has answered. If this raises an error, psycopg2 closes the connection."""
    from psycopg2 import OperationalError
    from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP

    limit = CONNECT_SECONDS if connection.status == STATUS_SETUP else ANSWER_SECONDS
    deadline = time.monotonic() + limit
    while (state := connection.poll()) != POLL_OK:
        left = deadline - time.monotonic()
        if left <= 0:
            raise OperationalError(f"no answer within {limit:g} s")
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ if state == POLL_READ else selectors.EVENT_WRITE)
            selector.select(left)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # _begin_immediate begins transactions, so DDL is in them too
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: Connection) -> None:
    """Take SQLite's write lock when a transaction begins: a transaction that first reads could not wait for it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _note_file(context: ExceptionContext) -> None:
    """Add the database's file name to an error, for ``errors.explain``: SQLite does not name it."""
    if context.engine:
        context.original_exception.add_note(str(context.engine.url.database))
