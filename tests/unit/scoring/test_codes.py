from __future__ import annotations

import itertools

import numpy as np
import pytest

from pathology.cells.table import INTENSITIES, PATTERNS
from pathology.scoring import (
    PatternCounts,
    counts_from_codes,
    load_guideline,
    pattern_codes,
    tile_score,
)
from pathology.scoring.rules import deciding_columns


def arrays(pairs):
    return (
        np.array([intensity for intensity, _ in pairs], dtype=np.uint8),
        np.array([complete for _, complete in pairs], dtype=np.bool_),
    )


ALL = [pair for pair in itertools.product(range(5), (False, True)) if pair != (0, True)]


def test_codes_are_those_of_the_cell_table() -> None:
    assert INTENSITIES == ("unstained", "faint", "weak", "moderate", "intense")
    guideline = load_guideline("asco-cap-breast-2018")
    for code, name in enumerate(PATTERNS[1:], start=1):
        assert deciding_columns((name,), guideline) == (code,)


@pytest.mark.parametrize(("intensity", "complete"), ALL)
def test_one_cell_of_each_kind(intensity: int, complete: bool) -> None:
    """The counts' own properties, the pattern codes and the names say the same."""
    codes = arrays([(intensity, complete)])
    counts = counts_from_codes(*codes)
    name = INTENSITIES[intensity]
    if intensity:
        name += "_complete" if complete else "_incomplete"
    assert getattr(counts, name) == 1
    assert counts.total == 1
    pattern = PATTERNS[int(pattern_codes(*codes)[0])]
    assert getattr(counts, pattern) == 1


def test_counts_match_a_loop() -> None:
    generator = np.random.default_rng(3)
    pairs = [ALL[k] for k in generator.integers(len(ALL), size=500)]
    counts = counts_from_codes(*arrays(pairs))
    assert counts.weak_complete == sum(pair == (2, True) for pair in pairs)
    assert counts.incomplete_moderate_intense == sum(
        pair in [(3, False), (4, False)] for pair in pairs
    )
    assert counts.total == 500


def test_no_cells() -> None:
    assert counts_from_codes(*arrays([])) == PatternCounts()
    assert pattern_codes(*arrays([])).shape == (0,)


@pytest.mark.parametrize(
    ("intensity", "complete", "message"),
    [
        (np.array([5], dtype=np.uint8), np.array([True]), "no intensity 5"),
        (np.array([0], dtype=np.uint8), np.array([True]), "cannot be complete"),
        (np.array([1], dtype=np.int64), np.array([True]), "uint8"),
        (np.array([1], dtype=np.uint8), np.array([1]), "bool"),
        (np.array([1, 1], dtype=np.uint8), np.array([True]), "same length"),
    ],
)
def test_codes_that_do_not_fit(intensity, complete, message) -> None:
    for function in (counts_from_codes, pattern_codes):
        with pytest.raises(ValueError, match=message):
            function(intensity, complete)


@pytest.mark.parametrize(
    ("counts", "label"),
    [
        (PatternCounts(), None),
        (PatternCounts(unstained=5), "0"),
        (PatternCounts(unstained=5, weak_incomplete=6), "1+"),
        (PatternCounts(unstained=5, moderate_incomplete=6), "2+"),
        (PatternCounts(unstained=5, weak_complete=6), "2+"),
        (PatternCounts(unstained=5, intense_complete=5), "3+"),
    ],
)
def test_tile_label_is_the_most_frequent_pattern(counts, label) -> None:
    assert tile_score(counts) == label
