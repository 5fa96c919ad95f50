"""The run under review: its rows, its slides' results, and where the slide files are now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pathology.errors import OutputError, ReasonCode, SlideError
from pathology.geometry import Spacing
from pathology.runs import (
    ResultRow,
    SlideFolder,
    SlideResult,
    is_pseudonymised,
    read_rows,
    read_slide_result,
)
from pathology.runs.layout import RESULTS_CSV
from pathology.wsi import Slide, open_slide

__all__ = ["ReviewRun"]

_RELINK = (
    "Put it back, or start again with --slides FOLDER that holds it, and look for it; "
    "the overview, cells and tiles of the run still show."
)


def _finished() -> bool:
    return True


def _not_moved(slide_id: str) -> str | None:  # noqa: ARG001 - of the shape of a record's answer
    return None


@dataclass(frozen=True, kw_only=True)
class ReviewRun:
    """Hold a finished run for the pages.

    Parameters
    ----------
    root
        The run folder.
    rows
        Its rows by slide id, in the order of ``results.csv``.
    slides
        Folder in which slide files are looked for by name when they are no longer where the run
        read them, and by content where the run is pseudonymised; None: nowhere else.
    moved
        Says by slide id where the record has the slide file found again; None: nowhere.
    read
        Returns a slide's result as it is now; None: it is read once, and kept.
    finished
        Tells whether the run has finished.

    Examples
    --------
    >>> ReviewRun.open("nowhere")
    Traceback (most recent call last):
    pathology.errors.OutputError: nowhere/results.csv: cannot be read (No such file or directory). \
Name the output folder of `her2 score`; an interrupted run is finished by the same command.
    """

    root: Path
    rows: dict[str, ResultRow]
    slides: Path | None = None
    moved: Callable[[str], str | None] = _not_moved
    read: Callable[[str], SlideResult] | None = None
    finished: Callable[[], bool] = _finished
    _known: dict[str, SlideResult] = field(default_factory=dict, repr=False, compare=False)
    _found: dict[str, Path | None] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        slides: Path | None = None,
        moved: Callable[[str], str | None] = _not_moved,
    ) -> Self:
        """Read the rows of a run; results of slides are read when they are asked for.

        Raises
        ------
        OutputError
            If the folder holds no finished run, or another folder of slides is named that is none.
        """
        root = Path(folder)
        if slides is not None and not slides.is_dir():
            raise OutputError(f"{slides}: is no folder", fix="Name the folder of the slide files.")
        rows = {row.slide_id: row for row in read_rows(root / RESULTS_CSV)}
        return cls(root=root, rows=rows, slides=slides, moved=moved)

    @property
    def name(self) -> str:
        """Name of the run: that of its folder."""
        return self.root.resolve().name

    def result(self, slide_id: str) -> SlideResult:
        """Return everything of a slide.

        Raises
        ------
        KeyError
            If the run has no such slide.
        OutputError
            If its ``result.json`` is damaged.
        """
        if self.read is not None:
            return self.read(self.rows[slide_id].slide_id)
        with self._lock:
            known = self._known.get(slide_id)
        if known is None:
            known = read_slide_result(self.root, self.rows[slide_id])
            with self._lock:
                self._known[slide_id] = known
        return known

    def folder(self, slide_id: str) -> SlideFolder:
        """Return the place of a slide's files; a slide id of the run only.

        Raises
        ------
        KeyError
            If the run has no such slide.
        """
        return SlideFolder(root=self.root, slide_id=self.rows[slide_id].slide_id)

    def file(self, slide_id: str) -> Path:
        """Return where the slide file is now; where it was if it is nowhere."""
        known = self.moved(slide_id)
        if known is not None and Path(known).exists():
            return Path(known)
        was = Path(self.rows[slide_id].path)
        if not was.exists() and self.slides is not None:
            moved = self.slides / was.name
            if moved.exists():
                return moved
            # The path of a pseudonymised run leads nowhere: the content tells the file.
            return self._found_by_content(slide_id, self.slides) or was
        return was

    def _found_by_content(self, slide_id: str, folder: Path) -> Path | None:
        from pathology.review.relink import find_moved  # imports the record, which pages need not

        with self._lock:
            if slide_id in self._found:
                return self._found[slide_id]
        found = find_moved(self.result(slide_id), folder) if is_pseudonymised(self.root) else None
        with self._lock:
            self._found[slide_id] = found
        return found

    def spacing(self, slide_id: str) -> Spacing | None:
        """Return the size of a level-0 pixel, None where the run did not know it."""
        found = self.result(slide_id).spacing
        return None if found is None else Spacing(x=found.x, y=found.y)

    def open_slide(self, slide_id: str) -> Slide:
        """Open the slide file; it must be the one that was scored.

        Raises
        ------
        SlideError
            If it is gone, cannot be read, or is another file than the run has seen.
        """
        path, result = self.file(slide_id), self.result(slide_id)
        try:
            slide = open_slide(path, mpp=self.spacing(slide_id), mpp_source="argument")
        except SlideError as error:
            raise SlideError(
                f"the slide file cannot be opened: {error.message}",
                reason=error.reason,
                fix=_RELINK if not path.exists() else error.fix,
            ) from error
        seen = result.identity.quickhash if result.identity is not None else None
        if seen and slide.info.quickhash != seen:
            slide.close()
            raise SlideError(
                f"{path.name}: is not the file that was scored (its content differs)",
                reason=ReasonCode.FILE_MISSING,
                fix="Find the file that was scored, or score this one.",
            )
        return slide
