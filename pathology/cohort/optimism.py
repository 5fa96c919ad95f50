"""How much a cut-off that was chosen on the data flatters itself.

The whole search is repeated inside every bootstrap sample (Harrell, Lee and Mark 1996), and the
cut-off found there is tried on the original patients and on those left out. The strength of the
best cut-off is judged against the same search on permuted biomarkers, where there is no interaction
to find.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pathology.cohort.cutoff import candidate_cutoffs, sweep_z
from pathology.cohort.logrank import Times
from pathology.types import AnyArray

__all__ = ["Optimism", "chosen_cutoff_optimism"]


@dataclass(frozen=True, kw_only=True)
class Optimism:
    """Hold the honest view of a chosen cut-off.

    Parameters
    ----------
    cutoff
        With the strongest interaction; None where none could be tested.
    apparent
        Log ratio of hazard ratios, above to below, on the data that chose the cut-off.
    optimism
        Mean of what a bootstrap sample's own cut-off loses on the original patients, in the
        direction that the sample found.
    corrected
        The apparent value less the optimism, towards 0.
    out_of_bag
        Mean on patients that were not drawn, in the direction that the sample found.
    cutoff_lower, cutoff_upper
        Middle 95 % of the cut-offs that the samples chose.
    search_p
        Share of permuted biomarkers whose best cut-off is at least as strong.
    replicates, failed
        Bootstrap samples, and those in which no cut-off could be tested.
    """

    cutoff: float | None
    apparent: float = math.nan
    optimism: float = math.nan
    corrected: float = math.nan
    out_of_bag: float = math.nan
    cutoff_lower: float = math.nan
    cutoff_upper: float = math.nan
    search_p: float = math.nan
    replicates: int = 0
    failed: int = 0


def chosen_cutoff_optimism(
    times: Times,
    marker: AnyArray,
    *,
    least_share: float = 0.1,
    replicates: int = 200,
    seed: int = 0,
) -> Optimism:
    """Choose a cut-off by its interaction, and measure the optimism of the choice.

    Parameters
    ----------
    times
        All evaluable patients.
    marker
        (n,) float.
    least_share
        Smallest share of patients on a side.
    replicates
        Bootstrap samples and permutations, at least 1 each.
    seed
        Of the generator (PCG64).

    Examples
    --------
    >>> generator = np.random.default_rng(1)
    >>> times = Times(months=generator.exponential(9, 90), event=np.ones(90, dtype=bool),
    ...               treated=np.arange(90) % 3 > 0, stratum=np.zeros(90, dtype=int))
    >>> found = chosen_cutoff_optimism(times, generator.normal(size=90), replicates=20)
    >>> abs(found.corrected) < abs(found.apparent)
    True
    """
    best = _search(times, marker, least_share)
    if best is None:
        return Optimism(cutoff=None)
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = [
        _replicate(times, marker, least_share, _draw(times, generator)) for _ in range(replicates)
    ]
    used = [one for one in drawn if one is not None]
    sign = math.copysign(1.0, best.effect)
    optimism = float(np.mean([one.own - one.original for one in used])) if used else math.nan
    lower, upper = (
        np.quantile([one.cutoff for one in used], (0.025, 0.975))
        if used
        else (
            math.nan,
            math.nan,
        )
    )
    outside = [one.outside for one in used if not math.isnan(one.outside)]
    return Optimism(
        cutoff=best.cutoff,
        apparent=best.effect,
        optimism=optimism,
        corrected=sign * max(0.0, abs(best.effect) - max(0.0, optimism)) if used else math.nan,
        out_of_bag=float(np.mean(outside)) if outside else math.nan,
        cutoff_lower=float(lower),
        cutoff_upper=float(upper),
        search_p=_search_p(times, marker, least_share, abs(best.z), replicates, generator),
        replicates=replicates,
        failed=replicates - len(used),
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    cutoff: float
    effect: float
    z: float


@dataclass(frozen=True, kw_only=True)
class _Replicate:
    """What a sample's cut-off shows, in the direction that the sample found."""

    cutoff: float
    own: float
    original: float
    outside: float


def _search(times: Times, marker: AnyArray, least_share: float) -> _Found | None:
    cutoffs = candidate_cutoffs(marker, least_share=least_share)
    if not len(cutoffs):
        return None
    found = sweep_z(times, marker, cutoffs)
    best = found.best
    if best is None:
        return None
    return _Found(
        cutoff=float(cutoffs[best]),
        effect=float(found.above[best] - found.below[best]),
        z=float(found.z[best]),
    )


def _draw(times: Times, generator: np.random.Generator) -> AnyArray:
    """Draw patients with replacement, arm by arm, so that no sample loses an arm."""
    arms = (np.flatnonzero(times.treated), np.flatnonzero(~times.treated))
    return np.concatenate([generator.choice(arm, size=len(arm)) for arm in arms])


def _replicate(
    times: Times, marker: AnyArray, least_share: float, index: AnyArray
) -> _Replicate | None:
    found = _search(times.take(index), marker[index], least_share)
    if found is None:
        return None
    sign = math.copysign(1.0, found.effect)
    original = _effect_at(times, marker, found.cutoff)
    if math.isnan(original):
        return None
    left = np.setdiff1d(np.arange(len(times)), index)
    treated = times.treated[left]
    outside = math.nan
    if np.any(treated) and not np.all(treated):
        outside = sign * _effect_at(times.take(left), marker[left], found.cutoff)
    return _Replicate(
        cutoff=found.cutoff, own=abs(found.effect), original=sign * original, outside=outside
    )


def _effect_at(times: Times, marker: AnyArray, cutoff: float) -> float:
    found = sweep_z(times, marker, np.array([cutoff]))
    return float(found.above[0] - found.below[0])


def _search_p(
    times: Times,
    marker: AnyArray,
    least_share: float,
    strongest: float,
    replicates: int,
    generator: np.random.Generator,
) -> float:
    """Repeat the search on permuted biomarkers; the data themselves count as one of them."""
    as_strong = 0
    for _ in range(replicates):
        found = _search(times, generator.permutation(marker), least_share)
        as_strong += found is not None and abs(found.z) >= strongest - 1e-12
    return (1 + as_strong) / (1 + replicates)
