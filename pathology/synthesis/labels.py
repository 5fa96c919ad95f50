"""Which pixel belongs to which cell, how far it is from the cell's border, and the outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pathology.cells import N_RAYS
from pathology.synthesis.layout import Layout
from pathology.synthesis.noise import NoiseBank
from pathology.types import AnyArray, BoolArray, FloatArray

__all__ = ["Block", "BlockMap", "Borders", "Rays", "cast_rays", "find_borders", "map_block"]

#: A membrane is drawn up to this far from the border, µm: beyond twice the widest (2.1 µm, 3+).
REACH_UM = 2.6
#: Rays step this far, µm: half the finest pixel, so that outlines are as exact as the map.
RAY_STEP_UM = 0.25
#: No outline is longer, µm (a 70 µm tall column seen from its basal nucleus).
RAY_MAX_UM = 50.0
_NONE = -1


@dataclass(frozen=True, kw_only=True)
class Block:
    """Hold a rectangle of pixels: (x0, y0) is its first pixel in the frame of the field."""

    x0: int
    y0: int
    width: int
    height: int
    mpp: float

    @property
    def x_um(self) -> FloatArray:
        """Return (width,) µm of the pixel centres."""
        return ((self.x0 + np.arange(self.width) + 0.5) * self.mpp).astype(np.float32)

    @property
    def y_um(self) -> FloatArray:
        """Return (height,) µm of the pixel centres."""
        return ((self.y0 + np.arange(self.height) + 0.5) * self.mpp).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class BlockMap:
    """Hold the label map of a block; all arrays (height, width).

    Parameters
    ----------
    block
        The pixels.
    wx, wy
        Warped position in µm: what the metric of a cell sees, so that borders are wavy.
    owner
        Number of the compartment; 0 in the stroma.
    depth
        Distance in µm from the base of that compartment, positive inside.
    edge
        Distance in µm to the nearest face (base or lumen), positive inside; 1e4 in the stroma.
    first, second
        int32 index of the nearest and the next cell in their own metrics; -1 for none.
    d1, d2
        Those distances; 1 is the cell's largest extent.
    label
        int32 index of the cell that owns the pixel; -1 for none.
    """

    block: Block
    wx: FloatArray
    wy: FloatArray
    owner: AnyArray
    depth: FloatArray
    edge: FloatArray
    first: AnyArray
    second: AnyArray
    d1: FloatArray
    d2: FloatArray
    label: AnyArray


def metric(cells: AnyArray) -> FloatArray:
    """Return (n, 3) float32: coefficients a, b, c of the squared distance a·x² + 2b·xy + c·y²."""
    c, s = np.cos(cells["angle"]), np.sin(cells["angle"])
    u, v = 1 / cells["along"] ** 2, 1 / cells["across"] ** 2
    return np.stack([c * c * u + s * s * v, c * s * (u - v), s * s * u + c * c * v], axis=1).astype(
        np.float32
    )


def map_block(block: Block, plan: Layout, cells: AnyArray, bank: NoiseBank) -> BlockMap:
    """Give each pixel of a block to the cell that is nearest in that cell's own metric.

    Parameters
    ----------
    block
        The pixels.
    plan
        The layout.
    cells
        Structured array of all cells; those without a body in the map are passed over.
    bank
        Noise for the wavy borders.
    """
    x, y = block.x_um, block.y_um
    wx = x[None, :] + 0.85 * bank.grid(0, x, y, 4.2) + 0.28 * bank.grid(2, x, y, 1.3)
    wy = y[:, None] + 0.85 * bank.grid(1, x, y, 4.2) + 0.28 * bank.grid(3, x, y, 1.3)
    depth, owner, edge = faces(plan, x, y)
    shape = (block.height, block.width)
    d1, d2 = np.full(shape, np.inf, np.float32), np.full(shape, np.inf, np.float32)
    first, second = np.full(shape, _NONE, np.int32), np.full(shape, _NONE, np.int32)
    # What lies further than a membrane from its compartment belongs to nobody.
    place = np.where(edge > -REACH_UM, owner, 255).astype(np.uint8)
    m, owners = metric(cells), cells["owner"]
    for i, window in _windows(block, cells):
        dx, dy = wx[window] - cells["x"][i], wy[window] - cells["y"][i]
        q = dx * (m[i, 0] * dx + 2 * m[i, 1] * dy) + m[i, 2] * dy * dy
        q[place[window] != owners[i]] = np.inf
        _merge(q, i, d1[window], d2[window], first[window], second[window])
    np.sqrt(d1, out=d1)
    np.sqrt(d2, out=d2)
    label = np.where((d1 <= 1) & (edge > 0), first, _NONE)
    return BlockMap(
        block=block, wx=wx, wy=wy, owner=owner, depth=depth, edge=edge, first=first,
        second=second, d1=d1, d2=d2, label=label,
    )  # fmt: skip


def faces(
    plan: Layout, x_um: FloatArray, y_um: FloatArray
) -> tuple[FloatArray, AnyArray, FloatArray]:
    """Return (depth, owner, edge) of the epithelia on a grid of points."""
    depth = plan.grid("sdf", x_um, y_um)
    owner = plan.nearest("owner", x_um, y_um)
    heights = np.array([1e4, *(kind.height_um for kind in plan.compartments)], dtype=np.float32)
    owner = np.where(depth > -REACH_UM, owner, 0).astype(np.uint8)
    edge = np.where(owner > 0, np.minimum(depth, heights[owner] - depth), np.float32(1e4))
    return depth, owner, edge.astype(np.float32)


def _windows(block: Block, cells: AnyArray) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Yield the index and the pixel window of every cell that reaches into the block."""
    c, s = np.cos(cells["angle"]), np.sin(cells["angle"])
    # A membrane and the warp reach a little beyond the cell's own ellipse.
    rx = np.hypot(cells["along"] * c, cells["across"] * s) + REACH_UM
    ry = np.hypot(cells["along"] * s, cells["across"] * c) + REACH_UM
    x0 = np.floor((cells["x"] - rx) / block.mpp).astype(int) - block.x0
    x1 = np.ceil((cells["x"] + rx) / block.mpp).astype(int) - block.x0
    y0 = np.floor((cells["y"] - ry) / block.mpp).astype(int) - block.y0
    y1 = np.ceil((cells["y"] + ry) / block.mpp).astype(int) - block.y0
    x0, y0 = np.maximum(x0, 0), np.maximum(y0, 0)
    x1, y1 = np.minimum(x1, block.width), np.minimum(y1, block.height)
    inside = (x1 > x0) & (y1 > y0) & in_map(cells)
    for i in np.flatnonzero(inside).tolist():
        yield i, (slice(y0[i], y1[i]), slice(x0[i], x1[i]))


def in_map(cells: AnyArray) -> BoolArray:
    """Tell which cells have a body in the label map: epithelium and single tumour cells."""
    return np.asarray(cells["group"] >= 0)


def _merge(
    q: FloatArray, i: int, d1: FloatArray, d2: FloatArray, first: AnyArray, second: AnyArray
) -> None:
    """Enter one cell's squared distances into the two best of each pixel, in place."""
    nearer = q < d1
    runner = (q < d2) & ~nearer
    np.copyto(d2, d1, where=nearer)
    np.copyto(second, first, where=nearer)
    np.copyto(d1, q, where=nearer)
    first[nearer] = i
    np.copyto(d2, q, where=runner)
    second[runner] = i


@dataclass(frozen=True, kw_only=True)
class Borders:
    """Hold the pixels near a membrane; all arrays (n,).

    Parameters
    ----------
    flat
        Flat index of the pixel in its block.
    distance
        Distance to the nearest border, µm, never negative.
    mine, other
        The cells on this and on the other side; ``other`` is -1 at a free face.
    """

    flat: AnyArray
    distance: FloatArray
    mine: AnyArray
    other: AnyArray


def find_borders(chart: BlockMap, cells: AnyArray) -> Borders:
    """Find the pixels near a border of a cell, and how near.

    The distance to the border between two cells is that to the zero of d2 - d1, to first order:
    the difference over the length of its gradient.

    Parameters
    ----------
    chart
        The label map.
    cells
        Structured array of all cells.
    """
    if not (chart.first >= 0).any():
        none = np.zeros(0, np.intp)
        return Borders(flat=none, distance=np.zeros(0, np.float32), mine=none, other=none)
    m = metric(cells)
    short = np.minimum(cells["along"], cells["across"])
    known = chart.first >= 0
    reach = REACH_UM / np.maximum(short[np.maximum(chart.first, 0)], 1.0)
    # Where there is no second cell d2 is infinite, which is far.
    close = known & (
        (chart.d2 - np.where(known, chart.d1, 0) < 2.2 * reach)
        | (np.abs(1 - chart.d1) < 1.2 * reach)
        | (np.abs(chart.edge) < REACH_UM)
    )
    flat = np.flatnonzero(close)
    mine, other = chart.first.ravel()[flat], chart.second.ravel()[flat]
    d1, d2 = chart.d1.ravel()[flat], chart.d2.ravel()[flat]
    edge = chart.edge.ravel()[flat]
    x, y = chart.wx.ravel()[flat], chart.wy.ravel()[flat]
    gx, gy = _gradient(m, cells, mine, x, y, d1)
    hx, hy = _gradient(m, cells, np.maximum(other, 0), x, y, d2)
    with np.errstate(invalid="ignore"):
        between = (d2 - d1) / np.maximum(np.hypot(hx - gx, hy - gy), 1e-3)
    between = np.where((other >= 0) & (d2 < 1.02), between, np.inf)
    rim = (1 - d1) / np.maximum(np.hypot(gx, gy), 1e-3)
    face = np.minimum(rim, edge)
    free = np.abs(face)
    outside = face < 0
    between = np.where(outside, np.inf, between)
    distance = np.minimum(between, free)
    near = distance < REACH_UM
    other = np.where(between <= free, other, _NONE)
    return Borders(
        flat=flat[near], distance=distance[near].astype(np.float32), mine=mine[near],
        other=other[near],
    )  # fmt: skip


def _gradient(
    m: FloatArray, cells: AnyArray, index: AnyArray, x: FloatArray, y: FloatArray, d: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the gradient of a cell's distance at points."""
    a = m[index]
    dx, dy = x - cells["x"][index], y - cells["y"][index]
    scale = 1 / np.maximum(d, 1e-3)
    return (a[:, 0] * dx + a[:, 1] * dy) * scale, (a[:, 1] * dx + a[:, 2] * dy) * scale


@dataclass(frozen=True, kw_only=True)
class Rays:
    """Hold the outlines of cells, seen from their centres.

    Parameters
    ----------
    radius
        (n, 32) float32: distance to the outline along each ray, µm.
    other
        (n, 32) int32: the cell beyond; -1 where there is none.
    """

    radius: FloatArray
    other: AnyArray


def cast_rays(chart: BlockMap, index: AnyArray, x_um: AnyArray, y_um: AnyArray) -> Rays:
    """Cast 32 rays from each centre to the first pixel that is not the cell's.

    Parameters
    ----------
    chart
        The label map.
    index
        (n,) the cells.
    x_um, y_um
        (n,) their centres in µm; each must lie on its own cell.
    """
    block = chart.block
    angles = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
    c, s = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    steps = np.arange(1, int(RAY_MAX_UM / RAY_STEP_UM) + 1, dtype=np.float32) * RAY_STEP_UM
    radius = np.full((len(index), N_RAYS), RAY_MAX_UM, np.float32)
    other = np.full((len(index), N_RAYS), _NONE, np.int32)
    row, ray = (part.ravel() for part in np.indices(radius.shape))
    x = (x_um[row] / block.mpp - block.x0).astype(np.float32)
    y = (y_um[row] / block.mpp - block.y0).astype(np.float32)
    dx, dy = c[ray] / np.float32(block.mpp), s[ray] / np.float32(block.mpp)
    # All rays step out together; those that have arrived drop out.
    flat_label = chart.label.ravel()
    for r in steps:
        column = np.clip((x + r * dx).astype(np.int32), 0, block.width - 1)
        line = np.clip((y + r * dy).astype(np.int32), 0, block.height - 1)
        found = flat_label[line * block.width + column]
        done = found != index[row]
        if done.any():
            # The border lies between this step and the one before.
            radius[row[done], ray[done]] = r - RAY_STEP_UM / 2
            other[row[done], ray[done]] = found[done]
            left = ~done
            row, ray, x, y, dx, dy = row[left], ray[left], x[left], y[left], dx[left], dy[left]
            if not len(row):
                break
    return Rays(radius=radius, other=other)
