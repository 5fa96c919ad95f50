"""Tiles of the heat map: a colour each, and where there is room, their make-up and their cells."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from pathology.cells.table import CellTable
from pathology.report.canvas import View, font
from pathology.report.palette import INK, PAPER, PATTERN_COLOURS, RGB
from pathology.report.scene import TileMarks
from pathology.types import U8Array

__all__ = ["FEW_CELLS", "has_room_for_cells", "paint_cells", "paint_tiles"]

#: A tile with fewer tumour cells is painted paler: its shares move by over 5 points with one cell.
FEW_CELLS = 20
#: A tile this wide and high (px) has room for the strip that shows its make-up.
STRIP_FROM_PX = 34
#: The strip is never higher.
STRIP_MAX_PX = 12
#: And this one also for its number of tumour cells.
TEXT_FROM_PX = 64
#: From this side of a tile on (px) its cells can be told apart as dots.
CELLS_FROM_PX = 60
#: Radius of a cell's dot in µm: that of a nucleus, so that neighbours do not merge.
DOT_UM = 3.5
#: How much of the tissue's texture shows through a tile's colour.
TEXTURE = 0.4
#: Strength of the colour in tiles with few cells, and under dots.
PALE = 0.45
WASH = 0.25


def has_room_for_cells(view: View, tiles: TileMarks) -> bool:
    """Tell whether tiles are so large on the picture that their cells can be shown as dots."""
    if not tiles.n:
        return False
    return float(np.median(tiles.boxes[:, 2])) * view.width / view.box.width >= CELLS_FROM_PX


def paint_cells(background: U8Array, view: View, cells: Iterable[CellTable]) -> U8Array:
    """Paint each tumour cell as a dot in the colour of its pattern; the strongest lies on top.

    Parameters
    ----------
    background
        (H, W, 3) uint8.
    view
        Which part of level 0 the background shows.
    cells
        Cells in any order and any number of pieces; memory does not grow with their number.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8.
    """
    reach = max(1.0, DOT_UM / view.um_per_px)
    size = int(reach)
    dot = [
        (dx, dy)
        for dy in range(-size, size + 1)
        for dx in range(-size, size + 1)
        if dx * dx + dy * dy <= reach * reach
    ]
    # One number per pixel, the strongest pattern so far plus 1, does not depend on the order.
    strongest = np.zeros((view.height, view.width), dtype=np.uint8)
    for table in cells:
        tumour = np.asarray(table.is_tumour, dtype=np.bool_)
        x, y = view.place_all(table.x_um[tumour], table.y_um[tumour])
        pattern = table.pattern[tumour] + 1
        for dx, dy in dot:
            seen = (x + dx >= 0) & (x + dx < view.width) & (y + dy >= 0) & (y + dy < view.height)
            np.maximum.at(strongest, (y[seen] + dy, x[seen] + dx), pattern[seen])
    colours = np.asarray(PATTERN_COLOURS, dtype=np.uint8)
    result = background.copy()
    where = strongest > 0
    result[where] = colours[strongest[where] - 1]
    return result


def paint_tiles(
    background: U8Array,
    view: View,
    tiles: TileMarks,
    cells: Iterable[CellTable] | None = None,
    *,
    whole: bool = False,
) -> U8Array:
    """Paint each tile that holds tumour cells.

    Parameters
    ----------
    background
        (H, W, 3) uint8, grey.
    view
        Which part of level 0 the background shows.
    tiles
        The tiles; those that failed are left as they are.
    cells
        Draw these as dots, on tiles that are then only tinted and framed.
    whole
        Each tile was classified as a whole: it counts one, and has no make-up to show.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8.
    """
    result = background.copy()
    leading, total = tiles.leading_pattern(), tiles.n_tumour
    marked = tiles.holds_intense()
    places = [_place(view, box) for box in tiles.boxes.tolist()]
    for place, code, n in zip(places, leading.tolist(), total.tolist(), strict=True):
        if code < 0 or place is None:
            continue
        x0, y0, x1, y1 = place
        # A thin seam of background between tiles, where a tile is more than a few pixels.
        seam = 1 if min(x1 - x0, y1 - y0) >= 6 else 0
        part = result[y0 : y1 - seam, x0 : x1 - seam]
        share = 1.0 if whole or n >= FEW_CELLS else PALE
        if cells is not None:
            frame = part.copy()
            _tint(part, PATTERN_COLOURS[code], share * WASH)
            _tint(frame, PATTERN_COLOURS[code], share)
            for edge in (np.s_[:4], np.s_[-4:], np.s_[:, :4], np.s_[:, -4:]):
                part[edge] = frame[edge]
        else:
            _tint(part, PATTERN_COLOURS[code], share)
    if cells is not None:
        result = paint_cells(result, view, cells)
    image = Image.fromarray(result)
    draw = ImageDraw.Draw(image)
    for index, place in enumerate(places):
        if place is None or leading[index] < 0:
            continue
        if marked[index]:
            _corner(draw, place)
        if not whole and min(place[2] - place[0], place[3] - place[1]) >= STRIP_FROM_PX:
            dark = cells is None and int(leading[index]) >= len(PATTERN_COLOURS) - 2
            _details(draw, place, tiles.counts[index].tolist(), PAPER if dark else INK)
    return np.asarray(image)


def _place(view: View, box: list[int]) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of a tile in picture px; None outside the picture."""
    x, y, wide, high = box
    left, top = view.place(x, y)
    right, bottom = view.place(x + wide, y + high)
    x0, y0 = max(0, round(left)), max(0, round(top))
    x1 = min(view.width, max(round(right), x0 + 1))
    y1 = min(view.height, max(round(bottom), y0 + 1))
    if x0 >= x1 or y0 >= y1:
        return None
    return x0, y0, x1, y1


def _tint(part: U8Array, colour: RGB, share: float) -> None:
    """Colour the background like stained glass, so that tissue shows and the legend still fits."""
    light = 1.0 - TEXTURE * (1.0 - part.astype(np.float32) / 255.0)
    tinted = light * np.asarray(colour, dtype=np.float32)
    part[:] = np.rint(share * tinted + (1.0 - share) * part)


def _corner(draw: ImageDraw.ImageDraw, place: tuple[int, int, int, int]) -> None:
    """Mark a tile that holds a few complete intense cells with a dark corner, at the top right."""
    x0, y0, x1, y1 = place
    side = max(2, min(14, (x1 - x0) // 3, (y1 - y0) // 3))
    right = x1 - 2 if x1 - x0 >= 6 else x1 - 1
    points = [(right - side, y0), (right, y0), (right, y0 + side)]
    draw.polygon(points, fill=PATTERN_COLOURS[-1], outline=PAPER if side > 5 else None)


def _details(
    draw: ImageDraw.ImageDraw, place: tuple[int, int, int, int], counts: list[int], ink: RGB
) -> None:
    """Draw a strip with the tile's shares along its lower edge, and its number of tumour cells."""
    x0, y0, x1, y1 = place
    left, right, bottom = x0 + 3, x1 - 5, y1 - 5
    top = bottom - min(max(4, (y1 - y0) // 12), STRIP_MAX_PX)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=PAPER)
    total, done = sum(counts), 0
    for pattern in range(len(counts) - 1, -1, -1):
        start = left + (right - left + 1) * done / total
        done += counts[pattern]
        stop = left + (right - left + 1) * done / total
        if round(stop) > round(start):
            box = (round(start), top, round(stop) - 1, bottom)
            draw.rectangle(box, fill=PATTERN_COLOURS[pattern])
    if min(x1 - x0, y1 - y0) >= TEXT_FROM_PX:
        draw.text((x0 + 7, y0 + 6), f"{total:,}", font=font(11), fill=ink)
