"""Write tiled JPEG TIFFs as scanners do, in all the ways that matter to a reader."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SUBSAMPLING = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}


def encode(tile: np.ndarray, *, rgb: bool, subsampling: str, quality: int = 85) -> bytes:
    """Encode a tile as a complete JPEG file."""
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(tile))
    options = {"keep_rgb": True} if rgb else {"subsampling": subsampling}
    image.save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def segments(content: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Split a JPEG into its segments up to the scan, and the rest."""
    found, place = [], 2
    while content[place + 1] != 0xDA:
        length = 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        found.append((content[place + 1], content[place : place + length]))
        place += length
    return found, content[place:]


def abbreviate(content: bytes) -> tuple[bytes, bytes]:
    """Return the tile without tables and application markers, and the tables as a stream."""
    found, rest = segments(content)
    tables = b"".join(part for marker, part in found if marker in (0xC4, 0xDB))
    frame = b"".join(part for marker, part in found if marker == 0xC0)
    return SOI + frame + rest, SOI + tables + EOI


def cut(image: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """Cut an image into tiles, the last ones padded."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield padded[top : top + side, left : left + side]


def write_jpeg_tiff(
    path: Path,
    levels: list[np.ndarray],
    *,
    side: int = 256,
    rgb: bool = False,
    subsampling: str = "4:2:0",
    shared: bool = True,
    big: bool = False,
    byteorder: str = "<",
    description: str | None = None,
) -> Path:
    """Write a pyramid; ``shared`` puts the tables into the directory, as Aperio does."""
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=byteorder) as file:
        for number, image in enumerate(levels):
            tiles = [encode(tile, rgb=rgb, subsampling=subsampling) for tile in cut(image, side)]
            tables = None
            if shared:
                pairs = [abbreviate(tile) for tile in tiles]
                tiles, tables = [tile for tile, _ in pairs], pairs[0][1]
            file.write(
                data=iter(tiles),
                shape=image.shape,
                dtype=np.uint8,
                photometric="rgb" if rgb else "ycbcr",
                compression="jpeg",
                subsampling=None if rgb else SUBSAMPLING[subsampling],
                jpegtables=tables,
                tile=(side, side),
                subfiletype=1 if number else 0,
                resolution=(40000.0, 40000.0),
                resolutionunit="CENTIMETER",
                description=description if number == 0 else None,
                metadata=None,
            )
    if rgb:
        set_tag(path, "PhotometricInterpretation", 2)  # tifffile writes YCbCr, whatever one asks
    return path


def set_tag(path: Path, name: str, value: int, *, level: int | None = None) -> None:
    """Overwrite a tag that holds one number, in one level or in all."""
    with tifffile.TiffFile(path, mode="r+") as file:
        pages = file.pages if level is None else [file.pages[level]]
        for page in pages:
            page.tags[name].overwrite(value)
