"""Choose how a slide's pixels are read: from the file directly where that is proven equal."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from pathology.errors import RegionReadError
from pathology.types import U8Array
from pathology.wsi.direct import DirectSource, open_direct
from pathology.wsi.reader import PixelSource
from pathology.wsi.tiff import LayoutError
from pathology.wsi.vendor import OpenSlideSource

__all__ = ["choose_source", "compare", "compare_tile"]

#: Tiles of a level that are compared: first the one with the most bytes, which shows a decoder's
#: differences best, then the last one, which is cut by the edges.
_COMPARED_TILES = 2
#: A level that OpenSlide interpolates takes it many times as long: there it is the middle of one
#: tile, this many pixels wide.
_PATCH_PX = 64
#: A damaged tile says nothing; the next longest is taken, up to this many.
_LONGEST = 4
#: OpenSlide draws interpolated tiles one over the other, which changes this many pixels at rims.
_RIM_PX = 2


def choose_source(
    path: Path,
    general: OpenSlideSource,
    *,
    reader: Literal["auto", "openslide"],
    cache_mb: int,
) -> tuple[PixelSource, Literal["direct", "openslide"], str]:
    """Return what to read a slide with.

    Parameters
    ----------
    path
        The file.
    general
        OpenSlide's reader of it.
    reader
        ``auto`` reads directly where the file allows it and some tiles of every level are as
        OpenSlide gives them; ``openslide`` never does.
    cache_mb
        Memory for decoded tiles, in MB.

    Returns
    -------
    source
        Closing it closes ``general``, too.
    name
        ``direct`` or ``openslide``.
    note
        Why not directly; empty where so. The same for the same file and configuration.
    """
    if reader == "openslide":
        return general, "openslide", "as configured"
    try:
        direct = open_direct(path, general, cache_mb=cache_mb)
    except LayoutError as error:
        return general, "openslide", str(error)
    difference = compare(direct, general)
    if difference:
        return general, "openslide", difference
    return direct, "direct", ""


def compare(direct: DirectSource, general: OpenSlideSource) -> str:
    """Decode some tiles of every level both ways.

    Parameters
    ----------
    direct, general
        Two readers of the same file.

    Returns
    -------
    str
        What differs; empty where nothing does.
    """
    for level, exact in enumerate(general.exact):
        wanted = _COMPARED_TILES if exact else 1
        done = 0
        for column, row in _candidates(direct, level):
            equal = _equal(direct, general, (level, column, row), exact=exact)
            if equal is False:
                return f"level {level}: tile ({column}, {row}) is not as OpenSlide decodes it"
            done += equal is True
            if done == wanted:
                break
        if not done:
            return f"level {level}: no tile could be compared with OpenSlide's"
    return ""


def compare_tile(direct: U8Array, general: U8Array, *, exact: bool) -> bool:
    """Tell whether pixels of a tile are the same within the stated tolerance.

    Parameters
    ----------
    direct, general
        (H, W, 4) uint8 of the two readers.
    exact
        True: OpenSlide hits the level's pixels, and all values must be equal. False: it
        interpolates between them, so that its values must lie within those of the pixel and its
        eight neighbours; a rim of 2 px is not looked at.

    Examples
    --------
    >>> tile = np.arange(100, dtype=np.uint8).reshape(5, 5, 4)
    >>> compare_tile(tile, tile, exact=True), compare_tile(tile, tile + 1, exact=True)
    (True, False)
    >>> compare_tile(tile, tile + 1, exact=False), compare_tile(tile, tile + 50, exact=False)
    (True, False)
    """
    if direct.shape != general.shape:
        return False
    if exact:
        return np.array_equal(direct, general)
    inner = np.s_[_RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX]
    low = ndimage.minimum_filter(direct, (3, 3, 1))[inner]
    high = ndimage.maximum_filter(direct, (3, 3, 1))[inner]
    seen = general[inner]
    return bool(((low <= seen) & (seen <= high)).all())


def _candidates(direct: DirectSource, level: int) -> list[tuple[int, int]]:
    """List the columns and rows of the tiles to compare, best first."""
    image = direct.images[level]
    longest = np.argsort(-image.lengths, kind="stable")[:_LONGEST].tolist()
    order = dict.fromkeys([longest[0], len(image.lengths) - 1, *longest[1:]])
    stored = [index for index in order if image.lengths[index] > 0]
    return [(index % image.columns, index // image.columns) for index in stored]


def _equal(
    direct: DirectSource, general: OpenSlideSource, place: tuple[int, int, int], *, exact: bool
) -> bool | None:
    """Compare one tile; None where it cannot be compared."""
    level, column, row = place
    image = direct.images[level]
    x, y = column * image.tile_width, row * image.tile_height
    width = min(image.tile_width, image.width - x)
    height = min(image.tile_height, image.height - y)
    left = top = 0
    if not exact:
        left, top = max(0, width - _PATCH_PX) // 2, max(0, height - _PATCH_PX) // 2
        width, height = min(width, _PATCH_PX), min(height, _PATCH_PX)
    tile = direct.tile(level, column, row)
    if tile is None:
        return None
    try:
        pixels = general.read_level(level, x + left, y + top, width, height)
    except RegionReadError:
        return None
    return compare_tile(tile[top : top + height, left : left + width], pixels, exact=exact)
