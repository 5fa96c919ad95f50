"""Read where a TIFF keeps the storage tiles of its images: the directories, and no pixel.

A directory is taken at its word only as far as the file's own size bears it out. So counts are
checked before anything is read, and what is odd in any way is an error: a caller then leaves the
file to a general reader.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pathology.types import IntArray

__all__ = ["COMPRESSION_JPEG", "LayoutError", "TiledImage", "read_tiled_images"]

#: Values of the tag Compression (TIFF Technical Note 2, 1995).
COMPRESSION_JPEG = 7
#: The tags that are looked at (TIFF 6.0, sections 8 and 15; JPEGTables of Technical Note 2).
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT = 277, 284, 322, 323
_OFFSETS, _LENGTHS, _TABLES = 324, 325, 347
_WANTED = frozenset(
    {
        *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR),
        *(_TILE_WIDTH, _TILE_HEIGHT, _OFFSETS, _LENGTHS, _TABLES),
    }
)
#: numpy's names of the types of TIFF that these tags may have.
_KINDS = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 13: "u4", 16: "u8"}
#: Slides have a dozen images; a chain that goes on is damaged or runs in a circle.
_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 1000
#: A gigapixel in tiles of 256 px is 15,000 tiles; this is 500 slides of that size.
_MAX_TILES = 1 << 23
#: Scanners write 240 to 1,024 px; one tile is decoded as a whole.
_MAX_TILE_PX = 2048
#: JPEG tables: four quantisation tables and eight Huffman tables are below 3,000 bytes.
_MAX_TABLE_BYTES = 1 << 14


class LayoutError(ValueError):
    """A file is not laid out as the direct reader needs it; the text says how."""


@dataclass(frozen=True, kw_only=True)
class TiledImage:
    """Hold where the tiles of one image of a file are.

    Parameters
    ----------
    width, height
        Of the image, in pixels.
    tile_width, tile_height
        Of a tile, in pixels; tiles at the right and lower edge reach beyond the image.
    compression, photometric
        The tags of these names.
    rgb8
        Whether a pixel is three interleaved samples of 8 bits.
    offsets, lengths
        (rows × columns,) int64: place of each tile in the file, bytes; length 0: not stored.
    tables
        JPEG tables that all tiles share; empty without any.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    compression: int
    photometric: int
    rgb8: bool
    offsets: IntArray
    lengths: IntArray
    tables: bytes = b""

    def __post_init__(self) -> None:
        sides = (self.width, self.height, self.tile_width, self.tile_height)
        if min(sides) < 1 or max(self.tile_width, self.tile_height) > _MAX_TILE_PX:
            raise LayoutError(f"an image of {sides[:2]} px in tiles of {sides[2:]} px")
        expected = self.columns * self.rows
        if len(self.offsets) != expected or len(self.lengths) != expected:
            raise LayoutError(f"{len(self.offsets)} tiles where the image has {expected}")

    @property
    def columns(self) -> int:
        """Tiles side by side."""
        return -(-self.width // self.tile_width)

    @property
    def rows(self) -> int:
        """Tiles one below the other."""
        return -(-self.height // self.tile_height)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How numbers are written: byte order, and the layout of classic or BigTIFF."""

    order: str
    big: bool

    @property
    def entry(self) -> str:
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def pointer(self) -> str:
        return self.order + ("Q" if self.big else "I")


def read_tiled_images(read: Callable[[int, int], bytes], file_bytes: int) -> tuple[TiledImage, ...]:
    """List the tiled images of a TIFF or BigTIFF, in the order of its directories.

    Parameters
    ----------
    read
        ``read(offset, length)`` returns bytes of the file, fewer at its end.
    file_bytes
        Size of the file.

    Returns
    -------
    tuple of TiledImage
        Images in strips are left out.

    Raises
    ------
    LayoutError
        If the file is no TIFF, or its directories contradict themselves or the file's size.

    Examples
    --------
    >>> read_tiled_images(lambda offset, length: b"hello"[offset:offset + length], 5)
    Traceback (most recent call last):
    pathology.wsi.tiff.LayoutError: not a TIFF
    """
    form, place = _read_header(_exactly(read, 0, min(16, file_bytes)))
    images: list[TiledImage] = []
    seen: set[int] = set()
    while place:
        if place in seen or len(seen) == _MAX_DIRECTORIES:
            raise LayoutError("directories without end")
        seen.add(place)
        tags, place = _read_directory(read, form, place, file_bytes)
        if _TILE_WIDTH in tags:
            images.append(_image(tags, file_bytes))
    return tuple(images)


def _exactly(read: Callable[[int, int], bytes], offset: int, length: int) -> bytes:
    content = read(offset, length)
    if len(content) != length:
        raise LayoutError("directories beyond the end of the file")
    return content


def _read_header(start: bytes) -> tuple[_Form, int]:
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 16:
        raise LayoutError("not a TIFF")
    (version,) = struct.unpack(order + "H", start[2:4])
    if version == 42:
        return _Form(order=order, big=False), struct.unpack(order + "I", start[4:8])[0]
    if version == 43 and struct.unpack(order + "HH", start[4:8]) == (8, 0):
        return _Form(order=order, big=True), struct.unpack(order + "Q", start[8:16])[0]
    raise LayoutError("not a TIFF")


def _read_directory(
    read: Callable[[int, int], bytes], form: _Form, place: int, file_bytes: int
) -> tuple[dict[int, IntArray], int]:
    """Return the wanted tags of a directory, and the place of the next, 0 after the last."""
    head, step = struct.calcsize(form.count), struct.calcsize(form.entry)
    (entries,) = struct.unpack(form.count, _exactly(read, place, head))
    if not 1 <= entries <= _MAX_ENTRIES:
        raise LayoutError(f"a directory of {entries} entries")
    tail = struct.calcsize(form.pointer)
    content = _exactly(read, place + head, entries * step + tail)
    tags: dict[int, IntArray] = {}
    for code, kind, count, value in struct.iter_unpack(form.entry, content[: entries * step]):
        if code not in _WANTED:
            continue
        if code in tags or kind not in _KINDS:
            raise LayoutError(f"tag {code} twice or of an unknown type")
        tags[code] = _values(read, form, (kind, count, value), file_bytes)
    return tags, struct.unpack(form.pointer, content[entries * step :])[0]


def _values(
    read: Callable[[int, int], bytes],
    form: _Form,
    entry: tuple[int, int, bytes],
    file_bytes: int,
) -> IntArray:
    kind, count, value = entry
    dtype = np.dtype(form.order + _KINDS[kind])
    length = count * dtype.itemsize
    if count > _MAX_TILES or length > file_bytes:
        raise LayoutError(f"a tag of {count} values")
    if length > len(value):
        value = _exactly(read, struct.unpack(form.pointer, value)[0], length)
    found = np.frombuffer(value[:length], dtype=dtype)
    if dtype.itemsize == 8 and found.size and int(found.max()) > np.iinfo(np.int64).max:
        raise LayoutError("an offset beyond the end of the file")
    return found.astype(np.int64)


def _image(tags: Mapping[int, IntArray], file_bytes: int) -> TiledImage:
    offsets, lengths = (tags.get(code, np.empty(0, np.int64)) for code in (_OFFSETS, _LENGTHS))
    stored = lengths > 0
    if len(offsets) == len(lengths) and (
        (offsets[stored] < 8).any() or (lengths[stored] > file_bytes - offsets[stored]).any()
    ):
        raise LayoutError("tiles beyond the end of the file")
    tables = tags.get(_TABLES, np.empty(0, np.int64))
    if len(tables) > _MAX_TABLE_BYTES or tables.max(initial=0) > 255:
        raise LayoutError(f"JPEG tables of {len(tables)} bytes")
    samples, planar = _one(tags, _SAMPLES, 1), _one(tags, _PLANAR, 1)
    bits = tags.get(_BITS, np.ones(1, np.int64)).tolist()
    return TiledImage(
        width=_one(tags, _WIDTH),
        height=_one(tags, _HEIGHT),
        tile_width=_one(tags, _TILE_WIDTH),
        tile_height=_one(tags, _TILE_HEIGHT),
        compression=_one(tags, _COMPRESSION, 1),
        photometric=_one(tags, _PHOTOMETRIC, -1),
        rgb8=samples == 3 and planar == 1 and bits == [8, 8, 8],
        offsets=offsets,
        lengths=lengths,
        tables=tables.astype(np.uint8).tobytes(),
    )


def _one(tags: Mapping[int, IntArray], code: int, default: int | None = None) -> int:
    values = tags.get(code)
    if values is None and default is not None:
        return default
    if values is None or len(values) != 1:
        raise LayoutError(f"tag {code} is missing or has several values")
    return int(values[0])
