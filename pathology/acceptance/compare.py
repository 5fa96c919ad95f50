"""Compare two runs of the same slides: their bytes, their scores, their cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathology.acceptance.facts import cell_centres
from pathology.cells import match_points
from pathology.errors import OutputError
from pathology.runs import RunKey, SlideResult, read_results, read_run_info
from pathology.runs.layout import (
    CASES_CSV,
    CELLS,
    RESULT,
    RESULTS_CSV,
    RESULTS_PARQUET,
    TILES,
    slide_folder,
)

__all__ = ["RunComparison", "SlidePair", "compare_runs"]


@dataclass(frozen=True, kw_only=True)
class SlidePair:
    """Hold one slide as two runs read it.

    Parameters
    ----------
    slide_id
        The slide.
    first, second
        What came out: a score, or why there is none.
    same_tier
        Whether the HER2 tier is the same too.
    h_score_difference
        Absolute, points; None where a run has none.
    cells, paired
        Tumour cells of the run that has more of them, and those that both have.
    other_file
        Whether the two runs read different files under one name, so that nothing can be said.
    """

    slide_id: str
    first: str
    second: str
    same_tier: bool
    h_score_difference: float | None
    cells: int
    paired: int
    other_file: bool = False

    @property
    def same_score(self) -> bool:
        """Whether both gave the same score, or refused for the same reasons."""
        return self.first == self.second

    @property
    def paired_pct(self) -> float | None:
        """Share of cells that both have, %; None where there are none."""
        return 100 * self.paired / self.cells if self.cells else None


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """Hold two runs of the same slides.

    Parameters
    ----------
    first, second
        Names of the runs, such as ``cpu`` and ``cuda:0``.
    pairs
        Slides that both read.
    files
        Names of the tables that were compared.
    different_files
        Those that differ in a byte, or that one run lacks.
    only_in_one
        Ids of slides that one run lacks.
    """

    first: str
    second: str
    pairs: tuple[SlidePair, ...]
    files: tuple[str, ...]
    different_files: tuple[str, ...]
    only_in_one: tuple[str, ...] = ()

    @property
    def comparable(self) -> tuple[SlidePair, ...]:
        """Slides of which both runs read the same file."""
        return tuple(pair for pair in self.pairs if not pair.other_file)


def compare_runs(
    first: Path, second: Path, *, names: tuple[str, str], same_cell_um: float
) -> RunComparison:
    """Compare two finished runs of the same slides, model and configuration.

    Parameters
    ----------
    first, second
        Run folders.
    names
        What to call them.
    same_cell_um
        Distance within which two cells are one, µm.

    Raises
    ------
    OutputError
        If a folder holds no finished run, or they differ in configuration or model: what is
        compared is the machine, and nothing else.

    Returns
    -------
    RunComparison
        Slides in the order of the first run.
    """
    differ = _key(first).differences(_key(second))
    if differ:
        raise OutputError(
            f"{first} and {second}: are runs of different settings ({'; '.join(differ)})",
            fix="Compare two runs of one model, configuration and calibration.",
        )
    there, here = _results(first), _results(second)
    shared = [slide_id for slide_id in there if slide_id in here]
    files = sorted({*_tables(first), *_tables(second)})
    return RunComparison(
        first=names[0],
        second=names[1],
        pairs=tuple(
            _pair(first, second, there[slide_id], here[slide_id], same_cell_um)
            for slide_id in shared
        ),
        files=tuple(files),
        different_files=tuple(name for name in files if not _same(first / name, second / name)),
        only_in_one=tuple(sorted(set(there) ^ set(here))),
    )


def _key(folder: Path) -> RunKey:
    key, info = read_run_info(folder)
    if info is None or info.finished is None:
        raise OutputError(f"{folder}: this run has not finished", fix="Finish it first.")
    return key


def _results(folder: Path) -> dict[str, SlideResult]:
    return {result.slide_id: result for result in read_results(folder)}


def _tables(folder: Path) -> Iterator[str]:
    """Name the tables of a run: of all slides, and of each slide in its results."""
    yield from (RESULTS_CSV, RESULTS_PARQUET, CASES_CSV)
    for slide_id in _results(folder):
        place = slide_folder(folder, slide_id)
        for name in (RESULT, CELLS, TILES):
            if (place / name).is_file():
                yield (place / name).relative_to(folder).as_posix()


def _same(first: Path, second: Path) -> bool:
    return first.is_file() and second.is_file() and first.read_bytes() == second.read_bytes()


def _pair(
    first: Path, second: Path, there: SlideResult, here: SlideResult, same_cell_um: float
) -> SlidePair:
    points = cell_centres(first, there.slide_id), cell_centres(second, here.slide_id)
    scores = there.h_score, here.h_score
    return SlidePair(
        slide_id=there.slide_id,
        first=_outcome(there),
        second=_outcome(here),
        same_tier=there.her2_tier == here.her2_tier,
        h_score_difference=(
            None if scores[0] is None or scores[1] is None else abs(scores[0] - scores[1])
        ),
        cells=max(map(len, points)),
        paired=len(match_points(*points, same_cell_um)),
        other_file=_other_file(there, here),
    )


def _other_file(there: SlideResult, here: SlideResult) -> bool:
    """Tell whether two runs read different files; times of change may differ between copies."""
    if there.identity is None or here.identity is None:
        return False
    one, two = there.identity, here.identity
    # A run that could not open the file has no hash of it.
    hashes = {one.quickhash, two.quickhash} - {None}
    return one.size != two.size or len(hashes) > 1


def _outcome(result: SlideResult) -> str:
    if result.status == "scored":
        return result.ihc_score or "unresolved"
    return f"{result.status} ({', '.join(str(code) for code in result.reasons)})"
