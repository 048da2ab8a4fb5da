"""The identity of a run: its id and its logical date."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any


def fix_identity(runtime_params: dict[str, Any]) -> dict[str, Any]:
    """Return ``runtime_params`` with a run id and a logical date (yesterday in UTC unless given).

    >>> sorted(fix_identity({"logical_date": "2024-04-19", "run_id": "r1"}).items())
    [('logical_date', '2024-04-19'), ('run_id', 'r1')]
    """
    now = datetime.now(UTC)
    fixed = {"run_id": make_run_id(now), "logical_date": f"{now - timedelta(days=1):%Y-%m-%d}"} | runtime_params
    return fixed | {"logical_date": str(fixed["logical_date"])}


def make_run_id(now: datetime) -> str:
    """Return an id that is unique on all machines; ids sort by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
