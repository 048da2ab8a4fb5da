"""A day's alerts, replaced in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, delete, insert, select

from network_anomalies.registry.batches import require_running
from network_anomalies.registry.row_digests import digest_rows
from network_anomalies.registry.stage_log import StageEvent, insert_stage, is_recorded
from network_anomalies.registry.tables import alerts
from network_anomalies.registry.transactions import transaction


def replace_alerts(engine: Engine, source: str, logical_date: date, run_id: str, rows: list[dict[str, Any]]) -> bool:
    """Replace a day's alerts, or leave equal ones as they are.

    Args:
        engine: the registry.
        source: whose alerts.
        logical_date: of which day.
        run_id: the run that raised them.
        rows: the other columns of ``alerts`` but ``created_at``.

    Returns:
        Whether they were replaced (False: unchanged).
    """
    key = {"source": source, "logical_date": logical_date, "run_id": run_id, "created_at": datetime.now(UTC)}

    def took_place(connection: Connection) -> bool:
        return _without_run(_find(connection, source, logical_date)) == _without_run(rows)

    with transaction(engine, took_place) as connection:
        require_running(connection, run_id)
        if took_place(connection):
            return False
        day = (alerts.c.source == source, alerts.c.logical_date == logical_date)
        connection.execute(delete(alerts).where(*day))
        if rows:
            connection.execute(insert(alerts), [row | key for row in rows])
    return True


def read_alerts(engine: Engine, source: str, logical_date: date) -> pd.DataFrame:
    """Return a day's alerts, highest score first, suppressed ones last."""
    query = (
        select(alerts)
        .where(alerts.c.source == source, alerts.c.logical_date == logical_date)
        .order_by(alerts.c.suppressed_by.is_not(None), alerts.c.score.desc(), alerts.c.kind, alerts.c.entity)
    )
    with engine.connect() as connection:
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=alerts.c.keys())


def record_scoring(engine: Engine, event: StageEvent) -> None:
    """Add the row of a scoring, with the digest of the alerts that it left and of their limits."""
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, event.run_id)
        raised = _find(connection, event.source, event.logical_date)
        insert_stage(connection, event, digest_alerts(raised, event.limits))


def digest_alerts(rows: Sequence[Mapping[str, Any]], limits: Mapping[str, Any] | None) -> str:
    """Return the digest of a day's rows of ``alerts`` and of their limits, in whatever order a database sorts text.

    A scoring that was recorded before limits were (None) has the digest of its alerts alone.
    """
    in_order = sorted(rows, key=lambda row: (row["kind"], row["entity"]))
    return digest_rows(in_order if limits is None else [*in_order, limits])


def _find(connection: Connection, source: str, logical_date: date) -> list[Mapping[str, Any]]:
    query = (
        select(alerts)
        .where(alerts.c.source == source, alerts.c.logical_date == logical_date)
        .order_by(alerts.c.kind, alerts.c.entity)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _without_run(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    names = set(alerts.c.keys()) - {"source", "logical_date", "run_id", "created_at"}
    return {(row["kind"], row["entity"]): {name: row[name] for name in names} for row in rows}
