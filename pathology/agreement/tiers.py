"""The five HER2 tiers of two readings: table, agreement, and kappas.

A tier is more than a score: 0 is null or ultralow, and a 2+ is low or positive once its ISH is
known. A reader's score implies a tier where only one goes with it; a bare 0 says neither null nor
ultralow, and such a reading is left out, not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from pathology.agreement.codes import NO_SCORE, NOT_READ
from pathology.agreement.coefficients import Weighting, cohen_kappa
from pathology.agreement.comparison import Flow
from pathology.agreement.consensus import TieRule, consensus
from pathology.agreement.shares import Share, share_of
from pathology.agreement.sums import Bootstrap, Estimate, resample
from pathology.scoring.tiers import TIER_ORDER
from pathology.types import AnyArray, IntArray

__all__ = ["TIER_UNSAID", "TierComparison", "compare_tiers", "consensus_tiers", "implied_tiers"]

#: Read as 0, without saying whether null or ultralow: no vote, and not "no score".
TIER_UNSAID: Final = -3
_TIERS: Final = len(TIER_ORDER)
#: Tier that a score implies where none is given; a 2+ without known ISH is equivocal.
_IMPLIED: Final = np.array(
    [
        TIER_UNSAID,
        *(TIER_ORDER.index(name) for name in ("her2_low", "her2_equivocal", "her2_positive")),
    ]
)


@dataclass(frozen=True, kw_only=True)
class TierComparison:
    """Hold the tiers of one reading against a reference.

    Parameters
    ----------
    flow
        Slides in the table: both gave a tier.
    patients
        Patients of these slides.
    table
        6 × 6 slides: rows reference, columns the other; "no tier", then the tiers, null first.
    overall
        Share of slides with the same tier.
    kappa_unweighted, kappa_linear
        Cohen's kappa over the five tiers.
    """

    flow: Flow
    patients: int
    table: tuple[tuple[int, ...], ...]
    overall: Share
    kappa_unweighted: Estimate
    kappa_linear: Estimate


def implied_tiers(readings: AnyArray, given: AnyArray) -> AnyArray:
    """Return the tier of every reading: as given, or implied by its score.

    Parameters
    ----------
    readings
        (...) int: scores 0 to 3, :data:`NO_SCORE` or :data:`NOT_READ`.
    given
        (...) int: place in ``TIER_ORDER``, or -1 where no tier was given.

    Returns
    -------
    numpy.ndarray
        (...) int8: place in ``TIER_ORDER``, :data:`NO_SCORE`, :data:`NOT_READ` or
        :data:`TIER_UNSAID`.

    Examples
    --------
    >>> implied_tiers(np.array([0, 0, 2, 2, -1]), np.array([1, -1, 2, -1, -1])).tolist()
    [1, -3, 2, 3, -1]
    """
    scored = readings > NO_SCORE
    implied = np.where(scored, _IMPLIED[np.where(scored, readings, 0)], readings)
    return np.where(given >= 0, given, implied).astype(np.int8)


def consensus_tiers(tiers: AnyArray, *, ties: TieRule, min_readings: int) -> AnyArray:
    """Return the tier that more readers gave than any other; a bare 0 has no vote.

    Parameters
    ----------
    tiers
        (n, r) int, of :func:`implied_tiers`.
    ties, min_readings
        As in :func:`~pathology.agreement.consensus`.

    Returns
    -------
    numpy.ndarray
        (n,) int8; :data:`TIER_UNSAID` where bare zeros alone leave a slide without a consensus.

    Examples
    --------
    >>> consensus_tiers(np.array([[1, 1, -3], [-3, -3, -2]]), ties="leave-out",
    ...                 min_readings=2).tolist()
    [1, -3]
    """
    found, tied = consensus(tiers, ties=ties, min_readings=min_readings, categories=_TIERS)
    unsaid = (tiers == TIER_UNSAID).any(axis=1) & (found == NOT_READ) & ~tied
    return np.where(unsaid, TIER_UNSAID, found).astype(np.int8)


def compare_tiers(
    reference: AnyArray, other: AnyArray, *, patient: IntArray, bootstrap: Bootstrap
) -> TierComparison:
    """Compare the tiers of slides with a reference.

    Parameters
    ----------
    reference, other
        (n,) int: places in ``TIER_ORDER``, :data:`NO_SCORE`, :data:`NOT_READ` or
        :data:`TIER_UNSAID`; ``other`` is the program's.
    patient
        (n,) int64: a code per patient.
    bootstrap
        How patients are drawn.

    Examples
    --------
    >>> found = compare_tiers(np.array([0, 1, 2, 4, -3]), np.array([0, 0, 2, 4, 1]),
    ...                       patient=np.arange(5), bootstrap=Bootstrap())
    >>> found.overall.agreeing, found.overall.total, found.flow.left_out
    (3, 4, (('null_or_ultralow_not_said', 1),))
    """
    unsaid = (reference == TIER_UNSAID) | (other == TIER_UNSAID)
    none = (reference == NOT_READ) | (other == NOT_READ)
    lacking = (reference == NO_SCORE) | (other == NO_SCORE)
    flow = Flow.count(
        len(reference),
        [
            ("null_or_ultralow_not_said", unsaid),
            ("no_tier_by_reference", reference == NOT_READ),
            ("not_read_by_program", other == NOT_READ),
            ("no_score_by_both", (reference == NO_SCORE) & (other == NO_SCORE)),
            ("no_score_by_reference", reference == NO_SCORE),
            ("no_score_by_program", other == NO_SCORE),
        ],
    )
    seen = ~unsaid & ~none
    size = _TIERS + 1
    table = np.zeros((size, size), dtype=np.int64)
    np.add.at(table, (reference[seen] + 1, other[seen] + 1), 1)
    chosen = seen & ~lacking
    terms = np.zeros((int(chosen.sum()), _TIERS * _TIERS))
    cells = reference[chosen].astype(int) * _TIERS + other[chosen]
    terms[np.arange(len(cells)), cells] = 1
    drawn = resample(terms, patient[chosen], bootstrap)

    def kappa(sums: AnyArray, *, weighting: Weighting) -> AnyArray:
        return cohen_kappa(sums.reshape(*sums.shape[:-1], _TIERS, _TIERS), weighting)

    same = np.eye(_TIERS).ravel()[:, None]
    return TierComparison(
        flow=flow,
        patients=len(drawn.per_patient),
        table=tuple(tuple(int(n) for n in row) for row in table),
        overall=share_of(("tier", "overall", "left_out"), drawn, same, np.ones_like(same)),
        kappa_unweighted=drawn.estimate(partial(kappa, weighting="unweighted")),
        kappa_linear=drawn.estimate(partial(kappa, weighting="linear")),
    )
