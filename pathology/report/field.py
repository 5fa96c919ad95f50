"""Cells drawn over a field of a slide, to see with one's own eyes what was measured."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from pathology.cells.table import N_RAYS, RADIUS_STEP_UM, CellTable
from pathology.geometry import Box0, Spacing
from pathology.report.canvas import View, font, png_bytes, with_scale_bar
from pathology.report.palette import CLASS_COLOURS, INK, PAPER, PATTERN_COLOURS, PATTERN_LABELS, RGB
from pathology.report.raster import resize_rgb
from pathology.types import AnyArray, U8Array

__all__ = ["cell_polygons_um", "draw_field"]

LEGEND_PX = 22
#: Outlines are drawn at this many times the size and then averaged: smooth lines without a
#: drawing library's own rules of smoothing.
OVERSAMPLE = 2


def cell_polygons_um(cells: CellTable) -> AnyArray:
    """Return the outlines of cells from their 32 radii.

    Parameters
    ----------
    cells
        n cells.

    Returns
    -------
    numpy.ndarray
        (n, 32, 2) float64: x and y in µm from the top left of level 0; not closed.

    Examples
    --------
    >>> cell_polygons_um(CellTable.empty()).shape
    (0, 32, 2)
    """
    angles = 2.0 * np.pi * np.arange(N_RAYS) / N_RAYS
    radii = cells.outline_r.astype(np.float64) * RADIUS_STEP_UM
    x = cells.x_um.astype(np.float64)[:, None] + radii * np.cos(angles)
    y = cells.y_um.astype(np.float64)[:, None] + radii * np.sin(angles)
    return np.stack([x, y], axis=2)


def draw_field(
    rgb: U8Array,
    box: Box0,
    spacing: Spacing,
    cells: CellTable,
    *,
    width_px: int = 900,
    legend: bool = True,
) -> bytes:
    """Draw the outlines of cells over a field; tumour cells in the colour of their pattern.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8: the pixels of ``box``, at any pixel size.
    box
        Level-0 pixels that the field covers.
    spacing
        Size of a level-0 pixel in µm.
    cells
        Cells; those outside the field are left out. Cells that do not count as tumour get a thin
        grey line.
    width_px
        Width of the picture in px, at least 64.
    legend
        Add a line that names the colours, where the picture is at least 700 px wide.

    Returns
    -------
    bytes
        PNG without metadata; the same input gives the same bytes.

    Raises
    ------
    ValueError
        If the picture would be narrower than 64 px.
    """
    if width_px < 64:
        raise ValueError(f"a field is at least 64 px wide, not {width_px}")
    height = max(1, round(width_px * box.height * spacing.y / (box.width * spacing.x)))
    view = View(box=box, width=width_px * OVERSAMPLE, height=height * OVERSAMPLE, spacing=spacing)
    large = Image.fromarray(resize_rgb(rgb, (view.width, view.height)))
    _draw_outlines(large, view, cells)
    picture = large.resize((width_px, height), Image.Resampling.BOX)
    picture = with_scale_bar(picture, View(box=box, width=width_px, height=height, spacing=spacing))
    if legend and width_px >= 700:
        picture = _with_legend(picture)
    return png_bytes(picture)


def _draw_outlines(image: Image.Image, view: View, cells: CellTable) -> None:
    """Draw grey outlines first, so that tumour cells lie on top."""
    draw = ImageDraw.Draw(image)
    points = cell_polygons_um(cells)
    points[..., 0] = (points[..., 0] / view.spacing.x - view.box.x) * view.width / view.box.width
    points[..., 1] = (points[..., 1] / view.spacing.y - view.box.y) * view.height / view.box.height
    low, high = points.min(axis=1), points.max(axis=1)
    seen = (high > 0).all(axis=1) & (low < (view.width, view.height)).all(axis=1)
    tumour = np.asarray(cells.is_tumour, dtype=np.bool_)
    for row in np.flatnonzero(seen & ~tumour):
        _ring(draw, points[row], CLASS_COLOURS["other"], OVERSAMPLE)
    for row in np.flatnonzero(seen & tumour):
        # A dark line under the colour keeps pale colours visible on pale tissue.
        _ring(draw, points[row], INK, 3 * OVERSAMPLE)
        _ring(draw, points[row], PATTERN_COLOURS[int(cells.pattern[row])], 2 * OVERSAMPLE)


def _ring(draw: ImageDraw.ImageDraw, points: AnyArray, colour: RGB, width: int) -> None:
    corners = [(float(x), float(y)) for x, y in points]
    draw.line([*corners, corners[0]], fill=colour, width=width, joint="curve")


def _with_legend(picture: Image.Image) -> Image.Image:
    """Add a line below that names the colours."""
    page = Image.new("RGB", (picture.width, picture.height + LEGEND_PX), PAPER)
    page.paste(picture, (0, 0))
    draw = ImageDraw.Draw(page)
    names = [*PATTERN_LABELS, "Not counted"]
    colours = [*PATTERN_COLOURS, CLASS_COLOURS["other"]]
    size = 11
    while size > 7 and _legend_width(names, size) > picture.width - 8:
        size -= 1
    x, y = 4.0, picture.height + 5
    for name, colour in zip(names, colours, strict=True):
        draw.rectangle((x, y + 1, x + 11, y + 11), fill=colour, outline=INK)
        draw.text((x + 16, y), name, font=font(size), fill=INK)
        x += font(size).getlength(name) + 28
    return page


def _legend_width(names: list[str], size: int) -> float:
    return sum(font(size).getlength(name) + 28 for name in names)
