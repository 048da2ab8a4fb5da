"""Work on the next part or slice while the last one is being encoded or saved."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def work_ahead(calls: Sequence[Callable[[], Result]]) -> Iterator[Result]:
    """Yield the calls' results in order; one call runs ahead in a thread, so at most two results are in memory."""
    with ThreadPoolExecutor(max_workers=1) as worker:
        pending: Future[Result] | None = None
        for call in calls:
            done, pending = pending, worker.submit(call)
            if done:
                yield done.result()
        if pending:
            yield pending.result()
