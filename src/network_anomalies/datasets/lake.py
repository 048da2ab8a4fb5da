"""The lake's filesystem."""

from copy import deepcopy
from typing import Any

import fsspec

ATTEMPTS = 2
"""How often a request to the store is made. s3fs' own five would turn a store that stalls into a hang of a minute."""


def open_lake(url: str, credentials: dict[str, Any] | None) -> tuple[Any, str]:
    """Return the filesystem of an fsspec URL, and the path on it.

    fsspec hands out one filesystem for equal credentials, so Kedro's own datasets share this one and its limits.
    """
    filesystem, path = fsspec.core.url_to_fs(url, **deepcopy(credentials or {}))
    if hasattr(filesystem, "retries") and filesystem.session is None:
        filesystem.retries = ATTEMPTS
        filesystem.session = _make_session()
    return filesystem, path


def _make_session() -> Any:
    """Return a session that sends a body at once: waiting for leave to send it (``Expect``) has no time limit."""
    from aiobotocore.session import AioSession
    from botocore.handlers import add_expect_header

    session = AioSession()
    session.unregister("before-call.s3", add_expect_header)
    return session
