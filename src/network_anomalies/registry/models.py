"""Models and alerts: one champion a source, decided in one transaction; a day's alerts, replaced in one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from network_anomalies.errors import ProjectError
from network_anomalies.registry.batches import require_running
from network_anomalies.registry.tables import alerts, models, training_events


def register_model(engine: Engine, row: dict[str, Any], promote: bool, tested_against: str | None) -> dict[str, Any]:
    """Register a model as champion or challenger; one that is registered already keeps its version.

    Args:
        engine: the registry.
        row: ``source``, ``model_sha256``, ``model_uri``, ``card_uri``, ``training_run_id``, ``run_id``, ``reason``.
        promote: whether it becomes champion; the champion of before is then retired.
        tested_against: the sha256 of that champion, None if there was none. If there is another by now, the model
            stays challenger: it was never held against that one.

    Returns:
        The model's row of ``models``.
    """
    with engine.begin() as connection:
        require_running(connection, row["run_id"])
        _lock_models(connection)
        present = _find(connection, row["source"], models.c.status == "CHAMPION")
        if promote and present and present["model_sha256"] not in (tested_against, row["model_sha256"]):
            promote = False
            reason = f"version {present['version']} became champion meanwhile: evaluate and register again"
            row = row | {"reason": reason}
        known = _find(connection, row["source"], models.c.model_sha256 == row["model_sha256"])
        if known is None:
            latest = connection.execute(select(func.max(models.c.version)).where(models.c.source == row["source"]))
            known = row | {"version": (latest.scalar() or 0) + 1, "registered_at": datetime.now(UTC)}
            connection.execute(insert(models), known | {"status": "CHALLENGER"})
        if promote:
            _promote(connection, row["source"], known["version"], row["reason"])
        found = _find(connection, row["source"], models.c.version == known["version"])
    assert found is not None  # noqa: S101 - it was inserted above
    return found


def read_champion(engine: Engine, source: str) -> dict[str, Any] | None:
    """Return the champion's row of ``models`` and the ``train_start`` and ``train_end`` of its training, or None."""
    query = (
        select(models, training_events.c.train_start, training_events.c.train_end)
        .join(training_events, training_events.c.run_id == models.c.training_run_id)
        .where(models.c.source == source, models.c.status == "CHAMPION")
    )
    with engine.connect() as connection:
        row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def roll_back(engine: Engine, source: str, version: int | None) -> dict[str, Any]:
    """Make an earlier champion champion again.

    Args:
        engine: the registry.
        source: whose model.
        version: which one; None means the champion before the present one.

    Returns:
        The new champion's row of ``models``.

    Raises:
        ProjectError: there is no such model, or it is champion already.
    """
    with engine.begin() as connection:
        _lock_models(connection)
        present = _find(connection, source, models.c.status == "CHAMPION")
        if version is None:
            earlier = models.c.promoted_at < (present["promoted_at"] if present else datetime.now(UTC))
            wanted = _find(connection, source, earlier, models.c.status != "CHAMPION")
        else:
            wanted = _find(connection, source, models.c.version == version)
        if wanted is None:
            which = "earlier champion" if version is None else f"model version {version}"
            raise ProjectError(f"source {source} has no {which}: `kedro models` lists what there is")
        if present and wanted["version"] == present["version"]:
            raise ProjectError(f"version {version} of source {source} is the champion already")
        _promote(connection, source, wanted["version"], "chosen by hand")
        found = _find(connection, source, models.c.version == wanted["version"])
    assert found is not None  # noqa: S101 - it was found above
    return found


def list_models(engine: Engine, source: str) -> pd.DataFrame:
    """Return the models of a source, by version."""
    query = select(models).where(models.c.source == source).order_by(models.c.version)
    with engine.connect() as connection:
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=models.c.keys())


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
    day = (alerts.c.source == source, alerts.c.logical_date == logical_date)
    key = {"source": source, "logical_date": logical_date, "run_id": run_id, "created_at": datetime.now(UTC)}
    with engine.begin() as connection:
        require_running(connection, run_id)
        current = [dict(row) for row in connection.execute(select(alerts).where(*day)).mappings()]
        if _without_run(current) == _without_run(rows):
            return False
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


def _promote(connection: Connection, source: str, version: int, reason: str) -> None:
    retired = update(models).where(models.c.source == source, models.c.status == "CHAMPION")
    connection.execute(retired.where(models.c.version != version).values(status="RETIRED"))
    champion = update(models).where(models.c.source == source, models.c.version == version)
    values = {"status": "CHAMPION", "reason": reason, "promoted_at": datetime.now(UTC)}
    connection.execute(champion.where(models.c.status != "CHAMPION").values(values))


def _without_run(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    names = set(alerts.c.keys()) - {"source", "logical_date", "run_id", "created_at"}
    return {(row["kind"], row["entity"]): {name: row[name] for name in names} for row in rows}


def _lock_models(connection: Connection) -> None:
    """Let one decision be made after the other, as SQLite does by itself; readers do not wait."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE")


def _find(connection: Connection, source: str, *conditions: Any) -> dict[str, Any] | None:
    query = (
        select(models)
        .where(models.c.source == source, *conditions)
        .order_by(models.c.promoted_at.desc(), models.c.version.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None
