"""Processes that run days: started once, given one day after another, replaced when they die."""

import logging
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from network_anomalies.config import make_run_id
from network_anomalies.errors import explain

STOP_SECONDS = 5
"""How long a day that is told to stop may take to close its run before its process is killed."""


@dataclass(frozen=True)
class Day:
    """A day, the pipelines that it misses in their order, and the events of its current batch if it has one."""

    logical_date: date
    missing: tuple[str, ...]
    accepted: int | None = None


@dataclass(frozen=True)
class RunSettings:
    """What the runs of all days share: root, environment and parameters; and how many are at work at once."""

    root: Path
    env: str | None
    params: dict[str, Any]
    jobs: int


@dataclass(frozen=True)
class Outcome:
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


def run_days(days: Iterable[Day], settings: RunSettings) -> Generator[Outcome]:
    """Yield the outcomes of ``days`` as they end.

    Closing the iterator, or an exception in it, stops the processes: a run at work becomes ``FAILED``.
    """
    waiting = deque(days)
    idle: list[_Worker] = []
    busy: dict[Any, tuple[_Worker, Day, float]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < settings.jobs:
                worker, day = idle.pop() if idle else _start_worker(settings), waiting.popleft()
                busy[worker.pipe] = worker, day, time.monotonic()
                worker.pipe.send(day)
            for pipe in wait(list(busy)):
                worker, day, started = busy.pop(pipe)
                try:
                    outcome = worker.pipe.recv()
                    idle.append(worker)
                except EOFError:
                    worker.process.join()
                    error = f"its process ended with exit code {worker.process.exitcode}: run again"
                    outcome = Outcome(day.logical_date, "FAILED", None, time.monotonic() - started, error)
                yield outcome
    finally:
        _stop_workers([*idle, *(worker for worker, _, _ in busy.values())])


def _start_worker(settings: RunSettings) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_days, args=(theirs, settings))
    # Ctrl-C at a terminal goes to every process of the group: a worker leaves the group as soon as it can, and
    # inherits a deaf ear for until then.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.start()
    signal.signal(signal.SIGINT, before)
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


def serve_days(pipe: "Connection[Any, Any]", settings: RunSettings) -> None:
    """Run the days that come through the pipe until it closes; send back an ``Outcome`` for each."""
    from kedro.framework.project import configure_project

    os.setpgrp()
    configure_project(__package__.partition(".")[0])
    for name in ("kedro", "kedro.runner", "network_anomalies"):
        logging.getLogger(name).setLevel(logging.WARNING)
    while True:
        try:
            day: Day = pipe.recv()
            pipe.send(run_day(day, settings))
        except (EOFError, BrokenPipeError):
            return


def run_day(day: Day, settings: RunSettings) -> Outcome:
    """Run the pipelines that a day misses, in one session."""
    from network_anomalies.registry.batches import read_batch
    from network_anomalies.registry.engine import connect
    from network_anomalies.registry.runs import read_status
    from network_anomalies.session import start_session

    started = time.monotonic()
    run_id = make_run_id(datetime.now(UTC))
    params = settings.params | {"logical_date": str(day.logical_date), "run_id": run_id}
    try:
        with start_session(settings.root, settings.env, params) as session:
            session.run(pipeline_names=list(day.missing))
            engine = connect(session.load_context().config_loader["credentials"]["postgres"]["con"])
        batch = read_batch(engine, settings.params["source"], day.logical_date)
        status = read_status(engine, run_id)
    except Exception as error:
        return Outcome(day.logical_date, "FAILED", None, time.monotonic() - started, explain(error))
    return Outcome(day.logical_date, status, batch["accepted"] if batch else None, time.monotonic() - started)
