"""Models, and which one is champion from which day on. Each decision is one transaction."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, RowMapping, case, func, insert, select, update

from network_anomalies.errors import ProjectError
from network_anomalies.records.champion import ChampionRecord
from network_anomalies.records.registration import ModelRegistration, PromotionDecision
from network_anomalies.records.training import TrainingDay
from network_anomalies.registry.batches import require_running
from network_anomalies.registry.conditions import is_current
from network_anomalies.registry.row_digests import CHANGING, digest_rows
from network_anomalies.registry.stage_log import StageEvent, insert_stage, is_recorded, read_stages
from network_anomalies.registry.tables import models, promotions, training_events
from network_anomalies.registry.transactions import transaction

REGISTRATION = "registration"
"""The column ``promoted_by`` of a decision that no person made."""


def register_model(engine: Engine, registration: ModelRegistration) -> RowMapping:
    """Register a day's model as champion from that day on, or as challenger; a known model keeps its version.

    The model stays challenger if another model has become champion before the day since the evaluation: the two were
    never compared.

    Returns:
        The model's row of ``models``.
    """
    source, day, decision = registration.source, registration.logical_date, registration.decision
    event = StageEvent.of("registration", registration)
    with transaction(engine, is_recorded(event)) as connection:
        require_running(connection, registration.run_id)
        _lock_models(connection)
        before = _find_champion(connection, source, day - timedelta(days=1))
        if decision.promote and (before.model_sha256 if before else None) != registration.tested_against:
            champion_name = f"version {before.version}" if before else "no model"
            reason = f"{champion_name} became champion before {day} meanwhile: evaluate and register again"
            decision = PromotionDecision(promote=False, reason=reason)
        version = _find_or_insert(connection, registration, decision.reason)
        current = _find_promotion(connection, source, day)
        by_person = current is not None and current["promoted_by"] != REGISTRATION
        if not by_person and not decision.promote:
            _supersede(connection, source, day)
        elif not by_person and (current is None or current["version"] != version):
            _promote(connection, source, day, version, REGISTRATION, decision.reason, registration.run_id)
        _set_states(connection, source)
        model = _find_model(connection, source, version)
        assert model is not None  # noqa: S101 - it was found or inserted above
        insert_stage(connection, event, digest_model(model))
    return model


def digest_model(row: Mapping[Any, Any]) -> str:
    """Return the digest of a row of ``models``."""
    return digest_rows([{column.name: row[column.name] for column in models.c}], CHANGING)


def read_champion(engine: Engine, source: str, logical_date: date | None = None) -> ChampionRecord | None:
    """Return the champion of a source for a day, or if ``logical_date`` is None the latest one; None without any."""
    with engine.connect() as connection:
        return _find_champion(connection, source, logical_date or date.max)


def roll_back(engine: Engine, source: str, version: int | None, person: str, reason: str) -> ChampionRecord:
    """Make another model champion, from the first day of the present champion on, as a person decided.

    A model is never champion for a day before the day that it was trained for. ``version`` None means the champion
    before the present one.

    Returns:
        The new champion.

    Raises:
        ProjectError: there is no such model, it is champion already, or no person is named.
    """
    if person.strip() in ("", REGISTRATION):
        raise ProjectError(f"{person!r} is not the name of a person: say with --by NAME who decides")
    now = datetime.now(UTC)

    def is_promoted(connection: Connection) -> bool:
        query = select(promotions.c.sequence).where(promotions.c.promoted_at == now, promotions.c.source == source)
        return connection.execute(query).first() is not None

    with transaction(engine, is_promoted) as connection:
        _lock_models(connection)
        present = _find_champion(connection, source, date.max)
        new_version = _find_earlier(connection, source, present) if version is None else version
        model = _find_model(connection, source, new_version) if new_version is not None else None
        if model is None:
            which = "earlier champion" if version is None else f"model version {version}"
            raise ProjectError(f"source {source} has no {which}: `kedro models` lists what there is")
        if present and model["version"] == present.version:
            raise ProjectError(f"version {version} of source {source} is the champion already")
        start = max(model["trained_for"], present.champion_from) if present else model["trained_for"]
        _promote(connection, source, start, model["version"], person, reason, None, now)
        _set_states(connection, source)
        champion = _find_champion(connection, source, date.max)
    assert champion is not None  # noqa: S101 - it was promoted above
    return champion


def list_models(engine: Engine, source: str) -> pd.DataFrame:
    """Return the models of a source, by version."""
    query = select(models).where(models.c.source == source).order_by(models.c.version)
    with engine.connect() as connection:
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=models.c.keys())


def list_promotions(engine: Engine, source: str) -> pd.DataFrame:
    """Return every decision about the champions of a source, in their order; superseded ones too."""
    query = select(promotions).where(promotions.c.source == source).order_by(promotions.c.sequence)
    with engine.connect() as connection:
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=promotions.c.keys())


def list_days_of_other_champions(engine: Engine, source: str) -> list[date]:
    """Return the days whose latest alerts come from a model that is not the day's champion, by date."""
    scored = read_stages(engine, source, ["scoring"])
    with engine.connect() as connection:
        champions = [_find_champion(connection, source, row["logical_date"]) for row in scored]
    return [
        row["logical_date"]
        for row, champion in zip(scored, champions, strict=True)
        if champion and row["inputs"].get("champion") != champion.model_sha256
    ]


def _find_champion(connection: Connection, source: str, day: date) -> ChampionRecord | None:
    of_model = (promotions.c.source == models.c.source) & (promotions.c.version == models.c.version)
    query = (
        select(
            *(models.c[name] for name in ("source", "version", "model_sha256", "model_uri", "run_id", "reason")),
            *(training_events.c[name] for name in ("train_start", "train_end", "input_objects")),
            promotions.c.logical_date.label("champion_from"),
            promotions.c.promoted_by,
            promotions.c.reason.label("promotion_reason"),
        )
        .join(models, of_model)
        .join(training_events, training_events.c.run_id == models.c.training_run_id)
        .where(promotions.c.source == source, promotions.c.status == "SUCCESS", promotions.c.logical_date <= day)
        .order_by(promotions.c.logical_date.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    days = [TrainingDay.model_validate(trained) for trained in row["input_objects"]]
    return ChampionRecord(**{**row, "input_objects": days})


def _find_earlier(connection: Connection, source: str, present: ChampionRecord | None) -> int | None:
    """Return the version that was champion last before the present one."""
    if present is None:
        return None
    columns = promotions.c
    earlier = select(columns.version).where(columns.source == source, columns.version != present.version)
    version: int | None = connection.execute(earlier.order_by(columns.sequence.desc()).limit(1)).scalar()
    return version


def _find_promotion(connection: Connection, source: str, day: date) -> RowMapping | None:
    return connection.execute(select(promotions).where(is_current(promotions, source, day))).mappings().first()


def _promote(
    connection: Connection,
    source: str,
    day: date,
    version: int,
    promoted_by: str,
    reason: str,
    run_id: str | None,
    now: datetime | None = None,
) -> None:
    _supersede(connection, source, day)
    row = {"source": source, "logical_date": day, "version": version, "promoted_by": promoted_by, "reason": reason}
    moment = now or datetime.now(UTC)
    connection.execute(insert(promotions), row | {"promoted_at": moment, "run_id": run_id, "status": "SUCCESS"})
    of_version = (models.c.source == source, models.c.version == version)
    connection.execute(update(models).where(*of_version).values(promoted_at=moment))


def _supersede(connection: Connection, source: str, day: date) -> None:
    current = is_current(promotions, source, day)
    connection.execute(update(promotions).where(current).values(status="SUPERSEDED"))


def _set_states(connection: Connection, source: str) -> None:
    """Set the status of all models of a source from the current decisions."""
    champion = _find_champion(connection, source, date.max)
    version = champion.version if champion else 0
    promoted = select(promotions.c.version).where(promotions.c.source == source)
    state = case((models.c.version.in_(promoted), "RETIRED"), else_="CHALLENGER")
    of_source = models.c.source == source
    connection.execute(update(models).where(of_source, models.c.version != version).values(status=state))
    connection.execute(update(models).where(of_source, models.c.version == version).values(status="CHAMPION"))


def _find_or_insert(connection: Connection, registration: ModelRegistration, reason: str) -> int:
    """Return the version of a model; insert its row if it is new, and update the reason if the model is of this day."""
    columns, source, model = models.c, registration.source, registration.model
    of_model = (columns.source == source, columns.model_sha256 == model.sha256)
    version: int | None = connection.execute(select(columns.version).where(*of_model)).scalar()
    if version is not None:
        row = _find_model(connection, source, version)
        if row and row["trained_for"] == registration.logical_date:
            connection.execute(update(models).where(*of_model).values(reason=reason))
        return version
    latest = connection.execute(select(func.max(columns.version)).where(columns.source == source)).scalar()
    new_row = {
        "source": source,
        "version": (latest or 0) + 1,
        "model_sha256": model.sha256,
        "model_uri": model.uri,
        "card_uri": registration.card_uri,
        "training_run_id": registration.training_run_id,
        "run_id": registration.run_id,
        "registered_at": datetime.now(UTC),
        "status": "CHALLENGER",
        "reason": reason,
    }
    connection.execute(insert(models), new_row)
    return (latest or 0) + 1


def _find_model(connection: Connection, source: str, version: int) -> RowMapping | None:
    query = (
        select(models, training_events.c.logical_date.label("trained_for"))
        .join(training_events, training_events.c.run_id == models.c.training_run_id)
        .where(models.c.source == source, models.c.version == version)
    )
    return connection.execute(query).mappings().first()


def _lock_models(connection: Connection) -> None:
    """Make other decisions wait until this transaction ends, as SQLite always does; readers do not wait."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE")
