"""Interim boundaries: error spending of the O'Brien-Fleming type (Lan and DeMets 1983).

The one-sided error spent up to information fraction t is α(t) = 2 − 2 Φ(z₁₋α⁄₂ / √t). A boundary is
given as a nominal two-sided p: twice the one-sided tail. The joint distribution of the looks is
integrated look by look (Armitage, McPherson and Rowe 1969).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from pathology.types import AnyArray

__all__ = ["Look", "boundaries", "information_fraction", "spent_alpha"]

#: Points of the Gauss-Legendre rule on each look's continuation region.
_NODES: Final = 400
#: Standard errors below which a path is given up: Φ(-9) is about 1e-19.
_FLOOR: Final = -9.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """Hold the boundary of one look.

    Parameters
    ----------
    fraction
        Share of the final information (of events), above 0 to 1.
    spent
        One-sided error spent up to and with this look.
    z
        Boundary of the test statistic.
    p
        Boundary as a nominal two-sided p.
    """

    fraction: float
    spent: float
    z: float
    p: float


def spent_alpha(fraction: float, *, alpha: float = 0.05) -> float:
    """Return the one-sided error spent up to an information fraction.

    Parameters
    ----------
    fraction
        Above 0, up to 1.
    alpha
        Two-sided error of the whole test; half of it lies on the side of interest.

    Raises
    ------
    ValueError
        If the fraction or alpha is out of range.

    Examples
    --------
    >>> round(spent_alpha(1.0), 6), round(2 * spent_alpha(0.5), 4)
    (0.025, 0.0031)
    """
    if not 0 < fraction <= 1 or not 0 < alpha < 1:
        raise ValueError(f"information {fraction} must be in (0, 1], alpha {alpha} in (0, 1)")
    return 2 * float(ndtr(ndtri(alpha / 4) / math.sqrt(fraction)))


def information_fraction(p: float, *, alpha: float = 0.05) -> float:
    """Return the information fraction at which a first look has this boundary.

    Parameters
    ----------
    p
        Nominal two-sided p of the boundary, above 0, below alpha.
    alpha
        Two-sided error of the whole test.

    Raises
    ------
    ValueError
        If p is not between 0 and alpha.

    Examples
    --------
    >>> round(information_fraction(0.01), 3)
    0.638
    """
    if not 0 < p < alpha < 1:
        raise ValueError(f"a boundary must be between 0 and {alpha}, not {p}")
    # Solved by hand: 2 Φ(z_{α/4} / √t) = p / 2.
    return float((ndtri(alpha / 4) / ndtri(p / 4)) ** 2)


def boundaries(fractions: Sequence[float], *, alpha: float = 0.05) -> tuple[Look, ...]:
    """Return the boundaries of several looks.

    Parameters
    ----------
    fractions
        Information fractions, rising, up to 1.
    alpha
        Two-sided error of the whole test.

    Returns
    -------
    tuple of Look
        One per fraction.

    Raises
    ------
    ValueError
        If the fractions do not rise or are out of range.

    Examples
    --------
    >>> [round(look.z, 3) for look in boundaries([0.5, 1.0])]
    [2.963, 1.969]
    """
    if list(fractions) != sorted(set(fractions)) or not fractions:
        raise ValueError(f"information fractions must rise, not {list(fractions)}")
    looks: list[Look] = []
    # Density of the score process B(t) = z √t on nodes of the region where the trial goes on.
    nodes, weights, density, before = np.zeros(1), np.ones(1), np.ones(1), 0.0
    for fraction in fractions:
        spent = spent_alpha(fraction, alpha=alpha)
        spend = spent - (looks[-1].spent if looks else 0.0)
        step = math.sqrt(fraction - before)
        mass = weights * density
        z = _solve(mass, nodes, step, math.sqrt(fraction), spend)
        looks.append(Look(fraction=fraction, spent=spent, z=z, p=2 * float(ndtr(-z))))
        nodes_next, weights = _rule(_FLOOR * math.sqrt(fraction), z * math.sqrt(fraction))
        gaps = (nodes_next[:, None] - nodes[None, :]) / step
        density = (np.exp(-(gaps**2) / 2) / (step * math.sqrt(2 * math.pi))) @ mass
        nodes, before = nodes_next, fraction
    return tuple(looks)


def _solve(mass: AnyArray, nodes: AnyArray, step: float, root: float, spend: float) -> float:
    """Find the boundary z that is crossed for the first time now with the given probability."""

    def excess(z: float) -> float:
        # On the log scale a very early look, whose error is tiny, is found as surely as a late one.
        crossed = float(mass @ np.exp(log_ndtr((nodes - z * root) / step)))
        return math.log(max(crossed, 1e-300)) - math.log(spend)

    return float(brentq(excess, -8.0, 36.0, xtol=1e-12))


def _rule(low: float, high: float) -> tuple[AnyArray, AnyArray]:
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    half = (high - low) / 2
    return low + half * (points + 1), weights * half
