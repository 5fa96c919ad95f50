"""``log.jsonl``: what happened in a run, line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pathology.errors import OutputError
from pathology.runs.layout import LOG, shard_log
from pathology.runs.run_info import clean_texts, now
from pathology.timing import SlideTiming

__all__ = ["LogLevel", "RunLog", "read_slide_seconds", "read_slide_timings"]

LogLevel = Literal["debug", "info", "warning", "error"]
#: Fields of an event that are text for people, and may name files.
_TEXTS = ("message", "error", "traceback", "reader_note")


class RunLog:
    """Append events to ``log.jsonl``, one JSON object per line.

    Each line is one write to a file opened for appending, so that lines of several processes do not
    mix. A full disk does not stop a run for the sake of its log: lines are then counted as dropped.

    Parameters
    ----------
    folder
        The run folder.
    name
        Name of the file; shards have one each, as lines of several hosts would mix on a network
        file system.
    hide
        Takes the names out of texts, in a pseudonymised run.

    Raises
    ------
    OutputError
        If the file cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RunLog(Path(folder)) as log:
    ...         log.write("warning", "slide_failed", slide_id="a-1", reason="unreadable")
    ...     line = json.loads((Path(folder) / LOG).read_text())
    >>> line["event"], line["reason"]
    ('slide_failed', 'unreadable')
    """

    def __init__(
        self, folder: Path, name: str = LOG, *, hide: Callable[[str], str] | None = None
    ) -> None:
        self.path = folder / name
        self._hide = hide
        self.dropped = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._handle = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror or error})",
                fix="Check that the output folder may be written.",
            ) from error
        self._finish_last_line()

    def write(self, level: LogLevel, event: str, *, slide_id: str = "", **fields: object) -> None:
        """Append one event.

        Parameters
        ----------
        level
            How much it matters.
        event
            What happened, in snake case.
        slide_id
            The slide concerned, if any.
        **fields
            Further facts; what JSON does not know is written as text.
        """
        record: dict[str, object] = {"time": now(), "level": level, "event": event}
        if slide_id:
            record["slide_id"] = slide_id
        record.update(fields)
        for field in _TEXTS if self._hide is not None else ():
            if isinstance(text := record.get(field), str) and self._hide is not None:
                record[field] = self._hide(text)
        line = json.dumps(clean_texts(record), ensure_ascii=False, default=str) + "\n"
        try:
            os.write(self._handle, line.encode())
        except OSError:
            self.dropped += 1

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _finish_last_line(self) -> None:
        # A kill or a full disk may have left half a line; the next event starts on its own.
        size = os.fstat(self._handle).st_size
        if size and os.pread(self._handle, 1, size - 1) != b"\n":
            os.write(self._handle, b"\n")


def read_slide_seconds(folder: Path) -> dict[str, float]:
    """Read from the logs of a run how long each slide took when it was last read.

    Parameters
    ----------
    folder
        The run folder; of a run made in shards, the logs of all its parts are read.

    Returns
    -------
    dict
        Seconds by slide id; slides that the log does not time, and lines that are no JSON (a log
        that was cut by a crash), are left out. Empty where there is no log.
    """
    found: dict[str, float] = {}
    paths = [folder / LOG, *sorted(folder.glob(shard_log("*")))]
    lines = [line for path in paths for line in _finished_slides(path)]
    # Clocks of hosts may differ; a slide then has an older time, but still one of its own.
    for slide_id, entry in sorted(lines, key=lambda line: str(line[1].get("time", ""))):
        seconds = entry.get("seconds")
        if isinstance(seconds, int | float):
            found[slide_id] = float(seconds)
    return found


def read_slide_timings(log: Path) -> dict[str, SlideTiming]:
    """Read from one log where the time of each slide went when it was last read.

    Parameters
    ----------
    log
        The file: ``log.jsonl`` of a run folder, or the log of one of its shards.

    Returns
    -------
    dict
        Timings by slide id; slides without one, and lines that are none of this program, are left
        out. Empty where there is no log.
    """
    found: dict[str, SlideTiming] = {}
    for slide_id, entry in _finished_slides(log):
        timing = entry.get("timing")
        try:
            found[slide_id] = SlideTiming.of_content(timing)
        except (TypeError, ValueError):
            continue
    return found


def _finished_slides(log: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "slide_finished":
            yield str(entry.get("slide_id")), entry
