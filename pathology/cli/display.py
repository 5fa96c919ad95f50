"""Progress on stderr: bars on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from pathology.pipeline import Progress
from pathology.runs import SlideResult
from pathology.timing import SlideTiming

__all__ = ["BarDisplay", "Display", "LineDisplay", "make_display", "outcome"]

#: Seconds between two lines about the same slide where there is no terminal.
_LINE_SECONDS = 15.0
#: Longest name of a slide shown beside a bar.
_NAME_WIDTH = 32


def outcome(result: SlideResult) -> str:
    """Say in a few words what became of a slide: its score, or why it has none."""
    if result.status == "scored":
        return result.ihc_score or "indeterminate"
    words = "failed" if result.status == "failed" else "not scorable"
    return f"{words} ({', '.join(str(reason) for reason in result.reasons)})"


class Display(AbstractContextManager["Display"]):
    """Count slides and print lines; the base of both kinds of display."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self._begun: dict[str, float] = {}
        self._read_mm2 = 0.0
        self._timing: SlideTiming | None = None
        self._clock = time.monotonic()

    def print_speed(self) -> None:
        """Print how fast tissue was read, on stdout, and where the time went, on stderr."""
        minutes = (time.monotonic() - self._clock) / 60
        if self._read_mm2 > 0:
            print(
                f"read {self._read_mm2:,.1f} mm² in {minutes:,.1f} minutes: "
                f"{self._read_mm2 / minutes:,.2f} mm²/min"
            )
        if self._timing is not None and self._timing.tiles:
            self.line(self._timing.words())

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the screen clean."""

    def line(self, text: str) -> None:
        """Print one line on stderr."""
        print(text, file=sys.stderr, flush=True)

    def run_started(self, *, total: int, done: int, skipped: int) -> None:
        """Say what is to be done."""
        self.total, self.done = total, done
        parts = [f"{total} slide{'' if total == 1 else 's'}"]
        if done:
            parts.append(f"{done} done before")
        if skipped:
            parts.append(f"{skipped} other files skipped")
        self.line(", ".join(parts))

    def slide_started(self, slide_id: str, display_path: str) -> None:  # noqa: ARG002
        """Take the time."""
        self._begun[slide_id] = time.monotonic()

    def slide_progress(self, slide_id: str, progress: Progress) -> None:  # noqa: ARG002
        """Keep where the time of the slide went."""
        if progress.timing is not None:
            spent = progress.timing
            self._timing = spent if self._timing is None else self._timing.plus(spent)

    def slide_finished(self, result: SlideResult) -> None:
        """Say what became of the slide."""
        self.done += 1
        self._read_mm2 += (result.tissue_mm2 or 0.0) if result.tiles else 0.0
        seconds = time.monotonic() - self._begun.pop(result.slide_id, time.monotonic())
        self.line(
            f"[{self.done}/{self.total}] {result.slide_id}: {outcome(result)}, {seconds:.0f} s"
        )

    def note(self, message: str) -> None:
        """Pass a note on."""
        self.line(message)

    def defect(self, slide_id: str, kind: str, traceback: str) -> None:  # noqa: ARG002
        """Say that the program, not the slide, is at fault."""
        self.line(f"{slide_id or 'worker'}: internal error ({kind}); the traceback is in log.jsonl")


class LineDisplay(Display):
    """Print a line now and then: for log files and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def slide_progress(self, slide_id: str, progress: Progress) -> None:
        """Print a line about the slide every 15 seconds."""
        super().slide_progress(slide_id, progress)
        now = time.monotonic()
        last = self._last.setdefault(slide_id, now)
        if progress.total_mm2 <= 0 or now - last < _LINE_SECONDS:
            return
        self._last[slide_id] = now
        rate = progress.done_mm2 / max(now - self._begun.get(slide_id, now), 1e-3)
        left = (progress.total_mm2 - progress.done_mm2) / rate if rate > 0 else 0.0
        self.line(
            f"{slide_id}: {progress.done_mm2:.1f} of {progress.total_mm2:.1f} mm², "
            f"{rate:.2f} mm²/s, {left:.0f} s left"
        )


class BarDisplay(Display):
    """Draw one bar for the slides and one for each slide at work."""

    def __init__(self) -> None:
        super().__init__()
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            transient=True,
        )
        self._slides: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bars off the screen."""
        self._bars.stop()

    def line(self, text: str) -> None:
        """Print one line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def run_started(self, *, total: int, done: int, skipped: int) -> None:
        """Draw the bar of the slides."""
        super().run_started(total=total, done=done, skipped=skipped)
        self._slides = self._bars.add_task(
            "slides", total=total, completed=done, amount=f"{done}/{total}"
        )

    def slide_started(self, slide_id: str, display_path: str) -> None:
        """Draw the bar of a slide."""
        super().slide_started(slide_id, display_path)
        name = slide_id if len(slide_id) <= _NAME_WIDTH else slide_id[: _NAME_WIDTH - 1] + "…"
        self._tasks[slide_id] = self._bars.add_task(escape(name), total=None, amount="opening")

    def slide_progress(self, slide_id: str, progress: Progress) -> None:
        """Move the bar of a slide."""
        super().slide_progress(slide_id, progress)
        task = self._tasks.get(slide_id)
        if task is None:
            return
        if progress.total_mm2 <= 0:
            self._bars.update(task, amount=progress.stage)
            return
        seconds = max(time.monotonic() - self._begun.get(slide_id, time.monotonic()), 1e-3)
        self._bars.update(
            task,
            total=progress.total_mm2,
            completed=progress.done_mm2,
            amount=f"{progress.done_mm2:.1f}/{progress.total_mm2:.1f} mm², "
            f"{progress.done_mm2 / seconds:.2f} mm²/s",
        )

    def slide_finished(self, result: SlideResult) -> None:
        """Drop the bar of a slide and count it."""
        super().slide_finished(result)
        task = self._tasks.pop(result.slide_id, None)
        if task is not None:
            self._bars.remove_task(task)
        if self._slides is not None:
            self._bars.update(self._slides, completed=self.done, amount=f"{self.done}/{self.total}")


def make_display() -> Display:
    """Return bars where stderr is a terminal, else plain lines."""
    return BarDisplay() if sys.stderr.isatty() else LineDisplay()
