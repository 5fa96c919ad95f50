"""Points that keep their distance, against brute force."""

from __future__ import annotations

import numpy as np
from scipy import spatial

from pathology.synthesis.seeds import poisson_points, thin


def test_thinned_points_keep_their_distance_and_fill_the_gaps() -> None:
    rng = np.random.default_rng(0)
    points = (rng.random((800, 2)) * 50).astype(np.float32)
    radius = rng.uniform(2, 4, 800).astype(np.float32)
    keep = thin(points, radius, rng.permutation(800))
    gap = spatial.distance.cdist(points, points)
    need = 0.5 * (radius[:, None] + radius[None, :])
    clash = (gap < need) & ~np.eye(800, dtype=bool)
    assert not clash[np.ix_(keep, keep)].any()
    assert clash[np.ix_(~keep, keep)].any(axis=1).all()


def test_thin_takes_no_points() -> None:
    assert thin(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros(0, int)).size == 0


def test_poisson_points_cover_the_rectangle_evenly() -> None:
    points = poisson_points(np.random.default_rng(1), -10.0, 300.0, 200.0, 5.0)
    assert points.min() >= -10
    assert points[:, 0].max() < 290
    assert points[:, 1].max() < 190
    nearest = spatial.cKDTree(points).query(points, k=2)[0][:, 1]
    assert nearest.min() > 4.99
    # Random sequential placing fills 0.70 points per squared spacing.
    assert 0.6 < len(points) * 25 / 60000 < 0.8
    grid = np.stack(np.meshgrid(np.arange(0, 280, 5.0), np.arange(0, 180, 5.0)), -1).reshape(-1, 2)
    assert spatial.cKDTree(points).query(grid)[0].max() < 10
