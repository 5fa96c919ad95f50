"""How well predicted scores agree with given ones: counts, quadratic kappa, its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathology.stain.calibration import SCORES
from pathology.types import AnyArray

__all__ = ["Concordance", "compare", "quadratic_kappa"]

_N = len(SCORES)
#: Replicates of the bootstrap and its seed: the same slides give the same interval.
_REPLICATES = 2000
_SEED = 20180511
#: Replicates that may be undefined (all slides of one score) before no interval is given.
_UNDEFINED_MAX = 0.05


@dataclass(frozen=True, kw_only=True)
class Concordance:
    """Hold a comparison of scores.

    Parameters
    ----------
    confusion
        4 × 4 counts: rows are the given scores, columns the predicted ones, 0 to 3+.
    kappa
        Quadratically weighted; None where undefined.
    kappa_low, kappa_high
        95 % percentile interval from a bootstrap over cases; None where undefined.
    """

    confusion: tuple[tuple[int, ...], ...]
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None

    @property
    def slides(self) -> int:
        """Slides compared."""
        return sum(map(sum, self.confusion))

    @property
    def correct(self) -> int:
        """Slides with the given score."""
        return sum(self.confusion[k][k] for k in range(_N))


def quadratic_kappa(confusion: AnyArray) -> AnyArray:
    """Return Cohen's kappa with quadratic weights.

    Parameters
    ----------
    confusion
        (..., k, k) counts.

    Returns
    -------
    numpy.ndarray
        (...) float64; NaN where undefined: no slide, or one score only in rows and columns.

    Examples
    --------
    >>> round(float(quadratic_kappa(np.array([[17, 2, 0, 0], [0, 52, 65, 1], [0, 0, 24, 16],
    ...                                       [0, 0, 0, 9]]))), 4)
    0.6561
    """
    counts = np.asarray(confusion, dtype=np.float64)
    place = np.arange(counts.shape[-1])
    weight = (place[:, None] - place) ** 2
    total = counts.sum(axis=(-2, -1))
    seen = (counts * weight).sum(axis=(-2, -1))
    rows, columns = counts.sum(axis=-1), counts.sum(axis=-2)
    chance = np.einsum("...i,...j,ij->...", rows, columns, weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - seen * total / chance)


def compare(given: Sequence[int], predicted: Sequence[int], cases: Sequence[str]) -> Concordance:
    """Compare scores of slides.

    Parameters
    ----------
    given, predicted
        Ranks, 0 to 3.
    cases
        The case of each slide: the bootstrap draws cases, since slides of one are alike.

    Returns
    -------
    Concordance
        Counts and kappa.

    Examples
    --------
    >>> found = compare([0, 1, 2, 3], [0, 1, 2, 2], ["a", "b", "c", "d"])
    >>> found.correct, found.slides, round(found.kappa, 3)
    (3, 4, 0.875)
    """
    names = sorted(set(cases))
    per_case = np.zeros((len(names), _N, _N), dtype=np.int64)
    for truth, guess, case in zip(given, predicted, cases, strict=True):
        per_case[names.index(case), truth, guess] += 1
    confusion = per_case.sum(axis=0)
    kappa = float(quadratic_kappa(confusion))
    low, high = _interval(per_case)
    return Concordance(
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        kappa=kappa if np.isfinite(kappa) else None,
        kappa_low=low,
        kappa_high=high,
    )


def _interval(per_case: AnyArray) -> tuple[float | None, float | None]:
    n = len(per_case)
    if n < 2:
        return None, None
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=_REPLICATES)
    kappas = quadratic_kappa(np.einsum("bn,nij->bij", drawn, per_case))
    known = kappas[np.isfinite(kappas)]
    if len(known) < (1 - _UNDEFINED_MAX) * _REPLICATES:
        return None, None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
