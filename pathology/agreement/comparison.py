"""One reading against another: table, agreements, coefficients, and which slides were used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from pathology.agreement.codes import N_SCORES, NO_SCORE, NOT_READ
from pathology.agreement.coefficients import WEIGHTINGS, Weighting, cohen_kappa, gwet_ac
from pathology.agreement.shares import Cut, Kind, Share, Unscored, pair_terms, share_estimates
from pathology.agreement.shares import table_of as table_of_sums
from pathology.agreement.sums import Bootstrap, Estimate, Resampled, resample
from pathology.types import AnyArray, BoolArray, IntArray

__all__ = ["COEFFICIENTS", "Comparison", "Flow", "coefficient_estimates", "compare_readings"]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Say how many slides went into a table, how many came out, and why the others did not.

    Parameters
    ----------
    slides_in
        Slides offered.
    left_out
        Reasons with their number of slides, above 0.

    Examples
    --------
    >>> Flow(slides_in=5, left_out=(("tie", 2),)).slides_used
    3
    """

    slides_in: int
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def slides_used(self) -> int:
        """Slides in the table."""
        return self.slides_in - sum(n for _, n in self.left_out)

    @classmethod
    def count(cls, slides: int, reasons: Iterable[tuple[str, BoolArray]]) -> Flow:
        """Count each slide that is left out once, by the first reason that holds.

        Parameters
        ----------
        slides
            Slides offered.
        reasons
            Name and (slides,) bool, in the order in which they are asked.

        Returns
        -------
        Flow
            Reasons that hold for no slide are not listed.
        """
        counted = np.zeros(slides, dtype=bool)
        left_out = []
        for name, mask in reasons:
            fresh = int((mask & ~counted).sum())
            counted |= mask
            if fresh:
                left_out.append((name, fresh))
        return cls(slides_in=slides, left_out=tuple(left_out))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Hold one reading against a reference.

    Parameters
    ----------
    flow
        Slides in the table: both gave a score.
    patients
        Patients of the slides that both looked at.
    clustered
        Whether a patient has several of these slides.
    table
        5 × 5 slides: rows reference, columns the other; "no score", 0, 1+, 2+, 3+.
    shares
        Agreements.
    coefficients
        Kappas and AC, of slides that both scored, by name.
    """

    flow: Flow
    patients: int
    clustered: bool
    table: tuple[tuple[int, ...], ...]
    shares: tuple[Share, ...]
    coefficients: tuple[tuple[str, Estimate], ...]

    def share(self, cut: Cut, kind: Kind = "overall", unscored: Unscored = "left_out") -> Share:
        """Return one agreement."""
        return next(
            share
            for share in self.shares
            if (share.cut, share.kind, share.unscored) == (cut, kind, unscored)
        )

    def coefficient(self, name: str) -> Estimate:
        """Return one coefficient."""
        return dict(self.coefficients)[name]


_OfTable = Callable[[AnyArray, Weighting], AnyArray]


def _named() -> dict[str, tuple[_OfTable, Weighting]]:
    named: dict[str, tuple[_OfTable, Weighting]] = {}
    for word, function in (("kappa", cohen_kappa), ("gwet_ac", gwet_ac)):
        for weighting in WEIGHTINGS:
            suffix = "" if word == "kappa" else "1" if weighting == "unweighted" else "2"
            named[f"{word}{suffix}_{weighting}"] = (function, weighting)
    return named


#: Coefficients of a table by name.
COEFFICIENTS: Final = _named()


def coefficient_estimates(drawn: Resampled, *, first: int = 0) -> tuple[tuple[str, Estimate], ...]:
    """Compute every coefficient with its interval over patients, of slides that both scored.

    Parameters
    ----------
    drawn
        Sums that hold a 5 × 5 table, "no score" first.
    first
        Column at which the table begins.

    Returns
    -------
    tuple
        Name and estimate, in the order of :data:`COEFFICIENTS`.
    """
    n = N_SCORES + 1

    def statistic(sums: AnyArray, *, function: _OfTable, weighting: Weighting) -> AnyArray:
        table = sums[..., first : first + n * n].reshape(*sums.shape[:-1], n, n)
        return function(table[..., 1:, 1:], weighting)

    return tuple(
        (name, drawn.estimate(partial(statistic, function=function, weighting=weighting)))
        for name, (function, weighting) in COEFFICIENTS.items()
    )


def compare_readings(
    reference: AnyArray,
    other: AnyArray,
    *,
    patient: IntArray,
    bootstrap: Bootstrap,
    ish_negative: BoolArray | None = None,
    no_reference: dict[str, BoolArray] | None = None,
) -> Comparison:
    """Compare the program's reading of slides with a reference reading.

    Parameters
    ----------
    reference, other
        (n,) int: 0 to 3, :data:`NO_SCORE` or :data:`NOT_READ`; ``other`` is the program's.
    patient
        (n,) int64: a code per patient.
    bootstrap
        How patients are drawn.
    ish_negative
        (n,) bool: slides whose 2+ the reference knows to be ISH-negative; None for no slide.
    no_reference
        Why slides have no reference, by reason, where that is known better than "not read".

    Returns
    -------
    Comparison
        Tables, agreements and coefficients.

    Raises
    ------
    ValueError
        If the arrays differ in length or hold unknown codes.

    Examples
    --------
    >>> found = compare_readings(np.array([0, 1, 2, 3, -1]), np.array([0, 1, 1, 3, 0]),
    ...                          patient=np.arange(5), bootstrap=Bootstrap())
    >>> found.share("all").value, found.share("all", unscored="disagreement").value
    (0.75, 0.6)
    >>> found.flow.left_out
    (('no_score_by_reference', 1),)
    """
    n = len(reference)
    for name, codes in (("reference", reference), ("other", other)):
        if codes.shape != (n,) or (n and not NOT_READ <= codes.min() <= codes.max() < N_SCORES):
            raise ValueError(f"{name} must be {n} codes from {NOT_READ} to {N_SCORES - 1}")
    if patient.shape != (n,):
        raise ValueError(f"patient must have {n} codes")
    negative = np.zeros(n, dtype=bool) if ish_negative is None else ish_negative
    terms = pair_terms(reference, other, negative)
    both_read = (reference > NOT_READ) & (other > NOT_READ)
    slides = int(both_read.sum())
    drawn = resample(terms[both_read], patient[both_read], bootstrap)
    patients = len(drawn.per_patient)
    return Comparison(
        flow=_flow(reference, other, no_reference or {}),
        patients=patients,
        clustered=patients < slides,
        table=tuple(tuple(int(x) for x in row) for row in table_of_sums(terms.sum(axis=0))),
        shares=share_estimates(drawn, slides=slides),
        coefficients=coefficient_estimates(drawn),
    )


def _flow(reference: AnyArray, other: AnyArray, no_reference: dict[str, BoolArray]) -> Flow:
    reasons = [(name, mask & (reference == NOT_READ)) for name, mask in no_reference.items()]
    reasons += [
        ("not_read_by_reference", reference == NOT_READ),
        ("not_read_by_program", other == NOT_READ),
        ("no_score_by_both", (reference == NO_SCORE) & (other == NO_SCORE)),
        ("no_score_by_reference", reference == NO_SCORE),
        ("no_score_by_program", other == NO_SCORE),
    ]
    return Flow.count(len(reference), reasons)
