from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from pathology.scoring.bounds import (
    effective_cells,
    exact_interval,
    exact_upper,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("k", "n", "lo", "hi"),
    [
        (175, 333, 47.037, 58.022),
        (27, 166, 11.001, 22.776),
        (195, 373, 47.075, 57.446),
        (30, 184, 11.279, 22.450),
        (20, 40, 33.802, 66.198),
        (3, 18, 3.579, 41.418),
    ],
)
def test_interval_reproduces_printed_values(k, n, lo, hi) -> None:
    found = exact_interval(k, n, confidence=0.95)
    assert [100 * end for end in found] == pytest.approx([lo, hi], abs=6e-4)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 7, 300, 12345.6])
def test_bounds_are_quantiles_of_the_beta_distribution(n, confidence) -> None:
    for k in np.linspace(0, n, 5)[:-1]:
        upper = beta.ppf(confidence, k + 1, n - k)
        assert exact_upper(k, n, confidence=confidence) == pytest.approx(upper, abs=1e-12)
        if k:
            lower = beta.ppf((1 - confidence) / 2, k, n - k + 1)
            found = exact_interval(k, n, confidence=confidence)[0]
            assert found == pytest.approx(lower, abs=1e-12)


def test_zero_of_300_excludes_one_per_cent() -> None:
    assert exact_upper(0, 300, confidence=0.95) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert exact_upper(0, 298, confidence=0.95) > 0.01 - 1e-4
    assert exact_upper(0, 300, confidence=0.95) < 0.01
    assert exact_upper(0, 3000, confidence=0.95) < 0.001


def test_ends_of_the_scale() -> None:
    assert exact_interval(0, 50, confidence=0.95)[0] == 0.0
    assert exact_interval(50, 50, confidence=0.95)[1] == 1.0


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0), (0, -1)])
def test_not_a_share(k, n) -> None:
    with pytest.raises(ValueError, match="not a share"):
        exact_upper(k, n, confidence=0.95)


def test_design_effect() -> None:
    one_each = np.ones(50, dtype=np.int64)
    assert effective_cells(one_each, correlation=0.5) == 50
    assert effective_cells(np.array([50]), correlation=0.0) == 50
    assert effective_cells(np.array([50]), correlation=1.0) == 1
    assert effective_cells(np.array([21] * 10), correlation=0.05) == pytest.approx(210 / 2)


def test_measured_clustering_counts_where_it_is_worse() -> None:
    blocks = np.array([20] * 50)
    independent = 0.2 * 0.8 / 1000
    alike = effective_cells(blocks, correlation=0.0, share=0.2, variance=10 * independent)
    assert alike == pytest.approx(100)
    assert effective_cells(blocks, correlation=0.0, share=0.2, variance=0.0) == 1000


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(10, 100, 5.52, 17.44), (100, 1000, 8.29, 12.02), (1000, 10_000, 9.43, 10.60)],
)
def test_ten_per_cent_of_independent_cells(k: int, n: int, low: float, high: float) -> None:
    found = wilson_interval(k, n, confidence=0.95)
    assert [round(100 * end, 2) for end in found] == [low, high]


@pytest.mark.parametrize(("share", "wilson", "exact"), [(0.90, 35, 36), (0.95, 73, 72)])
def test_how_many_slides_must_all_agree(share: float, wilson: int, exact: int) -> None:
    for interval, least in ((wilson_interval, wilson), (exact_interval, exact)):
        assert interval(least, least, confidence=0.95)[0] >= share
        assert interval(least - 1, least - 1, confidence=0.95)[0] < share
