"""From a specification to blocks of pixels and their truth: what fields and slides share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.cells import N_RAYS
from pathology.synthesis import layout as lay
from pathology.synthesis import seeds
from pathology.synthesis.artefacts import Handling, add_fold, draw_handling, ink_and_air
from pathology.synthesis.draft import build_layout
from pathology.synthesis.ground import dirt, paint_ground
from pathology.synthesis.labels import Block, BlockMap, Rays, find_borders, in_map
from pathology.synthesis.layout import Layout
from pathology.synthesis.noise import NoiseBank
from pathology.synthesis.optics import develop, expose
from pathology.synthesis.paint import paint_bodies, paint_membranes, paint_nuclei
from pathology.synthesis.placing import place_cells
from pathology.synthesis.spec import Appearance, FieldSpec
from pathology.synthesis.staining import Membranes, classify_rays
from pathology.synthesis.transfer import tone_curve
from pathology.synthesis.truth import FieldCells
from pathology.types import AnyArray, FloatArray, U8Array

__all__ = [
    "HALO_UM",
    "REGION_FACTOR",
    "Scene",
    "build_scene",
    "collect",
    "crop",
    "glass",
    "region_map",
    "render_block",
    "settle",
    "widened",
]

#: Pixels of the field per pixel of the region map.
REGION_FACTOR = 4
#: A label map reaches this far beyond its block, so that the outlines of its cells are whole.
HALO_UM = 20.0
#: Below this OD a ray counts as unstained in the truth: half the limit at which eyes see faint.
_NOTHING_OD = 0.02


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Hold all that the blocks of a field or slide are rendered from."""

    spec: FieldSpec
    plan: Layout
    bank: NoiseBank
    cells: AnyArray
    handling: Handling


def build_scene(
    spec: FieldSpec, rng: np.random.Generator, tissue: FloatArray | None = None
) -> Scene:
    """Lay out tissue and cells.

    Parameters
    ----------
    spec
        The field.
    rng
        Source of randomness.
    tissue
        Distance to the tissue's edge on the layout grid; None draws it.
    """
    plan = build_layout(spec, rng, tissue)
    bank = NoiseBank(rng)
    cells = place_cells(plan, spec, rng)
    return Scene(spec=spec, plan=plan, bank=bank, cells=cells, handling=draw_handling(spec, rng))


def widened(block: Block) -> Block:
    """Return the block with a halo of :data:`HALO_UM`."""
    pad = int(np.ceil(HALO_UM / block.mpp))
    return Block(
        x0=block.x0 - pad, y0=block.y0 - pad, width=block.width + 2 * pad,
        height=block.height + 2 * pad, mpp=block.mpp,
    )  # fmt: skip


def crop(chart: BlockMap, block: Block) -> BlockMap:
    """Return the part of a label map that covers a block."""
    top, left = block.y0 - chart.block.y0, block.x0 - chart.block.x0
    window = (slice(top, top + block.height), slice(left, left + block.width))
    parts = {
        name: np.ascontiguousarray(getattr(chart, name)[window])
        for name in (
            "wx", "wy", "owner", "depth", "edge", "first", "second", "d1", "d2", "label"
        )
    }  # fmt: skip
    return BlockMap(block=block, **parts)


def settle(cells: AnyArray, chart: BlockMap, *, within: Block | None = None) -> AnyArray:
    """Move nuclei that fell on a neighbour back to their seed; return the cells that are seen.

    Parameters
    ----------
    cells
        All cells; changed in place.
    chart
        A label map.
    within
        Only cells whose centre lies in this block are looked at; None takes the whole map.

    Returns
    -------
    (n,) indices of the cells of the map that own their centre.
    """
    mine = np.flatnonzero(in_map(cells) & _holds(within or chart.block, cells["nx"], cells["ny"]))
    lost = mine[_label_at(chart, cells["nx"][mine], cells["ny"][mine]) != mine]
    home = lost[_label_at(chart, cells["x"][lost], cells["y"][lost]) == lost]
    cells["nx"][home], cells["ny"][home] = cells["x"][home], cells["y"][home]
    hidden = np.setdiff1d(lost, home)
    cells["nucleus"][hidden] = False
    return np.setdiff1d(mine, hidden)


def _holds(block: Block, x_um: AnyArray, y_um: AnyArray) -> AnyArray:
    column, row = x_um / block.mpp - block.x0, y_um / block.mpp - block.y0
    return (column >= 0) & (column < block.width) & (row >= 0) & (row < block.height)


def _label_at(chart: BlockMap, x_um: AnyArray, y_um: AnyArray) -> AnyArray:
    block = chart.block
    column = np.clip((x_um / block.mpp - block.x0).astype(int), 0, block.width - 1)
    row = np.clip((y_um / block.mpp - block.y0).astype(int), 0, block.height - 1)
    return np.asarray(chart.label[row, column])


def render_block(
    scene: Scene, chart: BlockMap, membranes: Membranes, rng: np.random.Generator
) -> U8Array:
    """Render the pixels of a block.

    Parameters
    ----------
    scene
        What is seen.
    chart
        The label map of exactly this block.
    membranes
        Staining of all cells.
    rng
        Source of the camera noise.

    Returns
    -------
    (height, width, 3) uint8.
    """
    spec, bank, cells = scene.spec, scene.bank, scene.cells
    layers = paint_ground(spec, scene.plan, chart, bank)
    paint_bodies(spec, scene.plan, chart, cells, membranes, bank, layers)
    paint_nuclei(spec, chart.block, cells, bank, layers)
    borders = find_borders(chart, cells)
    paint_membranes(spec, scene.plan, chart, borders, membranes, bank, layers)
    layers.pigment[:] += dirt(spec, chart.block, bank)
    add_fold(scene.handling, chart.block, bank, layers)
    od = expose(layers, spec.appearance, spec.mpp)
    dirtied = ink_and_air(scene.handling, chart.block, bank)
    if dirtied is not None:
        od += dirtied
    noise = rng.standard_normal(od.shape, dtype=np.float32)
    return develop(od, spec.appearance, spec.mpp, noise)


def glass(look: Appearance) -> tuple[float, float, float]:
    """Return R, G, B of bare glass after the tone curve."""
    white = np.asarray(look.white, dtype=np.float64)
    light = np.clip(tone_curve(white, look.gamma, look.contrast, look.brightness), 0, 255)
    red, green, blue = light.tolist()
    return red, green, blue


def region_map(scene: Scene, chart: BlockMap) -> U8Array:
    """Return region codes at the middle of every 4 × 4 pixels.

    Parameters
    ----------
    scene
        What is seen.
    chart
        The label map of the block.

    Returns
    -------
    (ceil(height / 4), ceil(width / 4)) uint8: index into ``REGIONS``.
    """
    block, plan = chart.block, scene.plan
    rows = np.minimum(np.arange(2, block.height + 2, REGION_FACTOR), block.height - 1)
    columns = np.minimum(np.arange(2, block.width + 2, REGION_FACTOR), block.width - 1)
    x, y = block.x_um[columns], block.y_um[rows]
    picked = np.ix_(rows, columns)
    region = plan.nearest("ground", x, y).copy()
    hole = plan.grid("hole", x, y) > 0
    region = np.where(hole, plan.nearest("hole_kind", x, y), region)
    owner, depth, edge = chart.owner[picked], chart.depth[picked], chart.edge[picked]
    own = np.array([lay.STROMA, *(kind.region for kind in plan.compartments)], np.uint8)
    core = np.array([lay.STROMA, *(kind.core for kind in plan.compartments)], np.uint8)
    inside = (owner > 0) & (depth > 0)
    region = np.where(inside, np.where(edge > 0, own[owner], core[owner]), region)
    label = chart.label[picked]
    lone = (label >= 0) & (owner == 0)
    region = np.where(lone, np.uint8(lay.TUMOUR), region)
    return np.asarray(region, dtype=np.uint8)


def collect(scene: Scene, index: AnyArray, rays: Rays, ray_od: FloatArray) -> FieldCells:
    """Gather the truth of all cells, whether in the label map or a nucleus in the stroma.

    Parameters
    ----------
    scene
        What is seen.
    index, rays, ray_od
        The cells of the label map that are seen, their outlines and what is seen on them.
    """
    cells = scene.cells
    ray_od = np.where(ray_od < _NOTHING_OD, 0, ray_od).astype(np.float32)
    share, mean, pattern = classify_rays(ray_od)
    loose = np.flatnonzero(~in_map(cells) & cells["nucleus"])
    blank = np.zeros(len(loose), np.float32)
    both = np.concatenate([index, loose])
    return FieldCells(
        x_px=(cells["nx"][both] / scene.spec.mpp).astype(np.float32),
        y_px=(cells["ny"][both] / scene.spec.mpp).astype(np.float32),
        cell_class=cells["cell_class"][both],
        outline_r_um=np.concatenate([rays.radius, ellipse_radius(cells[loose])]),
        ray_od=np.concatenate([ray_od, np.zeros((len(loose), N_RAYS), np.float32)]),
        completeness=np.concatenate([share, blank]),
        membrane_od=np.concatenate([mean, blank]),
        pattern=np.concatenate([pattern, np.zeros(len(loose), np.uint8)]),
        visible=np.concatenate([cells["nucleus"][index] | (pattern > 0), loose >= 0])
        & ~scene.handling.hides(cells["nx"][both], cells["ny"][both], scene.bank),
    )


def ellipse_radius(cells: AnyArray) -> FloatArray:
    """Return (n, 32) distances from the nucleus to the elliptic outline of cells without a label.

    Parameters
    ----------
    cells
        Rows of :data:`pathology.synthesis.seeds.SEED`.
    """
    bodied = np.isin(cells["body"], (seeds.PLASMA, seeds.FOAMY))
    angle = np.where(bodied, cells["angle"], cells["nangle"])[:, None]
    rays = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
    ux, uy = np.cos(rays - angle), np.sin(rays - angle)
    a, b = cells["along"][:, None], cells["across"][:, None]
    dx, dy = (cells["nx"] - cells["x"])[:, None], (cells["ny"] - cells["y"])[:, None]
    px = (dx * np.cos(angle) + dy * np.sin(angle)) / a
    py = (dy * np.cos(angle) - dx * np.sin(angle)) / b
    vx, vy = ux / a, uy / b
    # |p + r·v| = 1, the positive root.
    vv, pv, pp = vx**2 + vy**2, px * vx + py * vy, px**2 + py**2 - 1
    root = np.sqrt(np.maximum(pv**2 - vv * pp, 0))
    return np.asarray(np.maximum((root - pv) / vv, 0.5), dtype=np.float32)
