"""Calls for the files, parts and slices of a day, made in threads of this process or by Dask workers.

A call is a function without arguments. For Dask it must pickle, and it must not hold anything large: it holds functions
that read objects of the store where the call is made.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from network_anomalies.events.ahead import work_ahead
from network_anomalies.parameters import WorkersParameters

Result = TypeVar("Result")
Report = TypeVar("Report")
Combined = TypeVar("Combined")
Objects = dict[str, Callable[[], bytes]]
"""Names of objects, without a suffix, to functions that return their bytes."""


class Folder(Protocol):
    """A folder of the store that every worker can write to."""

    def save(self, name: str, data: bytes) -> None:
        """Write an object once; ``name`` is its name without the suffix of the folder."""
        ...


@dataclass(frozen=True)
class Made(Generic[Report]):
    """Something that a call made.

    Attributes:
        report: what is known of it; small.
        objects: per folder, in the order of the folders, names of objects to their bytes. A Dask worker saves the
            objects itself and returns none.
        rest: what the end of the work needs of it. It stays with the workers.
    """

    report: Report
    objects: Sequence[Mapping[str, bytes]]
    rest: Any = None


def make_nothing(rests: Sequence[Any]) -> Iterable[Made[Any]]:
    """Make nothing of what is left at the end."""
    return ()


def map_calls(calls: Iterable[Callable[[], Result]], workers: WorkersParameters) -> Iterator[Result]:
    """Yield the results of calls, in their order.

    Raises:
        ProjectError: Dask's scheduler does not answer or has no workers, a worker differs from this process, or a call
            does not fit into a worker's memory.
    """
    if not workers.dask:
        yield from work_ahead(calls)
        return
    from network_anomalies.work.dask_calls import map_on_dask

    yield from map_on_dask(calls, workers)


def reduce_calls(
    calls: Iterable[Callable[[], Result]], combine: Callable[[Iterable[Result]], Combined], workers: WorkersParameters
) -> Combined:
    """Return what ``combine`` makes of the results of calls, in their order.

    In this process it takes one result after another. On Dask a worker combines the results of the others, and they do
    not go through this process.

    Raises:
        ProjectError: as ``map_calls`` does.
    """
    if not workers.dask:
        return combine(call() for call in calls)
    from network_anomalies.work.dask_calls import reduce_on_dask

    return reduce_on_dask(calls, combine, workers)


def make_objects(
    calls: Iterable[Callable[[], Iterable[Made[Report]]]],
    workers: WorkersParameters,
    folders: Sequence[Folder],
    combine: Callable[[Sequence[Any]], Iterable[Made[Report]]] = make_nothing,
) -> Iterator[tuple[list[Objects], Report]]:
    """Yield what calls made, in their order, and then what ``combine`` makes of their rests.

    A call may make several things, one after another. In this process the caller saves the objects. Dask workers save
    them in ``folders``, and there is none to be saved.

    Yields:
        Per folder, names of objects to functions that return their bytes until the next result is asked for; and the
        report.

    Raises:
        ProjectError: as ``map_calls`` does; or an object exists with other bytes.
    """
    contents: Mapping[tuple[int, str], bytes] = {}

    def read(place: int, name: str) -> bytes:
        return contents[place, name]

    # Kedro's streams (itertools.tee) hold up to 57 yields. What is yielded names the bytes and does not hold them.
    for made in (
        _make_on_dask(calls, workers, folders, combine) if workers.dask else _make_here(calls, workers, combine)
    ):
        contents = {(place, name): data for place, some in enumerate(made.objects) for name, data in some.items()}
        objects: list[Objects] = [
            {name: partial(read, place, name) for name in some} for place, some in enumerate(made.objects)
        ]
        report = made.report
        del made
        yield objects, report
        contents = {}


def _make_here(
    calls: Iterable[Callable[[], Iterable[Made[Report]]]],
    workers: WorkersParameters,
    combine: Callable[[Sequence[Any]], Iterable[Made[Report]]],
) -> Iterator[Made[Report]]:
    rests = []
    for made in chain.from_iterable(map_calls(calls, workers)):
        rests.append(made.rest)
        yield made
    yield from combine(rests)


def _make_on_dask(
    calls: Iterable[Callable[[], Iterable[Made[Report]]]],
    workers: WorkersParameters,
    folders: Sequence[Folder],
    combine: Callable[[Sequence[Any]], Iterable[Made[Report]]],
) -> Iterator[Made[Report]]:
    from network_anomalies.work.dask_calls import map_and_reduce_on_dask

    saving = (partial(save_made, call, folders) for call in calls)
    end = partial(save_combined, combine, folders)
    return chain.from_iterable(map_and_reduce_on_dask(saving, leave_rests, end, workers))


def save_made(call: Callable[[], Iterable[Made[Report]]], folders: Sequence[Folder]) -> list[Made[Report]]:
    """Make a call and save each object as soon as it is made; return reports and rests without the objects.

    Objects are written once, so a call that is made twice, since its worker was lost, does no harm.
    """
    reports = []
    for made in call():
        for folder, objects in zip(folders, made.objects, strict=True):
            for name, data in objects.items():
                folder.save(name, data)
        reports.append(replace(made, objects=[{} for _ in folders]))
    return reports


def save_combined(
    combine: Callable[[Sequence[Any]], Iterable[Made[Report]]],
    folders: Sequence[Folder],
    made: Iterable[Iterable[Made[Report]]],
) -> list[Made[Report]]:
    """Save what ``combine`` makes of the rests of what was made."""
    rests = [each.rest for some in made for each in some]
    return save_made(partial(combine, rests), folders)


def leave_rests(made: Iterable[Made[Report]]) -> list[Made[Report]]:
    """Return what was made without the rests."""
    return [replace(each, rest=None) for each in made]
