"""What a training tells while it runs: JSON lines, TensorBoard, and a progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["BOARD_FOLDER", "LOG_FILE", "Journal", "say"]

LOG_FILE = "log.jsonl"
BOARD_FOLDER = "tensorboard"


def say(text: str) -> None:
    """Tell the user something, on stderr."""
    print(f"her2: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the program's voice


class Journal:
    """Write the figures of a training down.

    Parameters
    ----------
    folder
        Folder of the training; None: nothing is written, as in all processes but the first.
    step
        Step that the training goes on from: later lines of an earlier leg are removed.
    shown
        Whether there is a progress bar.

    Examples
    --------
    >>> with Journal(None, step=0) as journal:
    ...     journal.write("train", 1, {"total": 2.0})
    """

    def __init__(self, folder: Path | None, *, step: int, shown: bool = False) -> None:
        self._log = None if folder is None else folder / LOG_FILE
        self._board = None if folder is None else _open_board(folder / BOARD_FOLDER, step)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not shown,
        )
        self._shown: dict[str, TaskID] = {}
        if self._log is not None:
            _cut(self._log, step)

    def write(self, kind: str, step: int, figures: Mapping[str, float]) -> None:
        """Write figures of one step.

        Parameters
        ----------
        kind
            ``train``: parts of the loss; ``held_out``: a measurement.
        step
            Steps taken.
        figures
            By name; those that are not finite stand as null in the log.
        """
        if self._log is not None:
            finite = {k: v if abs(v) < float("inf") else None for k, v in figures.items()}
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"kind": kind, "step": step, **finite}) + "\n")
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def show(self, what: str, done: int, total: int, note: str = "") -> None:
        """Move a progress bar, which appears when it is first named."""
        if what not in self._shown:
            self._shown[what] = self._bar.add_task(what, total=total)
        text = f"{what} {note}".rstrip()
        self._bar.update(self._shown[what], completed=done, total=total, description=text)

    def __enter__(self) -> Self:
        """Start showing."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop showing, and close what is open."""
        self._bar.stop()
        if self._board is not None:
            self._board.close()


def _cut(log: Path, step: int) -> None:
    """Remove the lines of steps that will be taken again."""
    if not log.is_file():
        return
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step and step > 0:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a killed process
    log.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _open_board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say("no TensorBoard curves: it is not installed (pip install 'her2-ihc[train]')")
        return None
    return SummaryWriter(folder, purge_step=step + 1)
