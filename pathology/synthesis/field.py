"""One synthetic field of view with the truth of every cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathology.synthesis.labels import Block, cast_rays, map_block
from pathology.synthesis.scene import (
    build_scene,
    collect,
    crop,
    glass,
    region_map,
    render_block,
    settle,
    widened,
)
from pathology.synthesis.spec import FieldSpec
from pathology.synthesis.staining import stain_membranes
from pathology.synthesis.truth import FieldCells
from pathology.types import U8Array

__all__ = ["Field", "FieldCells", "render_field"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """Hold a rendered field.

    Parameters
    ----------
    rgb
        (height, width, 3) uint8.
    mpp
        Pixel size, µm.
    white
        R, G, B of glass in this picture, tone curve included.
    cells
        The truth.
    region
        (ceil(height / 4), ceil(width / 4)) uint8: index into ``REGIONS`` at the middle of 4 × 4 px.
    """

    rgb: U8Array
    mpp: float
    white: tuple[float, float, float]
    cells: FieldCells
    region: U8Array


def render_field(spec: FieldSpec, seed: int) -> Field:
    """Render one field.

    Parameters
    ----------
    spec
        What it shows.
    seed
        Any integer from 0; the same specification and seed give the same bytes.

    Returns
    -------
    Field

    Examples
    --------
    >>> render_field(FieldSpec(width_px=96, height_px=64), 1).rgb.shape
    (64, 96, 3)
    """
    rng = np.random.default_rng([seed, 0x4E32])
    scene = build_scene(spec, rng)
    block = Block(x0=0, y0=0, width=spec.width_px, height=spec.height_px, mpp=spec.mpp)
    chart = map_block(widened(block), scene.plan, scene.cells, scene.bank)
    index = settle(scene.cells, chart)
    rays = cast_rays(chart, index, scene.cells["nx"][index], scene.cells["ny"][index])
    membranes, ray_od = stain_membranes(spec, scene.plan, scene.cells, index, rays, scene.bank, rng)
    chart = crop(chart, block)
    truth = collect(scene, index, rays, ray_od)
    inside = (truth.x_px >= 0) & (truth.x_px < spec.width_px)
    inside &= (truth.y_px >= 0) & (truth.y_px < spec.height_px)
    return Field(
        rgb=render_block(scene, chart, membranes, rng), mpp=spec.mpp,
        white=glass(spec.appearance), cells=truth.take(inside), region=region_map(scene, chart),
    )  # fmt: skip
