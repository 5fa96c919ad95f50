"""Statistics of sums over slides, and how they vary when other patients had been read.

A table, a kappa or an intraclass correlation is a function of a few sums over slides. So the
bootstrap draws patients, adds up their sums, and computes all replicates at once. Slides of one
patient are alike; they are drawn together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pathology.types import AnyArray, IntArray

__all__ = [
    "Bootstrap",
    "Estimate",
    "Resampled",
    "add_by_patient",
    "percentiles",
    "resample",
    "resample_sums",
]

#: Replicates that may be undefined (all slides of one score) before no interval is given.
_UNDEFINED_MAX = 0.05
#: Draws held at once: 32 MB.
_DRAWS_AT_ONCE = 4_000_000
#: Draws kept for the next figure of the same patients: 100 MB.
_DRAWS_KEPT = 50_000_000
#: Patients per different content from which drawing contents is the faster way.
_ALIKE = 10


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Say how patients are drawn.

    Parameters
    ----------
    replicates
        Number of replicates, at least 1.
    seed
        Seed of the generator (PCG64): the same seed and readings give the same interval.
    confidence
        Of the percentile interval, between 0 and 1.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> Bootstrap(replicates=1000).confidence
    0.95
    """

    replicates: int = 2000
    seed: int = 20180511
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.replicates < 1:
            raise ValueError(f"replicates must be at least 1, not {self.replicates}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, not {self.confidence}")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Hold a figure with its interval.

    Parameters
    ----------
    value
        None where undefined: no slide, or one score only.
    low, high
        Percentile interval over bootstrap samples of patients; None where undefined.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


def add_by_patient(terms: AnyArray, patient: IntArray) -> AnyArray:
    """Add up the terms of each patient's slides.

    Parameters
    ----------
    terms
        (n, f) per slide.
    patient
        (n,) int64: any code per patient.

    Returns
    -------
    numpy.ndarray
        (p, f) float64, patients in the order of their codes.

    Examples
    --------
    >>> add_by_patient(np.array([[1.0], [2.0], [4.0]]), np.array([7, 3, 7])).tolist()
    [[2.0], [5.0]]
    """
    names, index = np.unique(patient, return_inverse=True)
    if len(names) == len(patient):
        return np.asarray(terms[np.argsort(index)], dtype=np.float64)
    sums = np.zeros((len(names), terms.shape[1]))
    np.add.at(sums, index, terms)
    return sums


def resample_sums(per_patient: AnyArray, *, replicates: int, seed: int) -> AnyArray:
    """Draw as many patients as there are, with replacement, and add up their terms, many times.

    Patients with the same terms are one kind; where there are few kinds, how often each is drawn
    is one multinomial number, which is the same draw in less time.

    Parameters
    ----------
    per_patient
        (p, f) float64, p at least 1.
    replicates, seed
        As in :class:`Bootstrap`.

    Returns
    -------
    numpy.ndarray
        (replicates, f) float64.

    Examples
    --------
    >>> resample_sums(np.array([[1.0, 2.0]]), replicates=2, seed=1).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    p = len(per_patient)
    kinds, times = np.unique(per_patient, axis=0, return_counts=True)
    if len(kinds) * _ALIKE <= p:
        generator = np.random.Generator(np.random.PCG64(seed))
        return np.asarray(generator.multinomial(p, times / p, size=replicates) @ kinds)
    kept = p * replicates <= _DRAWS_KEPT
    parts = _kept_draws(p, replicates, seed) if kept else _draws(p, replicates, seed)
    return np.concatenate([times.astype(np.float64) @ per_patient for times in parts])


def _draws(p: int, replicates: int, seed: int) -> Iterator[AnyArray]:
    """Yield how often each of p patients is drawn, some replicates at a time."""
    generator = np.random.Generator(np.random.PCG64(seed))
    step = max(1, _DRAWS_AT_ONCE // p)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = generator.integers(p, size=(rows, p))
        drawn += np.arange(rows)[:, None] * p
        times = np.bincount(drawn.ravel(), minlength=rows * p).reshape(rows, p)
        yield times.astype(np.uint16 if p < 2**16 else np.uint32)


@lru_cache(maxsize=1)
def _kept_draws(p: int, replicates: int, seed: int) -> tuple[AnyArray, ...]:
    # A study compares twenty readers on the same patients: they are drawn once.
    return tuple(_draws(p, replicates, seed))


def percentiles(
    values: AnyArray, *, confidence: float, undefined_max: float = _UNDEFINED_MAX
) -> tuple[float, float] | None:
    """Return the percentile interval of replicates.

    Parameters
    ----------
    values
        (r,) float64; NaN where a replicate is undefined.
    confidence
        Such as 0.95.
    undefined_max
        Share of undefined replicates above which there is no interval.

    Returns
    -------
    tuple of float, or None
        Lower and upper end.

    Examples
    --------
    >>> percentiles(np.arange(101.0), confidence=0.5)
    (25.0, 75.0)
    """
    known = values[np.isfinite(values)]
    if not len(known) or len(known) < (1 - undefined_max) * len(values):
        return None
    tail = 50 * (1 - confidence)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Hold the sums of a set of slides, and those of bootstrap samples of their patients.

    Parameters
    ----------
    per_patient
        (p, f) float64.
    sums
        (r, f) float64; no row with fewer than two patients.
    confidence
        Of the intervals.
    """

    per_patient: AnyArray
    sums: AnyArray
    confidence: float

    def estimate(self, statistic: Callable[[AnyArray], AnyArray]) -> Estimate:
        """Compute a statistic of the sums, with its interval over patients.

        Parameters
        ----------
        statistic
            From (..., f) sums to (...) values, NaN where undefined.

        Returns
        -------
        Estimate
            The figure.
        """
        if not len(self.per_patient):
            return Estimate(value=None)
        value = float(statistic(self.per_patient.sum(axis=0)))
        if not np.isfinite(value):
            return Estimate(value=None)
        found = percentiles(statistic(self.sums), confidence=self.confidence)
        low, high = found or (None, None)
        return Estimate(value=value, low=low, high=high)


def resample(terms: AnyArray, patient: IntArray, bootstrap: Bootstrap) -> Resampled:
    """Add up terms by patient and draw patients, once for all statistics of these terms.

    Parameters
    ----------
    terms
        (n, f): what each slide adds.
    patient
        (n,) int64.
    bootstrap
        How patients are drawn; with fewer than two there is nothing to draw.

    Returns
    -------
    Resampled
        Sums to compute statistics of.

    Examples
    --------
    >>> terms = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    >>> found = resample(terms, np.arange(3), Bootstrap())
    >>> share = found.estimate(lambda sums: sums[..., 0] / sums[..., 1])
    >>> round(share.value, 3), share.low, share.high
    (0.667, 0.0, 1.0)
    """
    per_patient = add_by_patient(terms, patient)
    sums = np.empty((0, terms.shape[1]))
    if len(per_patient) > 1:
        sums = resample_sums(per_patient, replicates=bootstrap.replicates, seed=bootstrap.seed)
    return Resampled(per_patient=per_patient, sums=sums, confidence=bootstrap.confidence)
