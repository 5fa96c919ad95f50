"""Which cells count, and what they add up to: one way, for a tile that is read and stored cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pathology.cells.table import CELL_CLASSES, INTENSITIES
from pathology.config import ScoringConfig
from pathology.geometry import Spacing
from pathology.pipeline.areas import inside
from pathology.scoring import counts_from_bins, grouped_cells, tile_score
from pathology.tissue import RegionKind, Regions, TissueMask
from pathology.types import AnyArray, BoolArray, FloatArray, IntArray, U8Array

__all__ = ["IN_SITU", "TUMOUR", "TileSums", "judge_cells", "look_around", "sum_tiles"]

IN_SITU = CELL_CLASSES.index("in_situ")
TUMOUR = CELL_CLASSES.index("tumour")


@dataclass(frozen=True, kw_only=True)
class TileSums:
    """Hold sums over the evaluable tumour cells of t tiles.

    Parameters
    ----------
    bins
        (t, 10) int64: cells by twice the intensity plus completeness.
    od
        (t,) float64: summed membrane density, OD.
    area_um2
        (t,) float64: summed area of the cells.
    """

    bins: IntArray
    od: AnyArray
    area_um2: AnyArray

    def columns(self, k: int) -> dict[str, Any]:
        """Return the columns of ``tiles.parquet`` that follow from the cells of tile ``k``."""
        counts = counts_from_bins(self.bins[k])
        n = counts.total
        return {
            "n_tumour_cells": n,
            "n_complete_intense": counts.complete_intense,
            "n_complete_weak_moderate": counts.complete_weak_moderate,
            "n_incomplete_moderate_intense": counts.incomplete_moderate_intense,
            "n_incomplete_faint": counts.incomplete_faint,
            "n_unstained": counts.unstained,
            "mean_membrane_od": float(self.od[k]) / n if n else None,
            "tile_score": tile_score(counts),
        }


def sum_tiles(
    index: AnyArray,
    tiles: int,
    *,
    intensity: U8Array,
    complete: BoolArray,
    membrane_od: FloatArray,
    area_um2: FloatArray,
) -> TileSums:
    """Add up cells by tile, each tile in the order of its cells.

    So a tile's sums have the same bits whether it is added up alone or with all others.

    Parameters
    ----------
    index
        (n,) integers: which of the tiles each cell lies in, 0 to ``tiles`` - 1.
    tiles
        Number of tiles t.
    intensity, complete, membrane_od, area_um2
        (n,) columns of :class:`~pathology.cells.table.CellTable`.

    Examples
    --------
    >>> two = np.array([4, 0], dtype=np.uint8)
    >>> od = np.array([0.5, 0.25], dtype=np.float32)
    >>> found = sum_tiles(np.array([1, 1]), 2, intensity=two, complete=two > 0, membrane_od=od,
    ...                   area_um2=od)
    >>> found.columns(1)["n_complete_intense"], found.columns(1)["mean_membrane_od"]
    (1, 0.375)
    """
    width = 2 * len(INTENSITIES)
    code = index.astype(np.int64) * width + intensity.astype(np.int64) * 2 + complete
    return TileSums(
        bins=np.bincount(code, minlength=tiles * width).reshape(tiles, width).astype(np.int64),
        od=np.bincount(index, weights=membrane_od, minlength=tiles),
        area_um2=np.bincount(index, weights=area_um2, minlength=tiles),
    )


def judge_cells(
    x_um: FloatArray,
    y_um: FloatArray,
    cell_class: U8Array,
    *,
    area: TissueMask,
    regions: Regions | None,
    spacing: Spacing,
) -> tuple[U8Array, BoolArray]:
    """Say of which class cells are, in situ where annotated so, and which count as invasive tumour.

    Parameters
    ----------
    x_um, y_um, cell_class
        (n,) columns of :class:`~pathology.cells.table.CellTable`, as the model gave them.
    area
        Where cells may count.
    regions
        Annotated regions, or None.
    spacing
        Size of a level-0 pixel in µm.

    Returns
    -------
    tuple of numpy.ndarray
        (n,) uint8 class, and (n,) bool: the cells that count.
    """
    x_px = x_um.astype(np.float64) / spacing.x
    y_px = y_um.astype(np.float64) / spacing.y
    counts = inside(area, x_px, y_px)
    if regions is not None:
        codes = regions.classify_points(x_px, y_px)
        annotated = (codes == RegionKind.IN_SITU) & (cell_class == TUMOUR)
        cell_class = np.where(annotated, np.uint8(IN_SITU), cell_class)
        counts &= regions.counts_as_tumour(x_px, y_px)
    return cell_class, counts & (cell_class == TUMOUR)


def look_around(
    x_um: FloatArray,
    y_um: FloatArray,
    counts: BoolArray,
    probability: FloatArray,
    *,
    area: TissueMask,
    spacing: Spacing,
    params: ScoringConfig,
) -> tuple[int, int, int]:
    """Count all nuclei of a tile, its sure tumour cells, and those that lie among others.

    Only sure cells speak for the presence of tumour: in tissue without any, a network wavers.

    Parameters
    ----------
    x_um, y_um
        (n,) float32: centres of all cells of one tile.
    counts
        (n,) bool: the cells that count as tumour.
    probability
        (n,) float32, 0 to 1: their tumour probability.
    area, spacing
        As in :func:`judge_cells`.
    params
        The section ``scoring`` of the configuration.
    """
    near = inside(area, x_um / spacing.x, y_um / spacing.y) | counts
    sure = counts & (probability >= np.float32(params.sure_probability))
    grouped = grouped_cells(x_um[near], y_um[near], sure[near], params)
    return int(np.count_nonzero(near)), int(np.count_nonzero(sure)), int(np.count_nonzero(grouped))
