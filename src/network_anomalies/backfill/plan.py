"""The plan of a backfill, and its table."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.project import pipelines
from sqlalchemy import Engine, select

from network_anomalies.backfill.workers import Day, Outcome, RunSettings, run_days
from network_anomalies.config import make_run_id
from network_anomalies.errors import ProjectError
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.tables import ingestion_batches, pipeline_runs
from network_anomalies.session import require_registered, start_session
from network_anomalies.signals import raise_on_signals
from network_anomalies.stages import INGESTION, list_stages

logger = logging.getLogger(__name__)

DONE = ("SUCCESS", "UNCHANGED")


def choose_days(start: date | None, end: date | None, last: int | None, today: date) -> list[date]:
    """Return the days of a range, or the ``last`` ones before ``today``.

    >>> [str(day) for day in choose_days(None, None, 2, date(2024, 3, 1))]
    ['2024-02-28', '2024-02-29']

    Raises:
        ProjectError: no range or two, one that ends before it starts, or one that reaches into the future.
    """
    if (last is None) == (start is None and end is None) or (last is None and None in (start, end)):
        raise ProjectError("give either --start and --end, or --last")
    if last is not None:
        if not 0 < last < today.toordinal():
            raise ProjectError(f"--last {last}: give the number of days up to yesterday, 1 or more")
        start, end = today - timedelta(days=last), today - timedelta(days=1)
    assert start and end  # noqa: S101
    if end < start:
        raise ProjectError(f"--end {end} is before --start {start}: swap them")
    if end > today:
        raise ProjectError(f"--end {end} is in the future: today is {today} in UTC")
    return [start + timedelta(days=offset) for offset in range((end - start).days + 1)]


def find_missing(engine: Engine, source: str, stages: Sequence[str], days: Iterable[date]) -> list[Day]:
    """Return for each day the pipelines that it misses: the first one that is not done, and all that follow it.

    Ingestion is done if the day has a current batch. A pipeline after it is done if a run of it, or of one that
    includes it, succeeded on that batch: runs of one source and date hold the same lock, so it did if it ended
    after the batch was committed.

    Args:
        engine: the registry, its schema in place.
        source: whose days.
        stages: pipelines in the order in which a day goes through them.
        days: the days in question.
    """
    batches, runs = ingestion_batches.c, pipeline_runs.c
    current = select(batches.logical_date, batches.committed_at, batches.accepted)
    current = current.where(batches.source == source, batches.status == "SUCCESS")
    succeeded = select(runs.logical_date, runs.pipeline, runs.finished_at)
    succeeded = succeeded.where(runs.source == source, runs.status.in_(DONE))
    with engine.connect() as connection:
        committed = {day: (moment, accepted) for day, moment, accepted in connection.execute(current)}
        done = {
            (day, stage)
            for day, names, finished in connection.execute(succeeded)
            if day in committed and finished >= committed[day][0]
            for stage in list_stages(names.split(","), pipelines)
        }
    done |= {(day, stage) for day in committed for stage in INGESTION}
    found = []
    for day in days:
        first = next((place for place, stage in enumerate(stages) if (day, stage) not in done), len(stages))
        found.append(Day(day, tuple(stages[first:]), committed.get(day, (None, None))[1]))
    return found


def plan_backfill(
    days: list[date], names: list[str], jobs: int, env: str | None, params: dict[str, Any], root: Path
) -> tuple[list[Day], RunSettings]:
    """Return what each day misses, and how its run is to be started.

    Raises:
        ProjectError: a pipeline or parameter does not exist or is not one that many days can share; jobs is below 1.
    """
    if jobs < 1:
        raise ProjectError(f"--jobs {jobs}: give the number of days to run at once, 1 or more")
    if not names:
        raise ProjectError("--pipelines names none: leave it out, or name one")
    require_registered(names)
    if fixed := {"logical_date", "run_id"} & set(params):
        raise ProjectError(f"{', '.join(sorted(fixed))} differs from day to day: leave it out of --params")
    stages = list_stages(names, pipelines)
    if set(INGESTION) <= set(stages):
        raise ProjectError("ingestion and log_ingestion have different sources: backfill one, then the other")
    shared = {"parent_run_id": make_run_id(datetime.now(UTC))} | params
    with start_session(root, env, shared) as session:
        source = session.name_source(stages)
        url = session.load_context().config_loader["credentials"]["postgres"]["con"]
    settings = RunSettings(root, env, shared | {"source": source}, url, jobs)
    return find_missing(open_registry(url), source, stages, days), settings


def run_backfill(plan: list[Day], settings: RunSettings, echo: Callable[[str], None]) -> None:
    """Run what is missing, several days at once; echo the table of all days.

    Raises:
        ProjectError: a day failed.
        Interrupted: the backfill was asked to stop; its table has been echoed.
    """
    outcomes = {day.logical_date: Outcome(day.logical_date, "THERE", day.accepted) for day in plan if not day.missing}
    missing = [day for day in plan if day.missing]
    started, restore_signals = time.monotonic(), raise_on_signals()
    try:
        with closing(run_days(missing, settings)) as finished:
            for outcome in finished:
                outcomes[outcome.logical_date] = outcome
                logger.info("%s: %s, %d of %d days", outcome.logical_date, outcome.status, len(outcomes), len(plan))
    finally:
        restore_signals()
        echo(format_table([outcomes.get(day.logical_date, Outcome(day.logical_date, "STOPPED")) for day in plan]))
    failed = sum(outcome.status not in (*DONE, "THERE") for outcome in outcomes.values())
    echo(f"{len(missing)} of {len(plan)} days were missing, {failed} failed; {time.monotonic() - started:.1f} s")
    if failed:
        raise ProjectError(f"{failed} of {len(plan)} days failed: see the table, mend the cause, then run again")


def format_table(outcomes: Iterable[Outcome]) -> str:
    """Return a row per day: date, status, accepted, seconds, error."""
    rows = [
        {
            "date": outcome.logical_date,
            "status": outcome.status,
            "accepted": "" if outcome.accepted is None else outcome.accepted,
            "seconds": "" if outcome.seconds is None else f"{outcome.seconds:.1f}",
            "error": outcome.error,
        }
        for outcome in outcomes
    ]
    return str(pd.DataFrame(rows).to_string(index=False))


def format_gaps(plan: list[Day]) -> str:
    """Return a row per day that misses something: date and pipelines."""
    gaps = [f"{day.logical_date}  {', '.join(day.missing)}" for day in plan if day.missing]
    return "\n".join([*gaps, f"{len(gaps)} of {len(plan)} days are missing"])
