"""Write tiled pyramidal TIFF files that OpenSlide opens, whatever the size of the image.

The container is written here rather than by a library, because the file must be made in one pass
over an image that never exists as a whole: tiles of all levels are appended as they are ready, and
the directories that list them follow at the end. Memory does not grow with the image. TIFF 6.0
(classic) is used below 4 GiB, BigTIFF above.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image

from pathology.errors import OutputError
from pathology.geometry import Spacing
from pathology.synthesis.tiff_directory import (
    ASCII,
    HEADER_BYTES,
    LONG,
    LONG8,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Directories,
    Tag,
    rational,
)
from pathology.types import U8Array

__all__ = ["Compression", "ResolutionUnit", "TileSource", "write_pyramid"]

Compression = Literal["jpeg", "deflate", "none"]
ResolutionUnit = Literal["cm", "inch", "none"]

#: Values of the tags Compression (259) and ResolutionUnit (296), and µm per unit: TIFF 6.0, and for
#: JPEG and Deflate the TIFF technical notes 2 and 3 of Adobe.
_COMPRESSION_CODE: dict[str, int] = {"none": 1, "jpeg": 7, "deflate": 8}
_UNIT_CODE: dict[str, int] = {"none": 1, "inch": 2, "cm": 3}
_UM_PER_UNIT: dict[str, int] = {"none": 10_000, "inch": 25_400, "cm": 10_000}
#: Offsets of classic TIFF are 32 bits wide; the margin leaves room for the directories themselves.
_CLASSIC_LIMIT = 2**32 - 2**26
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
        wholly inside the image. It is asked once for every pixel, in no order to rely on.

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
class _Level:
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
        return -(-self.width // self.tile_px)

    @property
    def rows(self) -> int:
        return -(-self.height // self.tile_px)


@dataclass(frozen=True, kw_only=True)
class _Format:
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


def write_pyramid(
    path: Path,
    source: U8Array | TileSource,
    *,
    mpp: float | tuple[float, float] | Spacing | None,
    levels: int,
    tile_px: int = 256,
    compression: Compression = "jpeg",
    quality: int = 88,
    resolution_unit: ResolutionUnit = "cm",
    icc: bytes | None = None,
) -> None:
    """Write a tiled pyramidal TIFF; each level halves the one before (mean of 2 × 2 pixels).

    The same input gives the same bytes. The file appears under its name only when it is complete.

    Parameters
    ----------
    path
        File to write; its folder exists.
    source
        (H, W, 3) uint8 sRGB, or a :class:`TileSource` for images too large for memory.
    mpp
        Pixel size of level 0 in µm/px: a number, (x, y), or a ``Spacing``; None writes none.
    levels
        Number of levels, at least 1.
    tile_px
        Side of a storage tile, a multiple of 16 (a rule of TIFF).
    compression
        ``jpeg`` (lossy), ``deflate`` or ``none``.
    quality
        JPEG quality, 1 to 100; chroma is halved below 90.
    resolution_unit
        Unit of the resolution tags; ``none`` gives numbers without a unit, which no reader may take
        for a pixel size.
    icc
        ICC profile to embed.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the source returns pixels of the wrong shape.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "grey.tif"
    ...     write_pyramid(target, np.full((300, 200, 3), 128, np.uint8), mpp=0.25, levels=2)
    ...     target.read_bytes()[:3]
    b'II*'
    """
    if levels < 1 or tile_px < 16 or tile_px % 16 or not 1 <= quality <= 100:
        raise ValueError("levels >= 1, tile_px a multiple of 16, and quality 1 to 100 are needed")
    if compression not in _COMPRESSION_CODE or resolution_unit not in _UNIT_CODE:
        raise ValueError(f"unknown compression {compression!r} or unit {resolution_unit!r}")
    image = source if isinstance(source, TileSource) else TileSource.from_array(source)
    layout = _Format(
        compression=compression,
        quality=quality,
        spacing=_as_spacing(mpp),
        unit=resolution_unit,
        icc=icc,
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            _write(file, image, layout, levels=levels, tile_px=tile_px)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error})",
            fix="Check the folder, its permissions and the free space.",
        ) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _as_spacing(mpp: float | tuple[float, float] | Spacing | None) -> Spacing | None:
    if mpp is None or isinstance(mpp, Spacing):
        return mpp
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    return Spacing(x=x, y=y)


def _write(
    file: BinaryIO, image: TileSource, layout: _Format, *, levels: int, tile_px: int
) -> None:
    file.write(bytes(HEADER_BYTES))
    pyramid = _lay_levels(image, levels, tile_px)
    builder = _Builder(file=file, image=image, layout=layout, pyramid=pyramid)
    top = levels - 1
    for row in range(pyramid[top].rows):
        for column in range(pyramid[top].columns):
            builder.build(top, column, row)
    big = file.tell() > _CLASSIC_LIMIT
    directories = Directories(big=big, start=file.tell())
    for number, level in enumerate(pyramid):
        directories.add(_tags(number, level, layout, big=big), last=number == top)
    file.write(directories.content)
    file.seek(0)
    file.write(directories.header)


def _lay_levels(image: TileSource, count: int, tile_px: int) -> list[_Level]:
    # Halving rounds up: the last row and column of an odd image are kept, not dropped.
    sizes = [(image.width, image.height)]
    for _ in range(count - 1):
        width, height = sizes[-1]
        sizes.append(((width + 1) // 2, (height + 1) // 2))
    return [_Level(width=width, height=height, tile_px=tile_px) for width, height in sizes]


@dataclass(kw_only=True)
class _Builder:
    """Walk the pyramid depth first, so that only one path of tiles is in memory at a time."""

    file: BinaryIO
    image: TileSource
    layout: _Format
    pyramid: list[_Level]

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
        self._put(level, column, row, pixels)
        return pixels

    def _build_block(self, number: int, column: int, row: int) -> U8Array:
        """Ask the source once for all that one tile of level ``number`` covers."""
        side = self.pyramid[number].tile_px << number
        x, y = column * side, row * side
        width, height = min(side, self.image.width - x), min(side, self.image.height - y)
        pixels = self.image.read(x, y, width, height)
        if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"the source returned {pixels.shape} {pixels.dtype} for {width} × {height} px"
            )
        for current in range(number + 1):
            if current:
                pixels = _halve(pixels)
            self._put_all(current, column << (number - current), row << (number - current), pixels)
        return pixels

    def _put_all(self, number: int, column: int, row: int, pixels: U8Array) -> None:
        level = self.pyramid[number]
        px = level.tile_px
        for top in range(0, pixels.shape[0], px):
            for left in range(0, pixels.shape[1], px):
                tile = pixels[top : top + px, left : left + px]
                self._put(level, column + left // px, row + top // px, tile)

    def _put(self, level: _Level, column: int, row: int, pixels: U8Array) -> None:
        height, width = pixels.shape[:2]
        if (height, width) != (level.tile_px, level.tile_px):
            # The padding is never shown; repeating the edge keeps JPEG from ringing into the image.
            pad = ((0, level.tile_px - height), (0, level.tile_px - width), (0, 0))
            pixels = np.pad(pixels, pad, mode="edge")
        content = _encode(np.ascontiguousarray(pixels), self.layout)
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


def _encode(tile: U8Array, layout: _Format) -> bytes:
    if layout.compression == "none":
        return tile.tobytes()
    if layout.compression == "deflate":
        return zlib.compress(tile.tobytes(), 6)
    buffer = io.BytesIO()
    chroma = {1: "4:4:4", 2: "4:2:0"}[layout.subsampling]
    Image.fromarray(tile).save(buffer, "JPEG", quality=layout.quality, subsampling=chroma)
    return buffer.getvalue()


def _tags(number: int, level: _Level, layout: _Format, *, big: bool) -> list[Tag]:
    """List the tags of one level in ascending order, as TIFF demands."""
    jpeg = layout.compression == "jpeg"
    wide = LONG8 if big else LONG
    tags = [
        Tag(code=254, kind=LONG, values=[1 if number else 0]),  # reduced image or full one
        Tag(code=256, kind=LONG, values=[level.width]),
        Tag(code=257, kind=LONG, values=[level.height]),
        Tag(code=258, kind=SHORT, values=[8, 8, 8]),  # bits per sample
        Tag(code=259, kind=SHORT, values=[_COMPRESSION_CODE[layout.compression]]),
        Tag(code=262, kind=SHORT, values=[6 if jpeg else 2]),  # YCbCr or RGB
        Tag(code=277, kind=SHORT, values=[3]),  # samples per pixel
    ]
    if layout.spacing is not None:
        per_unit = Fraction(_UM_PER_UNIT[layout.unit], 1 << number)
        for code, value in ((282, layout.spacing.x), (283, layout.spacing.y)):
            tags.append(Tag(code=code, kind=RATIONAL, values=rational(per_unit, value)))
    tags.append(Tag(code=284, kind=SHORT, values=[1]))  # chunky planes
    if layout.spacing is not None:
        tags.append(Tag(code=296, kind=SHORT, values=[_UNIT_CODE[layout.unit]]))
    tags += [
        Tag(code=305, kind=ASCII, values=b"her2-ihc\0"),
        Tag(code=322, kind=LONG, values=[level.tile_px]),
        Tag(code=323, kind=LONG, values=[level.tile_px]),
        Tag(code=324, kind=wide, values=level.offsets),
        Tag(code=325, kind=LONG, values=level.counts),
    ]
    if jpeg:
        tags.append(Tag(code=530, kind=SHORT, values=[layout.subsampling] * 2))
    if layout.icc is not None:
        tags.append(Tag(code=34675, kind=UNDEFINED, values=layout.icc))
    return tags
