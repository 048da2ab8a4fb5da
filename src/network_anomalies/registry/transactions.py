"""Transactions of the registry. Their outcome is known even if the server does not answer the COMMIT."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from network_anomalies.errors import RegistryUnanswered

logger = logging.getLogger(__name__)
TookPlace = Callable[[Connection], bool]

# The server waits up to 5 s until the session has ended: only then can no COMMIT come later.
_END = text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = :pid AND usename = current_user")
_COUNT = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND usename = current_user")


@contextmanager
def transaction(engine: Engine, took_place: TookPlace) -> Iterator[Connection]:
    """Yield a connection whose work is committed at the end, or not at all.

    A COMMIT that PostgreSQL does not answer may have taken place. Then the session is ended on the server, and
    ``took_place`` tells on a new connection whether the work of this transaction is in the registry.

    Raises:
        RegistryUnanswered: a COMMIT was not answered, and it did not take place, or this is not known.
    """
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            yield connection
        return
    with engine.connect() as connection:
        session = connection.connection.dbapi_connection
        assert session is not None  # noqa: S101 (a connection that was just opened)
        pid, committing = session.info.backend_pid, False
        try:
            yield connection
            committing = True
            connection.commit()
        except BaseException as error:
            if not session.closed:
                raise  # the server answered, or no COMMIT was sent: nothing is stored
            connection.invalidate()
            if committing and isinstance(error, SQLAlchemyError):
                _require_commit(engine, pid, took_place, error)
                return
            _try_to_end(engine, pid)
            raise


def _require_commit(engine: Engine, pid: int, took_place: TookPlace, error: SQLAlchemyError) -> None:
    """Find out whether a COMMIT without an answer took place, and raise an error if it did not."""
    try:
        committed = _end_and_ask(engine, pid, took_place)
    except SQLAlchemyError:
        raise RegistryUnanswered(
            "the registry did not answer a COMMIT, and it is not known whether it took place: "
            "run again when the registry answers (the run is UNCHANGED if it took place)"
        ) from error
    if not committed:
        raise RegistryUnanswered(
            "the registry did not answer a COMMIT, and nothing was committed: run again"
        ) from error
    logger.warning("The registry did not answer a COMMIT; a second query shows that it took place")


def _end_and_ask(engine: Engine, pid: int, took_place: TookPlace) -> bool:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not _end_session(connection, pid):
            raise SQLAlchemyError(f"session {pid} does not end")
        return took_place(connection)


def _try_to_end(engine: Engine, pid: int) -> None:
    """End a session that did not answer, so that its row locks do not block the closing of the run's row."""
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _end_session(connection, pid)
    except SQLAlchemyError as error:
        logger.debug("The session that did not answer may still be open", exc_info=error)


def _end_session(connection: Connection, pid: int) -> bool:
    """End this user's session ``pid`` on the server; return whether it has ended."""
    connection.execute(_END, {"pid": pid})
    return connection.execute(_COUNT, {"pid": pid}).scalar() == 0
