"""The identity of a run: its id and its logical date."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any


def fix_identity(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with a new run id and yesterday (UTC) as logical date, where they are None.

    >>> fix_identity({"logical_date": "2024-04-19", "run_id": "r1", "source": "zeek"})
    {'logical_date': '2024-04-19', 'run_id': 'r1', 'source': 'zeek'}
    """
    now = datetime.now(UTC)
    made = {"run_id": make_run_id(now), "logical_date": f"{now - timedelta(days=1):%Y-%m-%d}"}
    return parameters | {name: value for name, value in made.items() if parameters.get(name) is None}


def make_run_id(now: datetime) -> str:
    """Return an id that is unique on all machines; ids sort by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
