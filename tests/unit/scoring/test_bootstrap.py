from __future__ import annotations

import numpy as np
import pytest

from pathology.scoring import bootstrap as module
from pathology.scoring.bootstrap import Blocks, make_blocks, resample


def random_blocks(seed: int, b: int) -> Blocks:
    generator = np.random.default_rng(seed)
    return Blocks(
        cells=generator.integers(0, 50, (b, 5)), members=generator.integers(0, 30, (b, 3))
    )


def test_agrees_with_a_slow_reference() -> None:
    """The same draws, added up one block at a time."""
    blocks = random_blocks(1, 13)
    found = resample(blocks, replicates=40, seed=7)
    generator = np.random.Generator(np.random.PCG64(7))
    draws = generator.integers(13, size=(40, 13))
    for row, drawn in enumerate(draws):
        cells, members = [0] * 5, [0] * 3
        for block in drawn:
            cells = [a + int(b) for a, b in zip(cells, blocks.cells[block], strict=True)]
            members = [a + int(b) for a, b in zip(members, blocks.members[block], strict=True)]
        assert found.cells[row].tolist() == cells
        assert found.members[row].tolist() == members


def test_does_not_depend_on_how_many_draws_are_held_at_once(monkeypatch) -> None:
    blocks = random_blocks(2, 9)
    whole = resample(blocks, replicates=50, seed=3)
    monkeypatch.setattr(module, "_DRAWS_AT_ONCE", 20)
    parts = resample(blocks, replicates=50, seed=3)
    assert np.array_equal(whole.cells, parts.cells)
    assert np.array_equal(whole.members, parts.members)


def test_the_seed_decides() -> None:
    blocks = random_blocks(4, 20)
    first, same, other = (resample(blocks, replicates=9, seed=seed).cells for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_spread_is_that_of_theory() -> None:
    """Variance of the sum of b draws with replacement: b times the variance between blocks."""
    blocks = random_blocks(5, 40)
    sums = resample(blocks, replicates=20_000, seed=11).cells[:, 0]
    assert sums.mean() == pytest.approx(blocks.cells[:, 0].sum(), rel=0.01)
    assert sums.var() == pytest.approx(40 * blocks.cells[:, 0].var(), rel=0.05)


def test_blocks_count_every_cell_once() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.uniform(0, 5000, (2, 400)).astype(np.float32)
    pattern = generator.integers(0, 5, 400).astype(np.uint8)
    members = generator.random((400, 3)) < 0.3
    found = make_blocks(x, y, pattern, members, block_um=700.0)
    slow: dict[tuple[int, int], list[int]] = {}
    for row in range(400):
        place = (int(float(y[row]) // 700), int(float(x[row]) // 700))
        cell = slow.setdefault(place, [0] * 8)
        cell[pattern[row]] += 1
        for k in range(3):
            cell[5 + k] += int(members[row, k])
    expected = [slow[place] for place in sorted(slow)]
    assert np.hstack((found.cells, found.members)).tolist() == expected


def test_blocks_do_not_depend_on_the_order_of_cells() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.uniform(-900, 5000, (2, 300)).astype(np.float32)
    pattern = generator.integers(0, 5, 300).astype(np.uint8)
    members = generator.random((300, 3)) < 0.3
    order = generator.permutation(300)
    first = make_blocks(x, y, pattern, members, block_um=500.0)
    second = make_blocks(x[order], y[order], pattern[order], members[order], block_um=500.0)
    assert np.array_equal(first.cells, second.cells)
    assert np.array_equal(first.members, second.members)


def test_no_cells_make_no_blocks() -> None:
    none = np.zeros(0, dtype=np.float32)
    found = make_blocks(
        none, none, none.astype(np.uint8), np.zeros((0, 3), dtype=np.bool_), block_um=500.0
    )
    assert found.cells.shape == (0, 5)
    assert found.members.shape == (0, 3)
