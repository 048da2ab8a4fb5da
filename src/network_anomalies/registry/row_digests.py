"""Rows of the registry as JSON, for digests and manifests."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

CHANGING = frozenset({"status", "promoted_at"})
"""Columns that later runs may change; digests of rows leave them out."""


def digest_rows(rows: Sequence[Mapping[Any, Any]], without: frozenset[str] = frozenset()) -> str:
    """Return the sha256 of rows as sorted JSON, without the columns in ``without``."""
    kept = [{name: value for name, value in row.items() if name not in without} for row in rows]
    return hashlib.sha256(to_json(kept).encode()).hexdigest()


def to_json(value: Any) -> str:
    """Return values as JSON; equal values give equal text. Times, dates and numpy numbers are allowed."""
    return json.dumps(value, sort_keys=True, default=_to_text, indent=1)


def _to_text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value.item()  # a numpy number
