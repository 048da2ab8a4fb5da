"""Calls for the files, parts and slices of a day, made in threads of this process or by Dask workers.

A call is a function without arguments. For Dask it must pickle, and it must not hold anything large: it holds functions
that read objects of the store where the call is made.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, TypeVar

from network_anomalies.events.ahead import work_ahead
from network_anomalies.parameters import WorkersParameters

Result = TypeVar("Result")
Report = TypeVar("Report")
Objects = dict[str, Callable[[], bytes]]
"""Names of objects, without a suffix, to functions that return their bytes."""
THREADS = 2


class Folder(Protocol):
    """A folder of the store that every worker can write to."""

    def save(self, name: str, data: bytes) -> None:
        """Write an object once; ``name`` is its name without the suffix of the folder."""
        ...


@dataclass(frozen=True)
class Made(Generic[Report]):
    """What a call made.

    Attributes:
        report: what is known of it; small.
        objects: per folder, in the order of the call's folders, names of objects to their bytes. A Dask worker saves
            the objects itself and returns none.
    """

    report: Report
    objects: Sequence[Mapping[str, bytes]]


def map_calls(calls: Iterable[Callable[[], Result]], workers: WorkersParameters) -> Iterator[Result]:
    """Yield the results of calls, in their order.

    Raises:
        ProjectError: Dask's scheduler does not answer or has no workers, a worker differs from this process, or a call
            does not fit into a worker's memory.
    """
    if not workers.dask:
        yield from work_ahead(calls, ahead=THREADS)
        return
    from network_anomalies.work.dask_calls import map_on_dask

    yield from map_on_dask(calls, workers)


def make_objects(
    calls: Iterable[Callable[[], Made[Report]]], workers: WorkersParameters, folders: Sequence[Folder]
) -> Iterator[tuple[list[Objects], Report]]:
    """Yield what calls made, in their order.

    In this process the caller saves the objects. Dask workers save them in ``folders``, and there is none to be saved.

    Yields:
        Per folder, names of objects to functions that return their bytes until the next result is asked for; and the
        report.

    Raises:
        ProjectError: as ``map_calls`` does; or an object exists with other bytes.
    """
    contents: Mapping[tuple[int, str], bytes] = {}

    def read(place: int, name: str) -> bytes:
        return contents[place, name]

    if workers.dask:
        calls = (partial(save_made, call, folders) for call in calls)
    # Kedro's streams (itertools.tee) hold up to 57 yields. What is yielded names the bytes and does not hold them.
    for made in map_calls(calls, workers):
        contents = {(place, name): data for place, some in enumerate(made.objects) for name, data in some.items()}
        objects: list[Objects] = [
            {name: partial(read, place, name) for name in some} for place, some in enumerate(made.objects)
        ]
        report = made.report
        del made
        yield objects, report
        contents = {}


def save_made(call: Callable[[], Made[Report]], folders: Sequence[Folder]) -> Made[Report]:
    """Make a call and save its objects; return its report without them.

    Objects are written once, so a call that is made twice, since its worker was lost, does no harm.
    """
    made = call()
    for folder, objects in zip(folders, made.objects, strict=True):
        for name, data in objects.items():
            folder.save(name, data)
    return replace(made, objects=[{} for _ in folders])
