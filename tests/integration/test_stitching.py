"""Many small tiles give the cells of one big tile, with the network at its full size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from pathology.cells import CellTable
from pathology.config import Config, load_config
from pathology.geometry import Box0, Spacing
from pathology.inference import (
    DEFAULT_MODEL,
    Engine,
    ModelInput,
    ModelManifest,
    NetworkSpec,
    StainVectors,
    list_models,
    load_model,
)
from pathology.nn.registry import build_network
from pathology.stain import StainMatrix
from pathology.tiling import TileBatch, lay_grid

WHITE = (243.0, 243.0, 243.0)
MARGIN = 256


def picture(side: int, *, seed: int = 0) -> np.ndarray:
    """(side, side, 3) uint8 at 0.5 µm/px: crowded cells of all sizes and shades, on noise."""
    rng = np.random.default_rng(seed)
    amounts = np.zeros((side, side, 2), dtype=np.float32)
    amounts[..., 0] = 0.06
    for _ in range(side * side // 700):
        x, y = rng.uniform(20, side - 20, 2)
        size, shade, brown = rng.uniform(8, 16), rng.uniform(0.2, 0.7), rng.uniform(0, 0.8)
        left, top = int(x) - 20, int(y) - 20
        dy, dx = np.mgrid[top : top + 40, left : left + 40] + 0.5
        radius = np.hypot(dx - x, (dy - y) * rng.uniform(0.8, 1.25))
        patch = amounts[top : top + 40, left : left + 40]
        patch[..., 0] += shade * (radius < 0.6 * size)
        patch[..., 1] += brown * np.exp(-((radius - size) ** 2) / 4)
    stain = load_config().stain
    stains = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab)
    rgb = WHITE[0] * 10.0 ** -stains.mix(amounts) + rng.normal(0, 3, (side, side, 3))
    return np.clip(np.round(rgb), 0, 255).astype(np.uint8)


def random_engine(config: Config) -> Engine:
    """An engine with random weights whose logits spread around 0."""
    torch.manual_seed(0)
    network = build_network("cellnet").eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, 0.0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    stain = config.stain
    manifest = ModelManifest(
        name="random",
        version="0.0.0",
        network=NetworkSpec(name="cellnet"),
        input=ModelInput(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64),
        stain=StainVectors(haematoxylin=stain.haematoxylin, dab=stain.dab),
        licence="Apache-2.0",
        intended_use="Tests.",
        weights_sha256="0" * 64,
    )
    return Engine(network, manifest, config)


def read_all(engine: Engine, rgb: np.ndarray, tile_px: int) -> CellTable:
    side = len(rgb) - 2 * MARGIN
    blocks = rgb.reshape(len(rgb) // 4, 4, len(rgb) // 4, 4, 3)
    context = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
    box = Box0(x=MARGIN, y=MARGIN, width=side, height=side)
    grid = lay_grid(box, Spacing(x=0.5, y=0.5), engine.spec, tile_px=tile_px)
    tables = []
    for tile in grid:
        near, wide = grid.detail_window(tile), grid.context_window(tile)
        batch = TileBatch(
            grid=grid,
            tiles=(tile,),
            detail=rgb[None, near.y : near.bottom, near.x : near.right],
            context=context[None, wide.y // 4 : wide.bottom // 4, wide.x // 4 : wide.right // 4],
            white=WHITE,
        )
        tables += engine.read(batch)
    table = CellTable.concat(tables)
    return table.take(np.lexsort((table.x_um, table.y_um)))


#: Convolutions of other sizes add up in another order: a radius that lies within 1e-5 µm of the
#: middle between two steps of the table may be rounded the other way in so many cells, and what
#: is measured along it is then another cell's. None is off by more than one step.
MAX_REROUNDED = 0.01


def assert_same_cells(first: CellTable, second: CellTable) -> None:
    assert first.n == second.n > 100
    steps = np.abs(first.outline_r.astype(int) - second.outline_r.astype(int)).max(axis=1)
    assert steps.max() <= 1
    assert (steps > 0).mean() <= MAX_REROUNDED
    same = np.flatnonzero(steps == 0)
    first, second = first.take(same), second.take(same)
    for item in dataclasses.fields(CellTable):
        if item.name != "tile_id":
            a, b = (getattr(table, item.name).astype(float) for table in (first, second))
            np.testing.assert_allclose(a, b, atol=1e-4, err_msg=item.name)


def test_random_weights_512_px() -> None:
    config = load_config(overrides=["inference.cpu_threads=1", "cells.peak_min=0.0"])
    engine, rgb = random_engine(config), picture(512 + 2 * MARGIN)
    assert_same_cells(read_all(engine, rgb, 128), read_all(engine, rgb, 512))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bundled_model_4096_px() -> None:
    if not any(manifest.name == DEFAULT_MODEL for manifest in list_models()):
        pytest.skip(f"no bundled model {DEFAULT_MODEL}")
    engine, rgb = load_model(), picture(4096 + 2 * MARGIN)
    whole = read_all(engine, rgb, 4096)
    for tile_px in (512, 1024):
        assert_same_cells(read_all(engine, rgb, tile_px), whole)


def test_bundled_model_512_px() -> None:
    if not any(manifest.name == DEFAULT_MODEL for manifest in list_models()):
        pytest.skip(f"no bundled model {DEFAULT_MODEL}")
    engine = load_model(config=load_config(overrides=["inference.cpu_threads=1"]))
    rgb = picture(512 + 2 * MARGIN)
    assert_same_cells(read_all(engine, rgb, 128), read_all(engine, rgb, 512))
