"""The Prefect task that runs a pipeline in a Kedro session. It is retried if a server did not answer."""

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

from network_anomalies.errors import explain, is_transient
from network_anomalies.orchestration.flow_project import configure, find_root
from network_anomalies.registry.alert_rows import read_alerts
from network_anomalies.registry.batches import read_batch, read_current
from network_anomalies.registry.engine import connect
from network_anomalies.registry.run_rows import read_run
from network_anomalies.runs.identity import make_run_id
from network_anomalies.runs.session import RuntimeParameters, start_session

RETRY_SECONDS = [10.0, 30.0, 60.0, 120.0]
LOGGERS = ("kedro", "network_anomalies")


class PipelineOutcome(NamedTuple):
    """The result of a pipeline's run, from the registry.

    Attributes:
        pipeline: name of the pipeline.
        run_id: id of the run.
        status: ``SUCCESS`` or ``UNCHANGED``.
        source: name of the source.
        logical_date: the UTC day.
        accepted: number of events in the day's current batch, None without a batch.
        rejected: number of its events in quarantine, None without a batch.
        uris: URIs of the current batch's objects, by part.
        local_copies: folder of the objects' local copies.
        alerts: number of the day's alerts.
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
    alerts: int


def should_retry(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry errors that may pass with time; errors in events or parameters are not retried."""
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
    """Run a pipeline in a new session; each attempt is a separate run in the registry.

    ``params`` are runtime parameters, including ``logical_date`` and ``parent_run_id``.
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
        alerts=len(read_alerts(engine, source, day)),
    )


@contextmanager
def forward_logs() -> Iterator[None]:
    """Send the log lines of Kedro and of this project to the task's run, from every thread."""
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
