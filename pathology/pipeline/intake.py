"""Take up the cells of tiles: which count, what they add up to, and into the slide's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from pathology.cells.gains import off_scale_kinds
from pathology.cells.table import CellTable
from pathology.config import Config
from pathology.pipeline.counting import TileSums, judge_cells, look_around, sum_tiles
from pathology.pipeline.gathered import TileReading
from pathology.runs import CellWriter, TileRow
from pathology.tiling import TileBatch, TileRef
from pathology.tissue import Regions, TissueMask
from pathology.types import BoolArray, U8Array

__all__ = ["CellIntake", "Intake", "JudgedCells", "tile_row"]

Found = TypeVar("Found", contravariant=True)
Judged = TypeVar("Judged")


class Intake(Protocol[Found, Judged]):
    """What takes up what a model found in tiles, in two steps: one anywhere, one in order."""

    def judge(self, batch: TileBatch, found: Found, /) -> Judged:
        """Work out all that can be known of a batch by itself; called in several threads."""
        ...

    def take(self, judged: Judged, /) -> Sequence[TileRow]:
        """Add it to the slide, and give one row for each tile; called batch after batch."""
        ...


@dataclass(frozen=True, kw_only=True)
class JudgedCells:
    """Hold the cells of a batch of tiles and what follows from them alone.

    Parameters
    ----------
    tiles
        The t tiles.
    n_cells
        Number of cells of each.
    cells
        All n cells, tile by tile, with the classes that they have on the slide.
    evaluable
        (n,) bool: the cells that count.
    counted
        Those cells.
    sums
        What they add up to, tile by tile.
    off_scale
        Their kinds at other gains of the scale, or None; see
        :func:`~pathology.cells.gains.off_scale_kinds`.
    around
        All nuclei, sure tumour cells, and those in groups; see
        :func:`~pathology.pipeline.counting.look_around`.
    """

    tiles: Sequence[TileRef]
    n_cells: Sequence[int]
    cells: CellTable
    evaluable: BoolArray
    counted: CellTable
    sums: TileSums
    off_scale: U8Array | None
    around: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class CellIntake:
    """Take up the cells of one slide.

    Parameters
    ----------
    reading
        Takes what the score needs.
    writer
        Takes the cells of all classes.
    area
        Where cells may count.
    regions
        Annotated regions, or None.
    config
        Configuration.
    """

    reading: TileReading
    writer: CellWriter
    area: TissueMask
    regions: Regions | None
    config: Config

    def judge(self, batch: TileBatch, tables: Sequence[CellTable], /) -> JudgedCells:
        """Judge the cells of a batch; nothing of the slide changes."""
        found, n_cells = CellTable.concat(tables), [table.n for table in tables]
        index = np.repeat(np.arange(len(tables)), n_cells)
        classes, evaluable = judge_cells(
            found.x_um,
            found.y_um,
            found.cell_class,
            area=self.area,
            regions=self.regions,
            spacing=self.reading.spacing,
        )
        cells = replace(found, cell_class=classes)
        counted = cells.take(evaluable)
        return JudgedCells(
            tiles=batch.tiles,
            n_cells=n_cells,
            cells=cells,
            evaluable=evaluable,
            counted=counted,
            sums=sum_tiles(
                index[evaluable],
                len(tables),
                intensity=counted.intensity,
                complete=counted.complete,
                membrane_od=counted.membrane_od,
                area_um2=counted.area_um2,
            ),
            off_scale=off_scale_kinds(counted.ray_od, counted.cytoplasm_od, self.config),
            around=self._around(cells, evaluable, n_cells),
        )

    def take(self, judged: JudgedCells, /) -> list[TileRow]:
        """Write the cells, add what counts, and give the rows of the tiles."""
        self.writer.write(judged.cells, evaluable=judged.evaluable)
        self.reading.add_classes(judged.cells.cell_class)
        self.reading.add_off_scale(judged.off_scale)
        self.reading.add_evaluable(vars(judged.counted), judged.sums)
        self.reading.add_around(*judged.around)
        return [
            tile_row(tile, status="ok", n_cells=n_cells, **judged.sums.columns(k))
            for k, (tile, n_cells) in enumerate(zip(judged.tiles, judged.n_cells, strict=True))
        ]

    def _around(
        self, cells: CellTable, evaluable: BoolArray, n_cells: Sequence[int]
    ) -> tuple[int, int, int]:
        """Look around in every tile by itself: neighbours in other tiles play no part."""
        if self.reading.tumour_drawn:
            return 0, 0, 0
        ends = np.cumsum(n_cells).tolist()
        parts = [slice(end - n, end) for end, n in zip(ends, n_cells, strict=True)]
        around = [
            look_around(
                cells.x_um[part],
                cells.y_um[part],
                evaluable[part],
                cells.tumour_probability[part],
                area=self.area,
                spacing=self.reading.spacing,
                params=self.config.scoring,
            )
            for part in parts
        ]
        nuclei, sure, grouped = (sum(counts) for counts in zip(*around, strict=True))
        return nuclei, sure, grouped


def tile_row(tile: TileRef, **columns: Any) -> TileRow:
    """Return the row of a tile with its place; all but its share of tissue is given."""
    core = tile.core
    place = {"x_px": core.x, "y_px": core.y, "width_px": core.width, "height_px": core.height}
    # The share of tissue of a tile that was read is filled in by walk_tiles.
    return TileRow(**{"tile_id": tile.tile_id, **place, "tissue_fraction": 0.0, **columns})
