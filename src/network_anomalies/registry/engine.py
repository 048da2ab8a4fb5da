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

HEAD = "0005"
"""The newest migration; kept here so that a run need not load Alembic to know that nothing is to be done."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""How long PostgreSQL may take to answer a statement, a COMMIT too."""
IDLE_SECONDS = 40.0
"""After so long without a statement the server ends a session, and with it the lock of a run that is gone."""
MIGRATION_SECONDS = 60.0
"""How long a migration waits for another one."""


@cache
def connect(url: str) -> Engine:
    """Return the engine of a registry's URL, one per process and URL."""
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
    """Return the engine of a registry whose schema is in place; see ``ensure_schema``."""
    engine = connect(url)
    ensure_schema(engine)
    return engine


def ensure_schema(engine: Engine) -> None:
    """Make sure that the schema is the one this code writes; the embedded registry migrates by itself.

    Raises:
        ProjectError: a served registry without the schema, or with another version of it.
    """
    misfit = describe_misfit(read_version(engine))
    if misfit is None:
        return
    if engine.dialect.name == "sqlite":
        migrate(engine)
        return
    raise ProjectError(misfit)


def describe_misfit(version: str | None) -> str | None:
    """Say how a served registry's schema differs from the one this code writes, and the way out; None if it does not.

    Versions are numbers of four digits, so that their order is that of the strings.
    """
    if version == HEAD:
        return None
    if version and version > HEAD:
        return f"the registry has schema version {version}, newer than this code's {HEAD}: update this code"
    found = f"has schema version {version}, this code needs {HEAD}" if version else "has no schema"
    return f"the registry {found}: run `kedro setup` for this environment"


def read_version(engine: Engine) -> str | None:
    """Return the version of the schema in place, or None."""
    with engine.connect() as connection:
        return _find_version(connection)


def migrate(engine: Engine) -> None:
    """Bring the schema to ``HEAD``, in one transaction; a second migration waits for the first.

    Raises:
        ProjectError: the schema is of a version that this code does not know, or another migration takes long.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "network_anomalies:registry/migrations")
    with transaction(engine, lambda asked: _find_version(asked) == HEAD) as connection:
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
    """Take PostgreSQL's lock on the schema until the transaction ends; SQLite has one writer anyway."""
    if connection.dialect.name == "sqlite":
        return
    lock = select(func.pg_try_advisory_xact_lock(make_key("network-anomalies/schema")))
    deadline = time.monotonic() + MIGRATION_SECONDS
    while not connection.execute(lock).scalar():
        if time.monotonic() > deadline:
            raise ProjectError(
                "another `kedro setup` has been changing the schema for long: wait for it, then run again"
            )
        time.sleep(POLL_SECONDS)


def _connect_args(url: str) -> dict[str, Any]:
    """Return the driver's arguments: on PostgreSQL the limits after which the server gives up a client or a statement.

    They stand here and not in the URL, which plain datasets use too. The server's limit of a statement is shorter than
    this side's, so that its own error arrives.
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
    """Let Python wait for PostgreSQL's answers, with a limit.

    psycopg2 waits in C, for ever, and sees no signal meanwhile: neither ``connect_timeout`` nor TCP's own limits end
    the wait for a server, or a proxy before it, that is there and silent. The callback is one for the whole process,
    so that every other use of psycopg2 in it gets the same limits.
    """
    from psycopg2.extensions import set_wait_callback

    set_wait_callback(_await_answer)


def _await_answer(connection: Any) -> None:
    """Return once the server has answered; psycopg2 closes the connection of an error that is raised here."""
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
    connection.isolation_level = None  # transactions are begun below, DDL included
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: Connection) -> None:
    """Queue for the file's one writer at the start: a read that turns into a write could not wait for it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _note_file(context: ExceptionContext) -> None:
    """Note which file an error is about: SQLite does not say, and `errors.explain` names it."""
    if context.engine:
        context.original_exception.add_note(str(context.engine.url.database))
