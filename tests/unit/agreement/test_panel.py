"""Agreement among many readers, against independent libraries, brute force and print."""

from __future__ import annotations

import itertools

import krippendorff
import numpy as np
import pytest
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from pathology.agreement import fleiss_kappa, krippendorff_alpha
from pathology.agreement.coefficients import WEIGHTINGS
from pathology.agreement.panel import (
    count_readings,
    gwet_panel_of_sums,
    gwet_panel_terms,
    unanimity_band,
    unanimity_curve,
)

#: 12 units, 4 observers, 5 values, with gaps: Krippendorff 2011, section D, and Gwet's handbook;
#: units in columns, 0 for a gap.
KRIPPENDORFF = (
    np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
            [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
        ]
    ).T
    - 1
)


def random_readings(*, gaps: bool, seed: int = 2, n: int = 200) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        slides, readers = generator.integers(5, 40), generator.integers(2, 8)
        truth = generator.integers(0, 4, slides)[:, None]
        readings = np.clip(truth + generator.integers(-1, 2, (slides, readers)), 0, 3)
        readings[0], readings[1] = 0, 3
        if gaps:
            readings = np.where(generator.random(readings.shape) < 0.2, -2, readings)
            readings[:2] = [[0], [3]]
        found.append(readings)
    return found


def test_fleiss_is_that_of_statsmodels_on_200_tables() -> None:
    for readings in random_readings(gaps=False):
        counts = count_readings(readings, 4)
        assert fleiss_kappa(counts) == pytest.approx(statsmodels_fleiss(counts), abs=1e-9)


@pytest.mark.parametrize("metric", ["nominal", "ordinal", "interval"])
@pytest.mark.parametrize("gaps", [False, True])
def test_alpha_is_that_of_the_library_on_200_tables(metric: str, gaps: bool) -> None:
    for readings in random_readings(gaps=gaps):
        data = np.where(readings < 0, np.nan, readings).T
        expected = krippendorff.alpha(
            reliability_data=data, value_domain=[0, 1, 2, 3], level_of_measurement=metric
        )
        counts = count_readings(readings, 4)
        assert krippendorff_alpha(counts, metric) == pytest.approx(expected, abs=1e-9)


def slow_panel_ac(readings: np.ndarray, q: int, power: int) -> float:
    """AC of many readers by pairs of readings, from the definition."""

    def credit(a: int, b: int) -> float:
        return float(a == b) if power == 0 else 1 - (abs(a - b) / (q - 1)) ** power

    agreeing, shares = [], []
    for row in readings:
        given = [int(x) for x in row if x >= 0]
        pairs = list(itertools.permutations(given, 2))
        if pairs:
            agreeing.append(sum(credit(a, b) for a, b in pairs) / len(pairs))
        if given:
            shares.append([given.count(k) / len(given) for k in range(q)])
    seen = sum(agreeing) / len(agreeing)
    mean = [sum(share[k] for share in shares) / len(shares) for k in range(q)]
    scale = sum(credit(a, b) for a in range(q) for b in range(q)) / (q * (q - 1))
    chance = scale * sum(p * (1 - p) for p in mean)
    return (seen - chance) / (1 - chance)


def panel_ac(readings: np.ndarray, q: int, weighting: str) -> float:
    counts = count_readings(readings, q)
    return float(gwet_panel_of_sums(gwet_panel_terms(counts, weighting).sum(axis=0), weighting))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_ac_of_many_readers_is_that_of_the_definition(weighting: str) -> None:
    power = WEIGHTINGS.index(weighting)
    for readings in random_readings(gaps=True):
        expected = slow_panel_ac(readings, 4, power)
        assert panel_ac(readings, 4, weighting) == pytest.approx(expected, abs=1e-9)


def test_the_published_example_with_gaps() -> None:
    counts = count_readings(KRIPPENDORFF, 5)
    assert krippendorff_alpha(counts, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(counts, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(counts, "interval") == pytest.approx(0.849, abs=5e-4)
    assert panel_ac(KRIPPENDORFF, 5, "unweighted") == pytest.approx(0.77544, abs=5e-6)


def test_the_curve_is_the_mean_over_every_choice_of_readers() -> None:
    for readings in random_readings(gaps=False, n=10, seed=5):
        counts, r = count_readings(readings, 4), readings.shape[1]
        curve = unanimity_curve(counts, r)
        for m in range(2, r + 1):
            shares = [
                np.mean(np.ptp(readings[:, list(chosen)], axis=1) == 0)
                for chosen in itertools.combinations(range(r), m)
            ]
            assert curve[m - 2] == pytest.approx(np.mean(shares), abs=1e-12)
        assert np.all(np.diff(curve) <= 1e-12)


def test_a_reading_without_score_agrees_with_nothing() -> None:
    readings = np.array([[1, 1, 1], [1, 1, -1]])
    assert unanimity_curve(count_readings(readings, 4), 3).tolist() == pytest.approx([2 / 3, 0.5])
    low, high = unanimity_band(readings, orders=100, seed=1, confidence=1 - 1e-9)
    assert (low[0], high[0]) == pytest.approx((0.5, 1.0), abs=1e-6)
    assert (low[1], high[1]) == pytest.approx((0.5, 0.5))


def test_the_band_holds_the_curve() -> None:
    readings = random_readings(gaps=False, n=1, seed=8)[0]
    curve = unanimity_curve(count_readings(readings, 4), readings.shape[1])
    low, high = unanimity_band(readings, orders=200, seed=3, confidence=0.95)
    assert np.all(low <= curve + 1e-12)
    assert np.all(curve <= high + 1e-12)
    assert low[-1] == high[-1] == pytest.approx(curve[-1])


def test_uneven_readings_and_one_category() -> None:
    with pytest.raises(ValueError, match="same number"):
        fleiss_kappa(np.array([[2, 0], [1, 0]]))
    with pytest.raises(ValueError, match="two or more"):
        fleiss_kappa(np.array([[1, 0], [1, 0]]))
    assert np.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]])))
    assert np.isnan(krippendorff_alpha(np.array([[3, 0], [3, 0]])))
    # Slides read once say nothing.
    assert np.isnan(krippendorff_alpha(np.array([[1, 0], [0, 1]])))
