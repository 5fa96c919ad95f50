"""The fit: chances of the slides' scores, times what is known of laboratories, on a grid.

A slide's score is taken for an ordinal reading of its shares: the chance of a score of at least k
is logistic in the log odds by which its deciding share passes the cut of k, divided by the scatter
of readers. A few labels may be plainly wrong. The scatter is not known and is integrated out. With
a prior, all is summed up exactly on a grid: the estimate is the mean of the log of the cut-offs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pathology.calibration.margins import MarginTables
from pathology.types import AnyArray, IntArray

__all__ = [
    "DEVIATION_SD",
    "GAIN_SD",
    "LAPSE",
    "SCATTERS",
    "Combinations",
    "Posterior",
    "cutoff_combinations",
    "gain_combinations",
    "log_likelihoods",
    "loss_profile",
    "posterior",
    "ratio_grid",
]

#: Standard deviation of a laboratory's log gain. Laboratories differ about two-fold: 95 of 100 lie
#: between half and twice the reference.
GAIN_SD = float(np.log(2) / 2)
#: Standard deviation by which the log of each cut-off may differ from the common gain. Ours: the
#: three cut-offs are a factor of 2.1 to 2.3 apart, and 20 % keeps them so.
DEVIATION_SD = 0.2
#: Scatter of readers that is tried, in log odds. At 0.5 a slide with 15 % of such cells is read as
#: above 10 % seven times in ten. Its log has a normal prior about 0.5 with a spread of two-fold.
SCATTERS: tuple[float, ...] = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0)
_SCATTER_PRIOR = (0.5, float(np.log(2)))
#: Chance that a label says nothing about its slide (wrong row, wrong block).
LAPSE = 0.03
_LAST = 3


def ratio_grid(steps_per_octave: int) -> AnyArray:
    """Return factors from 1/4 to 4, evenly on a logarithmic scale.

    Examples
    --------
    >>> ratio_grid(1).tolist()
    [0.25, 0.5, 1.0, 2.0, 4.0]
    """
    steps = np.arange(-2 * steps_per_octave, 2 * steps_per_octave + 1)
    return np.asarray(2.0 ** (steps / steps_per_octave), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Combinations:
    """Hold the combinations of cut-offs that are tried, and what is known of them beforehand.

    Parameters
    ----------
    places
        (3, c) int64: indices of the stained, moderate and intense ratio.
    logs
        (3, c) float64: their natural logarithms.
    log_prior
        (c,) float64, up to a constant.
    step
        Distance of neighbours in ``logs``.
    """

    places: IntArray
    logs: AnyArray
    log_prior: AnyArray
    step: float


def gain_combinations(ratios: AnyArray) -> Combinations:
    """Return the combinations of one gain: all three ratios alike.

    Examples
    --------
    >>> gain_combinations(ratio_grid(1)).places.shape
    (3, 5)
    """
    place = np.arange(len(ratios))
    logs = np.log(ratios)
    return Combinations(
        places=np.stack([place] * 3),
        logs=np.stack([logs] * 3),
        log_prior=-0.5 * (logs / GAIN_SD) ** 2,
        step=float(logs[1] - logs[0]),
    )


def cutoff_combinations(ratios: AnyArray, levels: tuple[float, float, float]) -> Combinations:
    """Return all combinations of three ratios that keep the cut-offs in order.

    Parameters
    ----------
    ratios
        (r,) factors.
    levels
        Stained, moderate and intense cut-off of the reference scale, OD.

    Examples
    --------
    >>> cutoff_combinations(ratio_grid(1), (0.12, 0.28, 0.60)).places.shape[1] < 5**3
    True
    """
    r = len(ratios)
    places = np.stack([axis.ravel() for axis in np.indices((r, r, r))])
    logs = np.log(ratios)[places]
    cuts = logs + np.log(np.asarray(levels))[:, None]
    ordered = (np.diff(cuts, axis=0) > 0).all(axis=0)
    places, logs = places[:, ordered], logs[:, ordered]
    covariance = np.full((3, 3), GAIN_SD**2) + np.eye(3) * DEVIATION_SD**2
    squared = np.einsum("ic,ij,jc->c", logs, np.linalg.inv(covariance), logs)
    step = float(np.log(ratios[1] / ratios[0]))
    return Combinations(places=places, logs=logs, log_prior=-0.5 * squared, step=step)


def log_likelihoods(
    tables: MarginTables, ranks: Sequence[int], combinations: Combinations
) -> AnyArray:
    """Return the log chance of each slide's label.

    Parameters
    ----------
    tables
        Margins of n slides.
    ranks
        Their labels, 0 to 3.
    combinations
        What is tried.

    Returns
    -------
    numpy.ndarray
        (n, s, c) float64 for s scatters and c combinations.
    """
    margins = tables.at(*combinations.places)
    scale = np.asarray(SCATTERS)[:, None]
    out = np.empty((len(ranks), len(SCATTERS), margins.shape[2]))
    for row, rank in enumerate(ranks):
        reached = _chance(margins[row, rank - 1], scale) if rank > 0 else 1.0
        passed = _chance(margins[row, rank], scale) if rank < _LAST else 0.0
        out[row] = np.log((1 - LAPSE) * np.maximum(reached - passed, 0.0) + LAPSE / (_LAST + 1))
    return out


def _chance(margin: AnyArray, scale: AnyArray) -> AnyArray:
    # Beyond 40 the logistic function is 0 or 1 to the last bit; exp would overflow far from it.
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(margin / scale, -40.0, 40.0))))


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Hold what labels and prior together say about the cut-offs.

    Parameters
    ----------
    weights
        (c,) float64, summing to 1.
    combinations
        What they belong to.
    """

    weights: AnyArray
    combinations: Combinations

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Geometric means of the stained, moderate and intense ratio."""
        means = np.exp(self.combinations.logs @ self.weights)
        return float(means[0]), float(means[1]), float(means[2])

    def interval(self, which: int = 0, *, level: float = 0.95) -> tuple[float, float]:
        """Return the central interval of a ratio; each point of the grid stands for its cell."""
        values, place = np.unique(self.combinations.places[which], return_inverse=True)
        mass = np.bincount(place, weights=self.weights, minlength=len(values))
        logs = np.zeros(len(values))
        logs[place] = self.combinations.logs[which]
        edges = np.append(logs - self.combinations.step / 2, logs[-1] + self.combinations.step / 2)
        cumulated = np.concatenate([[0.0], np.cumsum(mass)])
        tail = (1 - level) / 2
        low, high = np.interp([tail, 1 - tail], cumulated, edges)
        return float(np.exp(low)), float(np.exp(high))

    def at_the_edge(self) -> bool:
        """Tell whether the grid cuts off more than one in a hundred of the weight."""
        logs = self.combinations.logs
        edge = ((logs <= logs.min() + 1e-9) | (logs >= logs.max() - 1e-9)).any(axis=0)
        return float(self.weights[edge].sum()) > 0.01


def posterior(total: AnyArray, combinations: Combinations) -> Posterior:
    """Weigh the combinations.

    Parameters
    ----------
    total
        (s, c) float64: log likelihoods summed over slides.
    combinations
        What they belong to.
    """
    middle, spread = _SCATTER_PRIOR
    scatter = -0.5 * (np.log(np.asarray(SCATTERS) / middle) / spread) ** 2
    joint = total + scatter[:, None] + combinations.log_prior
    weights = np.exp(joint - joint.max()).sum(axis=0)
    return Posterior(weights=weights / weights.sum(), combinations=combinations)


def loss_profile(total: AnyArray) -> AnyArray:
    """Return (c,) negative log likelihood of each combination, at its best scatter, from 0 up."""
    best = -total.max(axis=0)
    return np.asarray(best - best.min())
