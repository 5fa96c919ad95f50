"""Read the whole slide small: the picture that tissue is found on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pathology.errors import ReasonCode, RegionReadError, SlideError
from pathology.geometry import Box0, Spacing
from pathology.types import BoolArray, U8Array
from pathology.wsi.slide import Region, Slide

__all__ = ["Overview", "read_overview"]

#: An overview never has more pixels: finding tissue takes about 60 bytes per pixel, so this
#: bounds it to 0.4 GB. 8 µm/px over 15 × 25 mm fits; a larger scan gets coarser pixels.
MAX_PIXELS = 6_000_000
#: A small field is read finer than ``overview_mpp``, until its longer side has this many pixels.
MIN_SIDE_PX = 256
#: A slide whose overview cannot be read at once is read in this many pieces per side.
PIECES = 8


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Hold the overview of a slide.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8, white where there is no data.
    data
        (H, W) bool, False where the slide holds nothing.
    unread
        (H, W) bool, True where pixels exist but could not be decoded.
    box
        The level-0 box that the pixels tile exactly.
    spacing
        Size of a level-0 pixel in µm.
    """

    rgb: U8Array
    data: BoolArray
    unread: BoolArray
    box: Box0
    spacing: Spacing

    @property
    def pixel_um(self) -> float:
        """Side of an overview pixel in µm (geometric mean of x and y)."""
        return math.sqrt(self.pixel_area_mm2 * 1e6)

    @property
    def pixel_area_mm2(self) -> float:
        """Area of an overview pixel in mm²."""
        height, width = self.data.shape
        return float(self.box.area * self.spacing.area_um2 / (height * width) / 1e6)


def read_overview(slide: Slide, mpp: float) -> Overview:
    """Read the scanned part of a slide at a coarse pixel size.

    Small fields are read finer (256 pixels along the longer side, never finer than level 0), very
    large ones coarser (6 million pixels at most).

    Parameters
    ----------
    slide
        The open slide.
    mpp
        Wanted pixel size in µm/px.

    Returns
    -------
    Overview
        Pixels of ``slide.info.bounds``; parts that cannot be decoded are marked ``unread``.

    Raises
    ------
    SlideError
        If no part of the slide can be decoded (``unreadable``).
    """
    box, spacing = slide.info.bounds, slide.info.spacing
    size = _overview_mpp(box, spacing, mpp)
    try:
        region = slide.read_region(box, mpp=size)
        unread = np.zeros(region.data.shape, dtype=np.bool_)
    except RegionReadError:
        region, unread = _read_in_pieces(slide, box, size)
        if unread.all():
            raise SlideError(
                f"{slide.info.path}: no part of the image can be decoded",
                reason=ReasonCode.UNREADABLE,
                fix="The file is damaged or incomplete; copy or export it again.",
            ) from None
    return Overview(rgb=region.pixels, data=region.data, unread=unread, box=box, spacing=spacing)


def _overview_mpp(box: Box0, spacing: Spacing, mpp: float) -> float:
    width, height = box.width * spacing.x, box.height * spacing.y
    finest = max(spacing.x, spacing.y)
    size = max(min(mpp, max(width, height) / MIN_SIDE_PX), finest)
    return max(size, math.sqrt(width * height / MAX_PIXELS))


def _read_in_pieces(slide: Slide, box: Box0, mpp: float) -> tuple[Region, BoolArray]:
    """Read a grid of pieces and leave white, and marked, those that cannot be decoded."""
    spacing = slide.info.spacing
    columns = max(round(box.width * spacing.x / mpp), 1)
    rows = max(round(box.height * spacing.y / mpp), 1)
    pixels = np.full((rows, columns, 3), 255, dtype=np.uint8)
    data = np.zeros((rows, columns), dtype=np.bool_)
    unread = np.zeros((rows, columns), dtype=np.bool_)
    for row0, row1 in _spans(rows):
        for col0, col1 in _spans(columns):
            x0, x1 = box.width * col0 // columns, box.width * col1 // columns
            y0, y1 = box.height * row0 // rows, box.height * row1 // rows
            piece = Box0(x=box.x + x0, y=box.y + y0, width=x1 - x0, height=y1 - y0)
            target = (slice(row0, row1), slice(col0, col1))
            try:
                region = slide.read_region(piece, mpp=mpp)
            except RegionReadError:
                unread[target] = True
                continue
            # Rounding may give a piece one row or column more or less than its place has.
            take_y = _fit(region.data.shape[0], row1 - row0)
            take_x = _fit(region.data.shape[1], col1 - col0)
            pixels[target] = region.pixels[take_y][:, take_x]
            data[target] = region.data[take_y][:, take_x]
    return Region(pixels=pixels, data=data), unread


def _spans(length: int) -> list[tuple[int, int]]:
    edges = sorted({length * index // PIECES for index in range(PIECES + 1)})
    return list(pairwise(edges))


def _fit(have: int, want: int) -> slice | np.ndarray[tuple[int], np.dtype[np.intp]]:
    if have == want:
        return slice(None)
    return np.minimum(np.arange(want), have - 1)
