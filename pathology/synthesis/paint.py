"""Paint cells: cytoplasm, membranes and nuclei, into the layers of a block."""

from __future__ import annotations

import numpy as np

from pathology.synthesis import seeds
from pathology.synthesis.ground import Layers
from pathology.synthesis.labels import Block, BlockMap, Borders
from pathology.synthesis.layout import Layout
from pathology.synthesis.noise import NoiseBank
from pathology.synthesis.spec import FieldSpec
from pathology.synthesis.staining import Membranes, gate_at, line_od, unevenness
from pathology.synthesis.transfer import before_scanner
from pathology.types import AnyArray, FloatArray

__all__ = ["paint_bodies", "paint_membranes", "paint_nuclei"]

#: FWHM of a Gaussian over its sigma.
_FWHM = 2.3548
#: A line is never painted thinner than this many pixels; thinner ones would alias.
_MIN_LINE_PX = 1.25
#: No membrane is painted broader (FWHM, µm): it would be cut off where its pixels end.
MAX_WIDTH_UM = 2.8


def paint_bodies(
    spec: FieldSpec, plan: Layout, chart: BlockMap, cells: AnyArray, membranes: Membranes,
    bank: NoiseBank, layers: Layers,
) -> None:  # fmt: skip
    """Paint the cytoplasm of the cells in the label map, with vacuoles and blush.

    Parameters
    ----------
    spec, plan, bank
        The field.
    chart, layers
        The block; its layers are changed.
    cells, membranes
        All cells and their staining.
    """
    mine = chart.label >= 0
    if not mine.any():
        return
    x, y = chart.block.x_um, chart.block.y_um
    label = np.maximum(chart.label, 0)
    grain = 1 + 0.16 * bank.grid(4, x, y, 0.9) + 0.12 * bank.grid(9, x, y, 4.0)
    body = spec.appearance.cytoplasm_od * cells["cyt"][label] * grain
    heights = np.array([1e4, *(kind.height_um for kind in plan.compartments)], np.float32)
    mucin = np.array([0.0, *(kind.mucin for kind in plan.compartments)], np.float32)
    up = np.clip(chart.depth / heights[chart.owner], 0, 1)
    body *= 1 - mucin[chart.owner] * 0.75 * np.clip((up - 0.45) / 0.3, 0, 1)
    # The luminal face shows as a thin dark line.
    top = heights[chart.owner] - chart.depth
    body += 0.05 * np.exp(-((top / 0.8) ** 2)) * (chart.owner > 0)
    hollow = np.isin(cells["body"], (seeds.SIGNET, seeds.VACUOLE))
    if hollow.any():
        body *= np.where(hollow[label], np.clip((chart.d1 - 0.62) / 0.1, 0.15, 1), 1)
    np.copyto(layers.body, body.astype(np.float32), where=mine)
    blush = spec.staining.blush_od * (membranes.level > 0.1) + 0.06 * membranes.level
    blush = blush + cells["brown"] + 0.15 * membranes.level * cells["smeared"]
    if (blush > 0).any():
        # Blush gathers towards the membrane, and is granular.
        near = 0.55 + 0.8 * np.minimum(chart.d1, 1) ** 2
        amount = blush[label] * near * (1 + 2.2 * (grain - 1))
        layers.brown[:] += np.where(mine, np.maximum(amount, 0), 0).astype(np.float32)


def paint_membranes(
    spec: FieldSpec, plan: Layout, chart: BlockMap, borders: Borders, membranes: Membranes,
    bank: NoiseBank, layers: Layers,
) -> None:  # fmt: skip
    """Paint the membranes so that their OD after the blur is the level that was drawn.

    Parameters
    ----------
    spec, plan, bank
        The field.
    chart, borders, layers
        The block; its layers are changed.
    membranes
        Staining of all cells.
    """
    some = membranes.level > 0
    pick = some[borders.mine] | (some[np.maximum(borders.other, 0)] & (borders.other >= 0))
    flat, mine, other = borders.flat[pick], borders.mine[pick], borders.other[pick]
    if not len(flat):
        return
    block = chart.block
    rows, columns = np.divmod(flat, block.width)
    x, y = block.x_um[columns], block.y_um[rows]
    gate = gate_at(plan, bank, spec.staining, x, y)
    od = line_od(membranes, gate, mine, other)
    darker, broader = unevenness(bank, spec.staining, x, y)
    width = np.maximum(membranes.width[mine], membranes.width[np.maximum(other, mine)])
    width = np.minimum(width * broader, MAX_WIDTH_UM)
    # What is seen is never thinner than the blur and the pixels make it.
    seen = seen_width(width, spec.appearance.blur_um, block.mpp)
    od = before_scanner(od * darker, seen, spec.appearance, block.mpp)
    # Grains finer than what the truth says of a ray.
    od *= np.maximum(1 + spec.staining.granularity * bank.at(12, x, y, 0.8), 0.3)
    od, width = before_blur(od, width, spec.appearance.blur_um, block.mpp)
    line = od * np.exp(-4 * np.log(2) * (borders.distance[pick] / width) ** 2)
    layers.brown.ravel()[flat] += np.maximum(line, 0).astype(np.float32)


def _painted_width(width: FloatArray, blur_um: float, mpp: float) -> FloatArray:
    thin = np.sqrt(np.maximum(width**2 - (_FWHM * blur_um) ** 2, 0))
    return np.asarray(np.maximum(thin, _MIN_LINE_PX * mpp), dtype=np.float32)


def seen_width(width: FloatArray, blur_um: float, mpp: float) -> FloatArray:
    """Return the width (FWHM, µm) that a line wanted ``width`` wide has after the blur."""
    painted = _painted_width(width, blur_um, mpp)
    return np.asarray(np.hypot(painted, _FWHM * blur_um), dtype=np.float32)


def before_blur(
    od: FloatArray, width: FloatArray, blur_um: float, mpp: float
) -> tuple[FloatArray, FloatArray]:
    """Return peak and width of a line that the blur turns into ``od`` and ``width``."""
    thin = _painted_width(width, blur_um, mpp)
    return od * seen_width(width, blur_um, mpp) / thin, thin


def paint_nuclei(
    spec: FieldSpec, block: Block, cells: AnyArray, bank: NoiseBank, layers: Layers
) -> None:
    """Paint nuclei as textured, irregular ellipses, and the bodies of plasma cells and the like.

    Parameters
    ----------
    spec, bank
        The field.
    block, layers
        The block; its layers are changed.
    cells
        All cells.
    """
    x, y = block.x_um, block.y_um
    wx = x[None, :] + 0.45 * bank.grid(14, x, y, 2.2)
    wy = y[:, None] + 0.45 * bank.grid(15, x, y, 2.2)
    chromatin = bank.grid(5, x, y, 0.55) + 0.7 * bank.grid(10, x, y, 1.1)
    strength = 0.27 * spec.appearance.h_strength * spec.appearance.h_contrast
    cover = np.zeros_like(layers.nuclear)
    for i, window in _windows(block, cells):
        cell = cells[i]
        if cell["body"] in (seeds.PLASMA, seeds.FOAMY):
            _paint_body(cell, wx[window], wy[window], chromatin[window], spec, layers, window)
        if not cell["nucleus"]:
            continue
        e = _ellipse(cell, wx[window], wy[window])
        od, mask = _nucleus(cell, e, chromatin[window], strength, spec, block.mpp)
        here = layers.nuclear[window]
        layers.nuclear[window] = np.maximum(here, od) + 0.3 * np.minimum(here, od)
        cover[window] = np.maximum(cover[window], mask)
        if cell["nbrown"] > 0:
            layers.brown[window] += cell["nbrown"] * mask * (1 + 0.25 * chromatin[window])
    layers.body[:] *= 1 - 0.75 * cover
    layers.brown[:] *= 1 - 0.25 * cover


def _windows(block: Block, cells: AnyArray) -> list[tuple[int, tuple[slice, slice]]]:
    reach = np.maximum(cells["nalong"], cells["nacross"]) + 1.5
    wide = np.isin(cells["body"], (seeds.PLASMA, seeds.FOAMY))
    reach = np.where(wide, np.maximum(cells["along"], cells["across"]) + 4.0, reach)
    x0 = np.floor((cells["nx"] - reach) / block.mpp).astype(int) - block.x0
    x1 = np.ceil((cells["nx"] + reach) / block.mpp).astype(int) - block.x0
    y0 = np.floor((cells["ny"] - reach) / block.mpp).astype(int) - block.y0
    y1 = np.ceil((cells["ny"] + reach) / block.mpp).astype(int) - block.y0
    x0, y0 = np.maximum(x0, 0), np.maximum(y0, 0)
    x1, y1 = np.minimum(x1, block.width), np.minimum(y1, block.height)
    inside = np.flatnonzero((x1 > x0) & (y1 > y0))
    return [(i, (slice(y0[i], y1[i]), slice(x0[i], x1[i]))) for i in inside.tolist()]


def _ellipse(cell: AnyArray, wx: FloatArray, wy: FloatArray) -> FloatArray:
    """Return the elliptic distance from the nucleus' centre: 1 on its outline."""
    c, s = np.float32(np.cos(cell["nangle"])), np.float32(np.sin(cell["nangle"]))
    dx, dy = wx - cell["nx"], wy - cell["ny"]
    u = (dx * c + dy * s) / cell["nalong"]
    v = (dy * c - dx * s) / cell["nacross"]
    return np.asarray(np.sqrt(u * u + v * v), dtype=np.float32)


def _nucleus(
    cell: AnyArray, e: FloatArray, chromatin: FloatArray, strength: float, spec: FieldSpec,
    mpp: float,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Return the OD and the mask of one nucleus."""
    shape = spec.morphology
    small = float(min(cell["nalong"], cell["nacross"]))
    mask = np.clip((1 - e) * np.float32(small / max(0.7, mpp)) + 0.5, 0, 1)
    if cell["dense"]:
        texture = 1.25 + np.float32(0.06 + 0.2 * shape.chromatin) * chromatin
    else:
        # A vesicular nucleus: pale, with a rim of chromatin and one or two nucleoli.
        rim = np.exp(-(((e - 0.9) * np.float32(small / 0.65)) ** 2))
        texture = 0.72 + np.float32(0.06 + 0.28 * shape.chromatin) * chromatin
        texture = texture + np.float32(0.5 * shape.rim) * rim
        spot = np.clip(1 - ((e - 0.25) * np.float32(small / 0.8)) ** 2, 0, 1)
        texture = texture + 0.55 * spot * (chromatin > 0.55)
    od = np.float32(strength * cell["nod"]) * np.maximum(texture, 0.15) * mask
    return od.astype(np.float32), mask.astype(np.float32)


def _paint_body(
    cell: AnyArray, wx: FloatArray, wy: FloatArray, chromatin: FloatArray, spec: FieldSpec,
    layers: Layers, window: tuple[slice, slice],
) -> None:  # fmt: skip
    c, s = np.float32(np.cos(cell["angle"])), np.float32(np.sin(cell["angle"]))
    dx, dy = wx - cell["x"], wy - cell["y"]
    u, v = (dx * c + dy * s) / cell["along"], (dy * c - dx * s) / cell["across"]
    e = np.sqrt(u * u + v * v)
    mask = np.clip((1 - e) * 6 + 0.5, 0, 1)
    if cell["body"] == seeds.PLASMA:
        od = 1.5 * spec.appearance.cytoplasm_od * mask
    else:
        froth = np.clip(0.5 + 0.7 * chromatin, 0, 1.6)
        od = spec.appearance.cytoplasm_od * mask * (0.35 + 0.5 * froth)
        od += 0.05 * np.exp(-(((e - 0.95) / 0.08) ** 2))
    layers.body[window] = np.maximum(layers.body[window] * (1 - mask), od)
    if cell["brown"] > 0:
        layers.brown[window] += cell["brown"] * mask * (1 + 0.3 * chromatin)
