"""`kedro replay`: puts quarantined rows through the present gate again."""

from datetime import date
from pathlib import Path

from sqlalchemy import Engine, func, select

from network_anomalies.errors import ProjectError
from network_anomalies.registry.batches import read_batch
from network_anomalies.registry.engine import ensure_schema
from network_anomalies.registry.tables import ingestion_batches
from network_anomalies.runs.session import start_session
from network_anomalies.upkeep.stores import load_stores


def replay_day(root: Path, env: str | None, source: str, day: date, rule: str | None) -> None:
    """Run the pipeline `replay` of a source and day, for rows that broke ``rule`` (None: all rows).

    Raises:
        ProjectError: there is no such batch, or quarantine holds no rows of it, or none that broke the rule.
    """
    engine = load_stores(env, root).engine
    ensure_schema(engine)
    require_rejects(engine, source, day)
    params = {"source": source, "logical_date": str(day), "replay": {"rule": rule}}
    with start_session(root, env, params) as session:
        session.run(pipeline_names=["replay"])


def require_rejects(engine: Engine, source: str, day: date) -> None:
    """Check before a run that a source and day has rows in quarantine.

    Raises:
        ProjectError: it has none; the error names the sources or days that have a batch.
    """
    batch = read_batch(engine, source, day)
    if batch is None:
        raise ProjectError(_describe_missing(_read_days(engine), source, day))
    if not batch["rejected"] + batch["unparsable"]:
        raise ProjectError(f"nothing of source {source} on {day} is in quarantine: there is nothing to replay")


def _read_days(engine: Engine) -> dict[str, tuple[date, date]]:
    """Return the first and the last day of each source that has events."""
    columns = ingestion_batches.c
    query = select(columns.source, func.min(columns.logical_date), func.max(columns.logical_date))
    with engine.connect() as connection:
        rows = connection.execute(query.group_by(columns.source).order_by(columns.source)).all()
    return {source: (first, last) for source, first, last in rows}


def _describe_missing(known: dict[str, tuple[date, date]], source: str, day: date) -> str:
    if not known:
        return "no source has events yet: run ingestion, or log_ingestion for logs, first"
    if source not in known:
        return f"there is no source {source}: there are {', '.join(known)}"
    first, last = known[source]
    return f"source {source} has no batch on {day}: its days are from {first} to {last}"
