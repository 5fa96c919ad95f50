"""Agreement of two readings, corrected for chance: Cohen's kappa and Gwet's AC1 and AC2."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pathology.types import AnyArray

__all__ = ["WEIGHTINGS", "Weighting", "agreement_weights", "cohen_kappa", "gwet_ac"]

#: How much credit two different scores get: none, by distance, by squared distance.
Weighting = Literal["unweighted", "linear", "quadratic"]
WEIGHTINGS: tuple[Weighting, ...] = ("unweighted", "linear", "quadratic")


def agreement_weights(categories: int, weighting: Weighting) -> AnyArray:
    """Return how much two categories agree.

    With q ordered categories: 1 for the same and 0 for others (unweighted), 1 - |i - j| / (q - 1)
    (linear), 1 - ((i - j) / (q - 1))² (quadratic). Source: Cohen 1968, Psychol Bull 70:213; Gwet
    2014, Handbook of Inter-Rater Reliability, chapter 3.

    Parameters
    ----------
    categories
        Number of categories, at least 2.
    weighting
        One of :data:`WEIGHTINGS`.

    Returns
    -------
    numpy.ndarray
        (q, q) float64, 0 to 1.

    Raises
    ------
    ValueError
        If the weighting is not known or there are fewer than two categories.

    Examples
    --------
    >>> agreement_weights(3, "linear").tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]]
    """
    if categories < 2:
        raise ValueError(f"agreement needs two categories or more, not {categories}")
    place = np.arange(categories)
    distance = np.abs(place[:, None] - place)
    if weighting == "unweighted":
        return np.asarray(distance == 0, dtype=np.float64)
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting {weighting!r} is not one of {', '.join(WEIGHTINGS)}")
    power = 1 if weighting == "linear" else 2
    return np.asarray(1 - (distance / (categories - 1)) ** power)


def cohen_kappa(confusion: AnyArray, weighting: Weighting = "unweighted") -> AnyArray:
    """Return Cohen's kappa, weighted or not.

    One minus the disagreement seen over the disagreement that the margins give by chance. Source:
    Cohen 1960, Educ Psychol Meas 20:37; Cohen 1968, Psychol Bull 70:213.

    Parameters
    ----------
    confusion
        (..., q, q) counts.
    weighting
        One of :data:`WEIGHTINGS`.

    Returns
    -------
    numpy.ndarray
        (...) float64, at most 1; NaN where undefined: no slide, or one and the same category only
        in rows and columns.

    Examples
    --------
    >>> table = np.array([[20, 5], [10, 15]])
    >>> round(float(cohen_kappa(table)), 4)
    0.4
    """
    counts = np.asarray(confusion, dtype=np.float64)
    apart = 1 - agreement_weights(counts.shape[-1], weighting)
    total = counts.sum(axis=(-2, -1))
    seen = (counts * apart).sum(axis=(-2, -1))
    rows, columns = counts.sum(axis=-1), counts.sum(axis=-2)
    chance = ((rows @ apart) * columns).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - seen * total / chance)


def gwet_ac(confusion: AnyArray, weighting: Weighting = "unweighted") -> AnyArray:
    """Return Gwet's AC1 (unweighted) or AC2 (weighted).

    Chance agreement is Σw / (q (q - 1)) Σ π (1 - π), with π the mean of both readings' shares of a
    category: unlike kappa it does not fall when one category is rare or common. Source: Gwet 2008,
    Br J Math Stat Psychol 61:29; Gwet 2014, Handbook of Inter-Rater Reliability.

    Parameters
    ----------
    confusion
        (..., q, q) counts.
    weighting
        One of :data:`WEIGHTINGS`.

    Returns
    -------
    numpy.ndarray
        (...) float64, at most 1; NaN where there is no slide.

    Examples
    --------
    >>> table = np.array([[20, 5], [10, 15]])
    >>> round(float(gwet_ac(table)), 4)
    0.4059
    """
    counts = np.asarray(confusion, dtype=np.float64)
    q = counts.shape[-1]
    weights = agreement_weights(q, weighting)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = counts / counts.sum(axis=(-2, -1), keepdims=True)
        seen = (share * weights).sum(axis=(-2, -1))
        mean = (share.sum(axis=-1) + share.sum(axis=-2)) / 2
        chance = weights.sum() / (q * (q - 1)) * (mean * (1 - mean)).sum(axis=-1)
        return np.asarray((seen - chance) / (1 - chance))
