"""Continuous measures of HER2 staining on a slide, beside the score: none of them is a category.

All are about the evaluable tumour cells of one slide, do not depend on the order of the cells, and
are None where there is nothing to measure, never 0. No cut-off on any of them is part of a
guideline. Research use only; ``docs/continuous-scores.md`` has units, ranges and sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from pathology.config import ScoringConfig
from pathology.types import AnyArray, BoolArray, FloatArray

__all__ = [
    "CellMeasures",
    "ContinuousScores",
    "bystander_pct",
    "continuous_scores",
    "heterogeneity_index",
    "membrane_cytoplasm_ratio",
    "percentiles",
    "share_from_od",
]

#: Steps per OD in which densities are added up: a stored membrane density is a mean of 32 rays that
#: are compared in 1/10,000 OD, so it is a whole number of these.
OD_UNITS: Final = 320_000
#: A cytoplasm paler than this counts as this, in OD: the step of stored densities, below which a
#: quotient would be one of rounding.
CYTOPLASM_MIN_OD: Final = 0.01
#: Cells whose neighbours are looked for at the same time.
_ASKED_AT_ONCE = 65_536
_COLUMNS: Final = (
    "y_um",
    "membrane_od",
    "membrane_completeness",
    "cytoplasm_od",
    "stained",
)


@dataclass(frozen=True, kw_only=True)
class CellMeasures:
    """Hold what continuous measures look at: the evaluable tumour cells of one slide.

    Parameters
    ----------
    x_um, y_um
        (n,) float32: centres in µm from the top left of level 0, finite.
    membrane_od
        (n,) float32: mean DAB density along the whole outline above the limit of blank, at least 0.
    membrane_completeness
        (n,) float32, 0 to 1: stained share of the outline.
    cytoplasm_od
        (n,) float32: median DAB density of the cytoplasm as measured.
    stained
        (n,) bool: cells of any intensity above unstained.

    Raises
    ------
    ValueError
        If lengths differ or a value is not finite.

    Examples
    --------
    >>> zero = np.zeros(2, dtype=np.float32)
    >>> CellMeasures(x_um=zero, y_um=zero, membrane_od=zero, membrane_completeness=zero,
    ...              cytoplasm_od=zero, stained=zero > 0).n
    2
    """

    x_um: FloatArray
    y_um: FloatArray
    membrane_od: FloatArray
    membrane_completeness: FloatArray
    cytoplasm_od: FloatArray
    stained: BoolArray

    def __post_init__(self) -> None:
        for name in _COLUMNS:
            if getattr(self, name).shape != self.x_um.shape or self.x_um.ndim != 1:
                raise ValueError(f"{name!r} must hold one value for each cell")
        for name in ("x_um", *_COLUMNS[:-1]):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name!r} of cells must be finite")

    @property
    def n(self) -> int:
        """Number of cells."""
        return len(self.x_um)


@dataclass(frozen=True, kw_only=True)
class ContinuousScores:
    """Hold the continuous measures of a slide; its fields are columns of ``results.csv``.

    Parameters
    ----------
    membrane_od_p5, membrane_od_p25, membrane_od_p50, membrane_od_p75, membrane_od_p95
        Percentiles of the membrane density of cells, OD.
    membrane_completeness_median, membrane_completeness_iqr
        Median, and 75th less 25th percentile, of the stained share of outlines, 0 to 1.
    membrane_cytoplasm_ratio
        Median of membrane density by cytoplasm density, at least 0.
    qcs_positive_pct
        Cells whose membrane density reaches ``scoring.qcs_od``, %.
    bystander_pct
        Of the negative cells, those with a positive one within ``scoring.bystander_radius_um``, %.
    heterogeneity_index
        Share of the variance of membrane density that lies between places, 0 to 1.

    Examples
    --------
    >>> ContinuousScores().membrane_od_p50 is None
    True
    """

    membrane_od_p5: float | None = None
    membrane_od_p25: float | None = None
    membrane_od_p50: float | None = None
    membrane_od_p75: float | None = None
    membrane_od_p95: float | None = None
    membrane_completeness_median: float | None = None
    membrane_completeness_iqr: float | None = None
    membrane_cytoplasm_ratio: float | None = None
    qcs_positive_pct: float | None = None
    bystander_pct: float | None = None
    heterogeneity_index: float | None = None


def continuous_scores(
    cells: CellMeasures, params: ScoringConfig, *, limit_of_blank_od: float = 0.0
) -> ContinuousScores:
    """Measure everything of :class:`ContinuousScores` on the cells of one slide.

    Parameters
    ----------
    cells
        The evaluable tumour cells.
    params
        The section ``scoring`` of the configuration.
    limit_of_blank_od
        The limit of blank that was subtracted from membrane densities, OD.

    Returns
    -------
    ContinuousScores
        None for each measure that these cells do not allow; all None without cells.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> x = np.arange(4, dtype=np.float32) * 10
    >>> od = np.array([0.0, 0.1, 0.2, 0.5], dtype=np.float32)
    >>> cells = CellMeasures(x_um=x, y_um=x * 0, membrane_od=od, membrane_completeness=od * 2,
    ...                      cytoplasm_od=x * 0 + np.float32(0.05), stained=od >= 0.2)
    >>> found = continuous_scores(cells, load_config().scoring)
    >>> round(found.membrane_od_p50, 4), found.bystander_pct, found.qcs_positive_pct
    (0.15, 100.0, None)
    """
    if cells.n == 0:
        return ContinuousScores()
    density = percentiles(cells.membrane_od, (5, 25, 50, 75, 95))
    low, middle, high = percentiles(cells.membrane_completeness, (25, 50, 75))
    positive = cells.stained
    share: float | None = None
    if params.qcs_od is not None:
        positive = _reaches(cells.membrane_od, params.qcs_od)
        share = share_from_od(cells.membrane_od, params.qcs_od)
    return ContinuousScores(
        membrane_od_p5=density[0],
        membrane_od_p25=density[1],
        membrane_od_p50=density[2],
        membrane_od_p75=density[3],
        membrane_od_p95=density[4],
        membrane_completeness_median=middle,
        membrane_completeness_iqr=high - low,
        membrane_cytoplasm_ratio=membrane_cytoplasm_ratio(
            cells.membrane_od, cells.cytoplasm_od, limit_of_blank_od=limit_of_blank_od
        ),
        qcs_positive_pct=share,
        bystander_pct=bystander_pct(
            cells.x_um, cells.y_um, positive, radius_um=params.bystander_radius_um
        ),
        heterogeneity_index=heterogeneity_index(
            cells.x_um, cells.y_um, cells.membrane_od, block_um=params.bootstrap_block_um
        ),
    )


def percentiles(values: FloatArray, ranks: tuple[float, ...]) -> tuple[float, ...]:
    """Return percentiles, linear between neighbours.

    Type 7 of Hyndman and Fan (The American Statistician 1996;50:361-365), the default of numpy
    and R.

    Parameters
    ----------
    values
        (n,) float, at least one, finite.
    ranks
        Per cent, 0 to 100.

    Examples
    --------
    >>> percentiles(np.array([4.0, 1.0, 3.0, 2.0]), (0, 50, 100))
    (1.0, 2.5, 4.0)
    """
    found = np.percentile(values.astype(np.float64), ranks)
    return tuple(float(value) for value in found)


def membrane_cytoplasm_ratio(
    membrane_od: FloatArray, cytoplasm_od: FloatArray, *, limit_of_blank_od: float = 0.0
) -> float | None:
    """Return the median over cells of membrane density by cytoplasm density.

    Both are taken above the limit of blank. A cytoplasm paler than 0.01 OD, the step of stored
    densities, counts as 0.01, so that unstained cytoplasm gives a large but finite quotient.

    Parameters
    ----------
    membrane_od
        (n,) float: OD above the limit of blank, at least 0.
    cytoplasm_od
        (n,) float: OD as measured.
    limit_of_blank_od
        OD.

    Returns
    -------
    float or None
        At least 0, without unit; above 1 where the membrane is darker. None without cells.

    Examples
    --------
    >>> membrane_cytoplasm_ratio(np.array([0.2, 0.4, 0.3]), np.array([0.1, 0.1, 0.0]))
    4.0
    """
    if len(membrane_od) == 0:
        return None
    cytoplasm = cytoplasm_od.astype(np.float64) - limit_of_blank_od
    ratio = membrane_od.astype(np.float64) / np.maximum(cytoplasm, CYTOPLASM_MIN_OD)
    return float(np.median(ratio))


def share_from_od(membrane_od: FloatArray, od: float) -> float | None:
    """Return the per cent of cells whose membrane density reaches an OD.

    The idea of a quantitative continuous score (Kapil et al., Sci Rep 2024;14:12284): the share of
    tumour cells from a density on. Its cut-off is not ours to give: the user sets it.

    Parameters
    ----------
    membrane_od
        (n,) float: OD above the limit of blank.
    od
        Cut-off, compared in steps of 1/320,000 OD; a cell that has just this density counts.

    Returns
    -------
    float or None
        0 to 100; None without cells.

    Examples
    --------
    >>> share_from_od(np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32), 0.2)
    75.0
    """
    if len(membrane_od) == 0:
        return None
    return 100 * int(np.count_nonzero(_reaches(membrane_od, od))) / len(membrane_od)


def bystander_pct(
    x_um: FloatArray, y_um: FloatArray, positive: BoolArray, *, radius_um: float
) -> float | None:
    """Return the per cent of negative tumour cells that have a positive one within a radius.

    The neighbourhood of Kapil et al. (Sci Rep 2024;14:12284): a payload may reach negative cells
    beside positive ones. No radius is published that we could check: the user sets it.

    Parameters
    ----------
    x_um, y_um
        (n,) float32: centres in µm.
    positive
        (n,) bool: cells that count as positive.
    radius_um
        Largest distance of two centres in µm, itself included.

    Returns
    -------
    float or None
        0 to 100; None where no cell is negative.

    Examples
    --------
    >>> x = np.array([0.0, 10.0, 40.0], dtype=np.float32)
    >>> bystander_pct(x, x * 0, np.array([True, False, False]), radius_um=10.0)
    50.0
    """
    points = np.column_stack((x_um, y_um)).astype(np.float64)
    there, wanted = points[positive], points[~positive]
    if len(wanted) == 0:
        return None
    if len(there) == 0:
        return 0.0
    # Sliding-midpoint trees are much faster to build, and cells are spread evenly enough.
    tree = cKDTree(there, balanced_tree=False, compact_nodes=False)
    near = 0
    for start in range(0, len(wanted), _ASKED_AT_ONCE):
        asked = wanted[start : start + _ASKED_AT_ONCE]
        # The bound of the search is open; the distance itself is compared below.
        _, nearest = tree.query(asked, distance_upper_bound=radius_um * (1 + 1e-9))
        found = nearest < len(there)
        apart = asked[found] - there[nearest[found]]
        near += int(np.count_nonzero((apart * apart).sum(axis=1) <= radius_um * radius_um))
    return 100 * near / len(wanted)


def heterogeneity_index(
    x_um: FloatArray, y_um: FloatArray, membrane_od: FloatArray, *, block_um: float
) -> float | None:
    """Return the share of the variance of membrane density that lies between places.

    The intraclass correlation of a one-way layout, ICC(1,1) of Shrout and Fleiss (Psychol Bull
    1979;86:420-428), for groups of unequal size (Donner, Int Stat Rev 1986;54:67-82): cells are the
    subjects and blocks of tissue the groups. 0: any place shows the same mixture; 1: all cells of a
    place are alike and places differ. Below 0, which chance alone gives, it is 0. Unlike a
    plain share of sums of squares it does not grow as blocks get fewer cells.

    Parameters
    ----------
    x_um, y_um
        (n,) float: centres in µm from the top left of level 0.
    membrane_od
        (n,) float: OD, at least 0; added up in steps of 1/320,000 OD, exactly.
    block_um
        Side of a block in µm; blocks lie on a fixed lattice.

    Returns
    -------
    float or None
        0 to 1; None with fewer than two blocks, or no block with two cells.

    Examples
    --------
    >>> x = np.array([0, 1, 900, 901], dtype=np.float32)
    >>> heterogeneity_index(x, x * 0, np.array([0.1, 0.1, 0.6, 0.6]), block_um=500.0)
    1.0
    """
    total = len(membrane_od)
    if total == 0:
        return None
    units = np.rint(membrane_od.astype(np.float64) * OD_UNITS).astype(np.int64)
    cells, sums = _blocks(x_um, y_um, units, block_um=block_um)
    k = len(cells)
    if k < 2 or total <= k:
        return None
    grand, square = int(units.sum()), int(np.dot(units, units))
    # Whole numbers up to here: the order of cells plays no part.
    parts = [s * s / n for n, s in zip(cells.tolist(), sums.tolist(), strict=True)]
    groups = float(np.sum(parts))
    between = (groups - grand * grand / total) / (k - 1)
    within = max(0.0, square - groups) / (total - k)
    size = (total - int(np.dot(cells, cells)) / total) / (k - 1)
    spread = between + (size - 1) * within
    return min(1.0, max(0.0, (between - within) / spread)) if spread > 0 else 0.0


def _reaches(membrane_od: FloatArray, od: float) -> BoolArray:
    units = np.rint(membrane_od.astype(np.float64) * OD_UNITS)
    return np.asarray(units >= round(od * OD_UNITS), dtype=np.bool_)


def _blocks(
    x_um: FloatArray, y_um: FloatArray, units: AnyArray, *, block_um: float
) -> tuple[AnyArray, AnyArray]:
    """Return cells and summed units of each block that holds a cell, in the order of place."""
    col = np.floor(x_um.astype(np.float64) / block_um).astype(np.int64)
    row = np.floor(y_um.astype(np.float64) / block_um).astype(np.int64)
    width = int(col.max() - col.min()) + 1
    _, index = np.unique((row - row.min()) * width + (col - col.min()), return_inverse=True)
    cells = np.bincount(index)
    # Exact: a block's sum of units stays far below 2 to the power of 53.
    return cells, np.rint(np.bincount(index, weights=units)).astype(np.int64)
