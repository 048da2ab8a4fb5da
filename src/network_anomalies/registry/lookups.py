"""Queries of rows that catalog entries load: rows of a source, or of the current revision of a day."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pandas as pd
from sqlalchemy import Engine, Select, select

from network_anomalies.registry.conditions import is_current, of_day
from network_anomalies.registry.tables import ingestion_batches, ingestion_events, pipeline_runs, source_files, sources


def _select_objects(source: str, day: date) -> Select[Any]:
    current = is_current(ingestion_events, source, day)
    return select(ingestion_events).where(current).order_by(ingestion_events.c.part)


def _select_batch(source: str, day: date) -> Select[Any]:
    return select(ingestion_batches).where(is_current(ingestion_batches, source, day))


def _select_files(source: str, day: date) -> Select[Any]:
    current = _select_batch(source, day).with_only_columns(ingestion_batches.c.run_id)
    return select(source_files).where(source_files.c.run_id.in_(current)).order_by(source_files.c.path)


def _select_source(source: str, _day: date) -> Select[Any]:
    return select(sources).where(sources.c.name == source)


def _select_revisions(source: str, _day: date) -> Select[Any]:
    """Select the revisions whose content equals the current one of their day: a correction may have been undone."""
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
    return select(pipeline_runs).where(of_day(pipeline_runs, source, day)).order_by(pipeline_runs.c.started_at)


LOOKUPS: dict[str, Callable[[str, date], Select[Any]]] = {
    "pipeline_runs": _select_runs,
    "current_objects": _select_objects,
    "current_batch": _select_batch,
    "batch_files": _select_files,
    "source_record": _select_source,
    "current_revisions": _select_revisions,
}
"""Queries for a source and date, by name."""


def look_up(name: str, engine: Engine, source: str, day: date) -> pd.DataFrame:
    """Return the rows that a query of ``LOOKUPS`` selects."""
    with engine.connect() as connection:
        result = connection.execute(LOOKUPS[name](source, day))
        return pd.DataFrame(result.all(), columns=list(result.keys()))
