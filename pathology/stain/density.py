"""Optical density: how much light each colour channel lost on its way through the section."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pathology.types import FloatArray, U8Array

__all__ = ["density_table", "optical_density"]


def density_table(white: Sequence[float]) -> FloatArray:
    """Tabulate the optical density of every 8-bit value for each channel.

    Entry (v, c) is ``-log10(max(v, 1) / white[c])``, worked out in float64, rounded to float32.
    A value of 0 is read as 1, so the largest density is ``log10(white)``, about 2.4. Values
    brighter than the white point give a negative density on purpose: cut at 0, the noise of clear
    pixels would no longer average to zero, and every faint mean would be too high.

    Parameters
    ----------
    white
        White point (R, G, B): the value of clear glass, each finite and above 0, in grey levels.

    Returns
    -------
    numpy.ndarray
        (256, 3) float32, decadic absorbance.

    Raises
    ------
    ValueError
        If ``white`` is not three finite numbers above 0.

    Examples
    --------
    >>> table = density_table((240.0, 240.0, 240.0))
    >>> round(float(table[24, 0]), 3), abs(float(table[240, 1])) < 1e-6, bool(table[255, 2] < 0)
    (1.0, True, True)
    """
    if len(white) != 3 or not all(math.isfinite(value) and value > 0 for value in white):
        raise ValueError(f"white must be three finite numbers above 0, not {white!r}")
    values = np.maximum(np.arange(256, dtype=np.float64), 1.0)[:, np.newaxis]
    return np.asarray(-np.log10(values / np.asarray(white, dtype=np.float64)), dtype=np.float32)


def optical_density(rgb: U8Array, white: Sequence[float]) -> FloatArray:
    """Convert colours to optical densities: ``-log10(max(rgb, 1) / white)``, not cut below 0.

    Parameters
    ----------
    rgb
        (..., 3) uint8, R, G, B.
    white
        White point (R, G, B) in grey levels, see :func:`density_table`.

    Returns
    -------
    numpy.ndarray
        (..., 3) float32, decadic absorbance, negative where a pixel is brighter than ``white``.

    Raises
    ------
    ValueError
        If ``rgb`` is not uint8 with three channels last, or ``white`` is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> pixel = np.array([[24, 240, 250]], dtype=np.uint8)
    >>> np.abs(optical_density(pixel, (240.0, 240.0, 240.0))).round(2).tolist()[0][:2]
    [1.0, 0.0]
    """
    if rgb.dtype != np.uint8 or rgb.ndim < 1 or rgb.shape[-1] != 3:
        raise ValueError(f"rgb must be (..., 3) uint8, not {rgb.shape} {rgb.dtype}")
    table = density_table(white)
    out = np.empty(rgb.shape, dtype=np.float32)
    for channel in range(3):
        np.take(table[:, channel], rgb[..., channel], out=out[..., channel])
    return out
