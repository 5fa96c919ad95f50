"""The scale of densities is uncertain, too: the same cells, classed at a few other gains.

How dark a laboratory stains against the reference scale (its gain) is known with an error. All
densities are off by the same factor, so all cells move together, and no resampling of tissue shows
it. The log of the factor is taken as normal, and stood for by five points: the middle and four
others 0.98 standard deviations apart, each weighing what lies nearest to it. The outer two are the
ends of the 95 % interval of the gain; the variance of the five is 1.008 of the normal one's.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from pathology.types import AnyArray

__all__ = ["CENTRE_WEIGHT", "OFF_SCALE_WEIGHTS", "OFF_SCALE_Z", "weighted_quantiles"]

_OUTER: Final = float(ndtri(0.975))
#: Places of the points beside the middle, in standard deviations.
OFF_SCALE_Z: Final[tuple[float, ...]] = (-_OUTER, -_OUTER / 2, _OUTER / 2, _OUTER)
_FAR: Final = float(ndtr(-0.75 * _OUTER))
_NEAR: Final = float(ndtr(-0.25 * _OUTER)) - _FAR
#: Their weights, and that of the middle; together 1.
OFF_SCALE_WEIGHTS: Final[tuple[float, ...]] = (_FAR, _NEAR, _NEAR, _FAR)
CENTRE_WEIGHT: Final = 1 - 2 * (_FAR + _NEAR)


def weighted_quantiles(
    values: AnyArray, weights: AnyArray, levels: tuple[float, ...]
) -> tuple[float, ...]:
    """Return quantiles of weighted values, interpolated between the middles of their weights.

    Parameters
    ----------
    values
        (n,) float64, n at least 1.
    weights
        (n,) float64, above 0.
    levels
        0 to 1.

    Examples
    --------
    >>> weighted_quantiles(np.array([3.0, 1.0]), np.array([1.0, 1.0]), (0.0, 0.5, 1.0))
    (1.0, 2.0, 3.0)
    """
    order = np.argsort(values, kind="stable")
    held = weights[order]
    middles = (np.cumsum(held) - held / 2) / held.sum()
    return tuple(float(np.interp(level, middles, values[order])) for level in levels)
