"""Cut-off studies: does the effect of treatment change with a biomarker, and where.

A cut-off for selecting patients has to come from the interaction of treatment and biomarker. A
sweep over all patients together, whatever their arm, finds where prognosis changes, not benefit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from pathology.cohort.logrank import Times, subset_scores
from pathology.cohort.survival import CoxFit, Effect, fit_cox, hazard_ratio
from pathology.types import AnyArray

__all__ = [
    "CutoffRow",
    "Interaction",
    "Sweep",
    "Window",
    "candidate_cutoffs",
    "interaction",
    "sliding_windows",
    "sweep",
    "sweep_z",
]

#: A side of a cut-off with less information (variance of the log-rank score; about a quarter of the
#: events) says nothing and is passed over.
MIN_VARIANCE: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """Hold the continuous interaction of treatment and biomarker.

    Parameters
    ----------
    per_unit, per_sd
        Ratio of hazard ratios for one unit, and for one standard deviation, of the biomarker.
    at_mean
        Effect of treatment at the mean of the biomarker.
    sd
        Standard deviation in the biomarker's unit.
    problem
        Why there is no estimate; empty where there is one.
    """

    per_unit: Effect | None = None
    per_sd: Effect | None = None
    at_mean: Effect | None = None
    sd: float = math.nan
    problem: str = ""


def interaction(times: Times, marker: AnyArray) -> Interaction:
    """Fit treatment, biomarker and their product in a stratified Cox model.

    Parameters
    ----------
    times
        All evaluable patients.
    marker
        (n,) float, finite.

    Raises
    ------
    UsageError
        If lifelines is not installed.
    """
    sd = float(np.std(marker, ddof=1))
    if not sd > 0:
        return Interaction(problem="the biomarker is the same for all patients")
    treated = times.treated.astype(float)
    centred = (marker - float(np.mean(marker))) / sd

    def fit(unit: AnyArray) -> CoxFit:
        return fit_cox(times, {"treatment": treated, "marker": unit, "interaction": treated * unit})

    found = fit(centred)
    if found.problem:
        return Interaction(problem=found.problem)
    per_sd = found.effects["interaction"]
    return Interaction(
        per_unit=_rescaled(per_sd, sd),
        per_sd=per_sd,
        at_mean=found.effects["treatment"],
        sd=sd,
    )


def _rescaled(effect: Effect, sd: float) -> Effect:
    """Bring an effect per standard deviation to one unit; the test stays the same."""
    return Effect(
        log_ratio=effect.log_ratio / sd,
        se=effect.se / sd,
        ratio=math.exp(effect.log_ratio / sd),
        lower=effect.lower ** (1 / sd),
        upper=effect.upper ** (1 / sd),
        p=effect.p,
    )


def candidate_cutoffs(marker: AnyArray, *, least_share: float, most: int = 40) -> AnyArray:
    """Return cut-offs that leave enough patients on both sides: ``above`` means marker > cut-off.

    Parameters
    ----------
    marker
        (n,) float.
    least_share
        Smallest share of patients on a side, above 0, up to 0.5.
    most
        Largest number of cut-offs; more different values are thinned out evenly.

    Returns
    -------
    numpy.ndarray
        (c,) float, rising; midway between neighbouring values. Empty where there is none.

    Raises
    ------
    ValueError
        If the share is out of range.

    Examples
    --------
    >>> candidate_cutoffs(np.arange(1.0, 7.0), least_share=0.3).tolist()
    [2.5, 3.5, 4.5]
    """
    if not 0 < least_share <= 0.5:
        raise ValueError(f"least share {least_share} must be above 0, up to 0.5")
    values, counts = np.unique(marker, return_counts=True)
    middles = (values[:-1] + values[1:]) / 2
    below = np.cumsum(counts)[:-1]
    n = len(marker)
    enough = np.minimum(below, n - below) >= least_share * n
    allowed = middles[enough]
    if len(allowed) > most:
        allowed = allowed[np.round(np.linspace(0, len(allowed) - 1, most)).astype(int)]
    return np.asarray(allowed)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Hold both sides of many cut-offs, by Peto's one-step estimate.

    Parameters
    ----------
    cutoffs
        (c,) float.
    below, above
        (c,) float: log hazard ratio of treatment on each side; nan where a side says too little.
    z
        (c,) float: test of their difference, below 0 where treatment does more above the cut-off.
    """

    cutoffs: AnyArray
    below: AnyArray
    above: AnyArray
    z: AnyArray

    @property
    def best(self) -> int | None:
        """Number of the cut-off with the strongest interaction, the lowest among equals."""
        if not np.any(np.isfinite(self.z)):
            return None
        return int(np.nanargmax(np.abs(self.z)))


def sweep_z(times: Times, marker: AnyArray, cutoffs: AnyArray) -> Sweep:
    """Compare the effect of treatment on both sides of every cut-off.

    Parameters
    ----------
    times
        All evaluable patients.
    marker
        (n,) float.
    cutoffs
        (c,) float.
    """
    high = np.asarray(marker)[:, None] > np.asarray(cutoffs)[None, :]
    sides = []
    for member in (~high, high):
        excess, variance = subset_scores(times, member)
        with np.errstate(divide="ignore", invalid="ignore"):
            enough = variance >= MIN_VARIANCE
            sides.append(
                (np.where(enough, excess / variance, np.nan), np.where(enough, variance, np.nan))
            )
    (below, v_below), (above, v_above) = sides
    return Sweep(
        cutoffs=np.asarray(cutoffs),
        below=below,
        above=above,
        z=(above - below) / np.sqrt(1 / v_below + 1 / v_above),
    )


@dataclass(frozen=True, kw_only=True)
class CutoffRow:
    """Hold one cut-off.

    Parameters
    ----------
    cutoff
        ``above`` means marker > cut-off.
    n_below, n_above
        Patients.
    ratio_below, ratio_above
        Hazard ratio of treatment on each side (Peto); None where a side says too little.
    interaction_p
        Two-sided p of their difference, not adjusted for the search.
    prognosis_z
        Log-rank statistic of above against below with both arms pooled: prognosis, not benefit.
    """

    cutoff: float
    n_below: int
    n_above: int
    ratio_below: float | None
    ratio_above: float | None
    interaction_p: float | None
    prognosis_z: float | None


def sweep(times: Times, marker: AnyArray, cutoffs: AnyArray) -> tuple[CutoffRow, ...]:
    """Describe every cut-off, with the pooled comparison beside the interaction.

    Parameters
    ----------
    times
        All evaluable patients.
    marker
        (n,) float.
    cutoffs
        (c,) float, each with patients on both sides.
    """
    found = sweep_z(times, marker, cutoffs)
    rows = []
    for k, cutoff in enumerate(found.cutoffs):
        high = np.asarray(marker) > cutoff
        z = float(found.z[k])
        rows.append(
            CutoffRow(
                cutoff=float(cutoff),
                n_below=int(np.sum(~high)),
                n_above=int(np.sum(high)),
                ratio_below=_ratio(float(found.below[k])),
                ratio_above=_ratio(float(found.above[k])),
                interaction_p=None if math.isnan(z) else math.erfc(abs(z) / math.sqrt(2)),
                prognosis_z=_prognosis(times, high),
            )
        )
    return tuple(rows)


def _ratio(log_ratio: float) -> float | None:
    return None if math.isnan(log_ratio) else math.exp(log_ratio)


def _prognosis(times: Times, high: AnyArray) -> float | None:
    pooled = Times(months=times.months, event=times.event, treated=high, stratum=times.stratum)
    excess, variance = subset_scores(pooled, np.ones((len(pooled), 1), dtype=bool))
    return float(excess[0] / math.sqrt(variance[0])) if variance[0] > 0 else None


@dataclass(frozen=True, kw_only=True)
class Window:
    """Hold the effect of treatment among patients of similar biomarker.

    Parameters
    ----------
    lowest, median, highest
        Of the biomarker in the window.
    patients, events, treated
        Counts.
    effect
        Treatment against control; None where it could not be estimated.
    problem
        Why not.
    """

    lowest: float
    median: float
    highest: float
    patients: int
    events: int
    treated: int
    effect: Effect | None
    problem: str = ""


def sliding_windows(times: Times, marker: AnyArray, *, size: int, step: int) -> tuple[Window, ...]:
    """Estimate the effect of treatment in overlapping windows along the biomarker.

    Patients are sorted by the biomarker; a window holds ``size`` of them, more where values are
    tied at its ends, and the next begins ``step`` further (the sliding-window form of STEPP,
    Bonetti and Gelber 2004). Without strata: windows are too small for them.

    Parameters
    ----------
    times
        All evaluable patients.
    marker
        (n,) float.
    size, step
        In patients; step at least 1, size at least step.

    Returns
    -------
    tuple of Window
        From low to high; the last one ends with the largest value. Equal windows come once.

    Raises
    ------
    ValueError
        If size or step is out of range.
    UsageError
        If lifelines is not installed.
    """
    if not 1 <= step <= size:
        raise ValueError(f"windows of {size} in steps of {step}: size >= step >= 1 is needed")
    values = np.sort(marker)
    n = len(values)
    last = max(0, n - size)
    # A regular window just before the last one would show the same patients twice.
    starts = [*(start for start in range(0, last, step) if 2 * (last - start) >= step), last]
    ranges = {(float(values[s]), float(values[min(n, s + size) - 1])): None for s in starts}
    return tuple(_window(times, marker, low, high) for low, high in ranges)


def _window(times: Times, marker: AnyArray, low: float, high: float) -> Window:
    inside = (marker >= low) & (marker <= high)
    treated = times.treated[inside]
    effect, problem = None, "one arm is empty"
    if np.any(treated) and not np.all(treated):
        part = times.take(inside)
        bare = Times(
            months=part.months,
            event=part.event,
            treated=part.treated,
            stratum=np.zeros(len(part), dtype=int),
        )
        found = hazard_ratio(bare)
        effect, problem = found.effects.get("treatment"), found.problem
    return Window(
        lowest=low,
        median=float(np.median(marker[inside])),
        highest=high,
        patients=int(np.sum(inside)),
        events=int(np.sum(times.event[inside])),
        treated=int(np.sum(treated)),
        effect=effect,
        problem=problem,
    )
