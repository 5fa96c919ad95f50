"""How the readers of a study agree among themselves, with intervals over patients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from pathology.agreement.codes import N_SCORES, NO_SCORE, NOT_READ
from pathology.agreement.coefficients import Weighting
from pathology.agreement.comparison import Flow
from pathology.agreement.panel import (
    alpha_of_sums,
    alpha_terms,
    count_readings,
    fleiss_of_sums,
    fleiss_terms,
    gwet_panel_of_sums,
    gwet_panel_terms,
    unanimity_band,
    unanimity_curve,
)
from pathology.agreement.sums import Bootstrap, Estimate, resample
from pathology.types import AnyArray, IntArray

__all__ = ["CurvePoint", "PanelAgreement", "Unanimity", "panel_agreement"]

#: Random orders of readers behind the band of the curve, as in Reisenbichler et al. 2020.
_ORDERS = 100


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Hold overall agreement among a number of readers.

    Parameters
    ----------
    readers
        How many are chosen.
    share
        Expected share of slides on which all of them agree.
    low, high
        95 % of random orders of the readers lie within.
    """

    readers: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Unanimity:
    """Hold how often all readers agree.

    Parameters
    ----------
    flow
        Slides that all readers read, and, where unscored slides are left out, all scored.
    unanimous
        Slides with one and the same score by all.
    share
        Of the slides used, with an interval over patients.
    curve
        Share against the number of readers, from two on; empty without slides.
    """

    flow: Flow
    unanimous: int
    share: Estimate
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, kw_only=True)
class PanelAgreement:
    """Hold the agreement among readers.

    Parameters
    ----------
    readers
        Number of readers.
    complete
        Slides that all readers scored: those of Fleiss' kappa.
    twice
        Slides that two readers or more scored: those of alpha and AC.
    fleiss
        Fleiss' kappa.
    alpha
        Krippendorff's alpha, ordinal.
    ac1, ac2_linear, ac2_quadratic
        Gwet's coefficients.
    left_out, disagreement
        Unanimity without slides that a reader did not score; and with them, as not unanimous.
    """

    readers: int
    complete: Flow
    twice: Flow
    fleiss: Estimate
    alpha: Estimate
    ac1: Estimate
    ac2_linear: Estimate
    ac2_quadratic: Estimate
    left_out: Unanimity
    disagreement: Unanimity


def panel_agreement(readings: AnyArray, patient: IntArray, bootstrap: Bootstrap) -> PanelAgreement:
    """Compute how readers agree among themselves.

    Parameters
    ----------
    readings
        (n, r) int8 codes, r at least 2.
    patient
        (n,) int64.
    bootstrap
        How patients are drawn.

    Returns
    -------
    PanelAgreement
        Coefficients, unanimity and curve.

    Examples
    --------
    >>> readings = np.array([[0, 0, 0], [1, 1, 2], [3, 3, 3], [2, 2, -1]])
    >>> found = panel_agreement(readings, np.arange(4), Bootstrap())
    >>> found.left_out.unanimous, found.left_out.flow.slides_used
    (2, 3)
    >>> found.disagreement.unanimous, found.disagreement.flow.slides_used
    (2, 4)
    """
    r = readings.shape[1]
    counts = count_readings(readings, N_SCORES)
    scored = counts.sum(axis=1)
    twice = scored > 1
    complete = scored == r
    n = len(readings)
    fleiss = resample(fleiss_terms(counts[complete]), patient[complete], bootstrap)
    alpha = resample(alpha_terms(counts[twice]), patient[twice], bootstrap)
    nobody, fewer = ("not_read", _unread(readings)), ("scored_by_fewer_than_two", ~twice)
    unread = (readings == NOT_READ).any(axis=1)
    return PanelAgreement(
        readers=r,
        complete=Flow.count(n, (("not_read_by_all", unread), ("not_scored_by_all", ~complete))),
        twice=Flow.count(n, (nobody, fewer)),
        fleiss=fleiss.estimate(fleiss_of_sums),
        alpha=alpha.estimate(alpha_of_sums),
        ac1=_gwet(counts, patient, bootstrap, "unweighted"),
        ac2_linear=_gwet(counts, patient, bootstrap, "linear"),
        ac2_quadratic=_gwet(counts, patient, bootstrap, "quadratic"),
        left_out=_unanimity(readings, patient, bootstrap, unscored_counts=False),
        disagreement=_unanimity(readings, patient, bootstrap, unscored_counts=True),
    )


def _unread(readings: AnyArray) -> AnyArray:
    return np.asarray((readings == NOT_READ).all(axis=1))


def _gwet(
    counts: IntArray, patient: IntArray, bootstrap: Bootstrap, weighting: Weighting
) -> Estimate:
    read = counts.sum(axis=1) > 0
    drawn = resample(gwet_panel_terms(counts[read], weighting), patient[read], bootstrap)
    return drawn.estimate(partial(gwet_panel_of_sums, weighting=weighting))


def _unanimity(
    readings: AnyArray, patient: IntArray, bootstrap: Bootstrap, *, unscored_counts: bool
) -> Unanimity:
    r = readings.shape[1]
    unread = (readings == NOT_READ).any(axis=1)
    unscored = (readings == NO_SCORE).any(axis=1)
    reasons = [("not_read_by_all", unread)]
    if not unscored_counts:
        reasons.append(("no_score_by_a_reader", unscored))
    used = ~unread if unscored_counts else ~unread & ~unscored
    chosen = readings[used]
    counts = count_readings(chosen, N_SCORES)
    same = counts.max(axis=1, initial=0) == r
    drawn = resample(np.column_stack((np.ones(len(same)), same)), patient[used], bootstrap)
    return Unanimity(
        flow=Flow.count(len(readings), reasons),
        unanimous=int(same.sum()),
        share=drawn.estimate(_share),
        curve=_curve(chosen, counts, bootstrap),
    )


def _share(sums: AnyArray) -> AnyArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 1] / sums[..., 0])


def _curve(chosen: AnyArray, counts: IntArray, bootstrap: Bootstrap) -> tuple[CurvePoint, ...]:
    if not len(chosen):
        return ()
    r = chosen.shape[1]
    low, high = unanimity_band(
        chosen, orders=_ORDERS, seed=bootstrap.seed, confidence=bootstrap.confidence
    )
    return tuple(
        CurvePoint(readers=m, share=float(share), low=float(low[m - 2]), high=float(high[m - 2]))
        for m, share in enumerate(unanimity_curve(counts, r), start=2)
    )
