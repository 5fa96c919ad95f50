"""What most readers said: the consensus, and what a tie means."""

from __future__ import annotations

from typing import Literal

import numpy as np

from pathology.agreement.codes import N_SCORES, NO_SCORE, NOT_READ
from pathology.agreement.panel import count_readings
from pathology.types import AnyArray, BoolArray

__all__ = ["TIE_RULES", "TieRule", "consensus", "ish_negative_by_panel"]

#: What to do where two or more scores got most votes: leave the slide out, or take the lowest or
#: highest of them.
TieRule = Literal["leave-out", "lower", "higher"]
TIE_RULES: tuple[TieRule, ...] = ("leave-out", "lower", "higher")


def consensus(
    readings: AnyArray,
    *,
    ties: TieRule = "leave-out",
    min_readings: int = 2,
    categories: int = N_SCORES,
) -> tuple[AnyArray, BoolArray]:
    """Return the score that more readers gave than any other (plurality).

    "No score" is a vote of its own: where most readers could not score a slide, the consensus is
    that it has none. In a tie between "no score" and a score, ``lower`` and ``higher`` take the
    score.

    Parameters
    ----------
    readings
        (n, r) int: 0 to 3, :data:`NO_SCORE` or :data:`NOT_READ`.
    ties
        One of :data:`TIE_RULES`.
    min_readings
        Readings (scored or not) below which there is no consensus.
    categories
        Number of scores: four, or that of another scale coded in the same way.

    Returns
    -------
    tuple of numpy.ndarray
        (n,) int8 scores, :data:`NOT_READ` where there is no consensus; and (n,) bool, where votes
        were tied, whatever was then done.

    Raises
    ------
    ValueError
        If the rule for ties is not known.

    Examples
    --------
    >>> found, tied = consensus(np.array([[1, 1, 2], [0, 1, -2], [-1, -1, 3]]))
    >>> found.tolist(), tied.tolist()
    ([1, -2, -1], [False, True, False])
    """
    if ties not in TIE_RULES:
        raise ValueError(f"ties {ties!r} is not one of {', '.join(TIE_RULES)}")
    # Column 0 is "no score"; what was not read stays negative and is not counted.
    votes = count_readings(readings - NO_SCORE, categories + 1)
    enough = votes.sum(axis=1) >= max(1, min_readings)
    top = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
    tied = enough & (top.sum(axis=1) > 1)
    # The first or last score among those with most votes, if there is one.
    scores = top[:, 1:]
    lowest = scores.argmax(axis=1)
    highest = categories - 1 - scores[:, ::-1].argmax(axis=1)
    chosen = np.where(scores.any(axis=1), highest if ties == "higher" else lowest, NO_SCORE)
    known = enough & ~tied if ties == "leave-out" else enough
    return np.where(known, chosen, NOT_READ).astype(np.int8), tied


def ish_negative_by_panel(readings: AnyArray, ish: AnyArray) -> BoolArray:
    """Tell which slides the readers of 2+ call ISH-negative, so HER2-low.

    ISH is a fact of the slide, not an opinion: a slide counts where at least one reader of 2+ gave
    a tier that means ISH-negative, and none a tier that means otherwise.

    Parameters
    ----------
    readings
        (n, r) int.
    ish
        (n, r) int: 1 ISH-negative, 0 anything else, -1 not given.

    Returns
    -------
    numpy.ndarray
        (n,) bool.

    Examples
    --------
    >>> ish_negative_by_panel(np.array([[2, 2], [2, 2]]), np.array([[1, -1], [1, 0]])).tolist()
    [True, False]
    """
    equivocal = readings == 2
    says = (equivocal & (ish == 1)).any(axis=1)
    return np.asarray(says & ~(equivocal & (ish == 0)).any(axis=1))
