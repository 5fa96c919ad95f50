"""Measure how sharp a tile is, whatever the strength of its stain."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import fft

from pathology.types import AnyArray, FloatArray, U8Array

__all__ = ["focus_score"]

#: Bounds (Gaussian sigma, µm) of the three bands of detail: fine, middle, coarse. Below 0.5 µm
#: there is more camera noise and sharpening than tissue.
BANDS_UM = (0.5, 1.0, 2.0, 4.0)
#: Ratio of fine to middle detail that makes a score of 0.5: the median of synthetic tissue of all
#: kinds at a blur of 1.0 µm (docs/refusals.md has the curve).
HALF = 0.25
#: Fine over coarse detail times this bounds the ratio: where blur leaves no middle detail, noise
#: would stand in for it.
COARSE_FACTOR = 3.0
#: A large tile is judged by four windows of this side, one in the middle of each quarter.
WINDOW_PX = 256
#: Variance in the coarse band (OD²) below which a tile has nothing to focus on: glass has 1e-7 from
#: noise, the palest tissue 2e-5.
MIN_COARSE = 4e-6


def focus_score(rgb_detail: U8Array, *, pixel_um: float = 0.5) -> float:
    """Measure the sharpness of a tile, independent of how strongly it is stained.

    Blur takes away fine detail and leaves coarse structure. The score compares the energy in bands
    of detail in optical density: with ``r`` the variance of detail of 0.5 to 1 µm over that of 1 to
    2 µm (and at most three times that over detail of 2 to 4 µm) it is ``r / (r + 0.25)``. Twice
    the stain doubles all bands, so pale tissue does not look blurred; a thicker section or a
    darker lamp cancels out as well. No decision is taken here.

    Parameters
    ----------
    rgb_detail
        (H, W, 3) uint8, a tile at the model's pixel size, at least 16 × 16 pixels.
    pixel_um
        That pixel size in µm/px.

    Returns
    -------
    float
        0 (no fine detail) to 1; 0.5 at a blur of about 1.0 µm (sigma of all blur there is), 0.73 at
        0.3 µm. NaN where the tile is empty (nothing to focus on) or too small.

    Raises
    ------
    ValueError
        If the tile is not (H, W, 3) uint8.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import ndimage
    >>> sharp = np.full((64, 64, 3), 240, dtype=np.uint8)
    >>> sharp[16:48:8, 16:48] = 120
    >>> blurred = ndimage.gaussian_filter(sharp, (4, 4, 0))
    >>> bool(focus_score(sharp) > 0.6 > 0.4 > focus_score(blurred))
    True
    """
    if rgb_detail.dtype != np.uint8 or rgb_detail.ndim != 3 or rgb_detail.shape[2] != 3:
        raise ValueError(f"a tile is (H, W, 3) uint8, not {rgb_detail.shape} {rgb_detail.dtype}")
    if min(rgb_detail.shape[:2]) < 16:
        return float("nan")
    # Green is where both haematoxylin and DAB absorb; the white point is an offset and cancels.
    table = -np.log10(np.maximum(np.arange(256, dtype=np.float32), 1.0))
    windows = _windows(rgb_detail)
    energy = np.zeros(3)
    for window in windows:
        energy += _energy(table.take(np.ascontiguousarray(window[..., 1])), pixel_um)
    fine, middle, coarse = (energy / len(windows)).tolist()
    if coarse < MIN_COARSE:
        return float("nan")
    ratio = min(fine / max(middle, 1e-12), COARSE_FACTOR * fine / coarse)
    return float(ratio / (ratio + HALF))


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


def _energy(density: FloatArray, pixel_um: float) -> AnyArray:
    """Return the variance in each band, fine to coarse: of the difference of two Gaussian filters.

    The cosine transform turns a symmetric filter with mirrored borders into a product, and its
    coefficients' squares add up to the variance: one transform serves all bands. (Martucci,
    IEEE Trans Signal Process 1994;42:1038-1051.)
    """
    power = np.square(fft.dctn(density, norm="ortho"), dtype=np.float64)
    power[0, 0] = 0.0  # the mean
    weights = _band_weights(density.shape[0], density.shape[1], pixel_um)
    return np.asarray(np.tensordot(weights, power, axes=2) / power.size)


@lru_cache(maxsize=8)
def _band_weights(height: int, width: int, pixel_um: float) -> AnyArray:
    """Return (3, height, width): the squared gain of each band for each cosine coefficient."""
    gains = [
        _gaussian_gain(height, sigma / pixel_um)[:, None] * _gaussian_gain(width, sigma / pixel_um)
        for sigma in BANDS_UM
    ]
    return np.stack([(a - b) ** 2 for a, b in pairwise(gains)])


def _gaussian_gain(n: int, sigma_px: float) -> AnyArray:
    """Return (n,): what a Gaussian filter, cut off at 3 sigma, leaves of each cosine."""
    reach = int(3.0 * sigma_px + 0.5)
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (steps / sigma_px) ** 2)
    cosines = np.cos(np.pi / n * np.arange(n)[:, None] * steps)
    return np.asarray(cosines @ (kernel / kernel.sum()))
