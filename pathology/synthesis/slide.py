"""Whole synthetic slides: pieces of tissue on glass, with a known score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from pathology.cells import N_RAYS
from pathology.config import load_config
from pathology.scoring.counts import PatternCounts
from pathology.stain import optical_density, unmix
from pathology.synthesis.labels import Block, Rays, cast_rays, map_block
from pathology.synthesis.layout import MARGIN_UM, STEP_UM, grid_shape, signed_distance
from pathology.synthesis.noise import smooth_field
from pathology.synthesis.optics import jpeg_round_trip
from pathology.synthesis.scene import (
    Scene,
    build_scene,
    collect,
    crop,
    glass,
    region_map,
    render_block,
    settle,
    widened,
)
from pathology.synthesis.slide_spec import SlideSpec
from pathology.synthesis.spec import Appearance, FieldSpec
from pathology.synthesis.staining import Membranes, stain_membranes
from pathology.synthesis.tiff import write_pyramid
from pathology.synthesis.truth import FieldCells
from pathology.types import AnyArray, FloatArray, U8Array

__all__ = ["SyntheticSlide", "count_patterns", "render_slide", "write_slide"]

#: Side of the blocks a slide is rendered in, px: a multiple of 4, so that the region maps join;
#: small enough that a block's layers stay in the cache.
_BLOCK_PX = 512
#: Blur of a slide that is out of focus, µm (sigma): a 2+ membrane of 1 µm keeps a fifth of its OD.
_DEFOCUS_UM = 2.0
#: Glass around the tissue, µm.
_GLASS_UM = 160.0


@dataclass(frozen=True, kw_only=True)
class SyntheticSlide:
    """Hold a rendered slide and its truth.

    Parameters
    ----------
    spec
        What was asked for.
    rgb
        (height, width, 3) uint8.
    mpp
        Pixel size, µm.
    white
        R, G, B of the glass.
    cells
        All cells, in pixels of the slide.
    region
        (ceil(height / 4), ceil(width / 4)) uint8, index into ``REGIONS``.
    counts
        Invasive tumour cells by intensity and completeness.
    expected_score
        ``0``, ``1+``, ``2+``, ``3+``; None where the slide must not be given a score.
    """

    spec: SlideSpec
    rgb: U8Array
    mpp: float
    white: tuple[float, float, float]
    cells: FieldCells
    region: U8Array
    counts: PatternCounts
    expected_score: str | None


def render_slide(spec: SlideSpec, seed: int) -> SyntheticSlide:
    """Render a whole slide, block by block.

    Parameters
    ----------
    spec
        What it shows.
    seed
        Any integer from 0; the same specification and seed give the same bytes.

    Returns
    -------
    SyntheticSlide

    Examples
    --------
    >>> slide = render_slide(SlideSpec(kind="blank", piece_mm=0.2), 1)
    >>> slide.expected_score is None, slide.counts.total
    (True, 0)
    """
    rng = np.random.default_rng([seed, 0x51DE])
    field = spec.field_spec(glass_um=_GLASS_UM)
    scene = build_scene(field, rng, _pieces(spec, field, rng))
    index, rays = _outlines(scene)
    membranes, ray_od = stain_membranes(
        field, scene.plan, scene.cells, index, rays, scene.bank, rng
    )
    rgb, region = _render(scene, membranes, rng, kind=spec.kind)
    cells = collect(scene, index, rays, ray_od)
    inside = (cells.x_px >= 0) & (cells.x_px < field.width_px)
    inside &= (cells.y_px >= 0) & (cells.y_px < field.height_px)
    cells = cells.take(inside)
    return SyntheticSlide(
        spec=spec, rgb=rgb, mpp=spec.mpp, white=glass(field.appearance), cells=cells,
        region=region, counts=count_patterns(cells), expected_score=spec.expected_score,
    )  # fmt: skip


def write_slide(slide: SyntheticSlide, path: Path) -> None:
    """Write a slide as a tiled pyramidal TIFF with its pixel size.

    Parameters
    ----------
    slide
        A rendered slide.
    path
        File to write; its folder exists.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    shortest = min(slide.rgb.shape[:2])
    # The coarsest level still shows the whole slide at about 256 px.
    levels = max(1, 1 + int(np.log2(max(shortest / 256, 1))))
    write_pyramid(path, slide.rgb, mpp=slide.mpp, levels=levels)


def count_patterns(cells: FieldCells) -> PatternCounts:
    """Count the invasive tumour cells of a truth by intensity and completeness.

    Parameters
    ----------
    cells
        True cells; only visible tumour cells are counted.
    """
    rules = load_config().measurement
    mine = (cells.cell_class == 0) & cells.visible
    mean, share = cells.membrane_od[mine], cells.completeness[mine]
    bare = share < rules.min_stained_share
    level = np.searchsorted([rules.weak_od, rules.moderate_od, rules.intense_od], mean, "right")
    complete = share >= rules.complete_share
    counts = {"unstained": int(bare.sum())}
    for place, name in enumerate(("faint", "weak", "moderate", "intense")):
        here = ~bare & (level == place)
        counts[f"{name}_complete"] = int((here & complete).sum())
        counts[f"{name}_incomplete"] = int((here & ~complete).sum())
    return PatternCounts(**counts)


def _pieces(spec: SlideSpec, field: FieldSpec, rng: np.random.Generator) -> FloatArray:
    """Return the distance to the edge of the tissue: irregular pieces side by side."""
    shape = grid_shape(field)
    if spec.kind == "blank":
        return np.full(shape, -1e4, dtype=np.float32)
    y = (np.arange(shape[0]) + 0.5) * STEP_UM - MARGIN_UM
    x = (np.arange(shape[1]) + 0.5) * STEP_UM - MARGIN_UM
    side = spec.piece_mm * 1000
    rough = 0.06 * smooth_field(rng, shape, side / 12 / STEP_UM)
    rough += 0.02 * smooth_field(rng, shape, side / 60 / STEP_UM)
    mask = np.zeros(shape, dtype=bool)
    for piece in range(spec.pieces):
        cx = _GLASS_UM + side / 2 + piece * (side + _GLASS_UM)
        cy = _GLASS_UM + side / 2
        power = rng.uniform(2.0, 3.2)  # between a disc and a rounded square
        u, v = np.abs(x - cx) / (0.5 * side), np.abs(y - cy) / (0.5 * side)
        reach = (u[None, :] ** power + v[:, None] ** power) ** (1 / power)
        mask |= reach + rough < 0.9
    return signed_distance(mask)


def _blocks(field: FieldSpec) -> Iterator[Block]:
    for y0 in range(0, field.height_px, _BLOCK_PX):
        for x0 in range(0, field.width_px, _BLOCK_PX):
            yield Block(
                x0=x0, y0=y0, width=min(_BLOCK_PX, field.width_px - x0),
                height=min(_BLOCK_PX, field.height_px - y0), mpp=field.mpp,
            )  # fmt: skip


def _outlines(scene: Scene) -> tuple[AnyArray, Rays]:
    """Cast the rays of every cell from the label map of the block that holds its centre."""
    indices, radii, others = [], [], []
    done = np.zeros(len(scene.cells), dtype=bool)
    for block in _blocks(scene.spec):
        if not _has_tissue(scene, block):
            continue
        chart = map_block(widened(block), scene.plan, scene.cells, scene.bank)
        index = settle(scene.cells, chart, within=block)
        index = index[~done[index]]
        done[index] = True
        rays = cast_rays(chart, index, scene.cells["nx"][index], scene.cells["ny"][index])
        indices.append(index)
        radii.append(rays.radius)
        others.append(rays.other)
    if not indices:
        empty = np.zeros((0, N_RAYS))
        return np.zeros(0, np.intp), Rays(
            radius=empty.astype(np.float32), other=empty.astype(np.int32)
        )
    return np.concatenate(indices), Rays(radius=np.concatenate(radii), other=np.concatenate(others))


def _has_tissue(scene: Scene, block: Block) -> bool:
    wide = widened(block)
    x, y = wide.x_um[::4], wide.y_um[::4]
    return bool((scene.plan.grid("tissue", x, y) > -4.0).any())


def _render(
    scene: Scene, membranes: Membranes, rng: np.random.Generator, *, kind: str
) -> tuple[U8Array, U8Array]:
    """Render all blocks and join them; the blur sees a margin, so that there are no seams."""
    field = scene.spec
    look = field.appearance
    raw = replace(scene, spec=replace(field, appearance=replace(look, jpeg_quality=0)))
    rgb = np.empty((field.height_px, field.width_px, 3), dtype=np.uint8)
    region = np.empty((-(-field.height_px // 4), -(-field.width_px // 4)), dtype=np.uint8)
    pad = int(np.ceil(3 * look.blur_um / field.mpp)) + 6
    for block in _blocks(field):
        wide = Block(
            x0=block.x0 - pad, y0=block.y0 - pad, width=block.width + 2 * pad,
            height=block.height + 2 * pad, mpp=block.mpp,
        )  # fmt: skip
        chart = map_block(wide, scene.plan, scene.cells, scene.bank)
        picture = render_block(raw, chart, membranes, rng)
        rows = slice(block.y0, block.y0 + block.height)
        columns = slice(block.x0, block.x0 + block.width)
        rgb[rows, columns] = picture[pad : pad + block.height, pad : pad + block.width]
        part = region_map(scene, crop(chart, block))
        top, left = block.y0 // 4, block.x0 // 4
        region[top : top + part.shape[0], left : left + part.shape[1]] = part
    if kind == "out_of_focus":
        rgb = _defocused(rgb, look, field.mpp, rng)
    elif kind == "fluorescence":
        rgb = _fluorescent(rgb, look)
    if look.jpeg_quality:
        rgb = jpeg_round_trip(rgb, look.jpeg_quality, look.jpeg_subsampling)
    return rgb, region


def _defocused(rgb: U8Array, look: Appearance, mpp: float, rng: np.random.Generator) -> U8Array:
    """Blur the light, as a scanner does whose plane of focus missed the section; noise comes after.

    Unlike ``Appearance.blur_um``, for which membranes are painted stronger, this loses them.
    """
    sigma = _DEFOCUS_UM / mpp
    for channel in range(3):
        light = ndimage.gaussian_filter(rgb[..., channel].astype(np.float32), sigma, truncate=3.0)
        light += look.noise * rng.standard_normal(light.shape, dtype=np.float32)
        rgb[..., channel] = np.clip(light + 0.5, 0, 255).astype(np.uint8)
    return rgb


def _fluorescent(rgb: U8Array, look: Appearance) -> U8Array:
    """Show haematoxylin as blue and DAB as green light on a dark background."""
    od = optical_density(rgb, look.white)
    amounts = unmix(od, look.haematoxylin, look.dab)
    glow = 1 - 10 ** -(2.0 * np.maximum(amounts, 0))
    out = np.full(rgb.shape, 6, dtype=np.uint8)  # dark current and stray light
    out[..., 2] = np.clip(6 + 240 * glow[..., 0], 0, 255).astype(np.uint8)
    out[..., 1] = np.clip(6 + 220 * glow[..., 1], 0, 255).astype(np.uint8)
    return out
