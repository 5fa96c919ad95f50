"""How membrane density is distributed over the tumour cells of a slide, for a chart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathology.errors import SlideError
from pathology.report.job import ExportSlide
from pathology.runs.cells import read_cell_columns, read_cells, read_schema_names
from pathology.runs.layout import CELLS
from pathology.scoring import TILE_FLAG
from pathology.types import AnyArray, IntArray

__all__ = ["Distribution", "membrane_distribution", "slide_distribution"]

#: Width of a bar in OD: twice the step in which ray densities are stored.
BIN_OD = 0.02
#: Densities from here on share the last bar; few membranes are darker (PMC5848460).
TOP_OD = 1.2


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Hold a histogram of membrane OD.

    Parameters
    ----------
    counts
        (n,) int64: cells from ``k * bin_od`` to below ``(k + 1) * bin_od``; the last bar also
        holds everything above.
    bin_od
        Width of a bar.
    """

    counts: IntArray
    bin_od: float = BIN_OD

    @property
    def total(self) -> int:
        """Cells in all bars."""
        return int(self.counts.sum())

    @property
    def ticks(self) -> tuple[float, ...]:
        """Densities for an axis; the last stands for all above."""
        last = round(len(self.counts) * self.bin_od / 0.2)
        return tuple(round(0.2 * tick, 1) for tick in range(last + 1))


def slide_distribution(slide: ExportSlide) -> tuple[Distribution | None, str]:
    """Return the distribution of a slide, or why there is none, in a sentence for a page.

    Returns
    -------
    tuple
        The distribution (None where the slide has no tumour cell) and an empty text, or None and
        the sentence.
    """
    path = slide.folder / CELLS
    if TILE_FLAG in slide.source.flags or not path.is_file():
        return None, ""
    try:
        spread = membrane_distribution(path)
    except SlideError:
        return None, "No distribution: cells.parquet of this slide is damaged."
    return (spread if spread.total else None), ""


def membrane_distribution(cells: Path) -> Distribution:
    """Count the cells that entered the score by their membrane OD; memory does not grow.

    Parameters
    ----------
    cells
        ``cells.parquet``.

    Raises
    ------
    SlideError
        If the table is missing or damaged.
    """
    n = round(TOP_OD / BIN_OD)
    counts = np.zeros(n, dtype=np.int64)
    # Tables of the first version do not say which tumour cells counted.
    if "evaluable" in read_schema_names(cells):
        for part in read_cell_columns(cells, ["membrane_od", "evaluable"]):
            counts += _bins(part["membrane_od"][part["evaluable"]], n)
    else:
        for table in read_cells(cells):
            counts += _bins(table.membrane_od[table.is_tumour], n)
    return Distribution(counts=counts)


def _bins(density: AnyArray, n: int) -> IntArray:
    place = np.minimum(np.floor(density.astype(np.float64) / BIN_OD), n - 1).astype(np.int64)
    return np.bincount(np.maximum(place, 0), minlength=n).astype(np.int64)
