"""Work ahead with threads, a bounded number of items at a time, and hand results on in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["map_ahead"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int, name: str
) -> Generator[Result]:
    """Apply a function to items in threads; results come in the order of the items.

    Parameters
    ----------
    work
        Called with each item, from any of the threads. What it raises is raised here, in turn.
    items
        Taken in the caller's thread, ``ahead`` of the results at most, so memory does not grow with
        their number.
    threads
        Number of threads, at least 1.
    ahead
        Number of items that are worked on or whose results wait, at least 1.
    name
        First part of the threads' names.

    Yields
    ------
    Result
        One for each item. When the iterator ends or is closed early, its threads have ended too.

    Examples
    --------
    >>> list(map_ahead(abs, [-3, 1, -2], threads=2, ahead=2, name="example"))
    [3, 1, 2]
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
