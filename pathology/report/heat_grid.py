"""Tumour cells counted on a square grid that is aligned to the slide, and coarser grids of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from pathology.cells.table import PATTERNS
from pathology.geometry import Box0, Spacing
from pathology.report.job import ExportSlide
from pathology.runs.cells import read_cell_columns, read_cells, read_schema_names
from pathology.runs.layout import CELLS, TILES
from pathology.runs.tiles import read_tiles
from pathology.scoring import TILE_FLAG
from pathology.types import AnyArray, IntArray

__all__ = ["HeatGrid", "heat_grid"]

#: Side of a square in µm: some five tumour cells, small beside any gland.
SQUARE_UM: Final = 25.0


@dataclass(frozen=True, kw_only=True)
class HeatGrid:
    """Hold counts on a grid.

    Parameters
    ----------
    box
        Level-0 pixels that the squares cover; the last ones may reach over the slide.
    side_px
        Side of a square in level-0 pixels.
    spacing
        Size of a level-0 pixel in µm.
    counts
        (5, H, W) int64: tumour cells by pattern, in the order of ``PATTERNS``.
    od_sum
        (H, W) float64: sum of their membrane OD.
    """

    box: Box0
    side_px: int
    spacing: Spacing
    counts: IntArray
    od_sum: AnyArray

    def channels(self) -> tuple[tuple[str, ...], AnyArray]:
        """Return names and values of the channels.

        Returns
        -------
        tuple
            Names, and (C, H, W) float32. Where no tumour cell was counted the density is 0, and
            shares and OD are NaN: nothing is known there.
        """
        total = self.counts.sum(axis=0).astype(np.float64)
        area = self.side_px**2 * self.spacing.x * self.spacing.y / 1e6
        seen = np.where(total > 0, total, np.nan)
        layers = [total / area, *(100 * self.counts[::-1] / seen), self.od_sum / seen]
        names = ["Tumour cells per mm²"]
        names += [f"{name.replace('_', ' ')} %" for name in reversed(PATTERNS)]
        return (*names, "Membrane OD mean"), np.stack(layers).astype(np.float32)

    def coarser(self) -> HeatGrid:
        """Return the grid of squares twice as wide: their cells are added, not averaged."""
        counts = _pairs(self.counts)
        return HeatGrid(
            box=self.box,
            side_px=2 * self.side_px,
            spacing=self.spacing,
            counts=counts.astype(np.int64),
            od_sum=_pairs(self.od_sum[None])[0],
        )


def _pairs(values: AnyArray) -> AnyArray:
    _, high, wide = values.shape
    even = np.pad(values, ((0, 0), (0, high % 2), (0, wide % 2)))
    return np.asarray(even.reshape(len(values), even.shape[1] // 2, 2, -1, 2).sum(axis=(2, 4)))


def heat_grid(slide: ExportSlide, *, square_um: float = SQUARE_UM) -> HeatGrid | None:
    """Count the tumour cells that entered the score of a slide.

    Parameters
    ----------
    slide
        The slide. Of a tile classifier a square is a tile.
    square_um
        Side of a square in µm.

    Returns
    -------
    HeatGrid or None
        None where the slide has no table of cells, or its scanned part is not known.
    """
    spacing, grid = slide.spacing, slide.source.grid
    if spacing is None or grid is None or not (slide.tables / CELLS).is_file():
        return None
    box = Box0(x=grid.box.x, y=grid.box.y, width=grid.box.width, height=grid.box.height)
    points: Iterator[tuple[AnyArray, ...]]
    if TILE_FLAG in slide.source.flags:
        rows = read_tiles(slide.tables / TILES)
        if not rows:
            return None
        side, points = max(row.width_px for row in rows), _tiles(slide)
    else:
        side, points = max(1, round(square_um / spacing.mean)), _cells(slide, spacing)
    shape = (-(-box.height // side), -(-box.width // side))
    counts = np.zeros((len(PATTERNS), *shape), dtype=np.int64)
    od_sum = np.zeros(shape, dtype=np.float64)
    for x, y, pattern, density in points:
        column = np.clip((x - box.x) // side, 0, shape[1] - 1).astype(np.int64)
        row = np.clip((y - box.y) // side, 0, shape[0] - 1).astype(np.int64)
        np.add.at(counts, (pattern.astype(np.int64), row, column), 1)
        np.add.at(od_sum, (row, column), density)
    return HeatGrid(box=box, side_px=side, spacing=spacing, counts=counts, od_sum=od_sum)


def _cells(slide: ExportSlide, spacing: Spacing) -> Iterator[tuple[AnyArray, ...]]:
    path = slide.tables / CELLS
    names = ["x_um", "y_um", "pattern", "membrane_od", "evaluable"]
    if "evaluable" in read_schema_names(path):
        parts = ([part[name] for name in names] for part in read_cell_columns(path, names))
    else:
        parts = ([t.x_um, t.y_um, t.pattern, t.membrane_od, t.is_tumour] for t in read_cells(path))
    for x, y, pattern, density, counted in parts:
        at = np.asarray(counted, dtype=np.bool_)
        level0 = (x[at].astype(np.float64) / spacing.x, y[at].astype(np.float64) / spacing.y)
        yield *level0, pattern[at], density[at].astype(np.float64)


def _tiles(slide: ExportSlide) -> Iterator[tuple[AnyArray, ...]]:
    for row in read_tiles(slide.tables / TILES):
        for code, name in enumerate(PATTERNS):
            n = getattr(row, f"n_{name}")
            centre = (row.x_px + row.width_px // 2, row.y_px + row.height_px // 2)
            density = row.mean_membrane_od if row.mean_membrane_od is not None else np.nan
            yield (
                np.full(n, centre[0]),
                np.full(n, centre[1]),
                np.full(n, code),
                np.full(n, density),
            )
