"""All that is not an epithelial cell: fibres, froth, muscle, necrosis, blood, fat, debris."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from pathology.synthesis import layout as lay
from pathology.synthesis.labels import Block, BlockMap
from pathology.synthesis.layout import Layout
from pathology.synthesis.noise import NoiseBank
from pathology.synthesis.spec import FieldSpec
from pathology.types import AnyArray, FloatArray

__all__ = ["Layers", "paint_ground"]


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Hold the amounts of each colouring matter of a block, (height, width) float32, in OD.

    Parameters
    ----------
    nuclear
        Haematoxylin in nuclei.
    body
        Counterstain in cytoplasm and fibres.
    brown
        DAB.
    pigment
        Red cells, dirt.
    """

    nuclear: FloatArray
    body: FloatArray
    brown: FloatArray
    pigment: FloatArray


def _ridge(noise: FloatArray, width: float) -> FloatArray:
    """Return lines along the zeros of a noise field: 1 on the line, 0 away from it."""
    scaled = noise * np.float32(1 / width)
    return np.asarray(np.maximum(1 - scaled * scaled, 0), dtype=np.float32)


def paint_ground(spec: FieldSpec, plan: Layout, chart: BlockMap, bank: NoiseBank) -> Layers:
    """Paint the tissue between the epithelial cells.

    Parameters
    ----------
    spec, plan, bank
        The field.
    chart
        The label map of the block.
    """
    block = chart.block
    x, y = block.x_um, block.y_um
    shape = (block.height, block.width)
    layers = Layers(
        nuclear=np.zeros(shape, np.float32), body=_stroma(spec, plan, chart, bank),
        brown=np.zeros(shape, np.float32), pigment=np.zeros(shape, np.float32),
    )  # fmt: skip
    for name, paint in (("muscle", _muscle), ("necrosis", _necrosis)):
        if float(getattr(plan, name).max()) > -1e3:
            share = np.clip(plan.grid(name, x, y) / 2.5 + 0.5 + 0.6 * bank.grid(8, x, y, 3.0), 0, 1)
            layers.body[:] += (paint(spec, plan, chart.block, bank) - layers.body) * share
    if float(plan.mucin.max()) > -1e3:
        layers.body[:] *= 1 - 0.9 * np.clip(plan.grid("mucin", x, y) / 4.0 + 0.5, 0, 1)
        layers.body[:] += _mucin(spec, plan, chart.block, bank)
    clear = _clefts(plan, chart, block, bank)
    layers.body[:] *= clear
    _lumina(spec, plan, chart, bank, layers)
    _holes(spec, plan, block, bank, layers)
    if spec.composition.red_cell_share > 0:
        _leaked_blood(spec, plan, chart, bank, layers)
    outside = np.clip(plan.grid("tissue", x, y) / 1.5 + 0.5, 0, 1)
    layers.body[:] *= outside
    if spec.staining.edge_od > 0:
        depth = plan.grid("tissue", x, y) / 12.0
        rim = np.exp(-depth * depth) * outside
        layers.brown[:] += spec.staining.edge_od * rim * np.minimum(layers.body * 8, 1)
    if spec.staining.precipitate > 0:
        peaks = np.clip(bank.grid(13, x, y, 0.7) + 0.8 * bank.grid(8, x, y, 25.0) - 3.0, 0, 1)
        layers.brown[:] += spec.staining.precipitate * peaks
    layers.brown[:] += spec.staining.background_od * np.minimum(layers.body * 10, 1)
    return layers


def _blend(target: FloatArray, source: FloatArray, mask: AnyArray) -> None:
    np.copyto(target, source, where=mask)


def _stroma(spec: FieldSpec, plan: Layout, chart: BlockMap, bank: NoiseBank) -> FloatArray:
    """Paint collagen: wavy fibres where it is dense, a web of strands where it is loose."""
    body = np.zeros((chart.block.height, chart.block.width), np.float32)
    flat = np.flatnonzero(chart.depth.ravel() < 0.5)
    if not len(flat):
        return body
    x, y = chart.block.x_um, chart.block.y_um
    loose = plan.grid("loose", x, y).ravel()[flat]
    stream = (plan.grid("stream", x, y) + 1.3 * bank.grid(4, x, y, 4.0)).ravel()[flat]
    cross = plan.grid("cross", x, y).ravel()[flat]
    grain = bank.grid(7, x, y, 0.6).ravel()[flat]
    fibre = _ridge(bank.at(5, stream, cross * 0.12, 1.3), 0.75)
    split = np.clip(2.2 * bank.at(6, stream * 0.8, cross * 0.16, 2.6) - 2.0, 0, 1)
    dense = (0.62 + 0.62 * fibre + 0.12 * grain) * (1 - 0.85 * split)
    web = _ridge(bank.grid(6, x, y, 3.4) + 0.45 * bank.grid(5, x, y, 1.5), 0.3)
    fine = _ridge(bank.grid(9, x, y, 2.0) + 0.4 * bank.grid(4, x, y, 1.0), 0.24)
    gaps = np.clip(0.45 + 0.8 * bank.grid(8, x, y, 6.0), 0, 1)
    frothy = (1.3 * web * (0.4 + 0.6 * gaps) + 0.8 * fine * gaps + 0.2 * gaps).ravel()[flat]
    od = dense + (frothy - dense) * np.clip(1.6 * loose - 0.3, 0, 1)
    body.ravel()[flat] = spec.appearance.stroma_od * np.maximum(od, 0)
    return body


def _muscle(spec: FieldSpec, plan: Layout, block: Block, bank: NoiseBank) -> FloatArray:
    """Paint fibres in bundles, cut along here and across there, with clefts between fascicles."""
    x, y = block.x_um, block.y_um
    stream = 0.5 * plan.grid("stream", x, y) + 0.7 * bank.grid(4, x, y, 4.0)
    cross = plan.grid("cross", x, y)
    fine = bank.at(4, stream, cross * 0.1, 0.8)
    bundle = bank.at(9, stream, cross * 0.12, 5.0)
    split = np.clip(2.5 * bundle - 3.2, 0, 1)
    along = (1.25 + 0.22 * fine + 0.1 * bundle) * (1 - 0.8 * split)
    # Cut across, fibres are a mosaic of round profiles of 4 to 8 µm with thin seams.
    seam = _ridge(bank.grid(10, x, y, 2.6), 0.22)
    across = 1.25 + 0.12 * bank.grid(9, x, y, 2.6) - 0.55 * seam
    turned = np.clip(4.0 * (bank.grid(12, x, y, 60.0) - 0.7), 0, 1)
    body = along + (across - along) * turned + 0.12 * bank.grid(7, x, y, 0.6)
    body = np.maximum(body, 0) * _fascicles(spec.composition.fascicle_gap, x, y, bank)
    return np.asarray(spec.appearance.stroma_od * body, dtype=np.float32)


def _fascicles(
    gap_share: float, x_um: FloatArray, y_um: FloatArray, bank: NoiseBank
) -> FloatArray | float:
    """Return 0 in the clefts between fascicles, 1 in the muscle."""
    if gap_share <= 0:
        return 1.0
    level = np.abs(bank.grid(11, x_um, y_um, 45.0) + 0.12 * bank.grid(8, x_um, y_um, 9.0))
    # The noise is about normal: |noise| is below this quantile in the wanted share of the area.
    edge = ndtri(0.5 + 0.5 * min(gap_share, 0.99))
    return np.asarray(0.04 + 0.96 * np.clip((level - edge) / 0.08 + 0.5, 0, 1), dtype=np.float32)


def _necrosis(spec: FieldSpec, _plan: Layout, block: Block, bank: NoiseBank) -> FloatArray:
    x, y = block.x_um, block.y_um
    grain = 0.8 + 0.35 * bank.grid(4, x, y, 1.1) + 0.3 * bank.grid(10, x, y, 4.0)
    return np.asarray(1.2 * spec.appearance.stroma_od * np.maximum(grain, 0), dtype=np.float32)


def _mucin(spec: FieldSpec, plan: Layout, block: Block, bank: NoiseBank) -> FloatArray:
    """Paint pale lakes with thin streaks, in which tumour floats."""
    x, y = block.x_um, block.y_um
    streak = _ridge(bank.grid(10, x, y, 9.0) + 0.3 * bank.grid(4, x, y, 2.0), 0.2)
    share = np.clip(plan.grid("mucin", x, y) / 4.0 + 0.5, 0, 1)
    return np.asarray(spec.appearance.stroma_od * share * (0.15 + 0.35 * streak), dtype=np.float32)


def _clefts(plan: Layout, chart: BlockMap, block: Block, bank: NoiseBank) -> FloatArray:
    """Return 0 in empty space around shrunken nests, 1 elsewhere."""
    width = max((kind.cleft_um for kind in plan.compartments), default=0.0)
    if width <= 0:
        return np.ones((block.height, block.width), np.float32)
    x, y = block.x_um, block.y_um
    edge = width * (1 + 0.35 * bank.grid(8, x, y, 9.0))
    share = np.clip((-chart.depth - edge) / 1.5, 0, 1)
    return np.asarray(np.where(chart.depth > 0, 1, share), dtype=np.float32)


def _lumina(
    spec: FieldSpec, plan: Layout, chart: BlockMap, bank: NoiseBank, layers: Layers
) -> None:
    """Empty the lumina, with some granular debris, and fill the necrotic cores."""
    if not plan.compartments:
        return
    x, y = chart.block.x_um, chart.block.y_um
    inside = chart.depth > 0
    if not inside.any():
        return
    cores = np.array([0, *(kind.core for kind in plan.compartments)])
    past = inside & (chart.edge < 0)
    # Secretion, ghosts of cells and debris: some lumina are clean, others are full.
    patch = bank.grid(11, x, y, 14.0) + spec.morphology.debris * 3 - 1.6
    web = _ridge(bank.grid(10, x, y, 1.6) + 0.5 * bank.grid(4, x, y, 0.7), 0.55)
    thin = spec.appearance.stroma_od * np.clip(patch, 0, 1) * (0.9 * web + 0.15)
    gaps = inside & (chart.label < 0)
    _blend(layers.body, thin.astype(np.float32), gaps)
    necrotic = past & (cores[chart.owner] == lay.NECROSIS)
    if necrotic.any():
        _blend(layers.body, _necrosis(spec, plan, chart.block, bank), necrotic)


def _holes(spec: FieldSpec, plan: Layout, block: Block, bank: NoiseBank, layers: Layers) -> None:
    """Empty vessels and fat cells, leave a thin wall, and put red cells into vessels."""
    if not plan.hole_kind.any():
        return
    x, y = block.x_um, block.y_um
    hole = plan.grid("hole", x, y) + 0.5 * bank.grid(0, x, y, 3.2)
    kind = plan.nearest("hole_kind", x, y)
    layers.body[:] *= np.clip(0.5 - hole / 1.2, 0, 1)
    layers.body[:] += 0.07 * np.exp(-((hole / 0.9) ** 2))
    blood = (hole > 1.0) & (kind == lay.VESSEL)
    rows, columns = np.nonzero(blood)
    if len(rows):
        disc, rim = _red_cells(x[columns], y[rows], bank)
        layers.pigment[rows, columns] += 0.05 * disc + spec.appearance.red_cell_od * rim


def _leaked_blood(
    spec: FieldSpec, plan: Layout, chart: BlockMap, bank: NoiseBank, layers: Layers
) -> None:
    """Strew red cells through patches of the stroma."""
    x, y = chart.block.x_um, chart.block.y_um
    # The noise is about normal: its quantile makes the wanted share of patches.
    patch = bank.grid(11, x, y, 30.0) > -ndtri(spec.composition.red_cell_share)
    place = patch & (chart.depth < -3.0) & (plan.grid("tissue", x, y) > 3.0)
    rows, columns = np.nonzero(place)
    if len(rows):
        disc, rim = _red_cells(x[columns], y[rows], bank)
        layers.pigment[rows, columns] += 0.05 * disc + spec.appearance.red_cell_od * rim


def _red_cells(
    x_um: FloatArray, y_um: FloatArray, bank: NoiseBank
) -> tuple[FloatArray, FloatArray]:
    """Return discs and rims of red cells (6 to 7 µm) at points, on a jittered lattice."""
    pitch = 6.2
    best = np.full(len(x_um), 9.0, np.float32)
    wx = x_um + 0.8 * bank.at(0, x_um, y_um, 2.2)
    wy = y_um + 0.8 * bank.at(1, x_um, y_um, 2.2)
    column, line = np.floor(wx / pitch), np.floor(wy / pitch)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            cx, cy = column + dx, line + dy
            # A cheap hash of the lattice point gives each red cell its place.
            hashed = np.sin(cx * 12.9898 + cy * 78.233) * 43758.547
            jitter = hashed - np.floor(hashed)
            px = (cx + 0.2 + 0.6 * jitter) * pitch
            py = (cy + 0.2 + 0.6 * np.mod(jitter * 7.31, 1.0)) * pitch
            missing = np.where(np.mod(jitter * 3.77, 1.0) < 0.35, 9.0, 0.0)
            best = np.minimum(best, np.hypot(wx - px, wy - py) + missing)
    disc = np.clip((3.1 - best) / 0.5, 0, 1)
    rim = np.exp(-(((best - 2.7) / 0.5) ** 2))
    return disc.astype(np.float32), rim.astype(np.float32)


def dirt(spec: FieldSpec, block: Block, bank: NoiseBank) -> FloatArray:
    """Return specks of dirt: rare peaks of a noise field, in OD."""
    if spec.appearance.dirt <= 0:
        return np.zeros((block.height, block.width), np.float32)
    level = 4.1 - 0.22 * np.log(spec.appearance.dirt)
    peak = bank.grid(13, block.x_um, block.y_um, 1.6) - level
    return np.asarray(np.clip(2.5 * peak, 0, 1.2), dtype=np.float32)
