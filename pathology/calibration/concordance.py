"""How well predicted scores agree with given ones: counts, quadratic kappa, its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathology.agreement import Bootstrap, cohen_kappa, resample
from pathology.stain.calibration import SCORES
from pathology.types import AnyArray

__all__ = ["Concordance", "compare"]

_N = len(SCORES)
#: Replicates of the bootstrap and its seed: the same slides give the same interval.
_REPLICATES = 2000
_SEED = 20180511


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
    terms = np.zeros((len(cases), _N * _N))
    for slide, (truth, guess) in enumerate(zip(given, predicted, strict=True)):
        terms[slide, truth * _N + guess] = 1
    _, case_code = np.unique(np.array(cases, dtype=object), return_inverse=True)
    drawn = resample(terms, case_code, Bootstrap(replicates=_REPLICATES, seed=_SEED))
    kappa = drawn.estimate(_quadratic_kappa)
    confusion = terms.sum(axis=0).reshape(_N, _N)
    return Concordance(
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        kappa=kappa.value,
        kappa_low=kappa.low,
        kappa_high=kappa.high,
    )


def _quadratic_kappa(sums: AnyArray) -> AnyArray:
    return cohen_kappa(sums.reshape(*sums.shape[:-1], _N, _N), "quadratic")
