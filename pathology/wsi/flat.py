"""Read flat images: JPEG, PNG, BMP, and TIFF that is not a pyramid of tiles."""

from __future__ import annotations

import math
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from pathology.errors import ReasonCode, SlideError
from pathology.types import U8Array
from pathology.wsi.spacing import RawSpacing, from_resolution

__all__ = ["MAX_FLAT_PX", "FlatImage", "is_image_file", "load_flat"]

#: A flat image is held in memory as a whole, 3 to 4 bytes a pixel, twice while it is decoded. This
#: is also where Pillow stops for fear of decompression bombs: twice its MAX_IMAGE_PIXELS.
MAX_FLAT_PX = 178_956_970
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
#: What the formats' files begin with (TIFF little and big endian, classic and BigTIFF).
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"BM",
)
#: Modes of Pillow with 8 bits a channel, which turn into RGB without loss of meaning.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
#: What Pillow's decoders raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, struct.error, zlib.error)
#: Warning filters belong to the whole process.
_WARNINGS_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class FlatImage:
    """Hold a decoded flat image.

    Parameters
    ----------
    pixels
        (H, W, 3) uint8, or (H, W, 4) with straight alpha.
    spacing
        Pixel size from TIFF's resolution tags; None for the other formats, whose densities say how
        large to print, not what the camera saw.
    icc
        ICC profile, or None.
    """

    pixels: U8Array
    spacing: RawSpacing | None
    icc: bytes | None


def is_image_file(start: bytes) -> bool:
    """Tell from its first bytes whether a file claims to be one of the flat formats.

    Examples
    --------
    >>> is_image_file(b"II*" + bytes(5)), is_image_file(b"hello")
    (True, False)
    """
    return start.startswith(_SIGNATURES)


def load_flat(path: Path, *, start: bytes, max_px: int = MAX_FLAT_PX) -> FlatImage:
    """Decode a flat image as a whole.

    Parameters
    ----------
    path
        The file; of a file with several images the first is taken.
    start
        Its first bytes, which tell a damaged image from something else.
    max_px
        Refuse larger images before anything is decoded.

    Returns
    -------
    FlatImage
        The image.

    Raises
    ------
    SlideError
        ``unreadable`` if the file is damaged; ``unsupported_format`` if it is no image of a known
        kind, has more than 8 bits a channel, or is too large to be read as a whole.
    """
    try:
        with _WARNINGS_LOCK, warnings.catch_warnings():
            # The limit is checked below. Pillow also warns of odd tags in files it reads well.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                _check(path, image, max_px)
                icc = image.info.get("icc_profile")
                spacing = _tiff_spacing(image)
                pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    except UnidentifiedImageError as error:
        raise _refused(path, start) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error)) from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return FlatImage(
        pixels=pixels, spacing=spacing, icc=icc if isinstance(icc, bytes) and icc else None
    )


def _check(path: Path, image: Image.Image, max_px: int) -> None:
    if image.width * image.height > max_px:
        raise _too_large(path, f"{image.width} × {image.height} px")
    if image.mode not in _MODES:
        raise SlideError(
            f"{path}: pixels of the kind {image.mode!r} are not 8-bit colour",
            reason=ReasonCode.UNSUPPORTED_FORMAT,
            fix="Export the image as 8-bit RGB.",
        )


def _tiff_spacing(image: Image.Image) -> RawSpacing | None:
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    tags = image.tag_v2
    unit = tags.get(TiffImagePlugin.RESOLUTION_UNIT)
    return from_resolution(
        _float(tags.get(TiffImagePlugin.X_RESOLUTION)),
        _float(tags.get(TiffImagePlugin.Y_RESOLUTION)),
        unit if isinstance(unit, int) else None,
    )


def _float(value: object) -> float:
    if not isinstance(value, int | float | TiffImagePlugin.IFDRational):
        return math.nan
    return float(value)


def _too_large(path: Path, what: str) -> SlideError:
    return SlideError(
        f"{path}: too large to be read as one flat image ({what})",
        reason=ReasonCode.UNSUPPORTED_FORMAT,
        fix="Convert it to a pyramidal tiled TIFF.",
    )


def _damaged(path: Path, error: Exception) -> SlideError:
    return SlideError(
        f"{path}: damaged or incomplete ({error})",
        reason=ReasonCode.UNREADABLE,
        fix="Copy or export the file again.",
    )


def _refused(path: Path, start: bytes) -> SlideError:
    if is_image_file(start):
        return SlideError(
            f"{path}: begins like an image, but is damaged, cut short, or of an unsupported kind",
            reason=ReasonCode.UNREADABLE,
            fix="Copy the file again, or export it as a pyramidal tiled TIFF.",
        )
    return SlideError(
        f"{path}: not a slide or image of a known format",
        reason=ReasonCode.UNSUPPORTED_FORMAT,
        fix="`her2 doctor` lists the formats; convert the file to a pyramidal tiled TIFF.",
    )
