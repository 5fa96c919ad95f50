"""Read the tiles of a slide from the file itself, where that gives exactly what OpenSlide gives.

OpenSlide composes every window anew through a drawing library, which takes several times as long
as decoding the JPEG. Plain pyramids of JPEG tiles need no drawing. What is special in any way,
a file, a tile or an error, is left to OpenSlide, so that it is the same as ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from pathology.errors import RegionReadError
from pathology.types import U8Array
from pathology.wsi.jpeg import TileDecoder
from pathology.wsi.missing import has_black_rgb
from pathology.wsi.reader import Level, PixelSource
from pathology.wsi.tiff import LayoutError, TiledImage, read_tiled_images
from pathology.wsi.tilecache import TileCache

__all__ = ["DIRECT_VENDORS", "DirectSource", "open_direct"]

#: OpenSlide's names of the formats whose levels are images of a TIFF, tile by tile and nothing
#: else. The others move, overlap, pad or mend tiles.
DIRECT_VENDORS = frozenset({"aperio", "generic-tiff"})


#: Returns a tile by level, column and row.
_TileAt = Callable[[int, int, int], U8Array | None]


class _File:
    """An open file that is closed when the last thread that reads with it lets go."""

    def __init__(self, path: Path) -> None:
        self._number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self._number).st_size

    def __del__(self) -> None:
        number = getattr(self, "_number", -1)
        if number >= 0:
            os.close(number)

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes at a place; fewer where the file ends. Safe from any number of threads."""
        return os.pread(self._number, length, offset)


class DirectSource:
    """Offer the pyramid of a file of JPEG tiles; any number of threads may read at once.

    Parameters
    ----------
    file
        The open file.
    general
        The general reader of the same file: says which levels there are, and reads what the file
        does not hold, or what cannot be decoded, with the errors that belong to it. Closed with
        this source.
    images, decoders
        Where the tiles of each level are, and what decodes them.
    cache_mb
        Memory for decoded tiles, in MB (10^6 bytes).
    """

    def __init__(
        self,
        file: _File,
        general: PixelSource,
        images: tuple[TiledImage, ...],
        decoders: tuple[TileDecoder, ...],
        *,
        cache_mb: int,
    ) -> None:
        self._file: _File | None = file
        self._general = general
        self._images = images
        self._decoders = decoders
        self._cache = TileCache(cache_mb * 1_000_000)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels, finest first: those of the general reader."""
        return self._general.levels

    @property
    def images(self) -> tuple[TiledImage, ...]:
        """Where the tiles of each level are."""
        return self._images

    def read_level(self, level: int, x: int, y: int, width: int, height: int) -> U8Array:
        """Read a window; see ``PixelSource.read_level``.

        A tile that is damaged, even so that libjpeg only warns, makes the general reader read the
        whole window: its pixels or its error are then what they always were.
        """
        result = np.empty((height, width, 4), dtype=np.uint8)
        if self._assemble(level, x, y, result, self.tile):
            return result
        return self._general.read_level(level, x, y, width, height)

    def copy_plain(self, level: int, x: int, y: int, pixels: U8Array) -> bool:
        """Copy a window without alpha; see ``PlainSource.copy_plain``."""
        return self._assemble(level, x, y, pixels, self._plain_tile)

    def _assemble(self, level: int, x: int, y: int, pixels: U8Array, tile_at: _TileAt) -> bool:
        """Fill a window from tiles; False where one of them cannot be had."""
        image = self._images[level]
        side_x, side_y = image.tile_width, image.tile_height
        height, width = pixels.shape[:2]
        for row in range(y // side_y, -(-(y + height) // side_y)):
            top, bottom = max(row * side_y, y), min((row + 1) * side_y, y + height)
            for column in range(x // side_x, -(-(x + width) // side_x)):
                tile = tile_at(level, column, row)
                if tile is None:
                    return False
                left, right = max(column * side_x, x), min((column + 1) * side_x, x + width)
                pixels[top - y : bottom - y, left - x : right - x] = tile[
                    top - row * side_y : bottom - row * side_y,
                    left - column * side_x : right - column * side_x,
                ]
        return True

    def tile(self, level: int, column: int, row: int) -> U8Array | None:
        """Return a storage tile of a level; None where only the general reader can tell.

        Returns
        -------
        numpy.ndarray
            (rows, columns, 4) uint8, at least the part inside the level; not to be changed.
        """
        return self._cache.get(
            (level, column, row, 4), lambda: self._make(level, column, row, flags=True)
        )

    def _plain_tile(self, level: int, column: int, row: int) -> U8Array | None:
        """Return a tile as (rows, columns, 3), or None where it is not stored or holds black."""
        key = (level, column, row, 3)
        return self._cache.get(key, lambda: self._make_plain(level, column, row))

    def _make_plain(self, level: int, column: int, row: int) -> U8Array | None:
        tile = self._make(level, column, row, flags=False)
        return tile if tile is not None and not has_black_rgb(tile) else None

    def close(self) -> None:
        """Let go of the file; reads in flight end in peace."""
        self._file = None
        self._cache.clear()
        self._general.close()

    def _make(self, level: int, column: int, row: int, *, flags: bool) -> U8Array | None:
        file, image = self._file, self._images[level]
        index = row * image.columns + column
        if file is None:
            return None  # closed: the general reader says so
        length = int(image.lengths[index])
        if length == 0:
            return self._absent(level, column, row) if flags else None
        try:
            content = file.read(int(image.offsets[index]), length)
        except OSError:
            return None
        if len(content) != length:
            return None
        return self._decoders[level].decode(content, flags=flags)

    def _absent(self, level: int, column: int, row: int) -> U8Array | None:
        """Return what the general reader shows in the place of a tile that is not stored."""
        image = self._images[level]
        x, y = column * image.tile_width, row * image.tile_height
        width = min(image.tile_width, image.width - x)
        height = min(image.tile_height, image.height - y)
        try:
            return self._general.read_level(level, x, y, width, height).copy()
        except RegionReadError:
            return None


class _General(PixelSource, Protocol):
    """A general reader that knows the file's properties."""

    properties: dict[str, str]


def open_direct(path: Path, general: _General, *, cache_mb: int) -> DirectSource:
    """Open a file for direct reading; whether its pixels are right is not looked at here.

    Parameters
    ----------
    path
        The file.
    general
        The general reader of the same file.
    cache_mb
        Memory for decoded tiles, in MB.

    Raises
    ------
    LayoutError
        If the file is not a plain pyramid of JPEG tiles; the text says what it is.
    """
    vendor = general.properties.get("openslide.vendor", "unknown")
    if vendor not in DIRECT_VENDORS:
        raise LayoutError(f"format {vendor}")
    if not hasattr(os, "pread"):
        raise LayoutError("no positional reading on this system")
    try:
        file = _File(path)
        found = read_tiled_images(file.read, file.size)
    except OSError as error:
        raise LayoutError(f"the file cannot be read ({error.strerror})") from error
    images = tuple(_match(found, level) for level in general.levels)
    decoders = tuple(TileDecoder(image) for image in images)
    return DirectSource(file, general, images, decoders, cache_mb=cache_mb)


def _match(images: tuple[TiledImage, ...], level: Level) -> TiledImage:
    """Find the image of a level by its size."""
    size = (level.width, level.height)
    same = [image for image in images if (image.width, image.height) == size]
    if len(same) != 1:
        raise LayoutError(f"{len(same)} tiled images of {size[0]} × {size[1]} px")
    return same[0]
