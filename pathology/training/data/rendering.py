"""Render what synthetic sources keep on disk, in several processes."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["render_all"]

Work = TypeVar("Work")


def render_all(
    render: Callable[[Work], None],
    jobs: Sequence[Work],
    *,
    workers: int,
    tell: Callable[[int, int], None],
    until: float,
) -> bool:
    """Render fields until all are there or the time is over; see ``Task.prepare``.

    Parameters
    ----------
    render
        Makes one and keeps it; a function of a module, for other processes.
    jobs
        What to render.
    workers
        Processes; 0 renders in this one.
    tell
        Called with the number that is done, and with that of all.
    until
        Monotonic time at which to stop.

    Returns
    -------
    bool
        Whether all are there.

    Examples
    --------
    >>> made = []
    >>> render_all(made.append, [3, 4], workers=0, tell=print, until=float("inf")), made
    1 2
    2 2
    (True, [3, 4])
    """
    for done, _ in enumerate(_map(render, jobs, workers), start=1):
        tell(done, len(jobs))
        if time.monotonic() >= until and done < len(jobs):
            return False
    return True


def _map(render: Callable[[Work], None], jobs: Sequence[Work], workers: int) -> Iterator[None]:
    if workers == 0 or not jobs:
        yield from map(render, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield from pool.map(render, jobs, chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)
