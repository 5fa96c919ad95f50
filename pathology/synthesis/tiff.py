"""Write tiled pyramidal TIFF files that OpenSlide opens, whatever the size of the image.

The container is written here rather than by a library, because the file must be made in one pass
over an image that never exists as a whole: tiles of all levels are appended as they are ready, and
the directories that list them follow at the end. Memory does not grow with the image. TIFF 6.0
(classic) is used below 4 GiB, BigTIFF above.
"""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from pathology.errors import OutputError
from pathology.geometry import Spacing
from pathology.synthesis.pyramid import (
    Builder,
    Compression,
    Format,
    Level,
    ResolutionUnit,
    TileSource,
    lay_levels,
)
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

#: Values of the tags Compression (259) and ResolutionUnit (296), and µm per unit: TIFF 6.0, and for
#: JPEG and Deflate the TIFF technical notes 2 and 3 of Adobe.
_COMPRESSION_CODE: dict[str, int] = {"none": 1, "jpeg": 7, "deflate": 8}
_UNIT_CODE: dict[str, int] = {"none": 1, "inch": 2, "cm": 3}
_UM_PER_UNIT: dict[str, int] = {"none": 10_000, "inch": 25_400, "cm": 10_000}
#: Offsets of classic TIFF are 32 bits wide; the margin leaves room for the directories themselves.
_CLASSIC_LIMIT = 2**32 - 2**26


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
    >>> import numpy as np
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
    layout = Format(
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


def _write(file: BinaryIO, image: TileSource, layout: Format, *, levels: int, tile_px: int) -> None:
    file.write(bytes(HEADER_BYTES))
    pyramid = lay_levels(image, levels, tile_px)
    builder = Builder(file=file, image=image, layout=layout, pyramid=pyramid)
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


def _tags(number: int, level: Level, layout: Format, *, big: bool) -> list[Tag]:
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
