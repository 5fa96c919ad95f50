"""What an export works on: the slides of a run under the names that they are exported with."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Literal

from pathology.errors import OutputError, UsageError
from pathology.geometry import Spacing
from pathology.report.decision import Decision
from pathology.report.folders import slide_ids
from pathology.runs.layout import slide_folder
from pathology.runs.outputs import OutputFolder
from pathology.runs.pseudonyms import Pseudonyms
from pathology.runs.result import SlideResult
from pathology.runs.results import read_results
from pathology.runs.run_info import read_run_info

__all__ = ["ExportJob", "ExportOptions", "ExportSlide", "Origin", "gather_job", "import_extra"]

Origin = Literal["bounds", "level0"]


@dataclass(frozen=True, kw_only=True)
class ExportSlide:
    """Hold one slide of an export.

    Parameters
    ----------
    result
        What is exported, under the name that is exported.
    source
        The same as stored; its path leads to the slide's pixels. Never written out.
    folder
        Where its tables and pictures lie.
    decision
        What a reviewer decided; None where nobody has looked.
    counted
        Folder with cells and tiles as they count in the reviewer's regions; None: as in the run.
    """

    result: SlideResult
    source: SlideResult
    folder: Path
    decision: Decision | None = None
    counted: Path | None = None

    @property
    def tables(self) -> Path:
        """Folder of the cells and tiles that give ``result``."""
        return self.counted or self.folder

    @property
    def corner_px(self) -> tuple[int, int]:
        """Top left of the scanned bounds in level-0 pixels, which is where the grid begins."""
        grid = self.source.grid
        return (0, 0) if grid is None else (grid.box.x, grid.box.y)

    @property
    def spacing(self) -> Spacing | None:
        """Size of a level-0 pixel in µm; None where it is not known."""
        block = self.source.spacing
        return None if block is None else Spacing(x=block.x, y=block.y)


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """Hold what an export works on.

    Parameters
    ----------
    root
        The run folder.
    slides
        In the order of ``results.csv``; with pseudonyms, in the order of these.
    names
        The pseudonyms in use; None where names are exported as they are.
    made_at
        When the run ended, ISO 8601; None where that is not known. Exports carry this time and
        not the present one, so that the same run gives the same bytes.
    slide_root
        Folder that the paths of the results are relative to; None for the current one.
    origin
        Where coordinates in GeoJSON and DICOM begin: ``bounds``, the scanned part that the header
        names, as QuPath and converters to DICOM count; ``level0``, the top left of level 0.
    n_in_run
        Slides of the run, exported or not.
    step
        Called with the name of each slide that is done.
    """

    root: Path
    slides: tuple[ExportSlide, ...]
    names: Pseudonyms | None = None
    made_at: str | None = None
    slide_root: Path | None = None
    origin: Origin = "bounds"
    n_in_run: int = 0
    step: Callable[[str], None] = field(default=lambda _name: None)

    @property
    def run_name(self) -> str:
        """Name of the run in print; a pseudonymised export does not show the folder's."""
        return self.root.resolve().name if self.names is None else "pseudonymised run"

    def offset_px(self, slide: ExportSlide) -> tuple[int, int]:
        """Return the level-0 pixel (x, y) at which the coordinates of a slide begin."""
        return slide.corner_px if self.origin == "bounds" else (0, 0)

    def with_step(self, step: Callable[[str], None]) -> ExportJob:
        """Return the job with another listener."""
        return replace(self, step=step)

    def write_each(
        self, folder: OutputFolder, ending: str, make: Callable[[ExportSlide], bytes | None]
    ) -> list[Path]:
        """Write one file for each slide, named after it.

        Parameters
        ----------
        folder
            Where to write.
        ending
            Of the files' names, such as ``.pdf``.
        make
            Returns the content; None for a slide without a file.

        Raises
        ------
        OutputError
            If another file has the name of one.
        SlideError
            If a file cannot be written.
        """
        written = []
        for slide in self.slides:
            content = make(slide)
            if content is not None:
                written.append(folder.write(f"{slide.result.slide_id}{ending}", content))
            self.step(slide.result.slide_id)
        return written


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Say what of a run is exported, and under which names.

    Parameters
    ----------
    names
        Export the names of files, cases and blocks as they are, in place of pseudonyms.
    pseudonyms
        Where key and list of the pseudonyms lie; default ``pseudonyms.json`` in the run folder.
    slides
        Only these slide ids, as in ``results.csv``; None for all.
    slide_root
        Folder that the paths in ``results.csv`` are relative to; None for the current one.
    origin
        As in :class:`ExportJob`.
    decisions
        What reviewers decided, by slide id as in ``results.csv``.
    reviewed
        Results that were counted anew in a reviewer's regions, and signed, by slide id; they are
        exported in place of the run's.
    counted
        Folders with the cells and tiles of these results, by slide id.
    """

    names: bool = False
    pseudonyms: Path | None = None
    slides: Sequence[str] | None = None
    slide_root: Path | None = None
    origin: Origin = "bounds"
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    reviewed: Mapping[str, SlideResult] = field(default_factory=dict)
    counted: Mapping[str, Path] = field(default_factory=dict)


def gather_job(
    run_dir: Path | str, options: ExportOptions | None = None, *, names: Pseudonyms | None = None
) -> ExportJob:
    """Read the results of a run and name its slides for an export.

    Parameters
    ----------
    run_dir
        The folder given as ``--out`` to ``her2 score``.
    options
        What is exported.
    names
        The pseudonyms; None keeps the names.

    Raises
    ------
    UsageError
        If there is no run, or a slide id is not in it.
    """
    root, choice = Path(run_dir), options or ExportOptions()
    results = read_results(root)
    wanted = slide_ids(results, choice.slides)
    found = [
        ExportSlide(
            result=shown if names is None else names.result(shown),
            source=result,
            folder=slide_folder(root, result.slide_id),
            decision=choice.decisions.get(result.slide_id),
            counted=choice.counted.get(result.slide_id),
        )
        for result in results
        if result.slide_id in wanted
        for shown in (choice.reviewed.get(result.slide_id, result),)
    ]
    if names is not None:
        # The order of file names says something about them.
        found.sort(key=lambda slide: slide.result.slide_id)
    return ExportJob(
        root=root,
        slides=tuple(found),
        names=names,
        made_at=_finished(root),
        slide_root=choice.slide_root,
        origin=choice.origin,
        n_in_run=len(results),
    )


def _finished(root: Path) -> str | None:
    # A run may lie elsewhere without its run.json: its tables alone can be exported.
    with suppress(OutputError):
        _, info = read_run_info(root)
        return None if info is None else info.finished or info.started
    return None


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a library that only some exports need.

    Raises
    ------
    UsageError
        If it is not installed; names the extra that brings it.

    Examples
    --------
    >>> import_extra("json", "pdf").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"this export needs the library {module.partition('.')[0]}, which is not installed",
            fix=f"Install the extra: pip install 'her2-ihc[{extra}]'.",
        ) from error
