"""A day's alerts, replaced in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select

from network_anomalies.detection.limits import AppliedLimits
from network_anomalies.records.alerts import Alert
from network_anomalies.records.scoring import DayAlerts, ScoringReceipt
from network_anomalies.records.verdicts import Latest, find_dismissal
from network_anomalies.registry.batches import require_running
from network_anomalies.registry.row_digests import digest_rows
from network_anomalies.registry.stage_log import StageEvent, insert_stage, is_recorded
from network_anomalies.registry.tables import alerts
from network_anomalies.registry.transactions import transaction
from network_anomalies.registry.verdict_rows import find_latest

LATER_COLUMNS = ("alert_id", "facts")
"""Columns that alerts of earlier versions got by a migration, when their digests were recorded already."""


def replace_alerts(engine: Engine, raised: DayAlerts) -> bool:
    """Replace a day's alerts, or leave equal ones as they are.

    Returns:
        Whether they were replaced (False: unchanged).
    """
    source, day = raised.source, raised.logical_date
    key = {"source": source, "logical_date": day, "run_id": raised.run_id, "created_at": datetime.now(UTC)}
    rows = raised.alerts.astype("object").where(raised.alerts.notna(), None).to_dict("records")

    def are_stored(connection: Connection) -> bool:
        return _without_run(_find(connection, source, day)) == _without_run(rows)

    with transaction(engine, are_stored) as connection:
        require_running(connection, raised.run_id)
        if are_stored(connection):
            return False
        connection.execute(delete(alerts).where(alerts.c.source == source, alerts.c.logical_date == day))
        if rows:
            connection.execute(insert(alerts), [row | key for row in rows])
    return True


def read_alerts(engine: Engine, source: str, logical_date: date) -> pd.DataFrame:
    """Return a day's alerts, highest score first, suppressed ones last.

    What a verdict of now dismisses has that verdict as ``suppressed_by``. The table has the owners of exceptions only.
    """
    with engine.connect() as connection:
        rows, latest = _find(connection, source, logical_date), find_latest(connection, source)
    suppressed_by = [_find_suppressing(row, latest) for row in rows]
    frame = pd.DataFrame(rows, columns=alerts.c.keys()).assign(suppressed_by=pd.Series(suppressed_by, dtype="object"))
    order = frame.assign(is_suppressed=frame["suppressed_by"].notna(), rank=-frame["score"])
    return frame.loc[order.sort_values(["is_suppressed", "rank", "kind", "entity"]).index].reset_index(drop=True)


def read_source_alerts(engine: Engine, source: str) -> pd.DataFrame:
    """Return every alert of a source, as the table has it, by day, kind and entity."""
    query = select(alerts).where(alerts.c.source == source)
    query = query.order_by(alerts.c.logical_date, alerts.c.kind, alerts.c.entity)
    with engine.connect() as connection:
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=alerts.c.keys())


def record_scoring(engine: Engine, receipt: ScoringReceipt) -> None:
    """Add the row of a scoring, with the digest of the alerts that it left and of their limits."""
    event = StageEvent.of("scoring", receipt, receipt.limits)
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, event.run_id)
        raised = _find(connection, event.source, event.logical_date)
        insert_stage(connection, event, digest_alerts(raised, event.limits))


def digest_alerts(rows: Sequence[Mapping[Any, Any]], limits: AppliedLimits | None) -> str:
    """Return the digest of a day's rows of ``alerts`` and of their limits, in whatever order a database sorts text.

    A scoring that was recorded before limits were (None) has the digest of its alerts alone. The id of an alert is made
    of other columns, so the digest leaves it out; and so it does with facts where an earlier version recorded none.
    """
    in_order = sorted(rows, key=lambda row: (row["kind"], row["entity"]))
    kept = [
        {name: value for name, value in row.items() if name not in LATER_COLUMNS or (name == "facts" and value)}
        for row in in_order
    ]
    return digest_rows(kept if limits is None else [*kept, limits])


def _find_suppressing(row: RowMapping, latest: Latest) -> str | None:
    """Return who answers for an alert: the owner of an exception, or a verdict of now."""
    if row["suppressed_by"] is not None:
        return str(row["suppressed_by"])
    dismissal = find_dismissal(latest, Alert.from_row(row).subject)
    return dismissal.name if dismissal else None


def _find(connection: Connection, source: str, logical_date: date) -> Sequence[RowMapping]:
    query = (
        select(alerts)
        .where(alerts.c.source == source, alerts.c.logical_date == logical_date)
        .order_by(alerts.c.kind, alerts.c.entity)
    )
    return connection.execute(query).mappings().all()


def _without_run(rows: Sequence[Mapping[Any, Any]]) -> dict[tuple[str, str], tuple[object, ...]]:
    names = sorted(set(alerts.c.keys()) - {"source", "logical_date", "run_id", "created_at"})
    return {(row["kind"], row["entity"]): tuple(row[name] for name in names) for row in rows}
