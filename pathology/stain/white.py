"""The colour of clear glass: the one reference that optical density is measured against.

It is taken once per slide, from the slide's own glass on the overview, and used for every tile. A
white point per tile would make a tile full of tissue look paler than it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pathology.config import StainConfig
from pathology.stain.channels import channel_mean
from pathology.types import BoolArray, FloatArray, U8Array

__all__ = ["WhitePoint", "glass_pixels", "white_point"]

#: Share of all pixels below which "glass" may as well be a hole in the tissue.
MIN_GLASS_SHARE = 0.01
#: And in pixels: fewer do not give a stable quantile.
MIN_GLASS_PX = 64
#: Glass is within this mean OD of the brightest smooth pixels: shading and dirt stay below 0.02 on
#: clean scans, pale tissue begins about there.
GLASS_DEPTH_OD = 0.02
#: Local contrast (relative standard deviation) above which a pixel is not clear glass. Glass
#: scatters by one or two grey levels (0.002 to 0.008), tissue at 8 µm/px by 0.02 and more.
GLASS_CONTRAST = 0.01
#: No scanner images clear glass darker than this.
MIN_GLASS_VALUE = 100.0
#: Values from here on count as saturated.
SATURATED = 254


@dataclass(frozen=True, kw_only=True)
class WhitePoint:
    """Hold the colour of clear glass and how well it is known.

    Parameters
    ----------
    rgb
        R, G, B in grey levels, 1 to 255.
    uncertain
        True where there was too little glass and the brightest pixels had to stand in for it.
    glass_share
        Share of the judged pixels that were taken as glass, 0 to 1.
    saturated
        True where most of the glass is at the top of the scale in some channel: the image was
        stretched or overexposed, and densities are too low by an unknown amount.
    """

    rgb: tuple[float, float, float]
    uncertain: bool
    glass_share: float
    saturated: bool


def glass_pixels(rgb: U8Array, usable: BoolArray | None = None, *, window: int = 3) -> BoolArray:
    """Find pixels that look like clear glass: bright, smooth, and near the brightest smooth level.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 overview.
    usable
        (H, W) bool, False for pixels to leave out (no data, known tissue); all where None.
    window
        Side in pixels of the square in which glass must be smooth: 24 µm, so that the clear
        cytoplasm of one cell on a fine image is not taken for glass.

    Returns
    -------
    numpy.ndarray
        (H, W) bool; all False where nothing looks like glass.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((20, 20, 3), 240, dtype=np.uint8)
    >>> image[:, 10:] = 120
    >>> bool(glass_pixels(image)[:, :8].all()), bool(glass_pixels(image)[:, 12:].any())
    (True, False)
    """
    grey = channel_mean(rgb.astype(np.float32))
    allowed = np.ones(grey.shape, dtype=np.bool_) if usable is None else usable
    flat = (_contrast(grey, window) < GLASS_CONTRAST) & (grey >= MIN_GLASS_VALUE)
    smooth: BoolArray = np.asarray(allowed & flat, dtype=np.bool_)
    if not smooth.any():
        return smooth
    top = _top_level(grey[smooth])
    near = grey > top * 10.0**-GLASS_DEPTH_OD
    return np.asarray(smooth & near, dtype=np.bool_)


def white_point(
    rgb: U8Array, config: StainConfig, *, usable: BoolArray | None = None, window: int = 3
) -> WhitePoint:
    """Measure the colour of the slide's own glass.

    The quantile ``config.white_quantile`` of the glass pixels is taken per channel. With too little
    glass (a field full of tissue) the brightest pixels stand in, flagged ``uncertain``.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8 overview.
    config
        The section ``stain`` of the configuration.
    usable
        (H, W) bool, False for pixels that must not be taken as glass (no data, tissue and its
        margin, pen); all where None.
    window
        Side in pixels of the square in which glass must be smooth, see :func:`glass_pixels`.

    Returns
    -------
    WhitePoint
        Colour, and how well it is known. (255, 255, 255), uncertain, where no pixel is usable.

    Examples
    --------
    >>> import numpy as np
    >>> from pathology.config import load_config
    >>> image = np.full((64, 64, 3), (236, 235, 243), dtype=np.uint8)
    >>> image[20:40, 20:40] = (150, 120, 110)
    >>> white_point(image, load_config().stain).rgb
    (236.0, 235.0, 243.0)
    """
    allowed = np.ones(rgb.shape[:2], dtype=np.bool_) if usable is None else usable
    count = int(np.count_nonzero(allowed))
    if count == 0:
        return WhitePoint(
            rgb=(255.0, 255.0, 255.0), uncertain=True, glass_share=0.0, saturated=False
        )
    glass = glass_pixels(rgb, allowed, window=window)
    found = int(np.count_nonzero(glass))
    enough = found >= max(MIN_GLASS_SHARE * rgb.shape[0] * rgb.shape[1], MIN_GLASS_PX)
    pixels = rgb[glass] if enough else rgb[allowed]
    quantile = config.white_quantile if enough else config.white_fallback_quantile
    colour = np.maximum(np.quantile(pixels.astype(np.float32), quantile, axis=0), 1.0)
    saturated = enough and bool((np.mean(pixels >= SATURATED, axis=0) > 0.5).any())
    return WhitePoint(
        rgb=(float(colour[0]), float(colour[1]), float(colour[2])),
        uncertain=not enough,
        glass_share=found / count,
        saturated=saturated,
    )


def _contrast(grey: FloatArray, window: int) -> FloatArray:
    """Return the local standard deviation in a square, relative to the local mean."""
    mean = ndimage.uniform_filter(grey, window)
    # Around the overall mean, so that float32 does not lose the small difference of two squares.
    shifted = grey - float(grey.mean())
    square = ndimage.uniform_filter(shifted * shifted, window)
    mean_shifted = ndimage.uniform_filter(shifted, window)
    deviation = np.sqrt(np.maximum(square - mean_shifted * mean_shifted, 0.0))
    return np.asarray(deviation / np.maximum(mean, 1.0), dtype=np.float32)


def _top_level(values: FloatArray) -> float:
    """Return the brightest level that a real share of the smooth pixels has.

    The 99th percentile instead of the maximum: specular specks and scanner glare are rare.
    """
    return float(np.quantile(values, 0.99))
