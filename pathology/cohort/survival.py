"""Kaplan-Meier curves and Cox models, through lifelines (the extra ``cohort``)."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np
from scipy.special import ndtr, ndtri

from pathology.cohort.logrank import Times
from pathology.errors import UsageError
from pathology.types import AnyArray

__all__ = ["CoxFit", "Curve", "Effect", "at_risk", "fit_cox", "hazard_ratio", "kaplan_meier"]

#: lifelines stops where Newton's decrement, about the square of the error left, is this small.
_FIT: Final = {"precision": 1e-18, "r_precision": 0.0, "max_steps": 100}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Hold a Kaplan-Meier curve.

    Parameters
    ----------
    months
        (m,) float, rising from 0.
    survival, lower, upper
        (m,) float: share without event from that time on, and its pointwise interval (log-log).
    median, median_lower, median_upper
        In months; None where not reached.
    patients, events
        Counts.
    """

    months: AnyArray
    survival: AnyArray
    lower: AnyArray
    upper: AnyArray
    median: float | None
    median_lower: float | None
    median_upper: float | None
    patients: int
    events: int


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Hold one coefficient of a Cox model.

    Parameters
    ----------
    log_ratio, se
        Log hazard ratio per unit and its standard error.
    ratio, lower, upper
        Hazard ratio and its interval.
    p
        Two-sided (Wald).
    """

    log_ratio: float
    se: float
    ratio: float
    lower: float
    upper: float
    p: float


@dataclass(frozen=True, kw_only=True)
class CoxFit:
    """Hold a Cox model.

    Parameters
    ----------
    effects
        By name of the covariate; empty where the model could not be estimated.
    problem
        Why it could not; empty where it could.
    """

    effects: Mapping[str, Effect]
    problem: str = ""


def _lifelines(name: str = "lifelines") -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            "survival analysis needs the package lifelines",
            fix="Install the extra: pip install 'her2-ihc[cohort]'.",
        ) from error


def kaplan_meier(months: AnyArray, event: AnyArray, *, confidence: float = 0.95) -> Curve:
    """Estimate the share without event over time.

    Parameters
    ----------
    months
        (n,) float, 0 or more; n at least 1.
    event
        (n,) bool.
    confidence
        Of the pointwise interval and of the median's (log-log).

    Raises
    ------
    UsageError
        If lifelines is not installed.
    ValueError
        If there is no patient.

    Examples
    --------
    >>> kaplan_meier(np.array([1., 2., 3.]), np.array([True, True, False])).median
    2.0
    """
    if len(months) == 0:
        raise ValueError("a curve needs at least one patient")
    lifelines = _lifelines()
    fitter = lifelines.KaplanMeierFitter(alpha=1 - confidence)
    fitter.fit(months, event)
    bounds = fitter.confidence_interval_.to_numpy()
    return Curve(
        months=fitter.survival_function_.index.to_numpy(dtype=float),
        survival=fitter.survival_function_.iloc[:, 0].to_numpy(),
        lower=bounds[:, 0],
        upper=bounds[:, 1],
        median=_reached(fitter.survival_function_.iloc[:, 0]),
        median_lower=_reached(fitter.confidence_interval_.iloc[:, 0]),
        median_upper=_reached(fitter.confidence_interval_.iloc[:, 1]),
        patients=len(months),
        events=int(np.sum(event)),
    )


def _reached(curve: Any) -> float | None:
    """Return the first time at which a curve is at one half or below."""
    # A product of fractions that is one half in truth may be a rounding error above it.
    times = curve.index[curve.to_numpy() <= 0.5 + 1e-12]
    return float(times[0]) if len(times) else None


def at_risk(months: AnyArray, ticks: AnyArray) -> list[int]:
    """Count the patients who are still followed without event just before each time.

    Examples
    --------
    >>> at_risk(np.array([1., 2., 2., 5.]), np.array([0., 2., 3.]))
    [4, 3, 1]
    """
    return [int(np.sum(months >= tick)) for tick in ticks]


def fit_cox(
    times: Times, covariates: Mapping[str, AnyArray], *, confidence: float = 0.95
) -> CoxFit:
    """Fit a stratified Cox model (Efron's handling of ties).

    Parameters
    ----------
    times
        All patients; ``times.treated`` enters only if it is among the covariates.
    covariates
        (n,) float each, by name.
    confidence
        Of the intervals.

    Returns
    -------
    CoxFit
        Without effects, and with the reason, where the data do not determine them.

    Raises
    ------
    UsageError
        If lifelines is not installed.

    Examples
    --------
    >>> times = Times(months=np.array([1., 2., 3., 4.]), event=np.ones(4, dtype=bool),
    ...     treated=np.array([True, False, True, False]), stratum=np.zeros(4, dtype=int))
    >>> round(fit_cox(times, {"x": times.treated.astype(float)}).effects["x"].ratio, 3)
    2.562
    """
    lifelines = _lifelines()
    exceptions = _lifelines("lifelines.exceptions")
    import pandas as pd  # a dependency of lifelines

    for name, values in covariates.items():
        if np.ptp(values) == 0:
            return CoxFit(effects={}, problem=f"{name} is the same for all patients")
    if not np.any(times.event):
        return CoxFit(effects={}, problem="no events")
    # Covariates are standardised for the fit and brought back after: their unit must not decide
    # whether the search converges.
    scales = {name: float(np.std(values)) for name, values in covariates.items()}
    frame = pd.DataFrame(
        {
            "_months": np.asarray(times.months, dtype=float),
            "_event": np.asarray(times.event, dtype=bool),
            "_stratum": np.asarray(times.stratum),
            **{
                name: (np.asarray(values, dtype=float) - float(np.mean(values))) / scales[name]
                for name, values in covariates.items()
            },
        }
    )
    fitter = lifelines.CoxPHFitter(strata=["_stratum"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fitter.fit(frame, "_months", "_event", fit_options=_FIT)
        except (exceptions.ConvergenceError, Warning, np.linalg.LinAlgError):
            return CoxFit(effects={}, problem="the data do not determine the model")
    effects = {}
    for name in covariates:
        log_ratio = float(fitter.params_[name]) / scales[name]
        se = float(fitter.standard_errors_[name]) / scales[name]
        if not (math.isfinite(log_ratio) and 0 < se < math.inf):
            return CoxFit(effects={}, problem="the data do not determine the model")
        effects[name] = _effect(log_ratio, se, confidence)
    return CoxFit(effects=effects)


def _effect(log_ratio: float, se: float, confidence: float) -> Effect:
    z = float(ndtri((1 + confidence) / 2))
    return Effect(
        log_ratio=log_ratio,
        se=se,
        ratio=math.exp(log_ratio),
        lower=math.exp(log_ratio - z * se),
        upper=math.exp(min(log_ratio + z * se, 700.0)),
        p=2 * float(ndtr(-abs(log_ratio / se))),
    )


def hazard_ratio(times: Times, *, confidence: float = 0.95) -> CoxFit:
    """Fit treatment against control, stratified; the effect is named ``treatment``.

    An arm without any event gives no estimate: the ratio would be 0 or without bound.

    Parameters
    ----------
    times
        All patients.
    confidence
        Of the interval.

    Raises
    ------
    UsageError
        If lifelines is not installed.
    """
    for arm, inside in (("treatment", times.treated), ("control", ~times.treated)):
        if not np.any(times.event[inside]):
            return CoxFit(effects={}, problem=f"no event on {arm}")
    return fit_cox(times, {"treatment": times.treated.astype(float)}, confidence=confidence)
