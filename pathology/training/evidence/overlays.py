"""Draw what was found onto the picture it was found in, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from pathology.cells.measure import ray_directions
from pathology.cells.table import CELL_CLASSES, RADIUS_STEP_UM, CellTable
from pathology.report.palette import CLASS_COLOURS, PATTERN_COLOURS, RGB
from pathology.synthesis.truth import FieldCells
from pathology.types import AnyArray, U8Array

__all__ = ["Marks", "draw_dots", "draw_outlines", "side_by_side"]

#: Half the side of the dot that stands for a cell that does not count, in pixels of the drawing.
_DOT_PX = 2


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Hold the cells to be drawn.

    Parameters
    ----------
    centres_um
        (n, 2) x, y in µm from the top left of the picture.
    radii_um
        (n, 32) outline.
    cell_class, pattern
        (n,) indices into ``CELL_CLASSES`` and ``PATTERNS``.
    """

    centres_um: AnyArray
    radii_um: AnyArray
    cell_class: AnyArray
    pattern: AnyArray

    @classmethod
    def of_table(cls, table: CellTable, *, origin_um: tuple[float, float] = (0.0, 0.0)) -> Marks:
        """Take found cells; ``origin_um`` is where the picture begins."""
        return cls(
            centres_um=np.stack([table.x_um, table.y_um], axis=1) - np.asarray(origin_um),
            radii_um=table.outline_r * RADIUS_STEP_UM,
            cell_class=table.cell_class,
            pattern=table.pattern,
        )

    @classmethod
    def of_truth(cls, truth: FieldCells, mpp: float) -> Marks:
        """Take the true cells that can be seen."""
        seen = truth.take(truth.visible)
        return cls(
            centres_um=np.stack([seen.x_px, seen.y_px], axis=1) * mpp,
            radii_um=seen.outline_r_um,
            cell_class=seen.cell_class,
            pattern=seen.pattern,
        )

    def colour(self, row: int) -> RGB:
        """Return the colour of a cell: of its pattern if it is tumour, else of its class."""
        code = int(self.cell_class[row])
        if code == CELL_CLASSES.index("tumour"):
            return PATTERN_COLOURS[int(self.pattern[row])]
        return CLASS_COLOURS[CELL_CLASSES[code]]


def draw_outlines(rgb: U8Array, marks: Marks, *, mpp: float, zoom: int = 2) -> U8Array:
    """Draw outlines of tumour cells in the colour of their pattern, and other cells as dots.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.
    marks
        The cells.
    mpp
        Pixel size of the picture, µm.
    zoom
        Whole factor by which the picture is enlarged first.

    Returns
    -------
    numpy.ndarray
        (H × zoom, W × zoom, 3) uint8.
    """
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    picture = picture.resize((rgb.shape[1] * zoom, rgb.shape[0] * zoom), Image.Resampling.BICUBIC)
    pen, scale = ImageDraw.Draw(picture), zoom / mpp
    corners = marks.centres_um[:, None] + marks.radii_um[..., None] * ray_directions()
    for row, centre in enumerate(marks.centres_um * scale):
        colour = marks.colour(row)
        if int(marks.cell_class[row]) == CELL_CLASSES.index("tumour"):
            ring = [(float(x), float(y)) for x, y in corners[row] * scale]
            pen.line([*ring, ring[0]], fill=colour, width=max(1, zoom // 2))
        else:
            _dot(pen, centre, colour)
    return np.asarray(picture, dtype=np.uint8)


def draw_dots(rgb: U8Array, marks: Marks, *, mpp: float) -> U8Array:
    """Draw every cell as a dot: tumour in the colour of its pattern, others in that of their class.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.
    marks
        The cells.
    mpp
        Pixel size of the picture, µm.
    """
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    pen = ImageDraw.Draw(picture)
    for row, centre in enumerate(marks.centres_um / mpp):
        _dot(pen, centre, marks.colour(row), side=1)
    return np.asarray(picture, dtype=np.uint8)


def _dot(pen: ImageDraw.ImageDraw, centre: AnyArray, colour: RGB, side: int = _DOT_PX) -> None:
    x, y = (float(value) for value in centre)
    pen.rectangle((x - side, y - side, x + side, y + side), fill=colour)


def side_by_side(rows: Sequence[Sequence[U8Array]], *, gap_px: int = 6) -> U8Array:
    """Join pictures of one size into a sheet, with white gaps.

    Parameters
    ----------
    rows
        Rows of (H, W, 3) uint8 pictures; all rows hold as many.
    gap_px
        Width of the gaps.

    Examples
    --------
    >>> side_by_side([[np.zeros((4, 5, 3), np.uint8)] * 2] * 3, gap_px=1).shape
    (14, 11, 3)
    """
    height, width = rows[0][0].shape[:2]
    shape = (len(rows) * (height + gap_px) - gap_px, len(rows[0]) * (width + gap_px) - gap_px, 3)
    sheet = np.full(shape, 255, dtype=np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap_px), j * (width + gap_px)
            sheet[top : top + height, left : left + width] = picture
    return sheet
