"""From classified tiles to a score: the same rules as for cells, on counts of tumour tiles.

A tile model says of each tile that it holds no tumour, or what its tumour looks like. Each tumour
tile then counts once, with one membrane pattern, where a cell model would have counted its cells:

============  =========================================  ======================================
outputs       a tile is called                           and counts as the pattern
============  =========================================  ======================================
``patterns``  ``no_tumour``                              not at all
              one of the five membrane patterns          that pattern
``scores``    ``no_tumour``                              not at all
              ``0``                                      unstained
              ``1+``                                     incomplete faint
              ``2+``                                     complete weak-moderate
              ``3+``                                     complete intense
============  =========================================  ======================================

A score of a tile stands for the pattern that defines this score in the guideline. So the slide is
3+ where more than 10 % of its tumour tiles are 3+; 2+ where some are, but not more, or where more
than 10 % are 2+; and so on: the steps of :mod:`pathology.scoring.breast_steps`, with their floor
and their gap policy. Adding up "tiles at or above a score" instead would turn intense staining in
up to 10 % of the tumour into 0 or 1+, which the guideline calls 2+.

What tiles cannot say is left out: there is no membrane density and no H-score, and a null is never
free of the flag ``ultralow_not_excluded``, because a tile has the name of what prevails in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from scipy.spatial import cKDTree

from pathology.config import ScoringConfig
from pathology.errors import ConfigError, ReasonCode
from pathology.scoring.aggregate import score_evidence
from pathology.scoring.codes import counts_from_codes
from pathology.scoring.counts import PatternCounts
from pathology.scoring.evidence import Evidence
from pathology.scoring.guidelines import Guideline, load_guideline
from pathology.scoring.refusals import Presence
from pathology.scoring.slide_score import TILE_FLAG, SlideScore
from pathology.scoring.wording import CELL_WORDING, Wording
from pathology.types import AnyArray, BoolArray, FloatArray, U8Array

__all__ = [
    "NO_TUMOUR",
    "TILE_CLASSES",
    "TILE_FLAG",
    "TILE_WORDINGS",
    "TileEvidence",
    "TileOutputs",
    "count_tiles",
    "score_tiles",
    "tile_patterns",
]

TileOutputs = Literal["patterns", "scores"]

#: Classes of a tile model by what it puts out, in the order of its codes. Absence of tumour is a
#: class of its own, so that a tile without tumour never reads as unstained tumour.
TILE_CLASSES: Final[Mapping[TileOutputs, tuple[str, ...]]] = MappingProxyType(
    {
        "patterns": (
            "no_tumour",
            "unstained",
            "incomplete_faint",
            "incomplete_moderate_intense",
            "complete_weak_moderate",
            "complete_intense",
        ),
        "scores": ("no_tumour", "0", "1+", "2+", "3+"),
    }
)
#: Code of a tile without tumour, whatever the outputs.
NO_TUMOUR: Final = 0
#: The pattern code that each class counts as; -1: not at all.
_PATTERN_OF: Final[Mapping[TileOutputs, tuple[int, ...]]] = MappingProxyType(
    {"patterns": (-1, 0, 1, 2, 3, 4), "scores": (-1, 0, 1, 3, 4)}
)
#: Intensity and completeness that stand for a pattern, weakest pattern first. A tile's intensity is
#: not measured: only the pattern may be read from such counts.
_INTENSITY: Final = np.array([0, 1, 3, 2, 4], dtype=np.uint8)
_COMPLETE: Final = np.array([False, False, False, True, True])
#: Neighbours in the grid touch, also at a corner (1.41 sides apart); the next but one do not.
_LINK_SIDES: Final = 1.5
#: A tumour tile lies in a group where at least this many of its eight neighbours are tumour: two by
#: two tiles are the smallest group. Of false calls scattered over 5 % of the tiles, the binomial
#: tail P(>= 3 of 8) puts 0.6 % in groups.
GROUP_NEIGHBOURS: Final = 3

TILE_WORDINGS: Final[Mapping[TileOutputs, Wording]] = MappingProxyType(
    {
        "patterns": Wording(
            units="tiles",
            counted="tumour tiles",
            none="tile with tumour",
            patterns=CELL_WORDING.patterns,
            unstained="no tile with stained membranes",
        ),
        "scores": Wording(
            units="tiles",
            counted="tumour tiles",
            none="tile with tumour",
            patterns=MappingProxyType(
                {"CI": "called 3+", "CW": "called 2+", "IM": "called 2+", "IF": "called 1+"}
            ),
            unstained="no tile called more than 0",
        ),
    }
)


@dataclass(frozen=True, kw_only=True)
class TileEvidence:
    """Hold the tumour tiles of one slide that count.

    Parameters
    ----------
    x_um, y_um
        (n,) float32: middle of each tile in µm from the top left of level 0.
    pattern
        (n,) uint8: pattern that the tile counts as, 0 to 4, weakest first.
    side_um
        Side of a tile in µm, above 0; the longer one where they differ.
    n_read, n_failed
        Tiles that were classified, with tumour or without, and tiles that could not be read.
    n_in_situ_excluded
        Tiles left out because they lie in annotated in-situ carcinoma.
    outputs
        What the model puts out; only the words of the clause depend on it.
    tumour_drawn
        A person drew the tumour: its presence is not asked.

    Raises
    ------
    ValueError
        If lengths, types or numbers do not fit.

    Examples
    --------
    >>> place = np.arange(3, dtype=np.float32)
    >>> TileEvidence(x_um=place, y_um=place, pattern=np.zeros(3, dtype=np.uint8), side_um=128.0,
    ...              n_read=5).n
    3
    """

    x_um: FloatArray
    y_um: FloatArray
    pattern: U8Array
    side_um: float
    n_read: int
    n_failed: int = 0
    n_in_situ_excluded: int = 0
    outputs: TileOutputs = "patterns"
    tumour_drawn: bool = False

    def __post_init__(self) -> None:
        if self.pattern.dtype != np.uint8 or self.pattern.shape != self.x_um.shape:
            raise ValueError("pattern must be uint8, one for each tile")
        if self.n and int(self.pattern.max()) >= len(_INTENSITY):
            raise ValueError(f"there is no pattern {int(self.pattern.max())}")
        if not self.side_um > 0:
            raise ValueError(f"side_um must be above 0, not {self.side_um}")
        if self.n_failed < 0 or self.n > self.n_read:
            raise ValueError(
                f"{self.n} tumour tiles of {self.n_read} read and {self.n_failed} failed ones"
            )

    @property
    def n(self) -> int:
        """Number of tumour tiles that count."""
        return len(self.pattern)


def tile_patterns(codes: AnyArray, outputs: TileOutputs) -> AnyArray:
    """Say which pattern each tile counts as.

    Parameters
    ----------
    codes
        (n,) integers: index into ``TILE_CLASSES[outputs]``.
    outputs
        What the model puts out.

    Returns
    -------
    numpy.ndarray
        (n,) int8: pattern, 0 to 4, weakest first; -1 for tiles without tumour.

    Examples
    --------
    >>> tile_patterns(np.array([0, 1, 3, 4]), "scores").tolist()
    [-1, 0, 3, 4]
    """
    return np.array(_PATTERN_OF[outputs], dtype=np.int8)[codes]


def count_tiles(pattern: U8Array) -> PatternCounts:
    """Count tumour tiles by pattern.

    Parameters
    ----------
    pattern
        (n,) uint8, 0 to 4, weakest first.

    Returns
    -------
    PatternCounts
        One per tile. The intensities within a pattern stand for the pattern; they were not
        measured.

    Examples
    --------
    >>> counts = count_tiles(np.array([0, 3, 4, 4], dtype=np.uint8))
    >>> counts.unstained, counts.complete_weak_moderate, counts.complete_intense
    (1, 1, 2)
    """
    return counts_from_codes(_INTENSITY[pattern], _complete(pattern))


def score_tiles(
    evidence: TileEvidence,
    params: ScoringConfig,
    *,
    guideline: Guideline | None = None,
    refusals: Sequence[ReasonCode] = (),
) -> SlideScore:
    """Score a slide from its tumour tiles.

    Missing evidence is never a low score: with fewer than ``min_tumour_tiles`` tumour tiles, or
    where tiles that could not be read might change the score, there is none. Nor is there one where
    tumour does not show itself, by its share of the tiles read or by tiles that touch, unless a
    person drew it.

    Parameters
    ----------
    evidence
        Tiles that count, and how many were read and failed.
    params
        The section ``scoring`` of the configuration.
    guideline
        The guideline; None reads the one that ``params`` names.
    refusals
        Reasons why there can be no score that were found before.

    Returns
    -------
    SlideScore
        Counts are tiles; always with the flag ``tile_model``, never with an H-score.

    Raises
    ------
    ConfigError
        If the guideline is not known, or is about single cells.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> place = np.arange(60, dtype=np.float32) * 128
    >>> pattern = np.where(np.arange(60) < 12, 4, 0).astype(np.uint8)
    >>> score = score_tiles(TileEvidence(x_um=place, y_um=place, pattern=pattern, side_um=128.0,
    ...                                  n_read=80), load_config().scoring)
    >>> score.ihc_score, score.deciding_clause
    ('3+', '3+: 20.0 % complete intense > 10 % (12 of 60 tiles)')
    """
    named = guideline or load_guideline(params.guideline)
    if named.specimens:
        raise ConfigError(
            f"guideline {named.id} counts cells by intensity, which no tile model measures",
            fix="Use a cell model, or a breast guideline.",
        )
    score = score_evidence(
        _as_cells(evidence),
        _for_tiles(params, evidence),
        guideline=guideline,
        refusals=refusals,
        wording=TILE_WORDINGS[evidence.outputs],
    )
    # No density was measured, so no limit of blank can be missing; but a tile that is called
    # unstained may hold stained cells.
    flags = {*score.flags, TILE_FLAG} - {"limit_of_blank_unset"}
    if score.her2_tier == "her2_null":
        flags |= {"ultralow_not_excluded"}
    return replace(
        score,
        flags=tuple(sorted(flags)),
        mean_membrane_od=None,
        h_score=None,
        # A bound for the share of tiles bounds no share of cells.
        ultralow_upper_pct=None,
    )


def _complete(pattern: U8Array) -> BoolArray:
    return np.asarray(_COMPLETE[pattern], dtype=np.bool_)


def _as_cells(evidence: TileEvidence) -> Evidence:
    """Return one "cell" per tumour tile, with areas counted in tiles."""
    return Evidence(
        x_um=evidence.x_um,
        y_um=evidence.y_um,
        intensity=_INTENSITY[evidence.pattern],
        complete=_complete(evidence.pattern),
        membrane_od=np.zeros(evidence.n, dtype=np.float32),
        tissue_mm2=float(evidence.n_read + evidence.n_failed),
        failed_tissue_mm2=float(evidence.n_failed),
        n_in_situ_excluded=evidence.n_in_situ_excluded,
        presence=None if evidence.tumour_drawn else _presence(evidence),
    )


def _presence(evidence: TileEvidence) -> Presence:
    """Count the tumour tiles among all that were read, and those that lie among their kind."""
    n_grouped = 0
    if evidence.n:
        points = np.column_stack((evidence.x_um, evidence.y_um)).astype(np.float64)
        near = cKDTree(points).query_ball_point(
            points, _LINK_SIDES * evidence.side_um, return_length=True
        )
        # Each tile also finds itself.
        n_grouped = int(np.count_nonzero(near > GROUP_NEIGHBOURS))
    return Presence(
        n_tumour=evidence.n, n_nuclei=evidence.n_read, n_grouped=n_grouped, units="tiles"
    )


def _for_tiles(params: ScoringConfig, evidence: TileEvidence) -> ScoringConfig:
    """Put the limits of tiles in the place of those of cells."""
    # One tile of 40 is 2.5 %, so a floor of 1 % asks for nothing. The floor lies half a tile below
    # the count that is asked for, so that rounding never decides.
    least_pct = 100 * (params.cluster_min_tiles - 0.5) / max(1, evidence.n)
    return params.model_copy(
        update={
            "min_tumour_cells": params.min_tumour_tiles,
            "cluster_min_cells": params.cluster_min_tiles,
            "cluster_link_um": _LINK_SIDES * evidence.side_um,
            "pattern_floor_pct": max(params.pattern_floor_pct, least_pct),
            # Half of the minimum, as for cells.
            "group_min_cells": (params.min_tumour_tiles + 1) // 2,
            # Areas are counted in tiles here, and a failed tile is at most one tumour tile.
            "unseen_density_per_mm2": 1.0,
        }
    )
