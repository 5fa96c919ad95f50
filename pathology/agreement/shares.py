"""Overall, positive and negative agreement, per cut-off, with and without unscored slides.

A pair of readings of one slide adds one to a table; every agreement is a sum of cells over a sum
of cells. So agreements are two matrices over the table, and a bootstrap multiplies once.

"Positive" and "negative agreement" (PPA, NPA), not sensitivity and specificity: the reference is
a reading, not the truth (FDA 2007, Statistical Guidance on Reporting Results from Studies
Evaluating Diagnostic Tests). Each cut-off of an ordinal score is a binary question (CLSI EP12).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np

from pathology.agreement.codes import N_SCORES, NO_SCORE, NOT_READ
from pathology.agreement.sums import Resampled, percentiles
from pathology.scoring.bounds import exact_interval, wilson_interval
from pathology.types import AnyArray, BoolArray, IntArray

__all__ = [
    "CUTS",
    "TABLE_TERMS",
    "Cut",
    "Kind",
    "Share",
    "Unscored",
    "pair_terms",
    "share_estimates",
    "share_of",
    "table_of",
]

#: The whole score; then score against cut-off; then low against null and ultralow.
Cut = Literal["all", ">=1+", ">=2+", "3+", "low", "tier"]
#: Those that a table of scores answers; ``tier`` needs a table of its own.
CUTS: Final[tuple[Cut, ...]] = ("all", ">=1+", ">=2+", "3+", "low")
#: Of all slides, of those that the reference calls positive, or negative.
Kind = Literal["overall", "positive", "negative"]
#: What happens to slides that one of the two did not score.
Unscored = Literal["left_out", "disagreement"]

_N: Final = N_SCORES + 1
#: Columns of a pair: the table of (reference, other), "no score" first; then slides that the
#: reference calls 2+ and ISH-negative, by what the other says: no score, low, not low.
TABLE_TERMS: Final = _N * _N + 3


@dataclass(frozen=True, kw_only=True)
class Share:
    """Hold one agreement.

    Parameters
    ----------
    cut, kind, unscored
        What is agreed on, on which slides, and what becomes of slides without a score.
    agreeing, total
        Slides.
    value
        ``agreeing / total``; None where there is no such slide.
    low, high
        The interval to report: Wilson's where each patient has one slide; else the percentile
        interval over patients, or the exact one over patients where all or no slides agree.
    method
        ``wilson``, ``patient_bootstrap``, ``clopper_pearson_patients``; None without an interval.
    exact_low, exact_high
        Clopper-Pearson, where each patient has one slide.
    """

    cut: Cut
    kind: Kind
    unscored: Unscored
    agreeing: int
    total: int
    value: float | None
    low: float | None
    high: float | None
    method: str | None
    exact_low: float | None
    exact_high: float | None


def pair_terms(reference: AnyArray, other: AnyArray, ish_negative: BoolArray) -> AnyArray:
    """Return what each slide adds to the table of two readings.

    Parameters
    ----------
    reference, other
        (n,) int: 0 to 3 or :data:`NO_SCORE`; a slide that one did not read adds nothing.
    ish_negative
        (n,) bool: slides whose 2+ the reference knows to be ISH-negative.

    Returns
    -------
    numpy.ndarray
        (n, 28) float64.

    Examples
    --------
    >>> table_of(pair_terms(np.array([0, 2]), np.array([0, 3]), np.zeros(2, bool))
    ...          .sum(axis=0))[1:, 1:].tolist()
    [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    """
    n = len(reference)
    terms = np.zeros((n, TABLE_TERMS))
    both = np.nonzero((reference > NOT_READ) & (other > NOT_READ))[0]
    row, column = reference[both].astype(int) + 1, other[both].astype(int) + 1
    terms[both, row * _N + column] = 1
    low = ish_negative[both] & (reference[both] == 2)
    # By what the other says: no score 0; 1+ or 2+ 1; null, ultralow or positive 2.
    answer = np.where(column == 0, 0, np.where((column == 2) | (column == 3), 1, 2))
    terms[both[low], _N * _N + answer[low]] = 1
    return terms


def table_of(sums: AnyArray) -> IntArray:
    """Return the (5, 5) table of summed :func:`pair_terms`: rows reference, "no score" first."""
    return np.asarray(np.rint(sums[: _N * _N]).reshape(_N, _N).astype(np.int64))


@cache
def _masks() -> tuple[tuple[tuple[Cut, Kind, Unscored], ...], AnyArray, AnyArray]:
    """Return every agreement's name, and the columns to add up above and below the line."""
    names: list[tuple[Cut, Kind, Unscored]] = []
    above, below = [], []
    kinds: tuple[Kind, ...] = ("overall", "positive", "negative")
    policies: tuple[Unscored, ...] = ("left_out", "disagreement")
    for policy in policies:
        for cut in CUTS:
            agree, positive, negative = _cells(cut)
            for kind in kinds[:1] if cut == "all" else kinds:
                among = {"overall": positive + negative, "positive": positive}.get(kind, negative)
                names.append((cut, kind, policy))
                above.append(among * agree * _SCORED)
                below.append(among * _SCORED if policy == "left_out" else among + _extra(cut, kind))
    return tuple(names), np.array(above).T, np.array(below).T


def _column_masks() -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return reference rank and other's rank of every table column, and where both are scores."""
    rows, columns = np.divmod(np.arange(_N * _N), _N)
    low_rows, low_columns = np.full(3, 3), np.array([0, 2, 4])
    reference = np.concatenate((rows, low_rows)) - 1
    other = np.concatenate((columns, low_columns)) - 1
    return reference, other, ((reference > NO_SCORE) & (other > NO_SCORE)).astype(float)


_REFERENCE, _OTHER, _SCORED = _column_masks()
#: The plain table, without the three columns that count some of its slides again.
_TABLE = (np.arange(TABLE_TERMS) < _N * _N).astype(float)


def _cells(cut: Cut) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return where the two agree, and which columns the reference calls positive and negative."""
    reference, other = _REFERENCE, _OTHER
    known = _TABLE * (reference > NO_SCORE)
    if cut == "all":
        return (reference == other).astype(float), known, np.zeros(TABLE_TERMS)
    if cut == "low":
        # Null and ultralow are score 0; low is 1+, and 2+ with negative ISH.
        negative = _TABLE * (reference == 0)
        positive = _TABLE * (reference == 1) + (1 - _TABLE)
        says_low = (other == 1) | (other == 2)
        return np.where(negative > 0, other == 0, says_low).astype(float), positive, negative
    rank = {">=1+": 1, ">=2+": 2, "3+": 3}[cut]
    agree = (reference >= rank) == (other >= rank)
    return agree.astype(float), known * (reference >= rank), known * (reference < rank)


def _extra(cut: Cut, kind: Kind) -> AnyArray:
    """Return slides that the other scored and the reference did not: overall disagreements."""
    if kind != "overall" or cut == "low":
        # The reference says neither positive nor negative, nor HER2-negative.
        return np.zeros(TABLE_TERMS)
    return np.asarray(_TABLE * (_REFERENCE == NO_SCORE) * (_OTHER > NO_SCORE))


def share_estimates(drawn: Resampled, *, slides: int) -> tuple[Share, ...]:
    """Compute every agreement of two readings with its interval.

    Parameters
    ----------
    drawn
        Of :func:`pair_terms` of the slides that both looked at.
    slides
        Their number; more than there are patients means that slides are not independent.

    Returns
    -------
    tuple of Share
        Slides without a score left out; then counted as disagreement.

    Examples
    --------
    >>> from pathology.agreement.sums import Bootstrap, resample
    >>> terms = pair_terms(np.array([0, 1, 2, 3]), np.array([0, 1, 1, 3]), np.zeros(4, bool))
    >>> drawn = resample(terms, np.arange(4), Bootstrap())
    >>> [(s.cut, s.kind, s.agreeing, s.total) for s in share_estimates(drawn, slides=4)][:2]
    [('all', 'overall', 3, 4), ('>=1+', 'overall', 4, 4)]
    """
    names, above, below = _masks()
    return tuple(
        share_of(name, drawn, above[:, [column]], below[:, [column]], slides=slides)
        for column, name in enumerate(names)
    )


def share_of(
    name: tuple[Cut, Kind, Unscored],
    drawn: Resampled,
    above: AnyArray,
    below: AnyArray,
    *,
    slides: int | None = None,
) -> Share:
    """Compute one agreement with its interval.

    Parameters
    ----------
    name
        What is agreed on, on which slides, and what becomes of slides without a score.
    drawn
        Sums of f terms.
    above, below
        (f, 1): the terms that are added up above and below the line.
    slides
        Number of slides; more than there are patients means that slides are not independent. None
        takes all that ``below`` counts.

    Returns
    -------
    Share
        The agreement.

    Examples
    --------
    >>> from pathology.agreement.sums import Bootstrap, resample
    >>> drawn = resample(np.eye(2)[[0, 0, 1]], np.arange(3), Bootstrap())
    >>> first = np.array([[1.0], [0.0]])
    >>> share_of(("all", "overall", "left_out"), drawn, first, np.ones((2, 1))).agreeing
    2
    """
    agreeing, totals = (drawn.per_patient @ above)[:, 0], (drawn.per_patient @ below)[:, 0]
    counted = int(totals.sum()) if slides is None else slides
    replicates = None
    if len(drawn.per_patient) < counted:
        with np.errstate(invalid="ignore", divide="ignore"):
            replicates = ((drawn.sums @ above) / (drawn.sums @ below))[:, 0]
    return _share(
        name, int(agreeing.sum()), int(totals.sum()), replicates, int((totals > 0).sum()),
        drawn.confidence,
    )  # fmt: skip


def _share(
    name: tuple[Cut, Kind, Unscored],
    k: int,
    n: int,
    replicates: AnyArray | None,
    patients: int,
    confidence: float,
) -> Share:
    method: str | None
    interval: tuple[float, float] | None
    exact: tuple[float, float] | None = None
    if n == 0:
        interval, method = None, None
    elif replicates is None:
        interval, method = wilson_interval(k, n, confidence=confidence), "wilson"
        exact = exact_interval(k, n, confidence=confidence)
    elif k in (0, n):
        # Drawing patients who all agree can only give 100 %: the exact bound over patients holds.
        whole = patients if k else 0
        interval = exact_interval(whole, patients, confidence=confidence)
        method = "clopper_pearson_patients"
    else:
        interval = percentiles(replicates, confidence=confidence)
        method = None if interval is None else "patient_bootstrap"
    low, high = interval or (None, None)
    exact_low, exact_high = exact or (None, None)
    return Share(
        cut=name[0],
        kind=name[1],
        unscored=name[2],
        agreeing=k,
        total=n,
        value=k / n if n else None,
        low=low,
        high=high,
        method=method,
        exact_low=exact_low,
        exact_high=exact_high,
    )
