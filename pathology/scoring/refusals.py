"""When a slide must not be scored although cells were called tumour: no tumour, or no focus.

A network calls some cells of any tissue tumour. On a lymph node of 200,000 nuclei half a per cent
of false calls are 1,000 cells, all unstained, and would make a confident 0. Tumour is therefore
believed where it is a real share of the nuclei, or where its cells lie together, as false calls do
not. This decides only whether there is a score; which cells count is never changed by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.spatial import cKDTree

from pathology.config import ScoringConfig
from pathology.scoring.bounds import exact_interval
from pathology.types import BoolArray, FloatArray

__all__ = [
    "FocusShares",
    "Presence",
    "Sharpness",
    "Verdict",
    "focus_shares",
    "grouped_cells",
    "judge_focus",
    "judge_presence",
]

Verdict = Literal["present", "doubtful", "absent"]
Sharpness = Literal["sharp", "partly", "blurred"]
#: Confidence of the exact interval of the tumour share.
CONFIDENCE = 0.95
#: Without any coarse structure (no focus), a tile is blurred where at least this share of it is
#: tissue; with less it may be glass. A tile classifier asks for the same share.
BLURRED_TISSUE_SHARE: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Presence:
    """Count what speaks for tumour on a slide.

    Parameters
    ----------
    n_tumour
        Evaluable cells called tumour.
    n_nuclei
        All cells in evaluable tissue, of any class, tumour included.
    n_grouped
        Sure tumour cells that lie in groups, see :func:`grouped_cells`.
    n_sure
        Evaluable cells that are tumour with at least ``sure_probability``; None: all of them. Only
        these speak for tumour: in tissue without any, a network wavers.
    units
        What was counted, in words; a tile model counts tiles in the place of nuclei.

    Raises
    ------
    ValueError
        If ``0 <= n_grouped <= n_sure <= n_tumour <= n_nuclei`` does not hold.
    """

    n_tumour: int
    n_nuclei: int
    n_grouped: int
    n_sure: int | None = None
    units: str = "nuclei"

    def __post_init__(self) -> None:
        if not 0 <= self.n_grouped <= self.sure <= self.n_tumour <= self.n_nuclei:
            raise ValueError(f"0 <= n_grouped <= n_sure <= n_tumour <= n_nuclei must hold: {self}")

    @property
    def sure(self) -> int:
        """Cells that speak for tumour."""
        return self.n_tumour if self.n_sure is None else self.n_sure

    def group_min(self, params: ScoringConfig) -> int:
        """Return how many grouped cells prove tumour: more where more other nuclei were seen.

        Parameters
        ----------
        params
            The section ``scoring`` of the configuration.
        """
        others = self.n_nuclei - self.sure
        return max(params.group_min_cells, int(params.group_min_per_1000 * others / 1000))

    def describe(self, params: ScoringConfig) -> str:
        """Say what was found, in words with figures.

        Parameters
        ----------
        params
            The section ``scoring`` of the configuration.
        """
        share = 100 * self.sure / self.n_nuclei if self.n_nuclei else 0.0
        doubt = f" ({self.n_tumour:,} called so)" if self.sure < self.n_tumour else ""
        seen = f"{self.sure:,} of {self.n_nuclei:,} {self.units} ({share:.1f} %)"
        return (
            f"{seen} {'called' if self.n_sure is None else 'surely'} tumour{doubt}, "
            f"{self.n_grouped:,} of them in groups; tumour shows by more than "
            f"{100 * params.tumour_share_min:g} % or by {self.group_min(params):,} in groups"
        )


def grouped_cells(
    x_um: FloatArray, y_um: FloatArray, tumour: BoolArray, params: ScoringConfig
) -> BoolArray:
    """Tell which tumour cells lie among others of their kind.

    A tumour cell lies in a group where at least ``group_tumour`` of the ``group_nuclei`` nuclei
    nearest to it, itself included, are tumour; nuclei beyond ``group_radius_um`` do not count.
    Adding a tumour cell never takes another out of its group.

    Parameters
    ----------
    x_um, y_um
        (n,) float: centres of all nuclei, tumour or not, in µm.
    tumour
        (n,) bool: which of them are called tumour.
    params
        The section ``scoring`` of the configuration.

    Returns
    -------
    numpy.ndarray
        (n,) bool; False for cells that are not tumour.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> x = np.arange(20, dtype=np.float32) * 10
    >>> nest = x < 60  # six tumour cells side by side
    >>> int(grouped_cells(x, 0 * x, nest, load_config().scoring).sum())
    6
    >>> lone = x == 100
    >>> int(grouped_cells(x, 0 * x, lone, load_config().scoring).sum())
    0
    """
    found = np.zeros(len(x_um), dtype=np.bool_)
    rows = np.flatnonzero(tumour)
    if len(rows) < params.group_tumour:
        return found
    points = np.column_stack((x_um, y_um)).astype(np.float64)
    tree = cKDTree(points)
    k = min(params.group_nuclei, len(points))
    _, near = tree.query(points[rows], k=k, distance_upper_bound=params.group_radius_um)
    # Where fewer lie within the radius, the tree fills up with index n: not a tumour cell.
    known = np.append(tumour, False)
    count = known[near.reshape(len(rows), -1)].sum(axis=1)
    found[rows] = count >= params.group_tumour
    return found


def judge_presence(presence: Presence, params: ScoringConfig) -> Verdict:
    """Judge whether there is tumour on a slide.

    Adding tumour cells never turns ``present`` into anything else, nor ``doubtful`` into
    ``absent``.

    Parameters
    ----------
    presence
        What speaks for it.
    params
        The section ``scoring`` of the configuration.

    Returns
    -------
    str
        ``present`` where the tumour share is surely above ``tumour_share_min`` or enough cells lie
        in groups; ``absent`` where the share is surely below it and too few lie in groups;
        ``doubtful`` between.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> params = load_config().scoring
    >>> judge_presence(Presence(n_tumour=1000, n_nuclei=200_000, n_grouped=12), params)
    'absent'
    >>> judge_presence(Presence(n_tumour=300, n_nuclei=2000, n_grouped=20), params)
    'present'
    """
    n, total = presence.sure, presence.n_nuclei
    if presence.n_grouped >= presence.group_min(params):
        return "present"
    if total == 0:
        return "absent"
    low, high = exact_interval(n, total, confidence=CONFIDENCE)
    if low > params.tumour_share_min:
        return "present"
    return "absent" if high < params.tumour_share_min else "doubtful"


@dataclass(frozen=True, kw_only=True)
class FocusShares:
    """Say how much of a slide is out of focus.

    Parameters
    ----------
    n_cells
        Tumour cells, or tumour tiles of a tile model, in tiles that are sharp or blurred.
    n_blurred_cells
        Those of them in tiles out of focus.
    tissue_mm2, blurred_tissue_mm2
        The same for tissue.
    """

    n_cells: int
    n_blurred_cells: int
    tissue_mm2: float
    blurred_tissue_mm2: float

    @property
    def of_cells(self) -> float:
        """Share (0 to 1) of the tumour cells that lie out of focus; 0 without cells."""
        return self.n_blurred_cells / self.n_cells if self.n_cells else 0.0

    @property
    def of_tissue(self) -> float:
        """Share (0 to 1) of the tissue that lies out of focus; 0 without tissue."""
        return self.blurred_tissue_mm2 / self.tissue_mm2 if self.tissue_mm2 > 0 else 0.0

    def describe(self, params: ScoringConfig, *, units: str = "cells") -> str:
        """Say it in words with figures.

        Parameters
        ----------
        params
            The section ``scoring`` of the configuration.
        units
            What the model counts: cells or tiles.
        """
        return (
            f"{100 * self.of_cells:.0f} % of the tumour {units} and "
            f"{100 * self.of_tissue:.0f} % of the tissue lie in tiles out of focus (focus below "
            f"{params.focus_min:g}; limit {100 * params.out_of_focus_max:g} %): faint membranes "
            "cannot be seen there"
        )


def focus_shares(
    tiles: Iterable[tuple[float | None, int, float, float]], params: ScoringConfig
) -> FocusShares:
    """Add up tiles that are out of focus.

    Strong blur leaves no structure to measure focus by. So a tile without focus is blurred where it
    holds tumour, or where tissue covers at least :data:`BLURRED_TISSUE_SHARE` of it; else it is
    glass, and left out.

    Parameters
    ----------
    tiles
        Focus (0 to 1, None where there is no structure), tumour cells, tissue in mm², and share (0
        to 1) of the tile that is tissue, of each tile that was read.
    params
        The section ``scoring`` of the configuration.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> tiles = [(0.7, 30, 0.05, 1.0), (0.3, 10, 0.05, 1.0), (None, 0, 0.01, 0.2)]
    >>> focus_shares(tiles, load_config().scoring).of_cells
    0.25
    """
    seen = [
        (focus is None or focus < params.focus_min, n, mm2)
        for focus, n, mm2, share in tiles
        if focus is not None or n > 0 or share >= BLURRED_TISSUE_SHARE
    ]
    return FocusShares(
        n_cells=sum(n for _, n, _ in seen),
        n_blurred_cells=sum(n for blurred, n, _ in seen if blurred),
        tissue_mm2=sum(mm2 for _, _, mm2 in seen),
        blurred_tissue_mm2=sum(mm2 for blurred, _, mm2 in seen if blurred),
    )


def judge_focus(shares: FocusShares, params: ScoringConfig, *, minimum: int) -> Sharpness:
    """Judge whether a slide is sharp enough to be scored.

    The tumour cells decide; where there are too few for a score, the tissue does, because blur
    hides tumour cells as well.

    Parameters
    ----------
    shares
        What lies out of focus.
    params
        The section ``scoring`` of the configuration.
    minimum
        The fewest tumour cells, or tumour tiles of a tile model, that are scored.

    Returns
    -------
    str
        ``blurred`` where most of it is out of focus: no score; ``partly`` where a part of the cells
        or the tissue is: a flag; else ``sharp``.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> shares = FocusShares(n_cells=900, n_blurred_cells=600, tissue_mm2=2, blurred_tissue_mm2=1)
    >>> judge_focus(shares, load_config().scoring, minimum=100)
    'blurred'
    """
    enough = shares.n_cells >= minimum
    if (shares.of_cells if enough else shares.of_tissue) > params.out_of_focus_max:
        return "blurred"
    if max(shares.of_cells, shares.of_tissue) > params.partly_out_of_focus_min:
        return "partly"
    return "sharp"
