"""From the codes of single cells to patterns and counts."""

from __future__ import annotations

from typing import Final

import numpy as np

from pathology.scoring.counts import PatternCounts
from pathology.types import BoolArray, IntArray, U8Array

__all__ = [
    "N_PATTERNS",
    "PATTERN_OF_KIND",
    "counts_from_bins",
    "counts_from_codes",
    "kind_codes",
    "kind_counts",
    "pattern_codes",
    "tile_score",
]

#: Patterns of a cell, weakest first: unstained, incomplete faint, incomplete moderate-intense,
#: complete weak-moderate, complete intense.
N_PATTERNS: Final = 5
# Rows: intensity unstained, faint, weak, moderate, intense; columns: incomplete, complete.
_PATTERN: Final = np.array([[0, 0], [1, 3], [1, 3], [2, 3], [2, 4]], dtype=np.uint8)
_FIELDS: Final[tuple[str, ...]] = (
    "unstained",
    "unstained",
    "faint_incomplete",
    "faint_complete",
    "weak_incomplete",
    "weak_complete",
    "moderate_incomplete",
    "moderate_complete",
    "intense_incomplete",
    "intense_complete",
)
#: Pattern of each kind of cell: intensity code twice, plus 1 where complete.
PATTERN_OF_KIND: Final = _PATTERN.ravel()
#: The score that each pattern speaks for, weakest pattern first.
_TILE_SCORES: Final[tuple[str, ...]] = ("0", "1+", "2+", "2+", "3+")


def _check(intensity: U8Array, complete: BoolArray) -> None:
    if intensity.shape != complete.shape or intensity.ndim != 1:
        raise ValueError("intensity and complete must be one-dimensional and of the same length")
    if intensity.dtype != np.uint8 or complete.dtype != np.bool_:
        raise ValueError(
            f"intensity must be uint8 and complete bool, not {intensity.dtype} and {complete.dtype}"
        )
    if intensity.size and int(intensity.max()) >= len(_PATTERN):
        raise ValueError(f"there is no intensity {int(intensity.max())}")
    if np.any(complete & (intensity == 0)):
        raise ValueError("an unstained membrane cannot be complete")


def pattern_codes(intensity: U8Array, complete: BoolArray) -> U8Array:
    """Combine intensity and completeness to a pattern.

    Parameters
    ----------
    intensity
        (n,) uint8: unstained 0, faint 1, weak 2, moderate 3, intense 4.
    complete
        (n,) bool.

    Returns
    -------
    numpy.ndarray
        (n,) uint8: unstained 0, incomplete faint 1, incomplete moderate-intense 2, complete
        weak-moderate 3, complete intense 4.

    Raises
    ------
    ValueError
        If shapes, types or codes do not fit, or an unstained cell is complete.

    Examples
    --------
    >>> pattern_codes(np.array([0, 2, 4, 4], dtype=np.uint8),
    ...               np.array([False, False, False, True])).tolist()
    [0, 1, 2, 4]
    """
    _check(intensity, complete)
    return np.asarray(_PATTERN[intensity, complete.astype(np.intp)])


def kind_codes(intensity: U8Array, complete: BoolArray) -> U8Array:
    """Put intensity and completeness into one number per cell.

    Parameters
    ----------
    intensity, complete
        As in :func:`pattern_codes`.

    Returns
    -------
    numpy.ndarray
        (n,) uint8: intensity code twice, plus 1 where complete.

    Examples
    --------
    >>> kind_codes(np.array([0, 4], dtype=np.uint8), np.array([False, True])).tolist()
    [0, 9]
    """
    _check(intensity, complete)
    return np.asarray(2 * intensity + complete, dtype=np.uint8)


def kind_counts(kind: int) -> PatternCounts | None:
    """Return the counts of one cell of a kind; None for the kind that cannot be.

    Examples
    --------
    >>> kind_counts(9).complete_intense, kind_counts(1)
    (1, None)
    """
    return None if kind == 1 else PatternCounts(**{_FIELDS[kind]: 1})


def counts_from_codes(intensity: U8Array, complete: BoolArray) -> PatternCounts:
    """Count cells by intensity and completeness.

    Parameters
    ----------
    intensity
        (n,) uint8: unstained 0, faint 1, weak 2, moderate 3, intense 4.
    complete
        (n,) bool.

    Returns
    -------
    PatternCounts
        The counts; they do not depend on the order of the cells.

    Raises
    ------
    ValueError
        If shapes, types or codes do not fit, or an unstained cell is complete.

    Examples
    --------
    >>> counts_from_codes(np.array([0, 2, 4], dtype=np.uint8),
    ...                   np.array([False, False, True])).intense_complete
    1
    """
    _check(intensity, complete)
    found = np.bincount(intensity.astype(np.intp) * 2 + complete, minlength=len(_FIELDS))
    return counts_from_bins(found.astype(np.int64))


def counts_from_bins(bins: IntArray) -> PatternCounts:
    """Name counts that were made by twice the intensity plus completeness.

    Parameters
    ----------
    bins
        (10,) int64; the second, complete and unstained, is 0.

    Raises
    ------
    ValueError
        If a cell is unstained and complete.

    Examples
    --------
    >>> counts_from_bins(np.array([3, 0, 0, 0, 0, 0, 0, 0, 0, 2])).intense_complete
    2
    """
    if bins[1]:
        raise ValueError("an unstained membrane cannot be complete")
    numbers = bins.tolist()
    return PatternCounts(
        **{name: n for name, n in zip(_FIELDS, numbers, strict=True) if name != "unstained"},
        unstained=numbers[0],
    )


def tile_score(counts: PatternCounts) -> str | None:
    """Label a tile by the pattern that most of its tumour cells show, for heat maps.

    This is a label, not a guideline score: no cut-off, floor or minimum of cells is applied, since
    the guideline is about a whole specimen. Of equally frequent patterns the stronger one is named.

    Parameters
    ----------
    counts
        Evaluable tumour cells of the tile.

    Returns
    -------
    str or None
        ``0``, ``1+``, ``2+`` or ``3+``; None where the tile holds no tumour cell.

    Examples
    --------
    >>> tile_score(PatternCounts(unstained=3, weak_incomplete=2, intense_complete=4))
    '3+'
    >>> tile_score(PatternCounts()) is None
    True
    """
    if counts.total == 0:
        return None
    cells = (
        counts.unstained,
        counts.incomplete_faint,
        counts.incomplete_moderate_intense,
        counts.complete_weak_moderate,
        counts.complete_intense,
    )
    return _TILE_SCORES[max(range(N_PATTERNS), key=lambda code: (cells[code], code))]
