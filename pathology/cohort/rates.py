"""Shares with their intervals: exact ones, as trials print them, and Wilson's beside them."""

from __future__ import annotations

from pathology.cohort.tables import Cell, Column, percent_text
from pathology.scoring.bounds import exact_interval, wilson_interval

__all__ = ["interval_cells", "interval_columns"]


def interval_columns() -> tuple[Column, ...]:
    """Return the columns that :func:`interval_cells` fills."""
    return (
        Column(name="n", label="n"),
        Column(name="of", label="of"),
        Column(name="pct", label="%"),
        Column(name="exact_lo_pct", label="exact 95 % from"),
        Column(name="exact_hi_pct", label="to"),
        Column(name="wilson_lo_pct", label="Wilson 95 % from"),
        Column(name="wilson_hi_pct", label="to"),
    )


def interval_cells(k: int, n: int, *, confidence: float = 0.95) -> tuple[Cell, ...]:
    """Return count, total, percentage, exact (Clopper-Pearson) and Wilson interval, in %.

    Parameters
    ----------
    k, n
        ``k`` of ``n``; n may be 0, which gives empty intervals.
    confidence
        Such as 0.95.

    Examples
    --------
    >>> interval_cells(3, 18)[2], [round(x, 1) for x in interval_cells(3, 18)[3:5]]
    ('16.7', [3.6, 41.4])
    """
    if n == 0:
        return (k, n, percent_text(k, n), None, None, None, None)
    exact = exact_interval(k, n, confidence=confidence)
    wilson = wilson_interval(k, n, confidence=confidence)
    return (k, n, percent_text(k, n), *(100 * bound for bound in (*exact, *wilson)))
