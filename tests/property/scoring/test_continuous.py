"""Continuous measures against slow ones, and what must not change them."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.config import load_config
from pathology.scoring import CellMeasures, ContinuousScores, continuous_scores
from pathology.scoring.continuous import (
    bystander_pct,
    heterogeneity_index,
    membrane_cytoplasm_ratio,
    percentiles,
    share_from_od,
)

PARAMS = load_config(overrides=["scoring.qcs_od=0.2"]).scoring


@st.composite
def measures(draw: st.DrawFn, least: int = 0) -> CellMeasures:
    n = draw(st.integers(least, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few places and few densities, so that ties and exact distances happen.
    step = draw(st.sampled_from([5.0, 12.5, 100.0]))
    od = rng.choice([0.0, 0.05, 0.2, 0.1999, 0.2001, 0.9], n)
    return CellMeasures(
        x_um=(rng.integers(0, 60, n) * step).astype(np.float32),
        y_um=(rng.integers(0, 4, n) * step).astype(np.float32),
        membrane_od=od.astype(np.float32),
        membrane_completeness=(rng.integers(0, 33, n) / 32).astype(np.float32),
        cytoplasm_od=(rng.integers(0, 100, n) * 0.001).astype(np.float32),
        stained=od >= 0.2,
    )


def slow_percentile(values: list[float], rank: float) -> float:
    ordered = sorted(values)
    place = (len(ordered) - 1) * rank / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def slow_bystander(cells: CellMeasures, positive: list[bool], radius: float) -> float | None:
    points = list(zip(cells.x_um.tolist(), cells.y_um.tolist(), strict=True))
    there = [point for point, yes in zip(points, positive, strict=True) if yes]
    wanted = [point for point, yes in zip(points, positive, strict=True) if not yes]
    if not wanted:
        return None
    near = [any((x - a) ** 2 + (y - b) ** 2 <= radius**2 for a, b in there) for x, y in wanted]
    return 100 * sum(near) / len(wanted)


def slow_heterogeneity(cells: CellMeasures, block_um: float) -> float | None:
    """Work out ICC(1,1) for unequal groups by its textbook sums of squares."""
    groups = defaultdict(list)
    for x, y, od in zip(cells.x_um, cells.y_um, cells.membrane_od, strict=True):
        groups[math.floor(x / block_um), math.floor(y / block_um)].append(float(od))
    n, k = cells.n, len(groups)
    if k < 2 or n <= k:
        return None
    grand = statistics.fmean(od for part in groups.values() for od in part)
    between = sum(len(p) * (statistics.fmean(p) - grand) ** 2 for p in groups.values()) / (k - 1)
    within = sum((od - statistics.fmean(p)) ** 2 for p in groups.values() for od in p) / (n - k)
    size = (n - sum(len(p) ** 2 for p in groups.values()) / n) / (k - 1)
    spread = between + (size - 1) * within
    return max(0.0, (between - within) / spread) if spread > 1e-12 else 0.0


@given(measures(least=1))
def test_all_measures_agree_with_slow_ones(cells: CellMeasures) -> None:
    found = continuous_scores(cells, PARAMS, limit_of_blank_od=0.01)
    od = [float(value) for value in cells.membrane_od]
    for rank in (5, 25, 50, 75, 95):
        expected = slow_percentile(od, rank)
        assert getattr(found, f"membrane_od_p{rank}") == pytest.approx(expected, abs=1e-12)
    share = [float(value) for value in cells.membrane_completeness]
    assert found.membrane_completeness_median == pytest.approx(statistics.median(share))
    spread = slow_percentile(share, 75) - slow_percentile(share, 25)
    assert found.membrane_completeness_iqr == pytest.approx(spread, abs=1e-12)
    ratios = [m / max(float(c) - 0.01, 0.01) for m, c in zip(od, cells.cytoplasm_od, strict=True)]
    assert found.membrane_cytoplasm_ratio == pytest.approx(statistics.median(ratios))
    positive = [round(value * 10_000) >= 2_000 for value in od]
    assert found.qcs_positive_pct == 100 * sum(positive) / cells.n
    expected = slow_bystander(cells, positive, PARAMS.bystander_radius_um)
    assert found.bystander_pct == expected
    index = slow_heterogeneity(cells, PARAMS.bootstrap_block_um)
    if index is None:
        assert found.heterogeneity_index is None
    else:
        assert found.heterogeneity_index == pytest.approx(index, abs=1e-6)


@given(measures(), st.integers(0, 2**32 - 1))
def test_the_order_of_cells_changes_no_bit(cells: CellMeasures, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(cells.n)
    shuffled = CellMeasures(**{name: part[order] for name, part in vars(cells).items()})
    assert continuous_scores(shuffled, PARAMS) == continuous_scores(cells, PARAMS)


@given(measures(least=1))
def test_ranges(cells: CellMeasures) -> None:
    found = continuous_scores(cells, PARAMS)
    quantiles = [getattr(found, f"membrane_od_p{rank}") for rank in (5, 25, 50, 75, 95)]
    assert quantiles == sorted(quantiles)
    assert 0 <= found.membrane_completeness_iqr <= 1
    assert found.membrane_cytoplasm_ratio >= 0
    for value in (found.qcs_positive_pct, found.bystander_pct):
        assert value is None or 0 <= value <= 100
    assert found.heterogeneity_index is None or 0 <= found.heterogeneity_index <= 1


def test_nothing_to_measure_is_empty_and_never_0() -> None:
    zero = np.zeros(0, dtype=np.float32)
    none = CellMeasures(
        x_um=zero,
        y_um=zero,
        membrane_od=zero,
        membrane_completeness=zero,
        cytoplasm_od=zero,
        stained=zero > 0,
    )
    assert continuous_scores(none, PARAMS) == ContinuousScores()
    assert all(value is None for value in vars(ContinuousScores()).values())
    assert membrane_cytoplasm_ratio(zero, zero) is None
    assert share_from_od(zero, 0.2) is None
    assert heterogeneity_index(zero, zero, zero, block_um=500) is None


def test_without_a_cut_off_there_is_no_share_and_stained_cells_are_positive() -> None:
    x = np.array([0, 20, 100], dtype=np.float32)
    od = np.array([0.5, 0.0, 0.0], dtype=np.float32)
    cells = CellMeasures(
        x_um=x,
        y_um=x * 0,
        membrane_od=od,
        membrane_completeness=od,
        cytoplasm_od=od,
        stained=np.array([True, False, False]),
    )
    found = continuous_scores(cells, load_config().scoring)
    assert found.qcs_positive_pct is None
    assert found.bystander_pct == 50.0


@pytest.mark.parametrize(("radius", "expected"), [(24.999, 0.0), (25.0, 100.0), (25.001, 100.0)])
def test_a_cell_at_just_the_radius_is_near(radius: float, expected: float) -> None:
    x, y = np.array([0, 15], dtype=np.float32), np.array([0, 20], dtype=np.float32)
    positive = np.array([True, False])
    assert bystander_pct(x, y, positive, radius_um=radius) == expected


def test_bystander_at_the_ends() -> None:
    x = np.arange(3, dtype=np.float32)
    assert bystander_pct(x, x, np.ones(3, dtype=bool), radius_um=5) is None
    assert bystander_pct(x, x, np.zeros(3, dtype=bool), radius_um=5) == 0.0


@pytest.mark.parametrize(("od", "expected"), [(0.2, 100.0), (0.2001, 0.0), (0.1999, 100.0)])
def test_a_density_at_just_the_cut_off_counts(od: float, expected: float) -> None:
    # 0.2 as 32 rays of 0.20 OD: 0.2 is not exact in binary, its stored mean is.
    assert share_from_od(np.full(3, 0.2, dtype=np.float32), od) == expected


def test_heterogeneity_at_the_ends() -> None:
    x = np.repeat(np.arange(4) * 500.0 + 10, 50).astype(np.float32)
    rng = np.random.default_rng(3)
    mixed = heterogeneity_index(x, x * 0, rng.random(200), block_um=500)
    assert mixed < 0.1
    apart = heterogeneity_index(x, x * 0, np.repeat([0.1, 0.2, 0.5, 0.9], 50), block_um=500)
    assert apart == 1.0
    assert heterogeneity_index(x, x * 0, np.full(200, 0.3), block_um=500) == 0.0
    assert heterogeneity_index(x[:50], x[:50] * 0, np.full(50, 0.3), block_um=500) is None
    lone = np.array([0.0, 600.0])
    assert heterogeneity_index(lone, lone, lone, block_um=500) is None


def test_heterogeneity_is_the_share_that_a_simulation_was_given() -> None:
    """Blocks of 25 cells whose means vary with the same variance as cells within: a half."""
    rng = np.random.default_rng(11)
    blocks = 400
    x = np.repeat(np.arange(blocks) * 500.0 + 10, 25)
    od = np.repeat(rng.normal(1.2, 0.1, blocks), 25) + rng.normal(0, 0.1, blocks * 25)
    assert heterogeneity_index(x, x * 0, od, block_um=500) == pytest.approx(0.5, abs=0.05)


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_percentiles_are_those_of_type_7(n: int, seed: int) -> None:
    values = np.random.default_rng(seed).random(n)
    found = percentiles(values, (0, 5, 50, 95, 100))
    expected = [slow_percentile(values.tolist(), rank) for rank in (0, 5, 50, 95, 100)]
    assert found == pytest.approx(expected, abs=1e-12)


def test_wrong_cells_are_refused() -> None:
    zero = np.zeros(2, dtype=np.float32)
    columns = {
        "x_um": zero,
        "y_um": zero,
        "membrane_od": zero,
        "membrane_completeness": zero,
        "cytoplasm_od": zero,
        "stained": zero > 0,
    }
    with pytest.raises(ValueError, match="membrane_od"):
        CellMeasures(**{**columns, "membrane_od": zero[:1]})
    with pytest.raises(ValueError, match="finite"):
        CellMeasures(**{**columns, "y_um": zero * np.nan})
