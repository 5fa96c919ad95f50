"""The limit of blank by rank, and agreement of scores, against slow and plain versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laboratory import make_slide

from pathology.calibration import SlideSample, limit_of_blank
from pathology.calibration.blank import deciding_od, rank_percentile
from pathology.calibration.concordance import compare
from pathology.cells import classify
from pathology.config import load_config
from pathology.stain.calibrating import calibrated_measurement, reference_cutoffs

CUTOFFS = reference_cutoffs()
MEASUREMENT = load_config().measurement


def sample(od: np.ndarray, **changes: object) -> SlideSample:
    base = make_slide(np.random.default_rng(0), 0, n=len(od))
    values = {**vars(base), "ray_od": od.astype(np.uint8), "n_cells": len(od)}
    values["cytoplasm_od"] = np.zeros(len(od), dtype=np.float32)
    return SlideSample(**{**values, **changes})


def blank_of(*samples: SlideSample) -> float:
    found = limit_of_blank(samples, min_stained_share=0.125, cutoffs=CUTOFFS)
    assert found is not None
    return found.od


@given(
    rays=st.lists(st.integers(0, 80), min_size=32, max_size=32),
    cytoplasm=st.integers(0, 40),
    cut=st.integers(1, 59),
)
def test_a_cell_is_stained_just_below_its_deciding_density(
    rays: list[int], cytoplasm: int, cut: int
) -> None:
    od = np.array([rays], dtype=np.uint8)
    inside = np.array([cytoplasm / 100], dtype=np.float32)
    deciding = deciding_od(od, inside, min_stained_share=0.125, cutoffs=CUTOFFS)[0]
    # The reference's contrast, and a stained cut-off of its own.
    rules = MEASUREMENT.model_copy(
        update={"stained_od": cut / 100, "weak_od": 1.0, "moderate_od": 1.0, "intense_od": 1.0}
    )
    stained = classify(od, inside, rules).intensity[0] > 0
    assert stained == (deciding >= cut)


def test_ranks_are_those_of_ep17() -> None:
    # 60 blanks: rank 0.5 + 0.95 * 60 = 57.5, between the 57th and the 58th.
    assert rank_percentile(np.arange(1, 61)) == 57.5
    assert rank_percentile(np.array([7])) == 7
    assert rank_percentile(np.arange(1, 61)[::-1]) == 57.5


def test_at_most_one_in_twenty_negative_cells_passes_the_limit() -> None:
    rng = np.random.default_rng(2)
    od = np.clip(rng.normal(6, 3, (2000, 32)), 0, 255)
    control = sample(np.rint(od), kind="control")
    limit = blank_of(control)
    measurement = calibrated_measurement(
        MEASUREMENT, gain=0.1, cutoffs=CUTOFFS, limit_of_blank_od=limit
    )
    stained = classify(control.ray_od, control.cytoplasm_od, measurement).intensity > 0
    assert 0.01 < stained.mean() <= 0.05 + 0.01


def test_staining_that_score_0_allows_does_not_raise_the_limit() -> None:
    rng = np.random.default_rng(3)
    clean = np.rint(np.clip(rng.normal(6, 2, (1000, 32)), 0, 255))
    ultralow = clean.copy()
    ultralow[:90, :14] = 22
    assert blank_of(sample(ultralow)) <= blank_of(sample(clean)) + 0.02
    # A negative control has no such cells; there they would count.
    assert blank_of(sample(ultralow, kind="control")) > 0.15


def test_controls_come_before_score_0_and_the_largest_counts() -> None:
    low, high = (sample(np.full((100, 32), od), kind="control", slide_id=str(od)) for od in (6, 9))
    zero = sample(np.full((100, 32), 20), slide_id="zero")
    found = limit_of_blank([low, high, zero], min_stained_share=0.125, cutoffs=CUTOFFS)
    assert found is not None
    assert (found.od, found.basis, len(found.per_slide)) == (0.09, "negative_controls", 2)


def test_few_cells_and_positive_slides_give_no_limit() -> None:
    few = sample(np.full((59, 32), 6), kind="control")
    positive = sample(np.full((100, 32), 6), rank=1)
    assert limit_of_blank([few, positive], min_stained_share=0.125, cutoffs=CUTOFFS) is None


def test_a_clean_slide_has_a_limit_of_one_step() -> None:
    assert blank_of(sample(np.zeros((100, 32)))) == 0.01


def test_blush_is_no_blank() -> None:
    blush = sample(np.full((100, 32), 30), cytoplasm_od=np.full(100, 0.28, dtype=np.float32))
    assert blank_of(blush) == 0.01


def plain_kappa(given: list[int], predicted: list[int]) -> float:
    n = len(given)
    seen = sum((a - b) ** 2 for a, b in zip(given, predicted, strict=True)) / n
    chance = sum((a - b) ** 2 for a in given for b in predicted) / n**2
    return 1 - seen / chance if chance else float("nan")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_kappa_is_that_of_the_definition(pairs: list[tuple[int, int]]) -> None:
    given_, predicted = [a for a, _ in pairs], [b for _, b in pairs]
    found = compare(given_, predicted, [str(k) for k in range(len(pairs))]).kappa
    expected = plain_kappa(given_, predicted)
    assert (float("nan") if found is None else found) == pytest.approx(expected, nan_ok=True)


def test_agreement_counts_and_interval() -> None:
    given_ = [0, 1, 2, 3] * 10
    predicted = [0, 1, 2, 3] * 9 + [1, 2, 3, 2]
    found = compare(given_, predicted, [str(k) for k in range(40)])
    assert (found.correct, found.slides) == (36, 40)
    assert found.kappa is not None
    assert found.kappa_low is not None
    assert found.kappa_high is not None
    assert found.kappa_low < found.kappa < found.kappa_high <= 1
    assert found == compare(given_, predicted, [str(k) for k in range(40)])
    # Slides of one case count as one: the interval is wider.
    grouped = compare(given_, predicted, [str(k // 4) for k in range(40)])
    assert grouped.kappa == found.kappa
    assert grouped.kappa_low is not None
    assert grouped.kappa_low < found.kappa_low


def test_one_score_only_has_no_kappa() -> None:
    found = compare([2, 2], [2, 2], ["a", "b"])
    assert (found.correct, found.kappa, found.kappa_low) == (2, None, None)
    nothing = compare([], [], [])
    assert (nothing.slides, nothing.kappa) == (0, None)
