"""Errors with one line of text: the cause, and what to do. Also the texts for known errors of libraries."""

import errno
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click


class ProjectError(click.ClickException):
    """An error that a person can correct: its text is one line, the cause and then what to do.

    It is a ``ClickException``, so that Kedro's own commands (``kedro catalog``, ``kedro viz``) print it as one line.
    """


class ContractError(ProjectError):
    """Events that cannot be checked, or a batch that the gate refuses."""


class NothingToTest(ContractError):
    """A source's first day is so short that training needs all of it; later days can be modelled."""


class Interrupted(ProjectError):
    """A signal stopped the run. It is an ``Exception``, so that Kedro's error hooks record it."""


class RegistryUnanswered(ProjectError):
    """The registry did not answer a COMMIT. Unlike other errors of the project, it may pass with time."""


class _Fault(NamedTuple):
    """A known error of a library, a server or the system.

    Attributes:
        pattern: regular expression for a part of the error's type and text.
        text: the cause and what to do. ``{words}``, ``{file}`` and ``{folder}`` are filled in.
        is_transient: whether the error may pass with time.
    """

    pattern: str
    text: str
    is_transient: bool = False


_CHECK_STORE = "check MINIO_ENDPOINT_URL and that the store runs, then run again"
_STORE_FAULTS = (
    _Fault(
        r"NoSuchBucket|bucket does not exist",
        "a bucket of the lake does not exist: run `kedro setup` for this environment",
    ),
    _Fault(
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|Forbidden|\(403\)|"
        r"Access Key Id you provided|signature we calculated|NoCredentialsError",
        "the object store refused the credentials: check MINIO_ACCESS_KEY and MINIO_SECRET_KEY, and their rights",
    ),
    _Fault(
        r"ConnectTimeout|Connect timeout|ReadTimeout|Read timeout|\wTimeoutError|RequestTimeout",
        f"the object store does not answer in time, it is away or too slow: {_CHECK_STORE}",
        is_transient=True,
    ),
    _Fault(
        r"EndpointConnectionError|Could not connect to the endpoint|"
        r"ConnectionClosed|Connection was closed|ClientConnect|ServerDisconnected|HTTPClientError|"
        r"ConnectionReset|Connection reset|ResponseParserError|ServiceUnavailable|InternalError|SlowDown|"
        r"Bad Gateway|Gateway Time|\(50[0-9]\)",
        f"the object store does not answer: {_CHECK_STORE}",
        is_transient=True,
    ),
)
_SQLITE_FAULTS = (
    _Fault(r"no such table|no such view", "it has no schema: run `kedro setup`"),
    _Fault(
        r"unable to open database file|readonly database",
        "{file} cannot be written to: give this user the right to write to it and to its folder {folder}",
    ),
    _Fault(
        r"file is not a database|database disk image is malformed",
        "{file} is damaged: move it away, then run `kedro restore`",
    ),
    _Fault(r"database or disk is full", "the disk that holds {folder} has no room left: free space, then run again"),
    _Fault(
        r"database is locked",
        "another process has been writing to {file} for a long time: run again when it has ended",
        is_transient=True,
    ),
)
_POSTGRES_FAULTS = (
    _Fault(
        r'password authentication failed|no password supplied|role "[^"]*" does not exist',
        "it refused the login: check PG_USER and PG_PASSWORD",
    ),
    _Fault(r'database "[^"]*" does not exist', "it has no such database: check PG_DATABASE, or create it"),
    _Fault(r"UndefinedTable|relation .* does not exist", "it has no schema: run `kedro setup`"),
    _Fault(
        r"permission denied",
        "PG_USER lacks a right ({words}): run `kedro doctor` for this environment, it prints the GRANT to run",
    ),
    _Fault(r"must be owner of", "PG_USER does not own its tables: run `kedro setup` as the user who made them"),
    _Fault(
        r"read-only transaction",
        "it allows no writes (a standby, or read-only): give PG_HOST of the primary, or let PG_USER write",
    ),
    _Fault(r"disk is full|No space left", "it has no room left: free space, then run again"),
    _Fault(
        r"invalid sslmode|does not support SSL|certificate",
        "it does not support this encrypted connection: check PG_SSLMODE, and PGSSLROOTCERT for a private authority",
    ),
    _Fault(
        r"too many clients|connection slots are reserved|too many connections",
        "it has no connection free: end other clients, or raise its max_connections, then run again",
        is_transient=True,
    ),
    _Fault(
        r"deadlock detected|could not serialize|lock timeout|canceling statement due to",
        "it is busy with another process: run again when that process has ended",
        is_transient=True,
    ),
    _Fault(
        r"^(OperationalError|InterfaceError)",
        "it does not answer: check PG_HOST and PG_PORT and that PostgreSQL runs, then run again",
        is_transient=True,
    ),
)
_KEDRO_FAULTS = (
    _Fault(
        r"Async data loading and saving does not work with nodes wrapping generator",
        "--async does not work here, since nodes yield a day part by part: leave --async (is_async) out",
    ),
    _Fault(
        r"Data for MemoryDataset has not been saved yet|Pipeline input.* not found in",
        "a node needs data that is only in memory and was not made in this run: begin with the node that makes it",
    ),
    _Fault(r"module 'kedro.runner' has no attribute", "there is no such runner: give SequentialRunner or ThreadRunner"),
    _Fault(r"Pipeline does not contain|Pipeline contains no nodes|Failed to find the pipeline named", "{words}"),
    _Fault(r"Duplicate keys found", "configuration: {words}"),
)


def explain_missing(what: str, pipelines: Sequence[str]) -> ProjectError:
    """Return the error for data that does not exist yet; ``pipelines`` make it.

    >>> print(explain_missing("there are no scores", ["scoring"]).message)
    there are no scores: run the scoring pipeline of that day, or set logical_date and source
    """
    return ProjectError(
        f"{what}: run the {' or '.join(pipelines)} pipeline of that day, or set logical_date and source"
    )


def explain(error: BaseException) -> str:
    """Return the cause in one line, and what to do if that is known."""
    if known := recognise(error):
        return known
    deepest = list(list_causes(error))[-1]
    deepest = getattr(deepest, "orig", None) or deepest
    return _name(deepest)


def is_expected(error: BaseException) -> bool:
    """Tell whether the error is known. If not, it is a defect, and its traceback is needed."""
    return recognise(error) is not None


def recognise(error: BaseException) -> str | None:
    """Return the cause and what to do in one line, or None if the error is not known.

    It searches the chain of causes for an error of this project (or of a command line), then for known errors of the
    store, the database, the disk and the configuration.
    """
    chain = list(list_causes(error))
    if click_error := next((cause for cause in chain if isinstance(cause, click.ClickException)), None):
        return _one_line(click_error.format_message())
    fault = _find_fault(chain)
    return fault.text if fault else None


def is_transient(error: BaseException) -> bool:
    """Tell whether the error may pass with time: a server is down or busy, and nobody has to correct anything."""
    chain = list(list_causes(error))
    if project_error := next((cause for cause in chain if isinstance(cause, ProjectError)), None):
        return isinstance(project_error, RegistryUnanswered)
    fault = _find_fault(chain)
    lost = any(isinstance(cause, ConnectionError | TimeoutError) for cause in chain)
    return lost or bool(fault and fault.is_transient)


def list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # An error of another process has its traceback as a cause.
        if not type(error).__name__.endswith("RemoteTraceback"):
            yield error
        error = error.__cause__ or error.__context__


def _find_fault(chain: list[BaseException]) -> _Fault | None:
    faults = (_judge(cause, is_deepest=cause is chain[-1]) for cause in chain)
    return next((fault for fault in faults if fault), None)


def _judge(cause: BaseException, is_deepest: bool) -> _Fault | None:
    modules = {base.__module__.partition(".")[0] for base in type(cause).__mro__}
    if modules & {"sqlalchemy", "psycopg2"}:
        return _judge_registry(cause)
    if modules & {"omegaconf", "yaml"}:
        return _judge_configuration(cause)
    if isinstance(cause, OSError) or modules & {"botocore", "aiobotocore", "aiohttp"}:
        return _judge_file(cause) or _match(_STORE_FAULTS, cause)
    is_kedros = "kedro" in modules and is_deepest
    return _match(_KEDRO_FAULTS, cause) or (_Fault("", _name(cause)) if is_kedros else None)


def _judge_registry(cause: BaseException) -> _Fault | None:
    is_sqlite = type(getattr(cause, "orig", None) or cause).__module__ == "sqlite3"
    fault = _match(_SQLITE_FAULTS if is_sqlite else _POSTGRES_FAULTS, cause)
    return fault and fault._replace(text=f"the registry failed: {fault.text}")


def _judge_configuration(cause: BaseException) -> _Fault:
    words = _one_line(str(cause))
    if variable := re.search(r"Environment variable '(\w+)' not found", words):
        return _Fault("", f"the environment variable {variable[1]} is not set: set it, or choose another --env")
    return _Fault("", f"configuration: {words}")


def _judge_file(cause: BaseException) -> _Fault | None:
    if not isinstance(cause, OSError):
        return None
    if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _Fault("", f"no space left on {cause.filename or 'the disk'}: free space, then run again")
    if cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and cause.filename:
        return _Fault("", f"{cause.filename}: {cause.strerror}: give this user the right to read and write there")
    return None


def _match(faults: tuple[_Fault, ...], cause: BaseException) -> _Fault | None:
    orig = getattr(cause, "orig", None) or cause  # SQLAlchemy's text contains the statement and its values
    words = _one_line(str(orig))
    described = f"{type(cause).__name__}: {type(orig).__name__}: {words}"
    fault = next((fault for fault in faults if re.search(fault.pattern, described)), None)
    # SQLite does not name its file: `registry.engine` adds the name as a note.
    file = Path(next(iter(getattr(orig, "__notes__", [])), "the registry's file"))
    return fault and fault._replace(text=fault.text.format(words=words, file=file, folder=file.parent))


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {_one_line(str(error))}"


def show_hidden(text: str, most: int = 300) -> str:
    """Return a text in which each character that is not seen is spelled out, at most ``most`` characters of the text.

    A terminal obeys control characters, and a mark of direction shows letters in another order than they are in. Texts
    of other people have them: paths of logs, flow ids.

    >>> print(show_hidden("10.0.0.1" + chr(0x202E) + "gpj"))
    10.0.0.1<U+202E>gpj
    """
    shown = "".join(letter if letter.isprintable() else f"<U+{ord(letter):04X}>" for letter in text[:most])
    return shown + ("..." if len(text) > most else "")


def _one_line(text: str) -> str:
    return show_hidden(" ".join(text.split()), most=len(text))
