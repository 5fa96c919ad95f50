"""Agreement among many readers: Fleiss, Krippendorff, Gwet, unanimity and how it falls."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pathology.agreement.coefficients import Weighting, agreement_weights
from pathology.types import AnyArray, BoolArray, IntArray

__all__ = [
    "alpha_of_sums",
    "alpha_terms",
    "count_readings",
    "fleiss_kappa",
    "fleiss_of_sums",
    "fleiss_terms",
    "gwet_panel_of_sums",
    "gwet_panel_terms",
    "krippendorff_alpha",
    "unanimity_band",
    "unanimity_curve",
]

#: How far two different scores are apart: all alike, by rank, by square of the step.
Metric = Literal["nominal", "ordinal", "interval"]


def count_readings(readings: AnyArray, categories: int) -> IntArray:
    """Count, for each slide, how many readers gave each category.

    Parameters
    ----------
    readings
        (n, r) int: codes 0 to categories - 1; negative where there is none.
    categories
        Number of categories.

    Returns
    -------
    numpy.ndarray
        (n, categories) int64.

    Examples
    --------
    >>> count_readings(np.array([[0, 1, 1], [2, -1, 2]]), 3).tolist()
    [[1, 2, 0], [0, 0, 2]]
    """
    n = len(readings)
    there = readings >= 0
    place = np.nonzero(there)[0] * categories + readings[there]
    counts = np.bincount(place, minlength=n * categories).reshape(n, categories)
    return counts.astype(np.int64)


def fleiss_terms(counts: IntArray) -> AnyArray:
    """Return what each slide adds to Fleiss' kappa: agreeing share of pairs, and shares of scores.

    Parameters
    ----------
    counts
        (n, q) int64, the same number of readings, two or more, in every row.

    Returns
    -------
    numpy.ndarray
        (n, 2 + q) float64.

    Raises
    ------
    ValueError
        If slides differ in their number of readings, or there is only one each.
    """
    readers = counts.sum(axis=1)
    if len(counts) and (readers.min() != readers.max() or readers[0] < 2):
        raise ValueError("Fleiss' kappa needs the same number of readings, two or more, per slide")
    pairs = np.maximum(readers * (readers - 1), 1)
    agreeing = (counts * (counts - 1)).sum(axis=1) / pairs
    shares = counts / np.maximum(readers, 1)[:, None]
    return np.column_stack((np.ones(len(counts)), agreeing, shares))


def fleiss_of_sums(sums: AnyArray) -> AnyArray:
    """Return Fleiss' kappa from (..., 2 + q) summed :func:`fleiss_terms`; NaN where undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = sums[..., 1] / sums[..., 0]
        chance = ((sums[..., 2:] / sums[..., :1]) ** 2).sum(axis=-1)
        return np.asarray(np.where(chance < 1, (seen - chance) / (1 - chance), np.nan))


def fleiss_kappa(counts: IntArray) -> float:
    """Compute Fleiss' kappa.

    Source: Fleiss 1971, Psychol Bull 76:378.

    Parameters
    ----------
    counts
        (n, q) int64: readers per slide and category, as many in every row.

    Returns
    -------
    float
        At most 1; NaN where undefined (one category only).

    Raises
    ------
    ValueError
        If slides differ in their number of readings, or there is only one each.

    Examples
    --------
    >>> round(fleiss_kappa(np.array([[3, 0], [0, 3], [2, 1], [1, 2]])), 4)
    0.3333
    """
    return float(fleiss_of_sums(fleiss_terms(counts).sum(axis=0)))


def alpha_terms(counts: IntArray) -> AnyArray:
    """Return each slide's coincidences of categories, flattened; slides read once add nothing.

    Parameters
    ----------
    counts
        (n, q) int64: readers per slide and category; rows may differ in their sum.

    Returns
    -------
    numpy.ndarray
        (n, q * q) float64.
    """
    readers = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    q = counts.shape[1]
    pairs[:, np.arange(q), np.arange(q)] -= counts
    shared = np.where(readers[:, None, None] > 1, pairs, 0)
    parts = shared / np.maximum(readers - 1, 1)[:, None, None]
    return np.asarray(parts.reshape(len(counts), q * q))


def alpha_of_sums(sums: AnyArray, metric: Metric = "ordinal") -> AnyArray:
    """Return Krippendorff's alpha from (..., q * q) summed coincidences; NaN where undefined."""
    q = round(np.sqrt(sums.shape[-1]))
    seen = np.asarray(sums, dtype=np.float64).reshape(*sums.shape[:-1], q, q)
    margin = seen.sum(axis=-1)
    total = margin.sum(axis=-1)
    place = np.arange(q, dtype=np.float64)
    if metric == "ordinal":
        # Readings between the two, each end counted half.
        place = np.cumsum(margin, axis=-1) - margin / 2
    apart = (place[..., :, None] - place[..., None, :]) ** 2
    if metric == "nominal":
        apart = (apart > 0).astype(np.float64)
    chance = (margin[..., :, None] * margin[..., None, :] * apart).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = 1 - (total - 1) * (seen * apart).sum(axis=(-2, -1)) / chance
    return np.asarray(np.where(chance > 0, value, np.nan))


def krippendorff_alpha(counts: IntArray, metric: Metric = "ordinal") -> float:
    """Compute Krippendorff's alpha; readings may be missing.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability (coincidence matrices and
    the ordinal difference).

    Parameters
    ----------
    counts
        (n, q) int64: readers per slide and category; rows may differ in their sum.
    metric
        ``nominal``, ``ordinal`` or ``interval``.

    Returns
    -------
    float
        At most 1; NaN where undefined (one category only, no slide read twice).

    Examples
    --------
    >>> round(krippendorff_alpha(np.array([[2, 0, 0], [0, 2, 0], [0, 1, 1]])), 4)
    0.7778
    """
    return float(alpha_of_sums(alpha_terms(counts).sum(axis=0), metric))


def gwet_panel_terms(counts: IntArray, weighting: Weighting) -> AnyArray:
    """Return what each slide adds to Gwet's coefficient of many readers.

    Parameters
    ----------
    counts
        (n, q) int64: readers per slide and category; rows may differ in their sum.
    weighting
        As for :func:`~pathology.agreement.coefficients.agreement_weights`.

    Returns
    -------
    numpy.ndarray
        (n, 3 + q) float64: read twice, agreeing share of pairs, read at all, shares of categories.
    """
    readers = counts.sum(axis=1)
    weights = agreement_weights(counts.shape[1], weighting)
    credit = (counts * (counts @ weights - 1)).sum(axis=1)
    twice = readers > 1
    agreeing = np.where(twice, credit / np.maximum(readers * (readers - 1), 1), 0.0)
    shares = counts / np.maximum(readers, 1)[:, None]
    return np.column_stack((twice, agreeing, readers > 0, shares))


def gwet_panel_of_sums(sums: AnyArray, weighting: Weighting) -> AnyArray:
    """Return Gwet's AC1 or AC2 of many readers from summed :func:`gwet_panel_terms`.

    Slides read once count for how common a category is, not for agreement (Gwet 2014, Handbook of
    Inter-Rater Reliability, missing ratings).

    Examples
    --------
    >>> counts = np.array([[2, 0, 0], [0, 2, 0], [0, 1, 1]])
    >>> sums = gwet_panel_terms(counts, "quadratic").sum(axis=0)
    >>> round(float(gwet_panel_of_sums(sums, "quadratic")), 4)
    0.7857
    """
    q = sums.shape[-1] - 3
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = sums[..., 1] / sums[..., 0]
        mean = sums[..., 3:] / sums[..., 2:3]
        scale = agreement_weights(q, weighting).sum() / (q * (q - 1))
        chance = scale * (mean * (1 - mean)).sum(axis=-1)
        return np.asarray((seen - chance) / (1 - chance))


def unanimity_curve(counts: IntArray, readers: int) -> AnyArray:
    """Return the expected share of slides on which m readers all agree, for m from 2 on.

    The mean over every choice of m readers, without drawing any: with c of R readers for a
    category, C(c, m) / C(R, m) of the choices agree on it. The curve is that of the ONEST study
    (Reisenbichler et al. 2020, Mod Pathol 33:1746), which averages over drawn choices.

    Parameters
    ----------
    counts
        (n, q) int64: every row of R readings; a reading that agrees with none is left out of it.
    readers
        R, at least 2.

    Returns
    -------
    numpy.ndarray
        (R - 1,) float64, 0 to 1, never rising; NaN without a slide.

    Examples
    --------
    >>> unanimity_curve(np.array([[3, 0], [2, 1]]), 3).round(4).tolist()
    [0.6667, 0.5]
    """
    if not len(counts):
        return np.full(readers - 1, np.nan)
    shares = []
    chosen = counts.astype(np.float64) / readers
    for m in range(2, readers + 1):
        # C(c, m) / C(R, m) = c (c - 1) ... / R (R - 1) ..., one more factor for each reader.
        chosen = chosen * np.maximum(counts - m + 1, 0) / (readers - m + 1)
        shares.append(chosen.sum(axis=1).mean())
    return np.array(shares)


def unanimity_band(
    readings: AnyArray, *, orders: int, seed: int, confidence: float
) -> tuple[AnyArray, AnyArray]:
    """Return how the curve varies with the readers chosen.

    Readers are added in ``orders`` random orders; percentiles of the share of unanimous slides.

    Parameters
    ----------
    readings
        (n, r) int: codes; readings that agree with none are negative.
    orders, seed, confidence
        Number of orders, seed of PCG64, and share of orders within the band.

    Returns
    -------
    tuple of numpy.ndarray
        (r - 1,) float64 each: lower and upper end.

    Examples
    --------
    >>> low, high = unanimity_band(np.array([[0, 0, 0], [0, 0, 1]]), orders=50, seed=1,
    ...                            confidence=0.95)
    >>> low.tolist(), high.tolist()
    ([0.5, 0.5], [1.0, 0.5])
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    columns = np.ascontiguousarray(readings.T.astype(np.int8))
    shares = np.empty((orders, len(columns) - 1))
    for row in range(orders):
        order = generator.permutation(len(columns))
        first = columns[order[0]]
        agree: BoolArray = first >= 0
        for place, reader in enumerate(order[1:]):
            agree = agree & (columns[reader] == first)
            shares[row, place] = agree.mean()
    tail = 50 * (1 - confidence)
    low, high = np.percentile(shares, [tail, 100 - tail], axis=0)
    return low, high
