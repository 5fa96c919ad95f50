"""Events a survival trial needs, and what a printed confidence interval implies."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

__all__ = ["ImpliedEvents", "PFromInterval", "implied_events", "p_from_interval", "required_events"]


def required_events(
    hazard_ratio: float,
    *,
    power: float = 0.9,
    alpha: float = 0.05,
    ratio: tuple[float, float] = (1.0, 1.0),
) -> float:
    """Return the events that a log-rank test needs (Schoenfeld 1981).

    (z₁₋α⁄₂ + z_power)² / (p (1 − p) ln² HR), with p the share of patients on treatment.

    Parameters
    ----------
    hazard_ratio
        Above 0, not 1.
    power
        Between alpha and 1.
    alpha
        Two-sided error.
    ratio
        Patients on treatment to patients on control.

    Returns
    -------
    float
        Events; round up.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> round(required_events(0.5, power=0.8), 1)
    65.3
    """
    if not hazard_ratio > 0 or hazard_ratio == 1 or not math.isfinite(hazard_ratio):
        raise ValueError(f"hazard ratio {hazard_ratio} must be above 0 and not 1")
    if not 0 < alpha < power < 1:
        raise ValueError(f"alpha {alpha} and power {power} must be 0 < alpha < power < 1")
    share = _share(ratio)
    z = float(ndtri(1 - alpha / 2) + ndtri(power))
    return z**2 / (share * (1 - share) * math.log(hazard_ratio) ** 2)


def _share(ratio: tuple[float, float]) -> float:
    if not (min(ratio) > 0 and math.isfinite(sum(ratio))):
        raise ValueError(f"ratio {ratio} must be two numbers above 0")
    return ratio[0] / sum(ratio)


@dataclass(frozen=True, kw_only=True)
class PFromInterval:
    """Hold the test that a confidence interval implies.

    Parameters
    ----------
    se
        Standard error of the log hazard ratio.
    z
        Test statistic.
    p
        Two-sided p.
    """

    se: float
    z: float
    p: float


def p_from_interval(
    estimate: float, lower: float, upper: float, *, confidence: float = 0.95
) -> PFromInterval:
    """Return the Wald test that belongs to a ratio and its confidence interval.

    Parameters
    ----------
    estimate, lower, upper
        Ratio and its bounds, all above 0, in order.
    confidence
        Such as 0.95.

    Raises
    ------
    ValueError
        If the numbers are not in order.

    Examples
    --------
    >>> round(p_from_interval(1.0, 0.5, 2.0).p, 3)
    1.0
    """
    if not 0 < lower < estimate < upper:
        raise ValueError(f"not a ratio in its interval: {lower}, {estimate}, {upper}")
    se = _standard_error(lower, upper, confidence)
    z = math.log(estimate) / se
    return PFromInterval(se=se, z=z, p=2 * float(ndtr(-abs(z))))


def _standard_error(lower: float, upper: float, confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} must be between 0 and 1")
    return math.log(upper / lower) / (2 * float(ndtri((1 + confidence) / 2)))


@dataclass(frozen=True, kw_only=True)
class ImpliedEvents:
    """Hold how many events an interval implies.

    Parameters
    ----------
    events
        From the bounds as printed.
    fewest, most
        From the bounds before they were rounded, at their widest and narrowest.
    """

    events: float
    fewest: float
    most: float


def implied_events(
    lower: float,
    upper: float,
    *,
    ratio: tuple[float, float],
    decimals: int = 2,
    confidence: float = 0.95,
) -> ImpliedEvents:
    """Return the events implied by a hazard ratio's interval: 1 / (p (1 − p) SE²).

    Parameters
    ----------
    lower, upper
        Bounds as printed.
    ratio
        Patients on treatment to patients on control.
    decimals
        Digits that were printed; the range comes from half a unit of the last one.
    confidence
        Such as 0.95.

    Raises
    ------
    ValueError
        If the bounds are not in order, also after rounding is undone.

    Examples
    --------
    >>> round(implied_events(0.5, 2.0, ratio=(1, 1)).events, 1)
    32.0
    """
    half = 0.5 * 10.0**-decimals
    if not half < lower < upper - 2 * half:
        raise ValueError(f"bounds {lower} and {upper} are not in order or too close for rounding")
    share = _share(ratio)

    def events(low: float, high: float) -> float:
        return 1 / (share * (1 - share) * _standard_error(low, high, confidence) ** 2)

    return ImpliedEvents(
        events=events(lower, upper),
        fewest=events(lower - half, upper + half),
        most=events(lower + half, upper - half),
    )
