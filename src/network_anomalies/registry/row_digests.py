"""Rows as plain values: what the registry's rows are, digested and written into manifests."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

CHANGING = frozenset({"status", "promoted_at"})
"""Columns that later runs may change, and that no digest of a row covers."""


def digest_rows(rows: Sequence[Mapping[Any, Any]], without: frozenset[str] = frozenset()) -> str:
    """Return the sha256 of rows as sorted JSON, leaving out the columns that may change later."""
    kept = [{name: value for name, value in row.items() if name not in without} for row in rows]
    return hashlib.sha256(to_json(kept).encode()).hexdigest()


def to_json(value: Any) -> str:
    """Return plain values, times and dates among them, as JSON that equal values give equally."""
    return json.dumps(value, sort_keys=True, default=_to_text, indent=1)


def _to_text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value.item()  # a number of numpy's
