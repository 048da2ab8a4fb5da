"""Rows of the registry that the catalog shows: of a source, or of the current revision of its day."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
from sqlalchemy import Engine, Select, select

from network_anomalies.registry.tables import (
    evaluation_events,
    ingestion_batches,
    ingestion_events,
    pipeline_runs,
    source_files,
    sources,
    stage_events,
)

RECENT = 30
"""How many evaluations before a day are looked at."""


@dataclass(frozen=True)
class Lookup:
    """A question to the registry.

    Attributes:
        select: the question about a source and date.
        needed: whether a source and date without rows cannot be worked on.
    """

    select: Callable[[str, date], Select[Any]]
    needed: bool = False


def _select_objects(source: str, day: date) -> Select[Any]:
    columns = ingestion_events.c
    current = (columns.source == source, columns.logical_date == day, columns.status == "SUCCESS")
    return select(ingestion_events).where(*current).order_by(columns.part)


def _select_batch(source: str, day: date) -> Select[Any]:
    columns = ingestion_batches.c
    return select(ingestion_batches).where(
        columns.source == source, columns.logical_date == day, columns.status == "SUCCESS"
    )


def _select_files(source: str, day: date) -> Select[Any]:
    current = _select_batch(source, day).with_only_columns(ingestion_batches.c.run_id)
    return select(source_files).where(source_files.c.run_id.in_(current)).order_by(source_files.c.path)


def _select_source(source: str, _day: date) -> Select[Any]:
    return select(sources).where(sources.c.name == source)


def _select_revisions(source: str, _day: date) -> Select[Any]:
    """Choose the revisions that hold what the current one of their day holds; a correction may be taken back."""
    columns, current = ingestion_batches.c, ingestion_batches.alias("current")
    equal = (
        (columns.source == current.c.source)
        & (columns.logical_date == current.c.logical_date)
        & (columns.content_sha256 == current.c.content_sha256)
        & (current.c.status == "SUCCESS")
    )
    chosen = select(columns.logical_date, columns.revision).join(current, equal).where(columns.source == source)
    return chosen.order_by(columns.logical_date, columns.revision)


def _select_runs(source: str, day: date) -> Select[Any]:
    columns = pipeline_runs.c
    of_day = (columns.source == source, columns.logical_date == day)
    return select(pipeline_runs).where(*of_day).order_by(columns.started_at)


def _select_days(source: str, _day: date) -> Select[Any]:
    """Choose a row per day of a source: the counts of its current batch, and whether it was ever scored."""
    columns = ingestion_batches.c
    is_scoring = (stage_events.c.source == source) & (stage_events.c.stage == "scoring")
    scored = select(stage_events.c.logical_date).where(is_scoring).distinct().subquery()
    counts = (columns.lines_in, columns.accepted, columns.rejected, columns.unparsable)
    return (
        select(columns.logical_date, columns.revision, *counts, scored.c.logical_date.is_not(None).label("is_scored"))
        .outerjoin(scored, scored.c.logical_date == columns.logical_date)
        .where(columns.source == source, columns.status == "SUCCESS")
        .order_by(columns.logical_date)
    )


def _select_evaluations(source: str, day: date) -> Select[Any]:
    columns = evaluation_events.c
    chosen = select(columns.logical_date, columns.model_sha256, columns.metrics)
    near = chosen.where(columns.source == source, columns.logical_date <= day)
    return near.order_by(columns.logical_date.desc(), columns.evaluated_at.desc()).limit(RECENT)


LOOKUPS = {
    "pipeline_runs": Lookup(_select_runs),
    "current_objects": Lookup(_select_objects),
    "current_batch": Lookup(_select_batch, needed=True),
    "batch_files": Lookup(_select_files),
    "source_record": Lookup(_select_source, needed=True),
    "current_revisions": Lookup(_select_revisions),
    "source_days": Lookup(_select_days),
    "recent_evaluations": Lookup(_select_evaluations),
}


def look_up(name: str, engine: Engine, source: str, day: date) -> pd.DataFrame:
    """Return the rows that answer one of ``LOOKUPS``."""
    with engine.connect() as connection:
        result = connection.execute(LOOKUPS[name].select(source, day))
        return pd.DataFrame(result.all(), columns=list(result.keys()))
