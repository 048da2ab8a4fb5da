"""Processes that run days: given one day after another, replaced when they die.

They are forked from one that has imported what a run needs (Python's `forkserver`), so that a worker starts at once.
"""

import logging
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from network_anomalies.errors import NothingToTest, explain, is_expected
from network_anomalies.runs.identity import make_run_id
from network_anomalies.runs.session import RuntimeParameters
from network_anomalies.terminal.run_log import leave_out_repeated

logger = logging.getLogger(__name__)
CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = [
    *("network_anomalies.backfill.workers", "network_anomalies.settings", "network_anomalies.pipeline_registry"),
    *("network_anomalies.datasets", "network_anomalies.registry.batches", "network_anomalies.registry.run_rows"),
]
UNMODELLED = "UNMODELLED"
"""The status of a day whose events are stored, and which is too short to be modelled."""
STOP_SECONDS = 5
"""How long a day that is told to stop may take to close its run before its process is killed."""


@dataclass(frozen=True)
class DayRun:
    """A run of some stages of a day, in their order."""

    logical_date: date
    stages: tuple[str, ...]


@dataclass(frozen=True)
class RunSettings:
    """What the runs of all days share.

    Attributes:
        root: of the project.
        env: Kedro's environment.
        params: runtime parameters, the source among them.
        registry: URL of that environment's registry.
        jobs: how many days are at work at once.
    """

    root: Path
    env: str | None
    params: RuntimeParameters
    registry: str
    jobs: int


@dataclass(frozen=True)
class BackfilledDay:
    """What became of a day."""

    logical_date: date
    status: str
    accepted: int | None = None
    seconds: float | None = None
    error: str = ""


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: "Connection[Any, Any]"


def run_days(days: Iterable[DayRun], settings: RunSettings) -> Generator[BackfilledDay]:
    """Yield the outcomes of ``days`` as they end; the next day is asked for when a process is free for it.

    Closing the iterator, or an exception in it, stops the processes: a run at work becomes ``FAILED``.
    """
    waiting = iter(days)
    idle: list[_Worker] = []
    busy: dict[Any, tuple[_Worker, DayRun, float]] = {}
    try:
        while True:
            while len(busy) < settings.jobs and (day := next(waiting, None)):
                worker = idle.pop() if idle else _start_worker(settings)
                busy[worker.pipe] = worker, day, time.monotonic()
                worker.pipe.send(day)
            if not busy:
                return
            for pipe in wait(list(busy)):
                worker, day, started = busy.pop(pipe)
                try:
                    outcome = worker.pipe.recv()
                    idle.append(worker)
                except EOFError:
                    worker.process.join()
                    error = f"its process ended with exit code {worker.process.exitcode}: run again"
                    outcome = BackfilledDay(day.logical_date, "FAILED", None, time.monotonic() - started, error)
                yield outcome
    finally:
        _stop_workers([*idle, *(worker for worker, _, _ in busy.values())])


def warm_up() -> None:
    """Start the process that workers are forked from; it imports while the caller goes on."""
    CONTEXT.set_forkserver_preload(PRELOADED)
    # Ctrl-C at a terminal goes to every process of the group: those that start here ignore it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    multiprocessing.forkserver.ensure_running()
    signal.signal(signal.SIGINT, before)


def _start_worker(settings: RunSettings) -> _Worker:
    warm_up()
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=serve_days, args=(theirs, settings, dict(os.environ)))
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _stop_workers(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
        worker.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for worker in workers:
        worker.process.join(max(0, deadline - time.monotonic()))
        worker.process.kill()
        worker.process.join()


def serve_days(pipe: "Connection[Any, Any]", settings: RunSettings, environment: dict[str, str]) -> None:
    """Run the days that come through the pipe until it closes; send back a ``BackfilledDay`` for each."""
    from kedro.framework.project import configure_project

    os.setpgrp()  # a run that was told to stop is told once, by the caller
    os.environ.update(environment)  # the forkserver may be older than the caller's
    configure_project(__package__.partition(".")[0])
    logging.getLogger("network_anomalies.terminal").setLevel(logging.WARNING)  # the caller shows a line for each day
    while True:
        try:
            day: DayRun = pipe.recv()
            pipe.send(run_day(day, settings))
        except (EOFError, BrokenPipeError):
            return


def run_day(day: DayRun, settings: RunSettings) -> BackfilledDay:
    """Run some stages of a day, in one session."""
    from network_anomalies.registry.batches import read_batch
    from network_anomalies.registry.engine import connect
    from network_anomalies.registry.run_rows import read_run
    from network_anomalies.runs.session import start_session

    started = time.monotonic()
    run_id = make_run_id(datetime.now(UTC))
    params = settings.params | {"logical_date": str(day.logical_date), "run_id": run_id}
    try:
        with leave_out_repeated(), start_session(settings.root, settings.env, params) as session:
            session.run(pipeline_names=list(day.stages))
        engine = connect(settings.registry)
        batch = read_batch(engine, settings.params["source"], day.logical_date)
        status = read_run(engine, run_id)["status"]
    except Exception as error:
        if not is_expected(error):
            logger.exception("The run of %s ended with a defect of the program", day.logical_date)
        status = UNMODELLED if isinstance(error, NothingToTest) else "FAILED"
        return BackfilledDay(day.logical_date, status, None, time.monotonic() - started, explain(error))
    return BackfilledDay(day.logical_date, status, batch["accepted"] if batch else None, time.monotonic() - started)
