from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pathology.config import load_config
from pathology.scoring import (
    ClusterSizes,
    Evidence,
    PatternCounts,
    apply_rules,
    load_guideline,
    pattern_codes,
)
from pathology.scoring.bootstrap import Blocks, make_blocks, resample, resample_views
from pathology.scoring.spread import N_WAVES, measure_spread
from pathology.scoring.uncertainty import assess
from pathology.scoring.views import find_clusters


def blocks_of(share: np.ndarray, *, per: int = 100) -> Blocks:
    """A lattice of blocks with this share of stained cells each."""
    width = share.shape[1]
    stained = np.rint(share.ravel() * per).astype(np.int64)
    cells = np.zeros((share.size, 5), dtype=np.int64)
    cells[:, 1], cells[:, 0] = stained, per - stained
    row, col = np.divmod(np.arange(share.size), width)
    return Blocks(
        cells=cells,
        members=np.zeros((share.size, 3), dtype=np.int64),
        places=np.column_stack((col, row)),
    )


def test_few_blocks_get_the_small_sample_correction() -> None:
    shares = np.array([[0.1, 0.2, 0.3, 0.1, 0.2]])
    found = measure_spread(blocks_of(shares), (1,), level=0.95)
    assert found.own == pytest.approx(shares.var() / 5)
    assert found.variance == pytest.approx(shares.var(ddof=1) / 5)
    assert found.stretch == pytest.approx(stats.t.ppf(0.025, 4) / stats.norm.ppf(0.025))
    assert found.draws == 4


def test_the_bootstrap_has_the_variance_that_was_measured() -> None:
    generator = np.random.default_rng(3)
    share = np.add.outer(np.linspace(0, 0.2, 10), generator.uniform(0, 0.1, 10))
    blocks = blocks_of(share)
    found = measure_spread(blocks, (1,), level=0.95)
    assert found.draws < 60  # a slope across the tumour: far from independent
    drawn = resample(blocks, replicates=20_000, seed=1, draws=found.draws)
    fractions = drawn.cells[:, 1] / drawn.totals
    assert fractions.var() == pytest.approx(found.variance, rel=0.1)


def test_independent_blocks_are_told_from_patches() -> None:
    """On average the long waves see no more than is there, and what neighbours share."""
    generator = np.random.default_rng(5)
    alone, patches = [], []
    for _ in range(200):
        small = generator.normal(0.3, 0.1, (12, 12)).clip(0, 1)
        large = np.kron(generator.normal(0.3, 0.1, (4, 4)), np.ones((3, 3))).clip(0, 1)
        for share, found in ((small, alone), (large, patches)):
            spread = measure_spread(blocks_of(share), (1,), level=0.95)
            found.append(spread.variance / spread.own)
    # Never less than between blocks, so somewhat above 1; patches of nine blocks are nine-fold.
    assert 1.0 <= np.mean(alone) < 1.4
    assert np.mean(patches) > 4


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (2, 20), (6, 6)])
def test_any_shape_has_its_waves(shape) -> None:
    """A core biopsy is a strip: its waves run along it."""
    slope = np.linspace(0, 0.4, max(shape))
    share = np.broadcast_to(slope[:, None] if shape[0] > shape[1] else slope, shape)
    found = measure_spread(blocks_of(share), (1,), level=0.95)
    assert found.variance > 2 * found.own


def test_it_does_not_depend_on_where_the_lattice_begins() -> None:
    generator = np.random.default_rng(9)
    blocks = blocks_of(generator.uniform(0, 0.3, (7, 5)))
    assert blocks.places is not None
    moved = Blocks(
        cells=blocks.cells, members=blocks.members, places=blocks.places + np.array([90, -40])
    )
    assert measure_spread(moved, (1,), level=0.95) == measure_spread(blocks, (1,), level=0.95)


def test_nothing_varies_nothing_is_inflated() -> None:
    found = measure_spread(blocks_of(np.full((6, 6), 0.2)), (1,), level=0.95)
    assert (found.variance, found.draws, found.stretch) == (0.0, 36, 1.0)


def test_views_are_drawn_alike() -> None:
    generator = np.random.default_rng(2)
    x, y = generator.uniform(0, 4000, (2, 500)).astype(np.float32)
    none = np.zeros((500, 3), dtype=np.bool_)
    views = [
        make_blocks(x, y, generator.integers(0, 5, 500).astype(np.uint8), none, block_um=500.0)
        for _ in range(3)
    ]
    together = resample_views(views, replicates=30, seed=8, draws=17)
    for view, found in zip(views, together, strict=True):
        alone = resample(view, replicates=30, seed=8, draws=17)
        assert np.array_equal(found.cells, alone.cells)
        assert np.array_equal(found.totals, together[0].totals)


def test_five_waves_are_as_many_degrees_of_freedom() -> None:
    """Where the waves see more than the blocks, the interval is that of t with five."""
    generator = np.random.default_rng(4)
    share = np.kron(generator.normal(0.3, 0.1, (4, 4)), np.ones((3, 3))).clip(0, 1)
    found = measure_spread(blocks_of(share), (1,), level=0.95)
    assert found.stretch * stats.norm.ppf(0.025) == pytest.approx(stats.t.ppf(0.025, N_WAVES))


def test_a_cluster_is_as_large_in_replicates_of_fewer_blocks() -> None:
    """Thirty intense cells of 6,000 in one half of the tumour: few blocks are drawn, each for many.

    They are below the floor and present as a cluster only: without its size put right, no replicate
    would have it.
    """
    share = np.zeros((5, 6))
    share[:, 3:] = 0.01
    blocks = blocks_of(share, per=200)
    cells = blocks.cells[:, [0, 2, 3, 4, 1]]  # what was column 1 is complete and intense
    members = np.zeros((30, 3), dtype=np.int64)
    members[:, 0] = members[:, 1] = cells[:, 4]
    params, guideline = load_config().scoring, load_guideline("asco-cap-breast-2018")
    decision = apply_rules(
        PatternCounts(unstained=5970, intense_complete=30),
        guideline=guideline,
        params=params,
        clusters=ClusterSizes(complete_intense=30),
    )
    assert decision.score == "2+"
    whole = Blocks(cells=cells, members=members, places=blocks.places)
    draws = measure_spread(whole, (4,), level=0.95).draws
    assert draws < 15
    found = assess(decision, whole, guideline=guideline, params=params, unseen=0)
    assert found.agreement is not None
    assert found.agreement > 0.6


def test_far_above_the_floor_every_cell_is_a_member() -> None:
    generator = np.random.default_rng(6)
    n = 1000
    x, y = generator.uniform(0, 9000, (2, n)).astype(np.float32)
    intensity = np.where(np.arange(n) < 600, 4, 0).astype(np.uint8)
    intensity[-8:] = 3
    evidence = Evidence(
        x_um=x,
        y_um=y,
        intensity=intensity,
        complete=intensity == 4,
        membrane_od=np.zeros(n, dtype=np.float32),
        tissue_mm2=81.0,
    )
    params, guideline = load_config().scoring, load_guideline("asco-cap-breast-2018")
    codes = pattern_codes(evidence.intensity, evidence.complete)
    exact, _ = find_clusters(evidence, codes, guideline, params)
    quick, _ = find_clusters(evidence, codes, guideline, params, only_rare=True)
    assert not exact.any()  # a cell in 80,000 µm² touches nobody
    assert quick[:, 0].tolist() == (intensity == 4).tolist()
    assert not quick[:, 2].any()  # eight cells are looked at as they lie
