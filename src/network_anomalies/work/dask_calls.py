"""Calls made by Dask workers."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from threading import Event
from typing import TypeVar

from distributed import Client, Future, KilledWorker

from network_anomalies.errors import ProjectError
from network_anomalies.parameters import WorkersParameters
from network_anomalies.work.cluster import ANSWER_SECONDS, connect_workers, require_workers

Result = TypeVar("Result")
Combined = TypeVar("Combined")
Shown = TypeVar("Shown")
RESTART_SECONDS = 60
"""How long all workers may be away during the work: those that were lost are started again."""
LOST = "the Dask scheduler was lost during the run: start it again, then run again"


def map_on_dask(calls: Iterable[Callable[[], Result]], workers: WorkersParameters) -> Iterator[Result]:
    """Yield the results of calls, in their order. If a worker is lost, Dask gives its calls to another one.

    Raises:
        ProjectError: there are no workers that can be used, or a call ended several workers.
    """
    with connect_workers(workers) as client:
        futures = [client.submit(call, pure=False) for call in calls]
        try:
            while futures:
                yield _wait(client, futures[0])
                futures.pop(0)  # the worker forgets the result
        finally:
            client.cancel(futures)


def reduce_on_dask(
    calls: Iterable[Callable[[], Result]], combine: Callable[[Iterable[Result]], Combined], workers: WorkersParameters
) -> Combined:
    """Return what a worker makes of the results of calls, which go from worker to worker.

    Raises:
        ProjectError: as ``map_on_dask`` does.
    """
    with connect_workers(workers) as client:
        results = [client.submit(call, pure=False) for call in calls]
        return _wait(client, client.submit(combine, results, pure=False))


def map_and_reduce_on_dask(
    calls: Iterable[Callable[[], Result]],
    show: Callable[[Result], Shown],
    combine: Callable[[Iterable[Result]], Shown],
    workers: WorkersParameters,
) -> Iterator[Shown]:
    """Yield what ``show`` returns of each result, in the order of the calls, and then what ``combine`` makes of all.

    The results themselves stay with the workers.

    Raises:
        ProjectError: as ``map_on_dask`` does.
    """
    with connect_workers(workers) as client:
        results = [client.submit(call, pure=False) for call in calls]
        for shown in [client.submit(show, result, pure=False) for result in results]:
            yield _wait(client, shown)
        yield _wait(client, client.submit(combine, results, pure=False))


def _wait(client: Client, future: "Future[Result]") -> Result:
    """Return the result of a call. Without any worker it would never come."""
    done = Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(ANSWER_SECONDS):
        require_workers(client, RESTART_SECONDS)
    try:
        result: Result = future.result()
    except KilledWorker as error:
        raise ProjectError(
            f"a piece of the day ended {error.allowed_failures + 1} Dask workers one after another, most likely it "
            "does not fit into their memory: give workers more memory, or make pieces smaller "
            "(transformation.slice_rows, logs.part_events, generator.part_events)"
        ) from None
    except CancelledError as error:
        raise ProjectError(LOST) from error
    return result
