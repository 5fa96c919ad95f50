"""Bounds for a share, exact and by Wilson, and how many independent cells a slide is worth."""

from __future__ import annotations

import math

from scipy.special import betaincinv, ndtri

from pathology.types import IntArray

__all__ = ["effective_cells", "exact_interval", "exact_upper", "wilson_interval"]


def _check_share(k: float, n: float) -> None:
    if not 0 <= k <= n or not n > 0:
        raise ValueError(f"not a share: {k} of {n}")


def exact_upper(k: float, n: float, *, confidence: float) -> float:
    """Return the one-sided upper Clopper-Pearson bound of a share.

    Parameters
    ----------
    k, n
        ``k`` of ``n`` cells, n above 0; effective numbers need not be whole.
    confidence
        Such as 0.95.

    Returns
    -------
    float
        Share, 0 to 1.

    Raises
    ------
    ValueError
        If k is not between 0 and n, or n is not above 0.

    Examples
    --------
    >>> round(exact_upper(0, 300, confidence=0.95), 4)
    0.0099
    """
    _check_share(k, n)
    # The quantile of a beta distribution; undefined (and 1) where every cell is positive.
    return 1.0 if k >= n else float(betaincinv(k + 1, n - k, confidence))


def exact_interval(k: float, n: float, *, confidence: float) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of a share.

    Parameters
    ----------
    k, n
        ``k`` of ``n`` cells, n above 0; effective numbers need not be whole.
    confidence
        Such as 0.95.

    Returns
    -------
    tuple of float
        Lower and upper share, 0 to 1.

    Raises
    ------
    ValueError
        If k is not between 0 and n, or n is not above 0.

    Examples
    --------
    >>> [round(100 * share, 1) for share in exact_interval(175, 333, confidence=0.95)]
    [47.0, 58.0]
    """
    tail = (1 - confidence) / 2
    upper = exact_upper(k, n, confidence=1 - tail)
    return (float(betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0), upper


def wilson_interval(k: float, n: float, *, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share.

    It is shorter than the exact one and covers the truth as often as it says on average, where the
    exact one covers it at least as often (Wilson 1927, J Am Stat Assoc 22:209; Brown, Cai and
    DasGupta 2001, Stat Sci 16:101).

    Parameters
    ----------
    k, n
        ``k`` of ``n``, n above 0.
    confidence
        Such as 0.95.

    Returns
    -------
    tuple of float
        Lower and upper share, 0 to 1.

    Raises
    ------
    ValueError
        If k is not between 0 and n, or n is not above 0.

    Examples
    --------
    >>> [round(100 * share, 1) for share in wilson_interval(175, 333, confidence=0.95)]
    [47.2, 57.9]
    """
    _check_share(k, n)
    z = float(ndtri((1 + confidence) / 2))
    share, turn = k / n, z * z / n
    centre = share + turn / 2
    reach = z * math.sqrt(share * (1 - share) / n + turn / (4 * n))
    # Where no or every one is counted, that end is exact; the formula leaves it 1e-17 off.
    low = 0.0 if k == 0 else (centre - reach) / (1 + turn)
    high = 1.0 if k == n else (centre + reach) / (1 + turn)
    return low, high


def effective_cells(
    block_cells: IntArray, *, correlation: float, share: float = 0.0, variance: float = 0.0
) -> float:
    """Return how many independent cells would tell as much as these clustered ones.

    Cells of one block are alike, so n cells count as n / d. The design effect d is the larger of
    two: 1 + (m - 1) ρ with the assumed intra-block correlation ρ and the mean number m of cells in
    the block of a cell (Kish), and the measured one, ``variance`` over that of independent cells.
    Where no cell is stained nothing can be measured, and the assumption stands alone.

    Parameters
    ----------
    block_cells
        (b,) int64: cells in each block, at least one above 0.
    correlation
        Intra-block correlation ρ, 0 to 1.
    share, variance
        The measured share (0 to 1) and its bootstrap variance, where there is one.

    Returns
    -------
    float
        Between 1 and n, in cells.

    Examples
    --------
    >>> import numpy as np
    >>> effective_cells(np.array([101, 101]), correlation=0.01)
    101.0
    """
    n = int(block_cells.sum())
    mean_size = float((block_cells.astype(float) ** 2).sum()) / n
    design = 1 + (mean_size - 1) * correlation
    independent = share * (1 - share) / n
    if independent > 0:
        design = max(design, variance / independent)
    return max(1.0, n / max(1.0, design))
