"""Exact bounds for a share, and how many independent cells a slide is worth."""

from __future__ import annotations

from scipy.special import betaincinv, ndtri

from pathology.types import IntArray

__all__ = ["effective_cells", "exact_interval", "exact_upper", "wilson_interval"]


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
    if not 0 <= k <= n or not n > 0:
        raise ValueError(f"not a share: {k} of {n}")
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
    """Return the two-sided Wilson score interval of a share (Wilson 1927).

    Parameters
    ----------
    k, n
        ``k`` of ``n``, n above 0; effective numbers need not be whole.
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
    >>> [round(100 * share, 2) for share in wilson_interval(175, 333, confidence=0.95)]
    [47.19, 57.86]
    """
    if not 0 <= k <= n or not n > 0:
        raise ValueError(f"not a share: {k} of {n}")
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    middle = (k + z2 / 2) / (n + z2)
    half = (z2 * (k * (n - k) / n + z2 / 4)) ** 0.5 / (n + z2)
    # At 0 and n the bound is exactly 0 and 1; rounding must not cross it.
    return (0.0 if k == 0 else max(0.0, middle - half)), (
        1.0 if k == n else min(1.0, middle + half)
    )


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
