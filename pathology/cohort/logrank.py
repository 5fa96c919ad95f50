"""The stratified log-rank test, for one set of patients or many subsets of it at once.

Written here because lifelines has no stratified form, and because a search over cut-offs needs the
test for every subset. Ties are taken as the hypergeometric distribution has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from pathology.types import AnyArray

__all__ = ["LogRank", "Times", "logrank", "subset_scores"]


@dataclass(frozen=True, kw_only=True)
class Times:
    """Hold survival times with arms and strata.

    Parameters
    ----------
    months
        (n,) float, 0 or more.
    event
        (n,) bool: True for an event, False for censored.
    treated
        (n,) bool: True on treatment, False on control.
    stratum
        (n,) int: code of the stratum; all 0 without strata.

    Raises
    ------
    ValueError
        If lengths differ, a time is negative or not finite, or an arm is empty.
    """

    months: AnyArray
    event: AnyArray
    treated: AnyArray
    stratum: AnyArray

    def __post_init__(self) -> None:
        shapes = {np.shape(part) for part in (self.event, self.treated, self.stratum)}
        if shapes != {np.shape(self.months)} or np.ndim(self.months) != 1:
            raise ValueError("months, event, treated and stratum must be of one length")
        if not np.all(np.isfinite(self.months)) or np.any(np.asarray(self.months) < 0):
            raise ValueError("a time is before time zero or not finite")
        if not np.any(self.treated) or np.all(self.treated):
            raise ValueError("one arm is empty")

    def __len__(self) -> int:
        return len(self.months)

    def take(self, index: AnyArray) -> Times:
        """Return some of the patients: (m,) whole numbers, or (n,) bool."""
        return Times(
            months=self.months[index],
            event=self.event[index],
            treated=self.treated[index],
            stratum=self.stratum[index],
        )


@dataclass(frozen=True, kw_only=True)
class LogRank:
    """Hold the result of the test.

    Parameters
    ----------
    excess
        Events on treatment less the expected ones; below 0 where treatment does better.
    variance
        Its variance.
    chi2, p
        Statistic with one degree of freedom, and two-sided p; None where no stratum has both arms
        at risk at an event.
    """

    excess: float
    variance: float
    chi2: float | None
    p: float | None


def logrank(times: Times) -> LogRank:
    """Compare two arms by the log-rank test, stratified.

    Parameters
    ----------
    times
        All patients.

    Examples
    --------
    >>> found = logrank(Times(months=np.array([1., 2., 3., 4.]), event=np.ones(4, dtype=bool),
    ...     treated=np.array([False, False, True, True]), stratum=np.zeros(4, dtype=int)))
    >>> round(found.excess, 3), round(found.p, 3)
    (-1.167, 0.09)
    """
    excess, variance = subset_scores(times, np.ones((len(times), 1), dtype=bool))
    u, v = float(excess[0]), float(variance[0])
    if not v > 0:
        return LogRank(excess=u, variance=v, chi2=None, p=None)
    chi2 = u**2 / v
    return LogRank(excess=u, variance=v, chi2=chi2, p=float(chdtrc(1, chi2)))


def subset_scores(times: Times, member: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Return observed less expected events on treatment, and the variance, for many subsets.

    Their ratio is Peto's one-step estimate of the log hazard ratio, with variance 1 / variance.

    Parameters
    ----------
    times
        All patients.
    member
        (n, c) bool: who belongs to each of c subsets.

    Returns
    -------
    tuple of numpy.ndarray
        (c,) float each.

    Examples
    --------
    >>> times = Times(months=np.array([1., 2.]), event=np.ones(2, dtype=bool),
    ...               treated=np.array([True, False]), stratum=np.zeros(2, dtype=int))
    >>> excess, variance = subset_scores(times, np.ones((2, 1), dtype=bool))
    >>> float(excess[0]), float(variance[0])
    (0.5, 0.25)
    """
    excess = np.zeros(member.shape[1])
    variance = np.zeros(member.shape[1])
    for code in np.unique(times.stratum):
        u, v = _one_stratum(times, member, np.flatnonzero(times.stratum == code))
        excess += u
        variance += v
    return excess, variance


def _one_stratum(times: Times, member: AnyArray, index: AnyArray) -> tuple[AnyArray, AnyArray]:
    order = index[np.argsort(times.months[index], kind="stable")]
    _, first = np.unique(times.months[order], return_index=True)
    inside = member[order].astype(float)
    treated = inside * times.treated[order][:, None]
    happened = times.event[order][:, None]
    at_risk = np.cumsum(inside[::-1], axis=0)[::-1][first]
    at_risk_treated = np.cumsum(treated[::-1], axis=0)[::-1][first]
    events = np.add.reduceat(inside * happened, first, axis=0)
    events_treated = np.add.reduceat(treated * happened, first, axis=0)
    share = at_risk_treated / np.maximum(at_risk, 1)
    # The last one at risk tells nothing: its variance is 0, and so is the numerator below.
    spread = events * (at_risk - events) / np.maximum(at_risk - 1, 1) * share * (1 - share)
    return (events_treated - events * share).sum(axis=0), spread.sum(axis=0)
