"""The card's figures: against slow twins that follow the definitions word by word."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.cells import CellTable
from pathology.synthesis import FieldCells
from pathology.training.evidence import figures as module
from pathology.training.evidence.figures import (
    FIGURES,
    FieldReading,
    confusion,
    figures,
    measure_model,
)
from pathology.training.evidence.measure import match_points


def make_reading(
    rng: np.random.Generator, n_truth: int, n_found: int, matched: int
) -> FieldReading:
    """Make a field with arbitrary truth and reading, as far as the figures look at them."""
    truth = FieldCells(
        x_px=np.zeros(n_truth, np.float32), y_px=np.zeros(n_truth, np.float32),
        cell_class=rng.integers(0, 3, n_truth).astype(np.uint8),
        outline_r_um=rng.uniform(2, 9, (n_truth, 32)).astype(np.float32),
        ray_od=np.zeros((n_truth, 32), np.float32),
        completeness=rng.random(n_truth).astype(np.float32),
        membrane_od=rng.random(n_truth).astype(np.float32),
        pattern=rng.integers(0, 5, n_truth).astype(np.uint8),
        visible=np.ones(n_truth, bool),
    )  # fmt: skip
    empty = CellTable.empty()
    columns = {
        name: np.zeros((n_found, *value.shape[1:]), value.dtype)
        for name, value in vars(empty).items()
    }
    columns |= {
        # Steps of 0.05 make ties.
        "tumour_probability": (rng.integers(0, 21, n_found) / 20).astype(np.float32),
        "cell_class": rng.integers(0, 2, n_found).astype(np.uint8),
        "outline_r": rng.integers(5, 50, (n_found, 32)).astype(np.uint8),
        "membrane_completeness": rng.random(n_found).astype(np.float32),
        "membrane_od_stained": rng.random(n_found).astype(np.float32),
        "pattern": rng.integers(0, 5, n_found).astype(np.uint8),
    }
    pairs = np.stack(
        [rng.permutation(n_truth)[:matched], rng.permutation(n_found)[:matched]], axis=1
    )
    return FieldReading(truth=truth, found=CellTable(**columns), pairs=pairs.astype(np.int64))


def readings(seed: int, fields: int = 4) -> list[FieldReading]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 60, (fields, 2))
    return [make_reading(rng, int(a), int(b), int(min(a, b)) - 5) for a, b in sizes]


def tumour(items: Sequence[FieldReading]) -> list[tuple[FieldReading, int, int]]:
    return [(item, i, j) for item in items for i, j in item.pairs if item.truth.cell_class[i] == 0]


def slow_f1(items: Sequence[FieldReading]) -> float:
    hits = sum(len(item.pairs) for item in items)
    precision = hits / sum(item.found.n for item in items)
    recall = hits / sum(item.truth.n for item in items)
    return 2 * precision * recall / (precision + recall)


def slow_auroc(items: Sequence[FieldReading]) -> float:
    scores: dict[bool, list[float]] = {True: [], False: []}
    for item in items:
        for i, j in item.pairs:
            scores[bool(item.truth.cell_class[i] == 0)].append(item.found.tumour_probability[j])
    wins = [1.0 if a > b else 0.5 * (a == b) for a, b in product(scores[True], scores[False])]
    return float(np.mean(wins))


def slow_share(items: Sequence[FieldReading]) -> float:
    shares = [
        (np.mean(item.found.cell_class == 0), np.mean(item.truth.cell_class == 0)) for item in items
    ]
    return float(np.mean([abs(a - b) for a, b in shares]))


def slow_outline(items: Sequence[FieldReading]) -> float:
    errors = [
        abs(float(item.found.outline_r[j, k]) * 0.2 - float(item.truth.outline_r_um[i, k]))
        for item, i, j in tumour(items)
        for k in range(32)
    ]
    return float(np.median(errors))


def slow_completeness(items: Sequence[FieldReading]) -> float:
    return float(
        np.mean(
            [
                abs(float(m.found.membrane_completeness[j]) - float(m.truth.completeness[i]))
                for m, i, j in tumour(items)
            ]
        )
    )


def slow_od(items: Sequence[FieldReading]) -> float:
    errors = [
        abs(float(item.found.membrane_od_stained[j]) - float(item.truth.membrane_od[i]))
        for item, i, j in tumour(items)
        if item.truth.pattern[i] != 0
    ]
    return float(np.mean(errors))


def slow_accuracy(items: Sequence[FieldReading]) -> float:
    return float(np.mean([m.found.pattern[j] == m.truth.pattern[i] for m, i, j in tumour(items)]))


def slow_macro_f1(items: Sequence[FieldReading]) -> float:
    cells = [(int(m.truth.pattern[i]), int(m.found.pattern[j])) for m, i, j in tumour(items)]
    scores = []
    for code in range(5):
        hits = sum(a == b == code for a, b in cells)
        size = sum(a == code for a, _ in cells) + sum(b == code for _, b in cells)
        if size:
            scores.append(2 * hits / size)
    return float(np.mean(scores))


TWINS: dict[str, Callable[[Sequence[FieldReading]], float]] = {
    "detection_f1": slow_f1,
    "tumour_auroc": slow_auroc,
    "tumour_share_error": slow_share,
    "outline_error_um": slow_outline,
    "completeness_error": slow_completeness,
    "membrane_od_error": slow_od,
    "pattern_accuracy": slow_accuracy,
    "pattern_macro_f1": slow_macro_f1,
}


def test_every_figure_has_a_twin() -> None:
    assert list(TWINS) == list(FIGURES)


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("seed", range(5))
def test_figures_are_what_their_definitions_say(name: str, seed: int) -> None:
    items = readings(seed)
    assert figures(items)[name] == pytest.approx(TWINS[name](items), abs=1e-6)


@pytest.mark.parametrize("name", TWINS)
def test_intervals_are_those_of_fields_drawn_anew(name: str) -> None:
    items = readings(11, fields=6)
    rng = np.random.default_rng(0)
    draws = [TWINS[name]([items[k] for k in draw]) for draw in rng.integers(6, size=(40, 6))]
    low, high = np.percentile(draws, (2.5, 97.5))
    found = measure_model(items, replicates=40)[name]
    # Histograms serve the intervals: of 0.01 µm for outlines, of 0.0005 for probabilities.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    assert found.low < found.value < found.high


def test_the_reported_numbers_of_cells() -> None:
    items = readings(3)
    found = measure_model(items, replicates=5)
    cells = tumour(items)
    assert found["detection_f1"].n == sum(item.truth.n for item in items)
    assert found["tumour_auroc"].n == sum(len(item.pairs) for item in items)
    assert found["tumour_share_error"].n == 4
    assert found["membrane_od_error"].n == sum(m.truth.pattern[i] > 0 for m, i, _ in cells)
    for name in ("outline_error_um", "completeness_error", "pattern_accuracy", "pattern_macro_f1"):
        assert found[name].n == len(cells)


def test_a_perfect_reading_is_perfect() -> None:
    item = readings(5, fields=1)[0]
    rows = item.pairs[:, 1]
    truth = item.truth.take(item.pairs[:, 0])
    found = item.found.take(rows)
    perfect = CellTable(
        **{
            **vars(found),
            "pattern": truth.pattern,
            "membrane_completeness": truth.completeness,
            "membrane_od_stained": truth.membrane_od,
            "tumour_probability": (truth.cell_class == 0).astype(np.float32),
            "cell_class": truth.cell_class,
        }
    )
    same = np.repeat(np.arange(len(rows))[:, None], 2, axis=1)
    got = figures([FieldReading(truth=truth, found=perfect, pairs=same)])
    assert got["detection_f1"] == got["tumour_auroc"] == 1.0
    assert got["pattern_accuracy"] == got["pattern_macro_f1"] == 1.0
    assert got["completeness_error"] == got["membrane_od_error"] == 0.0
    assert got["tumour_share_error"] == 0.0


def test_a_field_without_tumour_has_no_figure_where_none_can_be() -> None:
    rng = np.random.default_rng(0)
    item = make_reading(rng, 30, 30, 20)
    item.truth.cell_class[:] = 3
    found = measure_model([item], replicates=3)
    assert math.isnan(found["pattern_accuracy"].value)
    assert math.isnan(found["tumour_auroc"].value)
    assert math.isnan(found["outline_error_um"].low)
    assert found["pattern_accuracy"].plain()["value"] is None
    assert found["detection_f1"].value == pytest.approx(2 * 20 / 60)


def test_nothing_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="at least one field"):
        measure_model([])


def test_the_confusion_is_that_of_matched_tumour_cells() -> None:
    items = readings(9)
    expected = np.zeros((5, 5), dtype=int)
    for item, i, j in tumour(items):
        expected[item.truth.pattern[i], item.found.pattern[j]] += 1
    assert np.array_equal(confusion(items), expected)


def test_few_cells_have_no_tumour_share() -> None:
    few = make_reading(np.random.default_rng(1), module._MIN_CELLS - 1, 30, 10)
    assert measure_model([few], replicates=3)["tumour_share_error"].n == 0


POINTS = st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), max_size=12).map(
    lambda points: np.array(points, dtype=float).reshape(-1, 2)
)


@given(truth=POINTS, found=POINTS)
def test_matching_is_one_to_one_near_and_maximal(truth: np.ndarray, found: np.ndarray) -> None:
    pairs = match_points(truth, found, within_um=3.0)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    gaps = np.hypot(*(truth[pairs[:, 0]] - found[pairs[:, 1]]).T)
    assert (gaps <= 3.0).all()
    # Nobody who is left over could still be paired.
    left = np.setdiff1d(np.arange(len(truth)), pairs[:, 0])
    free = np.setdiff1d(np.arange(len(found)), pairs[:, 1])
    for i, j in product(left, free):
        assert np.hypot(*(truth[i] - found[j])) > 3.0
