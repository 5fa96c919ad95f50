"""Synthetic slides on the disk, with the truth of every tumour cell in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pathology.acceptance.criteria import Criteria, PlannedSlide
from pathology.acceptance.expected import ExpectedOutcome
from pathology.config import Config
from pathology.errors import OutputError
from pathology.runs.outputs import OutputFolder
from pathology.scoring.counts import PatternCounts
from pathology.synthesis import SyntheticSlide, render_slide, write_slide
from pathology.synthesis.scored import true_score
from pathology.types import AnyArray

__all__ = ["SyntheticTruth", "make_slides"]


@dataclass(frozen=True, kw_only=True)
class SyntheticTruth:
    """Hold a synthetic slide and what is true of it.

    Parameters
    ----------
    path
        The file.
    seed
        Of the rendering.
    expected
        What it may come out as.
    distance_pp
        Of the true cells' score to its cut-off, percentage points; None for a slide without score.
    counts
        True tumour cells by intensity and completeness; None for a slide without score.
    cells_um
        (n, 2) x and y of the true, visible, invasive tumour cells, µm from the top left.
    """

    path: Path
    seed: int
    expected: ExpectedOutcome
    distance_pp: float | None
    counts: PatternCounts | None
    cells_um: AnyArray


def make_slides(
    criteria: Criteria,
    folder: Path,
    config: Config,
    *,
    tell: Callable[[str], None] | None = None,
) -> list[SyntheticTruth]:
    """Render the synthetic slides and write those that are not there yet.

    Every slide is rendered anew, so that its truth is never that of an older file; a file that
    already holds the same bytes is left alone, and its results can be taken again. Slides of an
    earlier acceptance are written over, other files never.

    Parameters
    ----------
    criteria
        Names the slides and their seeds.
    folder
        Where the files go; made where there is none.
    config
        Cut-offs and rules that the true cells are scored by.
    tell
        Called with each file's name before it is made.

    Returns
    -------
    list of SyntheticTruth
        In the order of the criteria.

    Raises
    ------
    OutputError
        If a file cannot be written, another file has its name, or the truth of a slide has another
        score than it was made for.
    """
    place = OutputFolder(folder, command="her2 accept")
    truths = []
    for number, planned in enumerate(criteria.synthetic.slides):
        path = folder / f"{planned.name}.tif"
        if tell is not None:
            tell(path.name)
        seed = criteria.synthetic.first_seed + number
        slide = render_slide(planned.spec, seed)
        place.put(path.name, partial(write_slide, slide))
        truths.append(_truth(planned, slide, path, seed, config))
    return truths


def _truth(
    planned: PlannedSlide, slide: SyntheticSlide, path: Path, seed: int, config: Config
) -> SyntheticTruth:
    if slide.expected_score is None:
        return SyntheticTruth(
            path=path,
            seed=seed,
            expected=ExpectedOutcome.parse(planned.refusal),
            distance_pp=None,
            counts=None,
            cells_um=np.zeros((0, 2)),
        )
    scored = true_score(slide.cells, slide.mpp, config.scoring, config.measurement)
    if scored.ihc_score is None:
        raise OutputError(
            f"{path}: the true cells of this slide have no score ({', '.join(scored.reasons)})",
            fix="Make piece_mm larger in the criteria, or lower scoring.min_tumour_cells.",
        )
    mine = (slide.cells.cell_class == 0) & slide.cells.visible
    return SyntheticTruth(
        path=path,
        seed=seed,
        expected=ExpectedOutcome(scores=(scored.ihc_score,)),
        distance_pp=scored.nearest_score_pp,
        counts=scored.counts,
        cells_um=np.stack([slide.cells.x_px[mine], slide.cells.y_px[mine]], axis=1) * slide.mpp,
    )
