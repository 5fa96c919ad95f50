"""Tell pixels that hold no data, and make them white.

Two things say "nothing was recorded here". Transparent pixels, which OpenSlide returns outside the
scanned area and for storage tiles of length 0. And areas that are exactly black: scanners and
converters fill lost or unscanned tiles with zeros, while transmitted light on a camera sensor has
noise and stray light, so that brightfield tissue, however dark, never gives a solid block of exact
zeros. Taken at face value either would be the strongest staining there is.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy import ndimage

from pathology.types import AnyArray, BoolArray, U8Array

__all__ = ["MISSING_PX", "blank_missing", "flatten", "has_black", "has_black_rgb", "is_plain"]

#: Side of the smallest solid black square that counts as missing, in pixels of the level that is
#: read. The unit of loss is a storage tile (a multiple of 16 px) or a JPEG block (8 or 16 px);
#: thinner black things, such as drawn lines and text, are content.
MISSING_PX = 16

#: Opaque black, and the place of alpha, in a pixel seen as one 32-bit number.
_LITTLE = sys.byteorder == "little"
_BLACK = 0xFF000000 if _LITTLE else 0x000000FF
_ALPHA_SHIFT = 24 if _LITTLE else 0


def flatten(pixels: U8Array) -> U8Array:
    """Lay transparent pixels on white, and turn alpha into a data flag.

    Parameters
    ----------
    pixels
        (H, W, 4) uint8, straight (not premultiplied) alpha, contiguous; not changed.

    Returns
    -------
    numpy.ndarray
        (H, W, 4) uint8; the last channel is 0 where alpha was 0, else 255.

    Examples
    --------
    >>> flatten(np.array([[[0, 0, 0, 0], [10, 20, 30, 255]]], dtype=np.uint8)).tolist()
    [[[255, 255, 255, 0], [10, 20, 30, 255]]]
    """
    if pixels.size == 0 or _all_opaque(pixels):
        return pixels
    alpha = pixels[..., 3:].astype(np.uint16)
    result = np.empty_like(pixels)
    result[..., :3] = (pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    result[..., 3:] = np.where(alpha > 0, 255, 0)
    return result


def has_black(pixels: U8Array) -> bool:
    """Tell whether any pixel of (H, W, 4) uint8, contiguous, is exactly black with data."""
    return bool((pixels.view(np.uint32) == _BLACK).any())


def is_plain(pixels: U8Array) -> bool:
    """Tell whether all pixels of (H, W, 4) uint8, contiguous, have data and none is exactly black.

    Examples
    --------
    >>> is_plain(np.array([[[1, 0, 0, 255]]], np.uint8))
    True
    >>> is_plain(np.array([[[0, 0, 0, 255]]], np.uint8))
    False
    >>> is_plain(np.array([[[255, 255, 255, 0]]], np.uint8))
    False
    """
    if not _LITTLE:
        return _all_opaque(pixels) and not has_black(pixels)
    # Opaque pixels are the largest numbers, and black is the smallest of them.
    return pixels.size > 0 and int(pixels.view(np.uint32).min()) > _BLACK


def has_black_rgb(pixels: U8Array) -> bool:
    """Tell whether any pixel of (H, W, 3) uint8 is exactly black."""
    if pixels.size == 0 or pixels.min() > 0:
        return False
    return bool(((pixels[..., 0] | pixels[..., 1] | pixels[..., 2]) == 0).any())


def blank_missing(pixels: U8Array, *, inside: BoolArray) -> U8Array:
    """Make solid black areas white and flag them as missing.

    A pixel is missing if some square of 16 × 16 pixels that holds it has nothing but black pixels,
    pixels without data, and pixels beyond the edge of the slide. So the answer depends on the
    15 pixels around it and on nothing further away.

    Parameters
    ----------
    pixels
        (H, W, 4) uint8, last channel 0 or 255; not changed.
    inside
        (H, W) bool: False beyond the edge of the slide.

    Returns
    -------
    numpy.ndarray
        (H, W, 4) uint8.

    Examples
    --------
    >>> black = np.zeros((16, 16, 4), np.uint8) + np.array([0, 0, 0, 255], np.uint8)
    >>> blank_missing(black, inside=np.ones((16, 16), bool))[0, 0].tolist()
    [255, 255, 255, 0]
    """
    void = (pixels[..., :3].max(axis=2) == 0) | (pixels[..., 3] == 0) | ~inside
    missing = _opening(void)
    result = pixels.copy()
    result[missing] = (255, 255, 255, 0)
    return result


def _all_opaque(pixels: U8Array) -> bool:
    together = int(np.bitwise_and.reduce(pixels.view(np.uint32), axis=None))
    return (together >> _ALPHA_SHIFT) & 0xFF == 0xFF


def _opening(mask: BoolArray) -> AnyArray:
    """Keep the True pixels that some all-True square of 16 × 16 covers, within the array."""
    # An even window lies off centre; growing with the mirrored offset undoes it.
    square = mask.astype(np.uint8)
    for axis in (0, 1):
        square = ndimage.minimum_filter1d(square, MISSING_PX, axis=axis, mode="constant", cval=0)
    for axis in (0, 1):
        square = ndimage.maximum_filter1d(
            square, MISSING_PX, axis=axis, mode="constant", cval=0, origin=-1
        )
    return square.astype(np.bool_)
