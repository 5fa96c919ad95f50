"""What the tiles say about whether a slide can be scored, beside its cells: focus and doubts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pathology.config import Config
from pathology.errors import ReasonCode
from pathology.pipeline.classifying import ClassifiedTiles
from pathology.pipeline.gathered import TileReading
from pathology.runs.blocks import Scalar
from pathology.scoring import focus_shares, judge_focus
from pathology.tissue import TissueFinding

__all__ = ["Quality", "judge_quality"]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Hold what forbids a score, what casts doubt on it, and the measurements behind it.

    Parameters
    ----------
    reasons, explanations
        Why there can be no score, with one sentence each.
    flags
        Doubts.
    measured
        For the block ``qc`` of ``result.json``.
    """

    reasons: tuple[ReasonCode, ...] = ()
    explanations: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    measured: dict[str, Scalar] = field(default_factory=dict)


def judge_quality(finding: TissueFinding, reading: TileReading, config: Config) -> Quality:
    """Judge a slide by its overview and the focus of its tiles.

    Parameters
    ----------
    finding
        What the overview shows; its reasons come first, and make focus irrelevant.
    reading
        What the tiles gave.
    config
        Configuration.

    Returns
    -------
    Quality
        ``out_of_focus`` where most of the tumour is; measurements in any case.
    """
    params, pixel_mm2 = config.scoring, reading.spacing.area_um2 / 1e6
    shares = focus_shares(
        (
            (
                row.focus,
                row.n_tumour_cells,
                row.core.area * pixel_mm2 * row.tissue_fraction,
                row.tissue_fraction,
            )
            for row in reading.rows
            # A tile that could not be read has no focus either, and says nothing about blur.
            if row.status == "ok"
        ),
        params,
    )
    measured: dict[str, Scalar] = {}
    sharpness = [row.focus for row in reading.rows if row.focus is not None and row.n_tumour_cells]
    if sharpness:
        measured["focus_median_tumour_tiles"] = float(np.median(sharpness))
    if shares.tissue_mm2 > 0:
        measured["out_of_focus_tumour_share"] = shares.of_cells
        measured["out_of_focus_tissue_share"] = shares.of_tissue
    if reading.n_nuclei:
        measured["nuclei"] = reading.n_nuclei
        measured["sure_tumour_cells"] = reading.n_sure
        measured["grouped_tumour_cells"] = reading.n_grouped
    tiles = isinstance(reading, ClassifiedTiles)
    minimum = params.min_tumour_tiles if tiles else params.min_tumour_cells
    verdict = judge_focus(shares, params, minimum=minimum)
    reasons, explanations = finding.reasons, finding.explanations
    if verdict == "blurred" and not reasons:
        reasons, explanations = (
            (ReasonCode.OUT_OF_FOCUS,),
            (shares.describe(params, units="tiles" if tiles else "cells"),),
        )
    return Quality(
        reasons=reasons,
        explanations=explanations,
        flags=frozenset({"partly_out_of_focus"} if verdict == "partly" else ()),
        measured=measured,
    )
