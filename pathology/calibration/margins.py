"""How far each slide is from each cut of the score, for every set of cut-offs on a grid.

The shares that the guideline compares with 10 % are worked out for each slide once, as functions of
the three cut-offs of intensity. What a fit does afterwards, leaving slides out included, is sums
over these tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pathology.calibration.samples import SlideSample
from pathology.cells import N_RAYS
from pathology.errors import ConfigError
from pathology.scoring import Guideline
from pathology.stain.calibration import OD_STEP, CutoffOds
from pathology.types import AnyArray, BoolArray, IntArray

__all__ = ["CellLevels", "CutGrid", "MarginTables", "margin_tables", "share_margin"]

#: Optical densities are compared as integers of 1/10,000 OD, as cells are classed.
_UNITS = 10_000
#: A control is what most of its cells are.
_CONTROL_SHARE = 0.5
#: Rule sets whose cuts this room knows.
_RULES = "breast_asco_cap"


@dataclass(frozen=True, kw_only=True)
class CutGrid:
    """Hold the cut-offs that are tried: factors on those of the reference scale.

    Parameters
    ----------
    ratios
        (r,) float64, ascending: factors for each of the three cut-offs.
    cutoffs
        The reference scale.
    lowest_od
        OD that the stained cut-off never falls below: just above the limit of blank; 0 without.
    min_stained_share, complete_share
        As in the section ``measurement``.

    Examples
    --------
    >>> from pathology.stain.calibrating import reference_cutoffs
    >>> grid = CutGrid(ratios=np.array([0.5, 1.0]), cutoffs=reference_cutoffs(),
    ...                lowest_od=0.08, min_stained_share=0.125, complete_share=0.8)
    >>> grid.stained.tolist(), grid.intense.tolist()
    ([800, 1200], [3000, 6000])
    """

    ratios: AnyArray
    cutoffs: CutoffOds
    lowest_od: float
    min_stained_share: float
    complete_share: float

    def _units(self, od: float, lowest: float = 0.0) -> IntArray:
        values = np.maximum(self.ratios * od, lowest)
        # Four decimals, as a calibration file has; then integers without a rounding error.
        return np.asarray(np.rint(np.round(values, 4) * _UNITS), dtype=np.int64)

    @cached_property
    def stained(self) -> IntArray:
        """(r,) stained cut-offs in 1/10,000 OD."""
        return self._units(self.cutoffs.stained_od, self.lowest_od)

    @cached_property
    def moderate(self) -> IntArray:
        """(r,) moderate cut-offs in 1/10,000 OD."""
        return self._units(self.cutoffs.moderate_od, self.lowest_od)

    @cached_property
    def intense(self) -> IntArray:
        """(r,) intense cut-offs in 1/10,000 OD."""
        return self._units(self.cutoffs.intense_od, self.lowest_od)

    @cached_property
    def contrast(self) -> IntArray:
        """(r,) contrasts to the cytoplasm that go with the stained cut-offs."""
        return self._units(self.cutoffs.contrast_od)

    @cached_property
    def exempt(self) -> IntArray:
        """(r,) densities that need no contrast."""
        return self._units(self.cutoffs.contrast_exempt_od)


@dataclass(frozen=True, kw_only=True)
class MarginTables:
    """Hold, in log odds, by how much each slide passes each cut of the score.

    Parameters
    ----------
    one
        (n, r) for score 1+ and above, by stained cut-off.
    two
        (n, r, r) for 2+ and above, by stained and moderate cut-off.
    present
        (n, r, r) for intense cells that make a 2+ by their presence, by stained and intense
        cut-off.
    three
        (n, r, r) for 3+, by stained and intense cut-off.
    """

    one: AnyArray
    two: AnyArray
    present: AnyArray
    three: AnyArray

    def at(self, stained: IntArray, moderate: IntArray, intense: IntArray) -> AnyArray:
        """Return (n, 3, c): margins of c combinations, given as indices into the ratios.

        They never rise with the score, so that the chances of the four scores are never negative.
        """
        three = self.three[:, stained, intense]
        two = np.maximum(self.two[:, stained, moderate], self.present[:, stained, intense])
        two = np.maximum(two, three)
        return np.stack([np.maximum(self.one[:, stained], two), two, three], axis=1)


def share_margin(counts: AnyArray, total: int, cutoff: float) -> AnyArray:
    """Return how far shares are above a cut-off, in log odds; half a cell is added on both sides.

    Parameters
    ----------
    counts
        Numbers of cells.
    total
        All cells.
    cutoff
        Share, above 0 and below 1.

    Examples
    --------
    >>> np.round(share_margin(np.array([100]), 1000, 0.1), 2).tolist()
    [0.0]
    """
    share = (np.asarray(counts, dtype=np.float64) + 0.5) / (total + 1)
    return np.asarray(np.log(share / (1 - share)) - np.log(cutoff / (1 - cutoff)))


class CellLevels:
    """Class the cells of one slide for many stained cut-offs.

    Parameters
    ----------
    sample
        The cells.
    grid
        The cut-offs.
    """

    def __init__(self, sample: SlideSample, grid: CutGrid) -> None:
        self._grid = grid
        self._od = sample.ray_od.astype(np.int32) * round(OD_STEP * _UNITS)
        cytoplasm = np.rint(np.asarray(sample.cytoplasm_od, dtype=np.float64) * _UNITS)
        self._away = self._od - cytoplasm.astype(np.int32)[:, None]

    def at(self, place: int) -> tuple[IntArray, BoolArray, BoolArray]:
        """Return what one stained cut-off makes of the cells.

        Parameters
        ----------
        place
            Index of the stained cut-off.

        Returns
        -------
        level : (n,) int64, mean of the stained rays in 1/10,000 OD, rounded down, which reaches
            just the cut-offs that the mean reaches
        stained : (n,) bool, enough rays are stained
        complete : (n,) bool, so many that the membrane is complete
        """
        grid, od = self._grid, self._od
        rays = (self._away >= grid.contrast[place]) | (od >= grid.exempt[place])
        rays &= od >= grid.stained[place]
        count = np.count_nonzero(rays, axis=1)
        # 32 rays of at most 25,500 fit into int32 many times.
        total = np.einsum("ij,ij->i", od, rays)
        stained = (count > 0) & (count * _UNITS >= round(grid.min_stained_share * _UNITS) * N_RAYS)
        complete = stained & (count * _UNITS >= round(grid.complete_share * _UNITS) * N_RAYS)
        return np.asarray(total // np.maximum(count, 1), dtype=np.int64), stained, complete


def margin_tables(
    samples: Sequence[SlideSample],
    grid: CutGrid,
    *,
    guideline: Guideline,
    pattern_floor_pct: float,
) -> MarginTables:
    """Work out the tables of all slides.

    Parameters
    ----------
    samples
        Slides with their cells.
    grid
        Cut-offs to try.
    guideline
        Gives the shares that decide; only the breast rules are known here.
    pattern_floor_pct
        Share from which intense cells count as present.

    Returns
    -------
    MarginTables
        One row for each slide.

    Raises
    ------
    ConfigError
        If the guideline has other rules.
    """
    if guideline.rules != _RULES:
        raise ConfigError(f"calibration does not know the rules of {guideline.id}")
    shares = [guideline.cutoffs[f"score_{k}"].pct / 100 for k in (1, 2, 3)]
    floor = max(pattern_floor_pct, 0.01) / 100
    tables = [
        _control_tables(sample, grid)
        if sample.kind == "control"
        else _test_tables(sample, grid, shares, min(floor, shares[2]))
        for sample in samples
    ]
    one, two, present, three = (np.stack([table[k] for table in tables]) for k in range(4))
    return MarginTables(one=one, two=two, present=present, three=three)


_Tables = tuple[AnyArray, AnyArray, AnyArray, AnyArray]


def _test_tables(
    sample: SlideSample, grid: CutGrid, shares: Sequence[float], floor: float
) -> _Tables:
    """Return the margins of a slide with a score: the shares that the guideline compares."""
    r, n = len(grid.ratios), sample.n
    cells, stained_cells = CellLevels(sample, grid), np.zeros(r)
    towards_two, intense_cells = np.zeros((r, r)), np.zeros((r, r))
    for place in range(r):
        level, stained, complete = cells.at(place)
        stained_cells[place] = np.count_nonzero(stained)
        # Complete cells of any intensity and incomplete ones from moderate on make a 2+.
        partly = _at_least(level[stained & ~complete], grid.moderate)
        towards_two[place] = np.count_nonzero(complete) + partly
        intense_cells[place] = _at_least(level[complete], grid.intense)
    return (
        share_margin(stained_cells, n, shares[0]),
        share_margin(towards_two, n, shares[1]),
        share_margin(intense_cells, n, floor),
        share_margin(intense_cells, n, shares[2]),
    )


def _control_tables(sample: SlideSample, grid: CutGrid) -> _Tables:
    """Return the margins of a control: whether most cells reach an intensity."""
    r, n = len(grid.ratios), sample.n
    cells, counts = CellLevels(sample, grid), np.zeros((3, r, r))
    for place in range(r):
        level, stained, _ = cells.at(place)
        counts[0, place] = np.count_nonzero(stained)
        counts[1, place] = _at_least(level[stained], grid.moderate)
        counts[2, place] = _at_least(level[stained], grid.intense)
    one, two, three = share_margin(counts, n, _CONTROL_SHARE)
    return one[:, 0], two, three, three


def _at_least(levels: IntArray, cuts: IntArray) -> IntArray:
    """Count, for each cut-off, the levels that reach it."""
    return np.asarray(len(levels) - np.searchsorted(np.sort(levels), cuts, side="left"))
