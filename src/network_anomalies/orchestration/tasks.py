"""The task of every pipeline: a Kedro session, retried when a server was away."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogHandler
from prefect.tasks import Task
from sqlalchemy import Engine, inspect, text

from network_anomalies.errors import explain, is_transient
from network_anomalies.orchestration.flow_project import configure, find_root
from network_anomalies.registry.batches import read_batch, read_current
from network_anomalies.registry.engine import connect
from network_anomalies.registry.run_rows import read_run
from network_anomalies.runs.identity import make_run_id
from network_anomalies.runs.session import RuntimeParameters, start_session

RETRY_SECONDS = [10.0, 30.0, 60.0, 120.0]
LOGGERS = ("kedro", "network_anomalies")


class PipelineOutcome(NamedTuple):
    """What a pipeline's run did, by the registry.

    Attributes:
        pipeline: its name.
        run_id: the run's.
        status: ``SUCCESS`` or ``UNCHANGED``.
        source: whose day.
        logical_date: the UTC day.
        accepted: events of the day's current batch, if it has one.
        rejected: events of it that are in quarantine.
        uris: the current batch's objects, by part.
        local_copies: folder of the objects' local copies.
        alerts: the day's alerts; None as long as the registry has no table of them.
    """

    pipeline: str
    run_id: str
    status: str
    source: str
    logical_date: date
    accepted: int | None
    rejected: int | None
    uris: list[str]
    local_copies: str
    alerts: int | None


def should_retry(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry what time may mend, and nothing else: bad events and bad parameters stay bad."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, Exception) and is_transient(error)


@task(
    task_run_name="{pipeline}",
    retries=len(RETRY_SECONDS),
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=should_retry,
    cache_policy=NO_CACHE,
)
def run_pipeline(pipeline: str, env: str | None, params: RuntimeParameters) -> PipelineOutcome:
    """Run a pipeline in a session of its own; each attempt is a run of its own in the registry.

    Args:
        pipeline: a registered name.
        env: Kedro's environment.
        params: runtime parameters; ``logical_date`` and ``parent_run_id`` are among them.
    """
    configure()
    run_id = make_run_id(datetime.now(UTC))
    with forward_logs(), start_session(find_root(), env, params | {"run_id": run_id}) as session:
        try:
            session.run(pipeline_names=[pipeline])
        except Exception as error:
            get_run_logger().error("%s", explain(error))
            raise
        config = session.load_context().config_loader
    engine = connect(config["credentials"]["postgres"]["con"])
    run = read_run(engine, run_id)
    source, day = run["source"], run["logical_date"]
    batch = read_batch(engine, source, day)
    return PipelineOutcome(
        pipeline=pipeline,
        run_id=run_id,
        status=run["status"],
        source=source,
        logical_date=day,
        accepted=batch["accepted"] if batch else None,
        rejected=batch["rejected"] if batch else None,
        uris=read_current(engine, source, day)["object_uri"].tolist(),
        local_copies=config["catalog"]["ingested_events"]["lake"]["path"],
        alerts=count_alerts(engine, source, day),
    )


@contextmanager
def forward_logs() -> Iterator[None]:
    """Send the log lines of Kedro and of this project to the task's run, whichever thread writes them."""
    context = TaskRunContext.get()
    assert context, "called in a task's run"  # noqa: S101
    ids = {"flow_run_id": context.task_run.flow_run_id, "task_run_id": context.task_run.id}
    handler = APILogHandler()

    def stamp(record: logging.LogRecord) -> bool:
        record.__dict__.update(ids)
        return True

    handler.addFilter(stamp)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)


def count_alerts(engine: Engine, source: str, logical_date: date) -> int | None:
    """Return how many alerts a day has, or None if the registry has no such table."""
    if not inspect(engine).has_table("alerts"):
        return None
    query = text("SELECT count(*) FROM alerts WHERE source = :source AND logical_date = :day")
    with engine.connect() as connection:
        return int(connection.execute(query, {"source": source, "day": str(logical_date)}).scalar_one())
