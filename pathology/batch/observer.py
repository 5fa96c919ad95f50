"""Who is told how a run gets on: the command line's progress bars, a log, or nobody."""

from __future__ import annotations

import time
from typing import Protocol

from pathology.pipeline import Progress
from pathology.runs import RunLog, SlideResult
from pathology.timing import SlideTiming

__all__ = ["LoggingObserver", "Observer", "SilentObserver"]


class Observer(Protocol):
    """Be told how a run gets on; all calls come from the thread that runs the folder."""

    def run_started(self, *, total: int, done: int, skipped: int) -> None:
        """Hear of all slides, those that an earlier run has finished, and files skipped."""
        ...

    def slide_started(self, slide_id: str, display_path: str) -> None:
        """Hear that a slide was given to a worker."""
        ...

    def slide_progress(self, slide_id: str, progress: Progress) -> None:
        """Hear how far a slide is."""
        ...

    def slide_finished(self, result: SlideResult) -> None:
        """Hear what became of a slide."""
        ...

    def note(self, message: str) -> None:
        """Hear of something that a person should know."""
        ...

    def defect(self, slide_id: str, kind: str, traceback: str) -> None:
        """Hear of an unforeseen exception in a worker; ``slide_id`` is empty outside a slide."""
        ...


class SilentObserver:
    """Say nothing.

    Examples
    --------
    >>> SilentObserver().note("nobody hears this")
    """

    def run_started(self, *, total: int, done: int, skipped: int) -> None:
        """Say nothing."""

    def slide_started(self, slide_id: str, display_path: str) -> None:
        """Say nothing."""

    def slide_progress(self, slide_id: str, progress: Progress) -> None:
        """Say nothing."""

    def slide_finished(self, result: SlideResult) -> None:
        """Say nothing."""

    def note(self, message: str) -> None:
        """Say nothing."""

    def defect(self, slide_id: str, kind: str, traceback: str) -> None:
        """Say nothing."""


class LoggingObserver:
    """Write what happens to ``log.jsonl`` and pass it on.

    Parameters
    ----------
    observer
        Who is told next.
    log
        The open log.
    """

    def __init__(self, observer: Observer, log: RunLog) -> None:
        self._next = observer
        self._log = log
        self._begun: dict[str, float] = {}
        self._timings: dict[str, SlideTiming] = {}
        #: Where the time of all finished slides went; None before there is one.
        self.timing: SlideTiming | None = None

    def run_started(self, *, total: int, done: int, skipped: int) -> None:
        """Log how much there is to do."""
        self._log.write("info", "run_started", slides=total, resumed=done, skipped_files=skipped)
        self._next.run_started(total=total, done=done, skipped=skipped)

    def slide_started(self, slide_id: str, display_path: str) -> None:
        """Log the beginning of a slide."""
        self._begun[slide_id] = time.monotonic()
        self._log.write("info", "slide_started", slide_id=slide_id, path=display_path)
        self._next.slide_started(slide_id, display_path)

    def slide_progress(self, slide_id: str, progress: Progress) -> None:
        """Pass it on; a log of it would help nobody. Where the time went is kept."""
        if progress.timing is not None:
            self._timings[slide_id] = progress.timing
        self._next.slide_progress(slide_id, progress)

    def slide_finished(self, result: SlideResult) -> None:
        """Log what became of a slide, and how long it took."""
        begun = self._begun.pop(result.slide_id, None)
        timing = self._timings.pop(result.slide_id, None)
        if timing is not None:
            self.timing = timing if self.timing is None else self.timing.plus(timing)
        self._log.write(
            "error" if result.status == "failed" else "info",
            "slide_finished",
            slide_id=result.slide_id,
            status=result.status,
            reasons=[str(code) for code in result.reasons],
            ihc_score=result.ihc_score,
            error=None if result.error is None else result.error.message,
            reader=result.reader,
            reader_note=result.reader_note,
            seconds=None if begun is None else round(time.monotonic() - begun, 3),
            timing=None if timing is None else timing.content(),
        )
        self._next.slide_finished(result)

    def note(self, message: str) -> None:
        """Log a note."""
        self._log.write("warning", "note", message=message)
        self._next.note(message)

    def defect(self, slide_id: str, kind: str, traceback: str) -> None:
        """Log an unforeseen exception with its traceback."""
        self._log.write(
            "error", "internal_error", slide_id=slide_id, kind=kind, traceback=traceback
        )
        self._next.defect(slide_id, kind, traceback)
