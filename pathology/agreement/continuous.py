"""Agreement of measured numbers: intraclass correlations and limits of agreement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtrit

from pathology.agreement.sums import Bootstrap, Estimate, resample
from pathology.types import AnyArray, IntArray

__all__ = [
    "BlandAltman",
    "IntraclassCorrelations",
    "bland_altman",
    "intraclass",
    "intraclass_by_patient",
]

#: Standard deviations to each side within which 95 % of normal differences lie (Bland and Altman
#: 1999 use 1.96).
_LIMIT_SD = 1.96


@dataclass(frozen=True, kw_only=True)
class IntraclassCorrelations:
    """Hold the six intraclass correlations of Shrout and Fleiss.

    Parameters
    ----------
    slides, readers
        Size of the table.
    icc_1_1, icc_2_1, icc_3_1
        Of one reader: readers differ by slide; the same readers, of many, in absolute agreement;
        these very readers, in consistency. None where undefined.
    icc_1_k, icc_2_k, icc_3_k
        Of the mean of the readers.
    low, high
        Interval of ``icc_2_1`` for independent slides (McGraw and Wong 1996).
    """

    slides: int
    readers: int
    icc_1_1: float | None
    icc_2_1: float | None
    icc_3_1: float | None
    icc_1_k: float | None
    icc_2_k: float | None
    icc_3_k: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class BlandAltman:
    """Hold the limits of agreement of two measurements.

    Parameters
    ----------
    slides
        Pairs.
    bias
        Mean of first minus second.
    sd
        Standard deviation of the differences; None with fewer than two pairs.
    lower, upper
        Limits of agreement: bias ± 1.96 sd, within which 95 % of normal differences lie.
    """

    slides: int
    bias: Estimate
    sd: float | None
    lower: Estimate
    upper: Estimate


def _mean_squares(n: AnyArray, k: int, sums: AnyArray) -> tuple[AnyArray, ...]:
    """Return the mean squares between slides, within slides, between readers, and of the rest.

    ``sums``: (..., 2 + k): sums of squares, of squared slide totals, and of each reader.
    """
    squares, slide_totals, readers = sums[..., 0], sums[..., 1], sums[..., 2:]
    correction = readers.sum(axis=-1) ** 2 / (n * k)
    between = slide_totals / k - correction
    judges = (readers**2).sum(axis=-1) / n - correction
    within = squares - slide_totals / k
    rest = within - judges
    return (
        between / (n - 1),
        within / (n * (k - 1)),
        judges / (k - 1),
        rest / ((n - 1) * (k - 1)),
    )


def _terms(ratings: AnyArray) -> AnyArray:
    # Sums of squares of numbers far from zero lose digits: the mean is taken off first.
    centred = ratings - ratings.mean()
    return np.column_stack(
        (np.ones(len(ratings)), (centred**2).sum(axis=1), centred.sum(axis=1) ** 2, centred)
    )


def _ratio(above: float, below: float) -> float | None:
    value = above / below if below else math.nan
    return value if math.isfinite(value) else None


def _check(ratings: AnyArray) -> AnyArray:
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"ratings must be slides × 2 readers or more, not {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("ratings must be finite: leave out slides that a reader did not measure")
    return values


def intraclass(ratings: AnyArray, *, confidence: float = 0.95) -> IntraclassCorrelations:
    """Compute the six intraclass correlations.

    Source: Shrout and Fleiss 1979, Psychol Bull 86:420; interval of ICC(2,1): McGraw and Wong
    1996, Psychol Methods 1:30, case 2A, absolute agreement.

    Parameters
    ----------
    ratings
        (n, k) float: n slides, each measured by the same k readers; no gaps.
    confidence
        Of the interval.

    Returns
    -------
    IntraclassCorrelations
        All None with fewer than two slides or without any variation.

    Raises
    ------
    ValueError
        If the table is not slides × 2 readers or more, or holds a gap.

    Examples
    --------
    >>> table = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8],
    ...                   [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    >>> round(intraclass(table).icc_2_1, 4)
    0.2898
    """
    values = _check(ratings)
    n, k = values.shape
    if n < 2 or not np.ptp(values):
        empty = dict.fromkeys(f"icc_{form}_{size}" for form in "123" for size in "1k")
        return IntraclassCorrelations(slides=n, readers=k, low=None, high=None, **empty)
    sums = _terms(values).sum(axis=0)
    msb, msw, msj, mse = (float(ms) for ms in _mean_squares(np.asarray(n), k, sums[1:]))
    low, high = _interval_2_1(n, k, (msb, msj, mse), confidence)
    return IntraclassCorrelations(
        slides=n,
        readers=k,
        icc_1_1=_ratio(msb - msw, msb + (k - 1) * msw),
        icc_2_1=_ratio(msb - mse, msb + (k - 1) * mse + k * (msj - mse) / n),
        icc_3_1=_ratio(msb - mse, msb + (k - 1) * mse),
        icc_1_k=_ratio(msb - msw, msb),
        icc_2_k=_ratio(msb - mse, msb + (msj - mse) / n),
        icc_3_k=_ratio(msb - mse, msb),
        low=low,
        high=high,
    )


def _f_quantile(p: float, above: float, below: float) -> float:
    """Return the quantile of the F distribution, whose degrees of freedom need not be whole."""
    beta = float(betaincinv(above / 2, below / 2, p))
    return below * beta / (above * (1 - beta)) if beta < 1 else math.inf


def _interval_2_1(
    n: int, k: int, squares: tuple[float, float, float], confidence: float
) -> tuple[float | None, float | None]:
    msb, msj, mse = squares
    icc = _ratio(msb - mse, msb + (k - 1) * mse + k * (msj - mse) / n)
    if icc is None or icc >= 1 or mse <= 0:
        return None, None
    # The rest's degrees of freedom by Satterthwaite, with a and b of McGraw and Wong's table 7.
    a = k * icc / (n * (1 - icc))
    b = 1 + k * icc * (n - 1) / (n * (1 - icc))
    v = (a * msj + b * mse) ** 2 / ((a * msj) ** 2 / (k - 1) + (b * mse) ** 2 / ((n - 1) * (k - 1)))
    p = (1 + confidence) / 2
    f_low, f_high = _f_quantile(p, n - 1, v), _f_quantile(p, v, n - 1)
    spread = k * msj + (k * n - k - n) * mse
    return (
        _ratio(n * (msb - f_low * mse), f_low * spread + n * msb),
        _ratio(n * (f_high * msb - mse), spread + n * f_high * msb),
    )


def intraclass_by_patient(ratings: AnyArray, patient: IntArray, bootstrap: Bootstrap) -> Estimate:
    """Return ICC(2,1) with an interval from drawing patients: right where slides are alike.

    Parameters
    ----------
    ratings
        (n, k) float, no gaps.
    patient
        (n,) int64.
    bootstrap
        How patients are drawn.

    Returns
    -------
    Estimate
        None with fewer than two slides or without any variation.

    Examples
    --------
    >>> table = np.array([[1.0, 1.1], [2.0, 2.1], [3.0, 2.9], [4.0, 4.0]])
    >>> found = intraclass_by_patient(table, np.arange(4), Bootstrap())
    >>> round(found.value, 3), found.low < found.value < found.high
    (0.998, True)
    """
    values = _check(ratings)
    k = values.shape[1]
    if len(values) < 2 or not np.ptp(values):
        return Estimate(value=None)

    def icc(sums: AnyArray) -> AnyArray:
        n = sums[..., 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            msb, _, msj, mse = _mean_squares(n, k, sums[..., 1:])
            return np.asarray((msb - mse) / (msb + (k - 1) * mse + k * (msj - mse) / n))

    return resample(_terms(values), patient, bootstrap).estimate(icc)


def bland_altman(
    first: AnyArray, second: AnyArray, patient: IntArray, bootstrap: Bootstrap
) -> BlandAltman:
    """Compute bias and limits of agreement.

    Where every patient has one slide, intervals come from the t distribution, with the standard
    error √3 sd / √n for the limits; else from drawing patients. Source: Bland and Altman 1986,
    Lancet 327:307; 1999, Stat Methods Med Res 8:135, sections 2.1 and 2.2.

    Parameters
    ----------
    first, second
        (n,) float: two measurements of each slide, in one unit.
    patient
        (n,) int64.
    bootstrap
        How patients are drawn.

    Returns
    -------
    BlandAltman
        In the unit of the measurements; ``first`` minus ``second``.

    Raises
    ------
    ValueError
        If a number is missing or not finite.

    Examples
    --------
    >>> found = bland_altman(np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 2.0]),
    ...                      np.arange(3), Bootstrap())
    >>> found.bias.value, found.sd, round(found.upper.value, 2)
    (1.0, 1.0, 2.96)
    """
    gap = _check(np.column_stack((first, second))) @ np.array([1.0, -1.0])
    n = len(gap)
    nothing = Estimate(value=None)
    if n < 2:
        only = Estimate(value=float(gap[0])) if n else nothing
        return BlandAltman(slides=n, bias=only, sd=None, lower=nothing, upper=nothing)
    bias, sd = float(gap.mean()), float(gap.std(ddof=1))
    middle = (bias, bias - _LIMIT_SD * sd, bias + _LIMIT_SD * sd)
    if len(np.unique(patient)) == n:
        t = float(stdtrit(n - 1, (1 + bootstrap.confidence) / 2))
        errors = [sd / math.sqrt(n), sd * math.sqrt(3 / n), sd * math.sqrt(3 / n)]
        found = [
            Estimate(value=value, low=value - t * error, high=value + t * error)
            for value, error in zip(middle, errors, strict=True)
        ]
    else:
        found = _limits_by_patient(gap, patient, bootstrap)
    return BlandAltman(slides=n, bias=found[0], sd=sd, lower=found[1], upper=found[2])


def _limits_by_patient(gap: AnyArray, patient: IntArray, bootstrap: Bootstrap) -> list[Estimate]:
    centre = float(gap.mean())
    terms = np.column_stack((np.ones(len(gap)), gap - centre, (gap - centre) ** 2))
    drawn = resample(terms, patient, bootstrap)

    def limit(side: float) -> Estimate:
        def value(sums: AnyArray) -> AnyArray:
            n, total, squares = sums[..., 0], sums[..., 1], sums[..., 2]
            with np.errstate(invalid="ignore", divide="ignore"):
                variance = np.maximum(squares - total**2 / n, 0) / (n - 1)
                return np.asarray(centre + total / n + side * np.sqrt(variance))

        return drawn.estimate(value)

    return [limit(side) for side in (0.0, -_LIMIT_SD, _LIMIT_SD)]
