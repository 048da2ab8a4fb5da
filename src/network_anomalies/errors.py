"""Errors that name the cause and the way out, and the words for those of the libraries below."""

import errno
import re
from collections.abc import Iterator


class ProjectError(Exception):
    """Something that a person can mend: its text is one line, the cause and then the way out."""


class ContractError(ProjectError):
    """Events that cannot be judged, or a batch that the gate refuses."""


class Interrupted(ProjectError):
    """The run was asked to stop. An ``Exception``, so that Kedro's error hooks record it."""


_STORE_SILENT = "the object store does not answer: check MINIO_ENDPOINT_URL and that the store runs, then run again"
_DATABASE_SILENT = "it does not answer: check PG_HOST and PG_PORT and that PostgreSQL runs, then run again"
_DATABASE_LOCKED = "another process has been writing to it for long: run again when that is done"
_STORE_ADVICE = (
    (
        r"NoSuchBucket|bucket does not exist",
        "a bucket of the lake does not exist: run `kedro setup` for this environment",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|Forbidden|\(403\)|"
        r"Access Key Id you provided|signature we calculated|NoCredentialsError",
        "the object store refused the credentials: check MINIO_ACCESS_KEY and MINIO_SECRET_KEY, and what they may do",
    ),
    (
        r"EndpointConnectionError|Could not connect to the endpoint|ConnectTimeout|ReadTimeout|Read timeout|"
        r"Connect timeout|ConnectionClosed|Connection was closed|ClientConnect|ServerDisconnected|HTTPClientError|"
        r"ConnectionReset|Connection reset|ResponseParserError|ServiceUnavailable|InternalError|SlowDown|"
        r"Bad Gateway|Gateway Time|\(50[0-9]\)",
        _STORE_SILENT,
    ),
)
_DATABASE_ADVICE = (
    (r"password authentication failed|no password supplied", "it refused the login: check PG_USER and PG_PASSWORD"),
    (r'database "[^"]*" does not exist', "it has no such database: check PG_DATABASE, or create it"),
    (r"UndefinedTable|relation .* does not exist|no such table|no such view", "it has no schema: run `kedro setup`"),
    (r"permission denied", "PG_USER may not do this: grant it usage and create on the schema"),
    (r"disk is full|No space left", "it has no room left: free space, then run again"),
    (r"database is locked", _DATABASE_LOCKED),
    (r"OperationalError|InterfaceError", _DATABASE_SILENT),
)


def explain(error: BaseException) -> str:
    """Say in one line what went wrong and what to do about it.

    The chain of causes is searched for an error of this project, then for the known faults of
    the store, the database, the disk and the configuration; anything else is named as it is.
    """
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ProjectError):
            return _one_line(str(cause))
    for cause in chain:
        if advice := _advice(cause):
            return advice
    deepest = chain[-1]
    return f"{type(deepest).__name__}: {_one_line(str(deepest))}"


def is_transient(error: BaseException) -> bool:
    """Tell whether time may mend the error: a server that is away or busy, not a person's mistake nor bad events."""
    chain = list(_causes(error))
    if any(isinstance(cause, ProjectError) for cause in chain):
        return False
    silent = (_STORE_SILENT, f"the registry failed: {_DATABASE_SILENT}", f"the registry failed: {_DATABASE_LOCKED}")
    return explain(error) in silent or any(isinstance(cause, ConnectionError | TimeoutError) for cause in chain)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _advice(cause: BaseException) -> str | None:
    modules = {base.__module__.partition(".")[0] for base in type(cause).__mro__}
    text = f"{type(cause).__name__}: {_one_line(str(cause))}"
    if "sqlalchemy" in modules or "psycopg2" in modules:
        words = _one_line(str(getattr(cause, "orig", None) or cause))
        return "the registry failed: " + next((say for rule, say in _DATABASE_ADVICE if re.search(rule, text)), words)
    if "omegaconf" in modules:
        if variable := re.search(r"Environment variable '(\w+)' not found", text):
            return f"the environment variable {variable[1]} is not set: set it, or choose another --env"
        return f"configuration: {_one_line(str(cause))}"
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left on {cause.filename or 'the disk'}: free some, then run again"
    if modules & {"botocore", "aiobotocore", "aiohttp"} or isinstance(cause, PermissionError | OSError | TimeoutError):
        return next((advice for rule, advice in _STORE_ADVICE if re.search(rule, text)), None)
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
