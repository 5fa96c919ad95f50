"""Decode the JPEG tiles of a TIFF with libjpeg-turbo, exactly as OpenSlide does, or not at all.

The tiles of a TIFF are often no complete JPEG files: tables that all tiles share stand in the
directory, and it is the directory that says whether the three components are RGB or YCbCr. A
decoder that gets the tile alone would guess. So the shared tables are put in front of the tile,
with an Adobe marker, which is the way of JPEG to name the colour space (ISO/IEC 10918-6, 6.5.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import simplejpeg

from pathology.types import U8Array
from pathology.wsi.tiff import COMPRESSION_JPEG, LayoutError, TiledImage

__all__ = ["TileDecoder"]

#: Values of the tag PhotometricInterpretation (TIFF 6.0).
_RGB, _YCBCR = 2, 6
#: Start and end of an image.
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
#: The second byte of markers (ISO/IEC 10918-1, table B.1): tables and texts, which are passed over;
#: sequential frames with Huffman coding; the start of the coded pixels.
_TABLE_MARKERS = frozenset({0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_FRAME_MARKERS = frozenset({0xC0, 0xC1})
_SCAN_MARKER, _JFIF_MARKER, _ADOBE_MARKER = 0xDA, 0xE0, 0xEE
#: Sampling factors of the three components, one byte each: 4:4:4, 4:2:2 and 4:2:0.
_SAMPLING = frozenset({(0x11, 0x11, 0x11), (0x21, 0x11, 0x11), (0x22, 0x11, 0x11)})
#: Headers that were looked at and found good, kept so as not to look again. Encoders with fixed
#: tables write the same one for every tile.
_MAX_KNOWN = 16


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What a JPEG says before its coded pixels; ``length`` is where these begin."""

    length: int
    size: tuple[int, int] = (0, 0)
    sampling: tuple[int, ...] = ()
    jfif: bool = False
    adobe: int | None = None


class TileDecoder:
    """Decode the tiles of one image of a TIFF; any number of threads may do so at once.

    Parameters
    ----------
    image
        Whose tiles.

    Raises
    ------
    LayoutError
        If the tiles are not JPEG of three 8-bit components, RGB or YCbCr.
    """

    def __init__(self, image: TiledImage) -> None:
        if image.compression != COMPRESSION_JPEG:
            raise LayoutError(f"tiles are not JPEG (compression {image.compression})")
        if not image.rgb8 or image.photometric not in (_RGB, _YCBCR):
            raise LayoutError(f"pixels are not 3 × 8 bits (photometric {image.photometric})")
        self._size = (image.tile_height, image.tile_width)
        self._rgb = image.photometric == _RGB
        transform = b"\0" if self._rgb else b"\1"
        adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + transform
        self._before = _SOI + adobe + _shared(image.tables)
        self._known: tuple[bytes, ...] = ()

    def decode(self, content: bytes, *, flags: bool = True) -> U8Array | None:
        """Decode one tile.

        Parameters
        ----------
        content
            The tile as it stands in the file.
        flags
            Add a fourth channel of 255, which says that there is data.

        Returns
        -------
        numpy.ndarray
            (tile height, tile width, 3 or 4) uint8: red, green, blue, 255. None where the tile is
            damaged, even slightly, or coded in a way that decoders may differ on.
        """
        if not content.startswith(self._known or b"\0") and not self._check(content):
            return None
        try:
            pixels: U8Array = simplejpeg.decode_jpeg(
                self._before + content[2:],
                "RGBA" if flags else "RGB",
                fastdct=False,
                fastupsample=False,
                strict=True,
            )
        except ValueError:
            return None
        return pixels if pixels.shape[:2] == self._size else None

    def _check(self, content: bytes) -> bool:
        """Tell whether a tile's header is what OpenSlide and libjpeg understand alike."""
        try:
            header = _parse(content)
        except (IndexError, ValueError):
            return False
        # The tag decides for OpenSlide; a marker in the tile overrides it for libjpeg.
        transform = 1 if header.jfif else header.adobe
        agrees = transform is None or transform == (0 if self._rgb else 1)
        if not agrees or header.size != self._size or header.sampling not in _SAMPLING:
            return False
        if len(self._known) < _MAX_KNOWN:
            self._known = (*self._known, content[: header.length])
        return True


def _shared(tables: bytes) -> bytes:
    """Return the segments of an abbreviated stream that holds tables only."""
    if not tables:
        return b""
    if not tables.startswith(_SOI) or not tables.endswith(_EOI):
        raise LayoutError("JPEG tables that are no JPEG stream")
    place = 2
    while place < len(tables) - 2:
        # Texts and application markers have no place here: an Adobe one would change colours.
        if tables[place] != 0xFF or tables[place + 1] not in (0xC4, 0xDB):
            raise LayoutError("JPEG tables with other things than tables")
        place += 2 + int.from_bytes(tables[place + 2 : place + 4], "big")
    if place != len(tables) - 2:
        raise LayoutError("JPEG tables that end early")
    return tables[2:-2]


def _parse(content: bytes) -> _Header:
    """Read the segments up to the coded pixels.

    Raises
    ------
    ValueError, IndexError
        If there are others than expected, or they end early.
    """
    if not content.startswith(_SOI):
        raise ValueError("no JPEG")
    place, size, jfif = 2, (0, 0), False
    sampling: tuple[int, ...] = ()
    adobe: int | None = None
    while True:
        marker = content[place + 1]
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        body = content[place + 4 : place + 2 + length]
        if content[place] != 0xFF or length < 2 or len(body) != length - 2:
            raise ValueError("not a segment")
        if marker == _SCAN_MARKER:
            if body[0] != 3 or not size[0]:
                raise ValueError("components in scans of their own")
            end = place + 2 + length
            return _Header(length=end, size=size, sampling=sampling, jfif=jfif, adobe=adobe)
        if marker in _FRAME_MARKERS:
            if size[0] or body[0] != 8 or body[5] != 3 or len(body) != 15:
                raise ValueError("not three components of 8 bits")
            size = (int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"))
            sampling = (body[7], body[10], body[13])
        elif marker not in _TABLE_MARKERS:
            raise ValueError("not a sequential JPEG")
        elif marker == _JFIF_MARKER:
            jfif = jfif or body.startswith(b"JFIF\0")
        elif marker == _ADOBE_MARKER and body.startswith(b"Adobe"):
            adobe = body[11]
        place += 2 + length
