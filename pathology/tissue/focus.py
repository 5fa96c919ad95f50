"""Measure how sharp a tile is, whatever the strength of its stain."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pathology.types import FloatArray, U8Array

__all__ = ["focus_score"]

#: Ratio of variances between the fine and the coarse band that makes a score of 0.5. On sharp scans
#: at 0.5 µm/px scores are 0.55 to 0.95; blurred by a Gaussian of 1 µm, 0.11 to 0.36.
HALF = 0.25
#: A large tile is judged by four windows of this side, one in the middle of each quarter.
WINDOW_PX = 256
#: Sigmas (pixels) of the difference-of-Gaussians bands: fine is 1 to 2 pixels, coarse 4 to 8.
FINE = (0.0, 1.0)
COARSE = (2.0, 4.0)
#: Variance of noise in the coarse band (OD²) below which a tile has nothing to focus on.
MIN_COARSE = 1e-6


def focus_score(rgb_detail: U8Array) -> float:
    """Measure the sharpness of a tile, independent of how strongly it is stained.

    Blur takes away fine detail and leaves coarse structure. The score compares the energy of the
    two in optical density: with ``r = var(fine) / var(coarse)`` it is ``r / (r + 0.25)``. Twice
    the stain doubles both bands, so pale tissue does not look blurred; a thicker section or a
    darker lamp cancels out as well. No decision is taken here: what is sharp enough depends on
    scanner and pixel size and is a matter of calibration.

    Parameters
    ----------
    rgb_detail
        (H, W, 3) uint8, a tile at the model's pixel size, at least 16 × 16 pixels.

    Returns
    -------
    float
        0 (no fine detail) to 1; NaN where the tile is empty (nothing to focus on) or too small.

    Raises
    ------
    ValueError
        If the tile is not (H, W, 3) uint8.

    Examples
    --------
    >>> import numpy as np
    >>> sharp = np.full((64, 64, 3), 240, dtype=np.uint8)
    >>> sharp[16:48:8, 16:48] = 120
    >>> blurred = ndimage.gaussian_filter(sharp, (3, 3, 0))
    >>> bool(focus_score(sharp) > 2 * focus_score(blurred))
    True
    """
    if rgb_detail.dtype != np.uint8 or rgb_detail.ndim != 3 or rgb_detail.shape[2] != 3:
        raise ValueError(f"a tile is (H, W, 3) uint8, not {rgb_detail.shape} {rgb_detail.dtype}")
    if min(rgb_detail.shape[:2]) < 16:
        return float("nan")
    # Green is where both haematoxylin and DAB absorb; the white point is an offset and cancels.
    table = -np.log10(np.maximum(np.arange(256, dtype=np.float32), 1.0))
    fine = coarse = 0.0
    windows = _windows(rgb_detail)
    for window in windows:
        density = table[window[..., 1]]
        fine += float(np.var(_band(density, FINE)))
        coarse += float(np.var(_band(density, COARSE)))
    if coarse < MIN_COARSE * len(windows):
        return float("nan")
    ratio = fine / coarse
    return ratio / (ratio + HALF)


def _windows(tile: U8Array) -> list[U8Array]:
    """Cut a large tile into four windows; a small one is judged whole."""
    height, width = tile.shape[:2]
    if min(height, width) < 2 * WINDOW_PX:
        return [tile]
    half = WINDOW_PX // 2
    return [
        tile[row - half : row + half, column - half : column + half]
        for row in (height // 4, height * 3 // 4)
        for column in (width // 4, width * 3 // 4)
    ]


def _band(image: FloatArray, sigmas: tuple[float, float]) -> FloatArray:
    narrow, wide = sigmas
    low = ndimage.gaussian_filter(image, narrow, truncate=3.0) if narrow else image
    return np.asarray(low - ndimage.gaussian_filter(image, wide, truncate=3.0), dtype=np.float32)
