"""Example fields: where each pattern is densest, cut out of the slide with its cells drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathology.cells.table import PATTERNS, CellTable
from pathology.errors import PathologyError
from pathology.geometry import Box0, Spacing
from pathology.report.field import draw_field
from pathology.report.palette import PATTERN_LABELS
from pathology.runs.cells import read_cells
from pathology.runs.layout import CELLS, TILES, slide_folder
from pathology.runs.result import SlideResult
from pathology.runs.tiles import TileRow, read_tiles
from pathology.scoring import TILE_FLAG
from pathology.wsi import open_slide
from pathology.wsi.slide import Slide

__all__ = ["ExampleField", "FieldChoice", "choose_fields", "example_fields"]

#: Size of a field in µm: some 150 cells, large enough on half a page to see their membranes.
FIELD_UM = (160.0, 120.0)
#: Pixel size of a field in µm, unless the slide is coarser.
FIELD_MPP = 0.25
#: Fields on a page.
MAX_FIELDS = 4


@dataclass(frozen=True, kw_only=True)
class FieldChoice:
    """Name a field that shows a pattern well.

    Parameters
    ----------
    pattern
        Index into ``PATTERNS``.
    box
        Level-0 pixels.
    count
        Tumour cells of this pattern in it.
    cells
        All cells whose centre lies in it.
    """

    pattern: int
    box: Box0
    count: int
    cells: CellTable


@dataclass(frozen=True, kw_only=True)
class ExampleField:
    """Hold a drawn field.

    Parameters
    ----------
    caption
        What it shows and where it lies.
    png
        Content of a PNG file: the field with its cells drawn in.
    plain
        The same without.
    """

    caption: str
    png: bytes
    plain: bytes


def example_fields(
    run_dir: Path, result: SlideResult, slide_root: Path | None = None
) -> list[ExampleField]:
    """Draw the fields of a slide, reading its pixels again.

    Parameters
    ----------
    run_dir
        The run folder.
    result
        The slide.
    slide_root
        Folder that the result's path is relative to; None for the current one.

    Returns
    -------
    list of ExampleField
        None where the slide has no tumour cells, or its file cannot be opened any more; none of a
        slide whose tiles, not cells, were classified.
    """
    folder = slide_folder(run_dir, result.slide_id)
    if TILE_FLAG in result.flags or not result.n_tumour_cells:
        return []
    if result.spacing is None or not (folder / CELLS).is_file():
        return []
    spacing = Spacing(x=result.spacing.x, y=result.spacing.y)
    choices = choose_fields(folder / CELLS, read_tiles(folder / TILES), spacing)
    try:
        with open_slide((slide_root or Path()) / result.path, mpp=spacing) as slide:
            return [_draw(slide, choice, spacing) for choice in choices]
    except PathologyError:
        # The page is complete without its examples, and the file may have moved since.
        return []


def _draw(slide: Slide, choice: FieldChoice, spacing: Spacing) -> ExampleField:
    rgb = slide.read(choice.box, mpp=max(FIELD_MPP, spacing.x, spacing.y))
    png = draw_field(rgb, choice.box, spacing, choice.cells, width_px=640, legend=False)
    none = CellTable.empty()
    plain = draw_field(rgb, choice.box, spacing, none, width_px=640, legend=False)
    x, y = choice.box.x * spacing.x / 1000, choice.box.y * spacing.y / 1000
    caption = (
        f"{PATTERN_LABELS[choice.pattern]}: {choice.count} such cells; "
        f"top left at {x:.2f}, {y:.2f} mm."
    )
    return ExampleField(caption=caption, png=png, plain=plain)


def choose_fields(
    cells: Path, tiles: Sequence[TileRow], spacing: Spacing, *, limit: int = MAX_FIELDS
) -> list[FieldChoice]:
    """Choose fields: from the strongest pattern down the tile that holds most of it.

    Where fewer patterns than fields are there, further fields show the commonest ones again, in
    other tiles.

    Parameters
    ----------
    cells
        ``cells.parquet`` of the slide.
    tiles
        Its tiles.
    spacing
        Size of a level-0 pixel in µm.
    limit
        Fields at most.

    Returns
    -------
    list of FieldChoice
        Strongest pattern first; a pattern that no tumour cell shows is left out. Fewer than
        ``limit`` only where fewer tiles hold tumour cells.
    """
    chosen = _choose_tiles(tiles, limit)
    wanted = np.array([tile.tile_id for _, tile in chosen], dtype=np.int64)
    kept = [table.take(np.isin(table.tile_id, wanted)) for table in read_cells(cells)]
    inside = CellTable.concat(kept)
    return [
        _densest(inside.take(inside.tile_id == tile.tile_id), tile, pattern, spacing)
        for pattern, tile in chosen
    ]


def _choose_tiles(tiles: Sequence[TileRow], limit: int) -> list[tuple[int, TileRow]]:
    """Return pattern and tile of each field, strongest pattern first."""
    totals = [sum(getattr(tile, f"n_{name}") for tile in tiles) for name in PATTERNS]
    strongest = sorted((code for code, n in enumerate(totals) if n), reverse=True)
    common = sorted(strongest, key=lambda code: -totals[code])
    chosen: list[tuple[int, TileRow]] = []
    for pattern in (*strongest, *(code for _ in range(limit) for code in common)):
        column = f"n_{PATTERNS[pattern]}"
        taken = [tile.tile_id for _, tile in chosen]
        again = any(pattern == code for code, _ in chosen)
        free = [tile for tile in tiles if tile.tile_id not in taken]
        # The first field of a pattern may share a tile with another pattern's.
        free = free or ([] if again else list(tiles))
        best = max(free, key=lambda tile: (getattr(tile, column), -tile.tile_id), default=None)
        if best is not None and getattr(best, column) > 0 and len(chosen) < limit:
            chosen.append((pattern, best))
    return sorted(chosen, key=lambda pair: -pair[0])


def _densest(cells: CellTable, tile: TileRow, pattern: int, spacing: Spacing) -> FieldChoice:
    """Return the field within a tile that holds most tumour cells of a pattern."""
    width = min(tile.width_px, max(1, round(FIELD_UM[0] / spacing.x)))
    height = min(tile.height_px, max(1, round(FIELD_UM[1] / spacing.y)))
    x, y = cells.x_um / spacing.x, cells.y_um / spacing.y
    shows = np.asarray(cells.is_tumour) & (cells.pattern == pattern)
    best = (-1, tile.x_px, tile.y_px)
    # Steps of a quarter of a field find a place within some cells of the best one.
    for top in _steps(tile.y_px, tile.height_px, height):
        for left in _steps(tile.x_px, tile.width_px, width):
            inside = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
            count = int(np.count_nonzero(shows & inside))
            if count > best[0]:
                best = (count, left, top)
    box = Box0(x=best[1], y=best[2], width=width, height=height)
    seen = (x >= box.x) & (x < box.right) & (y >= box.y) & (y < box.bottom)
    return FieldChoice(pattern=pattern, box=box, count=best[0], cells=cells.take(seen))


def _steps(start: int, length: int, field: int) -> list[int]:
    last = start + length - field
    return [*range(start, last, max(1, field // 4)), last]
