"""What a run made of each slide, beside what was expected of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pathology.acceptance.expected import ExpectedOutcome
from pathology.acceptance.synthetic import SyntheticTruth
from pathology.cells import match_points
from pathology.errors import SlideError
from pathology.runs import SlideFolder, SlideResult, read_cell_columns, read_results
from pathology.runs.log import read_slide_seconds
from pathology.runs.reference import refuse_reference
from pathology.runs.row import PATTERN_COLUMNS
from pathology.types import AnyArray

__all__ = ["CellFacts", "SlideFact", "cell_centres", "gather_facts"]


@dataclass(frozen=True, kw_only=True)
class CellFacts:
    """Hold what was found of the true tumour cells of a synthetic slide.

    Parameters
    ----------
    true, found, paired
        True and found tumour cells, and pairs of them.
    pattern_error_pp
        Found minus true share of each membrane pattern, percentage points.

    Examples
    --------
    >>> facts = CellFacts(true=10, found=8, paired=6, pattern_error_pp={"unstained": -2.0})
    >>> facts.found_pct, facts.right_pct, facts.worst_pattern
    (60.0, 75.0, ('unstained', -2.0))
    """

    true: int
    found: int
    paired: int
    pattern_error_pp: Mapping[str, float] = field(default_factory=dict)

    @property
    def found_pct(self) -> float:
        """True cells that were found, %."""
        return 100 * self.paired / self.true if self.true else 100.0

    @property
    def right_pct(self) -> float:
        """Found cells that are true, %; 0 where none was found."""
        return 100 * self.paired / self.found if self.found else 0.0

    @property
    def worst_pattern(self) -> tuple[str, float]:
        """The pattern whose share is farthest off, and by how much."""
        return max(self.pattern_error_pp.items(), key=lambda item: abs(item[1]))


@dataclass(frozen=True, kw_only=True)
class SlideFact:
    """Hold one slide: what was expected, and what came out.

    Parameters
    ----------
    result
        What came out.
    expected
        What may come out; None where nobody said.
    refused
        Why what was expected cannot serve as truth, a key of ``REFUSALS``; None where it can.
    distance_pp
        To the nearest cut-off: of the true cells where they are known, else of the measured ones.
    near
        Whether that is near; None without a distance.
    seconds
        That the slide took when it was last read; None where no log of the run has it.
    cells
        Against the true cells, where they are known and the slide has cells.
    """

    result: SlideResult
    expected: ExpectedOutcome | None
    refused: str | None = None
    distance_pp: float | None = None
    near: bool | None = None
    seconds: float | None = None
    cells: CellFacts | None = None

    @property
    def truth(self) -> ExpectedOutcome | None:
        """What was expected, where it can serve as truth."""
        return None if self.refused else self.expected

    @property
    def right(self) -> bool | None:
        """Whether the slide came out as expected; None where nothing can be said."""
        if self.truth is None:
            return None
        result = self.result
        return self.truth.allows(result.status, result.ihc_score, result.reasons)

    @property
    def found_text(self) -> str:
        """What came out, in the words of an expectation."""
        if self.result.status == "scored":
            return self.result.ihc_score or "unresolved"
        return ";".join(f"{self.result.status}:{code}" for code in self.result.reasons)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """Hold what a site says of one of its slides.

    Parameters
    ----------
    expected
        What may come out; None where nothing is said.
    saw_score
        Whether whoever said so had seen the program's score; None where not known.
    """

    expected: ExpectedOutcome | None
    saw_score: bool | None = None


def gather_facts(
    run_dir: Path,
    *,
    near_pp: float,
    match_um: float,
    stated: Mapping[str, Stated] | None = None,
    synthetic: Iterable[SyntheticTruth] = (),
) -> list[SlideFact]:
    """Read a finished run and lay what was expected beside it.

    Parameters
    ----------
    run_dir
        The run folder.
    near_pp
        Distance to a cut-off, percentage points, within which a slide is near.
    match_um
        Distance within which a found and a true cell are one, µm.
    stated
        What the site says, by slide id.
    synthetic
        Slides whose every cell is known; told by their file's name.

    Returns
    -------
    list of SlideFact
        In the order of ``results.csv``.

    Raises
    ------
    OutputError
        If the folder holds no finished run.
    """
    truths = {truth.path.name: truth for truth in synthetic}
    seconds = read_slide_seconds(run_dir)
    facts = []
    for result in read_results(run_dir):
        truth = truths.get(Path(result.path).name)
        said = (stated or {}).get(result.slide_id, Stated(expected=None))
        distance = truth.distance_pp if truth is not None else result.margin_pp
        facts.append(
            SlideFact(
                result=result,
                expected=said.expected if truth is None else truth.expected,
                refused=refuse_reference(result, saw_score=said.saw_score),
                distance_pp=distance,
                near=None if distance is None else distance <= near_pp,
                seconds=seconds.get(result.slide_id),
                cells=None if truth is None else _cells(run_dir, result, truth, match_um),
            )
        )
    return facts


def cell_centres(run_dir: Path, slide_id: str) -> AnyArray:
    """Return (n, 2) x and y of the tumour cells that counted, µm; none where there is no table."""
    path = SlideFolder(root=run_dir, slide_id=slide_id).cells
    parts = [np.zeros((0, 2))]
    try:
        for group in read_cell_columns(path, ["x_um", "y_um", "evaluable"]):
            points = np.stack([group["x_um"], group["y_um"]], axis=1).astype(np.float64)
            parts.append(points[group["evaluable"]])
    except SlideError:
        return np.zeros((0, 2))
    return np.concatenate(parts)


def _cells(
    run_dir: Path, result: SlideResult, truth: SyntheticTruth, match_um: float
) -> CellFacts | None:
    if truth.counts is None:
        return None
    found = cell_centres(run_dir, result.slide_id)
    errors = {}
    for name in PATTERN_COLUMNS:
        true_pct = 100 * getattr(truth.counts, name) / truth.counts.total
        errors[name] = (getattr(result, f"pct_{name}") or 0.0) - true_pct
    return CellFacts(
        true=len(truth.cells_um),
        found=len(found),
        paired=len(match_points(truth.cells_um, found, match_um)),
        pattern_error_pp=errors,
    )
