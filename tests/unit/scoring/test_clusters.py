from __future__ import annotations

import numpy as np
import pytest

from pathology.scoring import clusters as module
from pathology.scoring import contiguous_clusters, largest_cluster


def slow_labels(x, y, link: float) -> list[int]:
    """Walk from cell to cell, one pair at a time."""
    n = len(x)
    labels = [-1] * n
    for start in range(n):
        if labels[start] >= 0:
            continue
        label = max(labels) + 1
        labels[start] = label
        waiting = [start]
        while waiting:
            i = waiting.pop()
            for j in range(n):
                near = (float(x[i]) - float(x[j])) ** 2 + (float(y[i]) - float(y[j])) ** 2
                if labels[j] < 0 and near <= link**2:
                    labels[j] = label
                    waiting.append(j)
    return labels


@pytest.mark.parametrize("slab", [7, 1000])
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_a_slow_walk(seed, slab, monkeypatch) -> None:
    """Also where chains of cells run through many slabs."""
    monkeypatch.setattr(module, "_SLAB_CELLS", slab)
    generator = np.random.default_rng(seed)
    x, y = generator.uniform(0, 300, (2, 120)).astype(np.float32)
    if seed == 0:
        x[:60] = 50.0  # a column of cells with the same x
    assert contiguous_clusters(x, y, 25.0).tolist() == slow_labels(x, y, 25.0)


def test_cells_at_the_link_touch() -> None:
    x = np.array([0, 25, 50.001], dtype=np.float32)
    assert contiguous_clusters(x, x * 0, 25.0).tolist() == [0, 0, 1]


def test_no_cell_and_one_cell() -> None:
    empty = np.zeros(0, dtype=np.float32)
    assert contiguous_clusters(empty, empty, 25.0).shape == (0,)
    assert largest_cluster(contiguous_clusters(empty, empty, 25.0)) == 0
    one = np.zeros(1, dtype=np.float32)
    assert largest_cluster(contiguous_clusters(one, one, 25.0)) == 1


@pytest.mark.parametrize(("x", "link"), [(np.nan, 25.0), (0.0, 0.0), (0.0, -1.0)])
def test_bad_input(x, link) -> None:
    place = np.array([x, 1.0], dtype=np.float32)
    with pytest.raises(ValueError, match=r"finite|above 0"):
        contiguous_clusters(place, place * 0, link)
