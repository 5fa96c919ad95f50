"""Work on pixels as arrays: tints, hatches, borders, resampling."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from pathology.report.palette import RGB
from pathology.types import BoolArray, U8Array

__all__ = [
    "blend",
    "grey_out",
    "hatch",
    "hatched_swatch",
    "outline",
    "resize_mask",
    "resize_rgb",
]


def hatched_swatch(colour: RGB) -> U8Array:
    """Return the (14, 20, 3) box that stands for a hatched area in a legend."""
    box = np.full((14, 20, 3), 255, dtype=np.uint8)
    box = blend(box, np.ones((14, 20), dtype=np.bool_), colour, 0.30)
    return blend(box, hatch((14, 20), spacing=6, width=2), colour, 1.0)


def hatch(shape: tuple[int, int], *, spacing: int, width: int, falling: bool = False) -> BoolArray:
    """Return diagonal stripes as an (H, W) mask.

    Parameters
    ----------
    shape
        Height and width in px.
    spacing
        Distance between stripes in px, measured along a row.
    width
        Width of a stripe in px, along a row.
    falling
        Stripes run from top left to bottom right instead of the other way.
    """
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    diagonal = columns - rows if falling else columns + rows
    return np.asarray(diagonal % spacing < width, dtype=np.bool_)


#: Grey of the darkest tissue in a background.
DARKEST_GREY = 150.0
#: Grey levels between light and dark that are stretched at most: less is noise, not tissue.
MIN_CONTRAST = 24.0


def blend(rgb: U8Array, where: BoolArray, colour: RGB, alpha: float) -> U8Array:
    """Return the picture with a colour laid over part of it.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.
    where
        (H, W) bool.
    colour
        The colour.
    alpha
        0 (nothing) to 1 (opaque).
    """
    result = rgb.copy()
    old = result[where].astype(np.float32)
    new = old * (1.0 - alpha) + np.asarray(colour, dtype=np.float32) * alpha
    result[where] = np.rint(new).astype(np.uint8)
    return result


def outline(mask: BoolArray, *, width: int = 2) -> BoolArray:
    """Return the inner border of a mask, ``width`` px wide; the picture's edge is no border."""
    inner = ndimage.binary_erosion(mask, iterations=width, border_value=1)
    return np.asarray(mask & ~inner, dtype=np.bool_)


def grey_out(rgb: U8Array) -> U8Array:
    """Return a pale grey version with even contrast, as a background for colours.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8: the glass white, the darkest 2 % of the picture a middle grey, so that
        pale and dark slides show their tissue alike.
    """
    # Rec. 601 luma: the usual weights for a grey that looks as light as the colour.
    luma = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    dark, light = (float(value) for value in np.percentile(luma, (2, 98)))
    share = (luma - light) / max(light - dark, MIN_CONTRAST)
    grey = np.clip(255.0 + share * (255.0 - DARKEST_GREY), DARKEST_GREY, 255.0)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def resize_rgb(rgb: U8Array, size: tuple[int, int]) -> U8Array:
    """Return the picture resampled to (width, height) px."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def resize_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """Return the mask resampled to (width, height) px, nearest neighbour."""
    image = Image.fromarray(np.ascontiguousarray(mask).view(np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.NEAREST)) > 0
