"""Connections to the registry, and its schema."""

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.pool import NullPool

from network_anomalies.errors import ProjectError

HEAD = "0003"
"""The newest migration; kept here so that a run need not load Alembic to know that nothing is to be done."""


@cache
def connect(url: str) -> Engine:
    """Return the engine of a registry's URL, one per process and URL."""
    engine = create_engine(url, poolclass=NullPool, connect_args=_connect_args(url))
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
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
    version = read_version(engine)
    if version == HEAD:
        return
    if engine.dialect.name == "sqlite":
        migrate(engine)
        return
    raise ProjectError(describe_misfit(version))


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
        if not inspect(connection).has_table("alembic_version"):
            return None
        version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return version


def migrate(engine: Engine) -> None:
    """Bring the schema to ``HEAD``, in one transaction.

    Raises:
        ProjectError: the schema is of a version that this code does not know.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "network_anomalies:registry/migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ProjectError(f"the registry's schema cannot be migrated ({error}): update this code") from error


def _connect_args(url: str) -> dict[str, Any]:
    return {"timeout": 30} if url.startswith("sqlite") else {}


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, DDL included
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: Connection) -> None:
    """Queue for the file's one writer at the start: a read that turns into a write could not wait for it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
