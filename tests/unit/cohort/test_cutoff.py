"""Cut-off studies: interaction against statsmodels, windows, the optimism of a search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.hazard_regression import PHReg

from pathology.cohort.cutoff import (
    candidate_cutoffs,
    interaction,
    sliding_windows,
    sweep,
    sweep_z,
)
from pathology.cohort.logrank import Times, logrank
from pathology.cohort.optimism import chosen_cutoff_optimism


def made(
    seed: int, n: int = 240, *, benefit: float = 0.0, prognosis: float = 0.0
) -> tuple[Times, np.ndarray]:
    """A trial whose biomarker changes the effect of treatment, or only the prognosis."""
    generator = np.random.default_rng(seed)
    marker = generator.normal(100, 20, n)
    treated = np.arange(n) % 3 > 0
    high = marker > 105
    months = generator.exponential(9 * np.exp(benefit * treated * high + prognosis * high))
    end = generator.uniform(6, 30, n)
    times = Times(
        months=np.minimum(months, end),
        event=months <= end,
        treated=treated,
        stratum=generator.integers(0, 3, n),
    )
    return times, marker


@pytest.mark.parametrize("seed", range(3))
def test_the_interaction_agrees_with_statsmodels(seed: int) -> None:
    times, marker = made(seed, benefit=0.8)
    found = interaction(times, marker)
    treated = times.treated.astype(float)
    theirs = PHReg(
        times.months,
        np.column_stack([treated, marker, treated * marker]),
        status=times.event,
        strata=times.stratum,
        ties="efron",
    ).fit(disp=0)
    assert found.per_unit is not None
    assert found.per_sd is not None
    assert found.per_unit.log_ratio == pytest.approx(theirs.params[2], abs=1e-6)
    assert found.per_unit.se == pytest.approx(theirs.bse[2], abs=1e-6)
    assert found.per_unit.p == pytest.approx(theirs.pvalues[2], abs=1e-6)
    assert found.per_sd.ratio == pytest.approx(found.per_unit.ratio ** np.std(marker, ddof=1))
    assert found.at_mean is not None
    mean_effect = theirs.params[0] + theirs.params[2] * marker.mean()
    assert found.at_mean.log_ratio == pytest.approx(mean_effect, abs=1e-6)


def test_a_biomarker_without_spread_has_no_interaction() -> None:
    times, marker = made(0)
    assert interaction(times, np.ones_like(marker)).problem


@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=80),
    st.floats(0.02, 0.5),
    st.integers(1, 12),
)
def test_cutoffs_leave_enough_on_both_sides(values: list[int], least: float, most: int) -> None:
    marker = np.array(values, dtype=float)
    found = candidate_cutoffs(marker, least_share=least, most=most)
    assert len(found) <= most
    assert np.all(np.diff(found) > 0)
    for cutoff in found:
        above = int(np.sum(marker > cutoff))
        assert min(above, len(marker) - above) >= least * len(marker)
    everything = {float(c) for c in candidate_cutoffs(marker, least_share=least, most=10_000)}
    middles = (np.unique(marker)[:-1] + np.unique(marker)[1:]) / 2
    for cutoff in middles:
        above = np.sum(marker > cutoff)
        enough = min(above, len(marker) - above) >= least * len(marker)
        assert (float(cutoff) in everything) == enough


def test_both_sides_of_a_cutoff_are_as_if_compared_alone() -> None:
    times, marker = made(4, benefit=0.8)
    found = sweep_z(times, marker, np.array([90.0, 110.0]))
    for k, cutoff in enumerate((90.0, 110.0)):
        low, high = (logrank(times.take(side)) for side in (marker <= cutoff, marker > cutoff))
        assert found.below[k] == pytest.approx(low.excess / low.variance)
        assert found.above[k] == pytest.approx(high.excess / high.variance)
        se = math.sqrt(1 / low.variance + 1 / high.variance)
        assert found.z[k] == pytest.approx((found.above[k] - found.below[k]) / se)


def test_a_pooled_sweep_finds_prognosis_where_there_is_no_benefit() -> None:
    # A marker that only foretells the outcome: the pooled statistic is huge, no interaction is.
    times, marker = made(5, n=900, prognosis=1.0)
    row = next(row for row in sweep(times, marker, np.array([105.0])))
    assert abs(row.prognosis_z or 0) > 6
    assert (row.interaction_p or 0) > 0.05


def test_a_side_that_says_too_little_has_no_estimate() -> None:
    times, marker = made(6)
    row = sweep(times, marker, np.array([float(np.sort(marker)[1])]))[0]
    assert row.ratio_below is None
    assert row.interaction_p is None


@pytest.mark.parametrize(("size", "step"), [(60, 20), (80, 80), (239, 1), (500, 100)])
def test_windows_cover_all_patients(size: int, step: int) -> None:
    times, marker = made(7)
    windows = sliding_windows(times, marker, size=size, step=step)
    assert windows[0].lowest == marker.min()
    assert windows[-1].highest == marker.max()
    assert all(one.patients == min(size, len(marker)) for one in windows)
    inside = [(marker >= one.lowest) & (marker <= one.highest) for one in windows]
    assert np.any(inside, axis=0).all()
    assert [one.median for one in windows] == sorted(one.median for one in windows)


def test_tied_values_stay_together() -> None:
    times, marker = made(8)
    rounded = np.round(marker, -1)
    for one in sliding_windows(times, rounded, size=60, step=30):
        assert one.patients == np.sum((rounded >= one.lowest) & (rounded <= one.highest)) >= 60


def test_windows_are_checked() -> None:
    times, marker = made(0)
    for size, step in ((10, 0), (10, 11)):
        with pytest.raises(ValueError, match="size >= step"):
            sliding_windows(times, marker, size=size, step=step)


def test_a_search_in_noise_is_seen_through() -> None:
    times, marker = made(9)
    found = chosen_cutoff_optimism(times, marker, replicates=60, seed=1)
    assert found.optimism > 0
    assert abs(found.corrected) < abs(found.apparent)
    assert found.search_p > 0.05
    assert found.cutoff_upper - found.cutoff_lower > 20


def test_a_true_cutoff_survives() -> None:
    times, marker = made(10, n=900, benefit=1.3)
    found = chosen_cutoff_optimism(times, marker, replicates=40, seed=1)
    assert found.cutoff == pytest.approx(105, abs=4)
    assert found.search_p == pytest.approx(1 / 41)
    assert found.corrected < -0.6
    assert found.out_of_bag > 0.6


def test_the_same_seed_gives_the_same_optimism() -> None:
    times, marker = made(11)
    runs = [chosen_cutoff_optimism(times, marker, replicates=10, seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_biomarker_with_one_value_has_no_cutoff() -> None:
    times, marker = made(12)
    assert chosen_cutoff_optimism(times, np.ones_like(marker)).cutoff is None


@pytest.mark.slow
def test_the_whole_search_keeps_its_error_where_there_is_nothing() -> None:
    # Without any interaction the search says p <= 0.1 in a tenth of trials; naively in far more.
    searched, naive = 0, 0
    for seed in range(120):
        times, marker = made(seed + 500, n=150, prognosis=0.5)
        found = chosen_cutoff_optimism(times, marker, replicates=39, seed=seed)
        searched += found.search_p <= 0.1
        rows = sweep(times, marker, np.array([found.cutoff]))
        naive += (rows[0].interaction_p or 1) <= 0.1
    assert searched <= 24
    assert naive >= 30
