"""Work on the next part or slice while the last one is being encoded or saved."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
THREADS = 2
"""More threads would need more memory, and gain little: most of the work holds Python's lock."""


def work_ahead(calls: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Yield the calls' results in order; ``THREADS`` of them are in memory at most.

    While a result is used, which may be work too, one call less is made.
    """
    with ThreadPoolExecutor(max_workers=THREADS) as workers:
        pending: deque[Future[Result]] = deque()
        for call in calls:
            pending.append(workers.submit(call))
            if len(pending) == THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
