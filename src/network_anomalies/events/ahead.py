"""Work on the next part or slice while the last one is being encoded or saved."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
THREADS = 2
"""More threads would need more memory, and gain little: most of the work holds Python's lock."""


def work_ahead(calls: Iterable[Callable[[], Result]], ahead: int = 1) -> Iterator[Result]:
    """Yield the calls' results in order; ``ahead`` of them run in threads, so one more is in memory at most."""
    with ThreadPoolExecutor(max_workers=ahead) as workers:
        pending: deque[Future[Result]] = deque()
        for call in calls:
            pending.append(workers.submit(call))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
