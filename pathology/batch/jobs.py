"""Where an executor gets its slides from, and what every executor can do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from pathology.batch.messages import Job
from pathology.batch.observer import Observer
from pathology.config import Config
from pathology.runs import SlideResult

__all__ = ["POLL_SECONDS", "Executor", "JobSource", "QueuedJobs"]

#: Seconds after which an idle executor asks again for a slide that it could not have before.
POLL_SECONDS = 0.5


class JobSource(Protocol):
    """Hand out slides, one at a time; all calls come from one thread."""

    @property
    def left(self) -> int:
        """How many may still be handed out, at most; with 0 an executor comes to its end."""
        ...

    def take(self) -> Job | None:
        """Return the next slide; None where none is to be had at this moment."""
        ...


class QueuedJobs:
    """Hand out a fixed list of slides in its order.

    Parameters
    ----------
    jobs
        The slides.

    Examples
    --------
    >>> QueuedJobs([]).left
    0
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = deque(jobs)

    @property
    def left(self) -> int:
        """How many were not handed out yet."""
        return len(self._jobs)

    def take(self) -> Job | None:
        """Return the next slide."""
        return self._jobs.popleft() if self._jobs else None


class Executor(Protocol):
    """Score slides somewhere; what comes back does not depend on where.

    ``observer`` hears of progress; ``devices`` are known once it was started.
    """

    config: Config
    observer: Observer
    devices: tuple[str, ...]

    def start(self) -> None:
        """Load the model where the slides will be read.

        Raises
        ------
        PathologyError
            If the model or the device cannot be used.
        """
        ...

    def run(self, jobs: JobSource, on_result: Callable[[SlideResult], None]) -> None:
        """Score all slides of a source, each exactly once.

        Parameters
        ----------
        jobs
            The slides.
        on_result
            Called with every result as soon as it is there, in the order of completion.
        """
        ...

    def stop(self, *, kill: bool = False) -> None:
        """End all workers: at once with ``kill``, else after what they are doing."""
        ...
