"""Cut an image into the tiles of a pyramid and compress them, in one pass over the image."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
from PIL import Image

from pathology.geometry import Spacing
from pathology.types import U8Array

__all__ = [
    "Builder",
    "Compression",
    "Format",
    "Level",
    "ResolutionUnit",
    "TileSource",
    "lay_levels",
]

Compression = Literal["jpeg", "deflate", "none"]
ResolutionUnit = Literal["cm", "inch", "none"]

#: A source is asked for squares of about this side: larger ones cost memory, smaller ones time.
_BLOCK_PX = 1024
#: Chroma is halved below this JPEG quality and kept in full from it on, as scanners' software does.
_FULL_CHROMA_QUALITY = 90


@dataclass(frozen=True, kw_only=True)
class TileSource:
    """Describe an image that is made piece by piece.

    Parameters
    ----------
    width, height
        Size in pixels, at least 1 each.
    read
        ``read(x, y, width, height)`` returns (height, width, 3) uint8 for a rectangle that lies
        wholly inside the image. It is asked at most once for every pixel, in no order to rely on.
    same
        ``same(x, y, width, height)`` returns a key of the rectangle: where two rectangles have the
        same key, their pixels are the same, and only the first is read and compressed. None, or
        without it: nothing is known.

    Raises
    ------
    ValueError
        If a side is below 1.

    Examples
    --------
    >>> def white(x, y, width, height):
    ...     return np.full((height, width, 3), 255, np.uint8)
    >>> TileSource(width=9, height=5, read=white).read(0, 0, 2, 1).shape
    (1, 2, 3)
    """

    width: int
    height: int
    read: Callable[[int, int, int, int], U8Array]
    same: Callable[[int, int, int, int], Hashable | None] | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"an image needs at least 1 × 1 px, not {self.width} × {self.height}")

    @classmethod
    def from_array(cls, image: U8Array) -> TileSource:
        """Wrap an (H, W, 3) uint8 array.

        Raises
        ------
        ValueError
            If the array has another shape or dtype.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"need (H, W, 3) uint8, not {image.shape} {image.dtype}")
        return cls(
            width=image.shape[1],
            height=image.shape[0],
            read=lambda x, y, w, h: image[y : y + h, x : x + w],
        )


@dataclass(kw_only=True)
class Level:
    """One level under construction: where each tile landed in the file."""

    width: int
    height: int
    tile_px: int
    offsets: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.offsets = [0] * (self.columns * self.rows)
        self.counts = [0] * (self.columns * self.rows)

    @property
    def columns(self) -> int:
        """Tiles side by side."""
        return -(-self.width // self.tile_px)

    @property
    def rows(self) -> int:
        """Tiles one below the other."""
        return -(-self.height // self.tile_px)


@dataclass(frozen=True, kw_only=True)
class Format:
    """What all levels share."""

    compression: Compression
    quality: int
    spacing: Spacing | None
    unit: ResolutionUnit
    icc: bytes | None

    @property
    def subsampling(self) -> int:
        """Chroma subsampling in x and y: 1 or 2."""
        return 1 if self.quality >= _FULL_CHROMA_QUALITY else 2


def lay_levels(image: TileSource, count: int, tile_px: int) -> list[Level]:
    """List the levels of a pyramid, finest first, each half as large as the one before."""
    # Halving rounds up: the last row and column of an odd image are kept, not dropped.
    sizes = [(image.width, image.height)]
    for _ in range(count - 1):
        width, height = sizes[-1]
        sizes.append(((width + 1) // 2, (height + 1) // 2))
    return [Level(width=width, height=height, tile_px=tile_px) for width, height in sizes]


class _Piece(NamedTuple):
    """A compressed tile of a block: its level, and its place among the block's tiles there."""

    number: int
    column: int
    row: int
    content: bytes


@dataclass(kw_only=True)
class Builder:
    """Walk the pyramid depth first, so that only one path of tiles is in memory at a time."""

    file: BinaryIO
    image: TileSource
    layout: Format
    pyramid: list[Level]
    #: Compressed tiles and the coarsest pixels of blocks that come again.
    kept: dict[Hashable, tuple[list[_Piece], U8Array]] = field(default_factory=dict)

    def build(self, number: int, column: int, row: int) -> U8Array | None:
        """Write the tile and all finer ones below it; return its pixels, None outside the image."""
        level = self.pyramid[number]
        if column >= level.columns or row >= level.rows:
            return None
        if level.tile_px << number <= _BLOCK_PX or number == 0:
            return self._build_block(number, column, row)
        parts = [
            [self.build(number - 1, 2 * column + dx, 2 * row + dy) for dx in (0, 1)]
            for dy in (0, 1)
        ]
        rows = [
            np.concatenate([part for part in line if part is not None], axis=1)
            for line in parts
            if line[0] is not None
        ]
        pixels = _halve(np.concatenate(rows, axis=0))
        self._put(level, column, row, self._compress(pixels, level.tile_px))
        return pixels

    def _build_block(self, number: int, column: int, row: int) -> U8Array:
        """Ask the source once for all that one tile of level ``number`` covers."""
        side = self.pyramid[number].tile_px << number
        x, y = column * side, row * side
        width, height = min(side, self.image.width - x), min(side, self.image.height - y)
        key = self.image.same(x, y, width, height) if self.image.same is not None else None
        if key is not None and key in self.kept:
            pieces, pixels = self.kept[key]
        else:
            pieces, pixels = self._make_block(number, x, y, width, height)
            if key is not None:
                self.kept[key] = pieces, pixels
        for piece in pieces:
            shift = number - piece.number
            place = (column << shift) + piece.column, (row << shift) + piece.row
            self._put(self.pyramid[piece.number], *place, piece.content)
        return pixels

    def _make_block(
        self, number: int, x: int, y: int, width: int, height: int
    ) -> tuple[list[_Piece], U8Array]:
        """Compress all tiles of a block; also return its pixels at level ``number``."""
        pixels = self.image.read(x, y, width, height)
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"the source returned {pixels.shape} {pixels.dtype} for {width} × {height} px"
            )
        pieces: list[_Piece] = []
        px = self.pyramid[number].tile_px
        for current in range(number + 1):
            if current:
                pixels = _halve(pixels)
            for top in range(0, pixels.shape[0], px):
                for left in range(0, pixels.shape[1], px):
                    tile = self._compress(pixels[top : top + px, left : left + px], px)
                    pieces.append(_Piece(current, left // px, top // px, tile))
        return pieces, pixels

    def _compress(self, pixels: U8Array, px: int) -> bytes:
        height, width = pixels.shape[:2]
        if (height, width) != (px, px):
            # The padding is never shown; repeating the edge keeps JPEG from ringing into the image.
            pixels = np.pad(pixels, ((0, px - height), (0, px - width), (0, 0)), mode="edge")
        return _encode(np.ascontiguousarray(pixels), self.layout)

    def _put(self, level: Level, column: int, row: int, content: bytes) -> None:
        index = row * level.columns + column
        level.offsets[index] = self.file.tell()
        level.counts[index] = len(content)
        self.file.write(content)


def _halve(pixels: U8Array) -> U8Array:
    """Average 2 × 2 pixels; an odd last row or column counts twice.

    Halves are rounded to even: always upwards, each level would be brighter than the one before.
    """
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    columns = pixels[0::2].astype(np.uint16)
    columns += pixels[1::2]
    total = columns[:, 0::2] + columns[:, 1::2]
    total += 1 + ((total >> 2) & 1)
    total >>= 2
    return total.astype(np.uint8)


def _encode(tile: U8Array, layout: Format) -> bytes:
    if layout.compression == "none":
        return tile.tobytes()
    if layout.compression == "deflate":
        return zlib.compress(tile.tobytes(), 6)
    buffer = io.BytesIO()
    chroma = {1: "4:4:4", 2: "4:2:0"}[layout.subsampling]
    Image.fromarray(tile).save(buffer, "JPEG", quality=layout.quality, subsampling=chroma)
    return buffer.getvalue()
