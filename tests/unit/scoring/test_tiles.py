"""Scores from tiles: the words, the minimum, clusters and what tiles cannot say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pathology.config import ScoringConfig, load_config
from pathology.scoring import TILE_CLASSES, TileEvidence, TileOutputs, score_tiles

Make = Callable[..., TileEvidence]


@pytest.fixture
def make() -> Make:
    """Tiles of given patterns in a row, ``step`` tile sides apart."""

    def build(
        *counts: int, outputs: TileOutputs = "patterns", step: float = 5.0, failed: int = 0
    ) -> TileEvidence:
        pattern = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
        return TileEvidence(
            x_um=(np.arange(len(pattern)) * step * 128).astype(np.float32),
            y_um=np.zeros(len(pattern), dtype=np.float32),
            pattern=pattern,
            side_um=128.0,
            n_read=len(pattern) + 10,
            n_failed=failed,
            outputs=outputs,
        )

    return build


@pytest.mark.parametrize(
    ("counts", "score", "tier", "clause"),
    [
        ((80, 0, 0, 0, 20), "3+", "her2_positive", "20.0 % complete intense > 10 % (20 of 100"),
        ((90, 0, 0, 0, 10), "2+", "her2_equivocal", "10.0 % complete intense, present"),
        ((80, 0, 0, 20, 0), "2+", "her2_equivocal", "20.0 % complete weak-moderate > 10 %"),
        ((80, 20, 0, 0, 0), "1+", "her2_low", "20.0 % incomplete faint > 10 % (20 of 100 tiles)"),
        ((90, 10, 0, 0, 0), "0", "her2_ultralow", "10.0 % incomplete faint, not > 10 %"),
        ((100, 0, 0, 0, 0), "0", "her2_null", "no tile with stained membranes (0 of 100 tiles)"),
    ],
)
def test_patterns(
    make: Make, params: ScoringConfig, counts: tuple[int, ...], score: str, tier: str, clause: str
) -> None:
    found = score_tiles(make(*counts), params)
    assert (found.ihc_score, found.her2_tier) == (score, tier)
    assert clause in found.deciding_clause


@pytest.mark.parametrize(
    ("counts", "score", "clause"),
    [
        ((80, 0, 0, 0, 20), "3+", "3+: 20.0 % called 3+ > 10 % (20 of 100 tiles)"),
        ((80, 0, 0, 20, 0), "2+", "2+: 20.0 % called 2+ > 10 % (20 of 100 tiles)"),
        ((85, 10, 0, 5, 0), "1+", "1+: 15.0 % called 2+ and called 1+ together > 10 %"),
        ((100, 0, 0, 0, 0), "0", "0 (null): no tile called more than 0 (0 of 100 tiles)"),
    ],
)
def test_scores(
    make: Make, params: ScoringConfig, counts: tuple[int, ...], score: str, clause: str
) -> None:
    found = score_tiles(make(*counts, outputs="scores"), params)
    assert found.ihc_score == score
    assert found.deciding_clause.startswith(clause)


def test_ten_per_cent_of_intense_tiles_are_not_lost(make: Make, params: ScoringConfig) -> None:
    """Adding up tiles at or above a score would call this 0."""
    found = score_tiles(make(95, 0, 0, 0, 5, outputs="scores"), params)
    assert found.ihc_score == "2+"
    assert "heterogeneous" in found.flags


def test_a_null_of_tiles_is_never_claimed(make: Make, params: ScoringConfig) -> None:
    found = score_tiles(make(50_000), params)
    assert found.her2_tier == "her2_null"
    assert {"tile_model", "ultralow_not_excluded"} <= set(found.flags)
    assert "limit_of_blank_unset" not in found.flags
    assert found.ultralow_upper_pct is None


def test_the_minimum_is_one_of_tiles(make: Make) -> None:
    params = load_config(overrides=["scoring.min_tumour_cells=100000"]).scoring
    assert score_tiles(make(40), params).ihc_score == "0"
    few = score_tiles(make(39), params)
    assert few.reasons == ("too_few_cells",)
    assert few.deciding_clause.startswith(
        "no score: 39 tumour tiles, fewer than 40: 39 of 49 tiles"
    )
    none = score_tiles(make(0), params)
    assert none.deciding_clause == "no score: no tile with tumour"


def test_one_tile_of_the_smallest_slide_is_less_than_borderline() -> None:
    params = load_config().scoring
    assert 100 / params.min_tumour_tiles <= params.borderline_pp


@pytest.mark.parametrize(("step", "score"), [(1.0, "2+"), (1.6, "0")])
def test_tiles_that_touch_are_a_cluster(
    make: Make, params: ScoringConfig, step: float, score: str
) -> None:
    """0.4 % of the tiles are below the floor, unless they lie side by side."""
    assert score_tiles(make(996, 0, 0, 0, 4, step=step), params).ihc_score == score
    assert score_tiles(make(997, 0, 0, 0, 3, step=step), params).ihc_score == "0"


def test_tiles_that_touch_at_a_corner_are_a_cluster(params: ScoringConfig) -> None:
    pattern = np.array([0] * 996 + [4] * 4, dtype=np.uint8)
    x = (np.arange(1000) * 1000).astype(np.float32)
    y = np.zeros(1000, dtype=np.float32)
    x[996:], y[996:] = 128 * np.arange(4), 5000 + 128 * np.arange(4)
    found = score_tiles(
        TileEvidence(x_um=x, y_um=y, pattern=pattern, side_um=128.0, n_read=1000), params
    )
    assert found.ihc_score == "2+"


def test_a_failed_tile_is_one_tumour_tile_at_most(make: Make, params: ScoringConfig) -> None:
    sure = score_tiles(make(0, 0, 0, 0, 60, failed=3), params)
    assert (sure.ihc_score, sure.unseen_cells) == ("3+", 3)
    assert "failed_tiles" in sure.flags
    torn = score_tiles(make(60, failed=7), params)
    assert torn.reasons == ("failed_tiles",)
    assert "up to 7 tumour tiles" in torn.deciding_clause


def test_without_any_tile_read_nothing_is_said_of_tumour(params: ScoringConfig) -> None:
    empty = np.zeros(0, dtype=np.float32)
    found = score_tiles(
        TileEvidence(
            x_um=empty,
            y_um=empty,
            pattern=empty.astype(np.uint8),
            side_um=128.0,
            n_read=0,
            n_failed=9,
        ),
        params,
    )
    assert found.reasons == ("failed_tiles",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pattern": np.array([5], dtype=np.uint8)},
        {"pattern": np.array([1], dtype=np.int64)},
        {"side_um": 0.0},
        {"n_read": 0},
        {"n_failed": -1},
    ],
)
def test_evidence_checks_itself(wrong: dict[str, object]) -> None:
    one = np.zeros(1, dtype=np.float32)
    good: dict[str, object] = {
        "x_um": one,
        "y_um": one,
        "pattern": np.zeros(1, dtype=np.uint8),
        "side_um": 128.0,
        "n_read": 1,
    }
    TileEvidence(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"pattern|side_um|tumour tiles"):
        TileEvidence(**(good | wrong))  # type: ignore[arg-type]


def test_absence_of_tumour_is_a_class_of_its_own() -> None:
    for classes in TILE_CLASSES.values():
        assert classes[0] == "no_tumour"


def on_a_grid(tumour: np.ndarray, *, drawn: bool = False) -> TileEvidence:
    """Unstained tumour tiles at the true places of a grid; all of the grid was read."""
    rows, columns = np.nonzero(tumour)
    return TileEvidence(
        x_um=((columns + 0.5) * 128).astype(np.float32),
        y_um=((rows + 0.5) * 128).astype(np.float32),
        pattern=np.zeros(len(rows), dtype=np.uint8),
        side_um=128.0,
        n_read=tumour.size,
        tumour_drawn=drawn,
    )


def test_scattered_false_tiles_of_a_lymph_node_are_no_tumour(params: ScoringConfig) -> None:
    rng = np.random.default_rng(1)
    node = np.zeros((100, 120), dtype=np.bool_)
    node.ravel()[rng.choice(node.size, 60, replace=False)] = True
    found = score_tiles(on_a_grid(node), params)
    assert (found.ihc_score, found.reasons) == (None, ("no_tumour",))
    assert "60 of 12,000 tiles (0.5 %) called tumour, 0 of them in groups" in found.deciding_clause
    assert score_tiles(on_a_grid(node, drawn=True), params).ihc_score == "0"


def test_tumour_tiles_that_touch_are_believed(params: ScoringConfig) -> None:
    node = np.zeros((100, 120), dtype=np.bool_)
    node[40:47, 50:57] = True
    assert score_tiles(on_a_grid(node), params).ihc_score == "0"
    pairs = np.zeros_like(node)
    pairs[::6, :24:4] = pairs[::6, 1:24:4] = True  # as many, two by two in a row: no groups
    assert pairs.sum() > node.sum()
    assert score_tiles(on_a_grid(pairs), params).reasons == ("no_tumour",)


@pytest.mark.parametrize("n", [40, 47, 99, 120, 349, 350, 399])
def test_a_few_tiles_are_no_pattern(make: Make, params: ScoringConfig, n: int) -> None:
    """One wrong tile of 40 is 2.5 %, above a floor of 1 %; it must not make a 0 a 2+."""
    least = params.cluster_min_tiles
    few = score_tiles(make(n - least + 1, 0, 0, 0, least - 1), params)
    assert (few.ihc_score, "below_floor" in few.flags) == ("0", True)
    assert score_tiles(make(n - 1, 0, 0, 0, 1), params).ihc_score == "0"
    assert score_tiles(make(n - least, 0, 0, 0, least), params).ihc_score == "2+"
    assert score_tiles(make(n - 1, 0, 1), params).ihc_score == "0"
