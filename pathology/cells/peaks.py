"""Find the centres of cells: the local maxima of a score map."""

from __future__ import annotations

import math

import numpy as np

from pathology.types import AnyArray, FloatArray, IntArray

__all__ = ["disc_offsets", "find_peaks"]


def disc_offsets(radius_px: tuple[float, float]) -> IntArray:
    """Return the pixels nearer to the middle than a radius, without the middle itself.

    Parameters
    ----------
    radius_px
        Radius along y and along x in pixels.

    Returns
    -------
    numpy.ndarray
        (k, 2) int64: row and column steps, in row-major order.

    Examples
    --------
    >>> disc_offsets((1.1, 1.1)).tolist()
    [[-1, 0], [0, -1], [0, 1], [1, 0]]
    >>> len(disc_offsets((1.0, 1.0)))  # pixels just as far away as the radius do not compete
    0
    """
    radius_y, radius_x = radius_px
    reach_y, reach_x = math.ceil(radius_y), math.ceil(radius_x)
    y, x = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    # Compared with a little slack: 3 µm at 1.0000001 µm/px is still a radius of 3 pixels.
    inside = (y / radius_y) ** 2 + (x / radius_x) ** 2 < 1 - 1e-4
    inside &= (y != 0) | (x != 0)
    return np.asarray(np.argwhere(inside) - [reach_y, reach_x], dtype=np.int64)


def find_peaks(score: FloatArray, *, minimum: float, radius_px: tuple[float, float]) -> AnyArray:
    """Find pixels that no pixel within the radius beats.

    The larger score wins; of equal scores, the earlier in reading order. Two peaks are therefore
    never closer than the radius, and whether a pixel is a peak depends on its surroundings only.

    Parameters
    ----------
    score
        (H, W) float32.
    minimum
        Smallest score of a peak.
    radius_px
        Radius along y and along x in pixels.

    Returns
    -------
    numpy.ndarray
        (n, 2) int64: row and column, in row-major order.

    Examples
    --------
    >>> score = np.zeros((5, 9), dtype=np.float32)
    >>> score[2, 2], score[2, 3], score[2, 7] = 1.0, 1.0, 0.5
    >>> find_peaks(score, minimum=0.4, radius_px=(3.0, 3.0)).tolist()
    [[2, 2], [2, 7]]
    """
    offsets = disc_offsets(radius_px)
    found = np.argwhere(score >= minimum).astype(np.int64)
    reach = int(np.abs(offsets).max(initial=0))
    padded = np.pad(score, reach, constant_values=-np.inf)
    for row, column in offsets:
        here = score[found[:, 0], found[:, 1]]
        there = padded[found[:, 0] + row + reach, found[:, 1] + column + reach]
        earlier = (row, column) < (0, 0)
        found = found[here > there if earlier else here >= there]
    return found
