"""Kedro sessions that this project starts itself: for backfill, replay, Prefect and tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from kedro.framework.session import KedroSession

RuntimeParameters = dict[str, Any]
"""Parameters of `kedro run --params`: names to values, nested as in ``conf``."""


@contextmanager
def start_session(root: Path, env: str | None, params: RuntimeParameters) -> Iterator[KedroSession]:
    """Open a session of the project at ``root``; for ``env`` None means the default environment."""
    with KedroSession.create(root, env=env, runtime_params=params) as session:
        yield cast("KedroSession", session)
