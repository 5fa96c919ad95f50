"""What is known of a cell before it is painted, and how cells keep their distance."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import spatial

from pathology.synthesis.layout import MARGIN_UM, STEP_UM, Layout
from pathology.types import AnyArray, FloatArray

__all__ = ["SEED", "direction", "extent", "loose_cells", "poisson_points", "thin"]

#: One row per cell. Lengths in µm; ``along`` is the half axis in the direction ``angle`` and
#: ``across`` the other one; the nucleus has its own centre and axes. ``owner`` is the number of the
#: compartment, 0 for a cell free in the stroma; ``group`` is the pattern mix, -1 for none;
#: ``smeared`` marks cells that are cut tangentially, and
#: ``nbrown`` is the DAB OD of the nucleus.
SEED = np.dtype(
    [
        ("x", "f4"), ("y", "f4"), ("angle", "f4"), ("along", "f4"), ("across", "f4"),
        ("owner", "u1"), ("group", "i1"), ("cell_class", "u1"), ("body", "u1"),
        ("nx", "f4"), ("ny", "f4"), ("nangle", "f4"), ("nalong", "f4"), ("nacross", "f4"),
        ("nucleus", "?"), ("dense", "?"), ("nod", "f4"), ("cyt", "f4"), ("brown", "f4"),
        ("smeared", "?"), ("nbrown", "f4"),
    ]
)  # fmt: skip

TUMOUR, IN_SITU, NORMAL, LYMPHOID, STROMA, OTHER = range(6)
#: Kinds of cell bodies: none of its own (a nucleus in fibres), one cut from the label map, plasma
#: cell, foamy macrophage, signet ring, cell with a vacuole.
NO_BODY, LABELLED, PLASMA, FOAMY, SIGNET, VACUOLE = range(6)


#: Density of :func:`poisson_points` times the squared spacing (measured; darts jam at 0.70).
POINTS_PER_SPACING = 0.647


def thin(points: FloatArray, radius: FloatArray, order: AnyArray) -> AnyArray:
    """Keep points so that no two are nearer than the mean of their radii.

    Parameters
    ----------
    points
        (n, 2) float32.
    radius
        (n,) float32: wanted distance to the next point.
    order
        (n,) permutation: who is asked first.

    Returns
    -------
    (n,) bool.
    """
    count = len(points)
    if count == 0:
        return np.zeros(0, dtype=bool)
    tree = spatial.cKDTree(points)
    pairs = tree.query_pairs(float(radius.max()), output_type="ndarray")
    gap = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    pairs = pairs[gap < 0.5 * (radius[pairs[:, 0]] + radius[pairs[:, 1]])]
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    start = np.searchsorted(both[:, 0], np.arange(count + 1))
    keep = np.ones(count, dtype=bool)
    neighbours = both[:, 1]
    for i in order:
        if keep[i]:
            keep[neighbours[start[i] : start[i + 1]]] = False
    return keep


@lru_cache(maxsize=1)
def _poisson_tile() -> tuple[FloatArray, float]:
    """Return a periodic set of points at distance 1 or more, and the side of its square."""
    side = 36.0
    rng = np.random.default_rng(20180511)
    kept = np.zeros((0, 2))
    # Rounds of darts: each round throws only where there is still room. Distances are taken around
    # the edge (boxsize), so that copies of the square join.
    for _ in range(8):
        darts = rng.random((6000, 2)) * side
        if len(kept):
            gap, _ = spatial.cKDTree(kept, boxsize=side).query(darts)
            darts = darts[gap >= 1.0]
        near = spatial.cKDTree(darts, boxsize=side).query_ball_point(darts, 1.0)
        alive = np.ones(len(darts), dtype=bool)
        for i, others in enumerate(near):
            if alive[i]:
                alive[others] = False
                alive[i] = True
        kept = np.concatenate([kept, darts[alive]])
    return kept.astype(np.float32), side


def poisson_points(
    rng: np.random.Generator, low: float, width: float, height: float, spacing: float
) -> FloatArray:
    """Strew points over a rectangle, no two nearer than about ``spacing``.

    Parameters
    ----------
    rng
        Source of randomness (turn and shift of a fixed blue-noise set).
    low
        The rectangle begins at (low, low), µm.
    width, height
        Its size, µm.
    spacing
        Least distance, µm.

    Returns
    -------
    (n, 2) float32 of x, y in µm.
    """
    tile, side = _poisson_tile()
    turn = rng.uniform(0, 2 * np.pi)
    reach = np.hypot(width, height) / spacing
    copies = int(np.ceil(reach / side)) + 1
    shift = rng.random(2) * side
    steps = (np.arange(copies) - copies / 2) * side
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 1, 2)
    points = (tile[None] + grid + shift - side / 2).reshape(-1, 2)
    c, s = np.cos(turn), np.sin(turn)
    points = points @ np.array([[c, s], [-s, c]]) * spacing + np.array([width, height]) / 2
    inside = (points >= 0).all(axis=1) & (points[:, 0] < width) & (points[:, 1] < height)
    return np.asarray(points[inside] + low, dtype=np.float32)


def extent(plan: Layout) -> tuple[float, float, float]:
    """Return where the layout begins (x and y alike), its width and its height, µm."""
    low = -MARGIN_UM + STEP_UM
    return low, plan.width_um - 2 * low, plan.height_um - 2 * low


def direction(plan: Layout, name: str, x_um: AnyArray, y_um: AnyArray) -> AnyArray:
    """Return the angle in which a field of the layout grows fastest, at points.

    Parameters
    ----------
    plan
        The layout.
    name
        Name of the field.
    x_um, y_um
        Points, µm.
    """
    d = 1.5 * STEP_UM
    dx = plan.at(name, x_um + d, y_um) - plan.at(name, x_um - d, y_um)
    dy = plan.at(name, x_um, y_um + d) - plan.at(name, x_um, y_um - d)
    return np.asarray(np.arctan2(dy, dx))


def loose_cells(
    x: AnyArray, y: AnyArray, cell_class: int, rng: np.random.Generator, *, size: float,
    stretch: float,
) -> AnyArray:  # fmt: skip
    """Make cells that are a nucleus and little more."""
    count = len(x)
    cells = np.zeros(count, dtype=SEED)
    cells["x"] = cells["nx"] = x
    cells["y"] = cells["ny"] = y
    radius = size * np.exp(rng.normal(0, 0.12, count))
    axis = np.maximum(stretch * np.exp(rng.normal(0, 0.2, count)), 1.0)
    cells["nalong"], cells["nacross"] = radius * np.sqrt(axis), radius / np.sqrt(axis)
    cells["nangle"] = rng.uniform(0, np.pi, count)
    cells["along"], cells["across"] = cells["nalong"] + 0.8, cells["nacross"] + 0.8
    cells["cell_class"], cells["group"], cells["nucleus"] = cell_class, -1, True
    cells["nod"], cells["cyt"] = np.exp(rng.normal(0, 0.2, count)), 1.0
    return cells
