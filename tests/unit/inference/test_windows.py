"""Windows of several tiles give the cells of the tiles read singly, in whatever thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from pathology.cells import CellTable
from pathology.config import load_config
from pathology.inference import Engine, ModelManifest
from pathology.tiling import TileBatch, TileGrid, TileWindow, WindowPlan, join_tiles, map_ahead
from tests.needs_gpu import find_real_gpu
from tests.unit.inference.conftest import WHITE, Field

SETTINGS = ["inference.cpu_threads=2", "tiling.tile_px=128", "tiling.window_px=256"]


def window_batch(field: Field, grid: TileGrid, windows: list[TileWindow]) -> TileBatch:
    detail, context = [], []
    for window in windows:
        near, wide = grid.detail_window(window), grid.context_window(window)
        detail.append(field.detail[near.y : near.bottom, near.x : near.right])
        rows, columns = (wide.y // 4, wide.bottom // 4), (wide.x // 4, wide.right // 4)
        context.append(field.context[slice(*rows), slice(*columns)])
    return TileBatch(
        grid=grid, tiles=tuple(t for w in windows for t in w.tiles), detail=np.stack(detail),
        context=np.stack(context), white=WHITE, windows=tuple(windows),
    )  # fmt: skip


@pytest.fixture
def engine(manifest: ModelManifest, blur_net: Callable[..., nn.Module]) -> Engine:
    return Engine(blur_net(), manifest, load_config(overrides=SETTINGS))


def singly(engine: Engine, field: Field, grid: TileGrid) -> dict[int, CellTable]:
    return {tile.tile_id: engine.read(field.batch(grid, [tile]))[0] for tile in grid}


def assert_same(first: CellTable, second: CellTable) -> None:
    assert first.n == second.n
    for item in dataclasses.fields(CellTable):
        a, b = (getattr(table, item.name).astype(float) for table in (first, second))
        np.testing.assert_allclose(a, b, atol=1e-4, err_msg=item.name)


@pytest.mark.parametrize("whole", [False, True])
def test_windows_give_the_cells_of_single_tiles(
    engine: Engine, make_field: Callable[..., Field], whole: bool
) -> None:
    field = make_field(384, noise=12)
    grid = field.grid(128)
    assert engine.windows == WindowPlan(side=2)
    expected = singly(engine, field, grid)
    wanted = [tile for tile in grid if tile.tile_id != 4]  # the one in the middle has no tissue
    seen = 0
    for window in join_tiles(grid, wanted, WindowPlan(side=2, whole=whole)):
        inside = window.core.right <= field.margin + 384 and window.core.bottom <= (
            field.margin + 384
        )
        if not inside:  # beyond the picture there is nothing to cut
            continue
        tables = engine.read(window_batch(field, grid, [window]))
        for tile, table in zip(window.tiles, tables, strict=True):
            assert set(table.tile_id.tolist()) <= {tile.tile_id}
            assert_same(table, expected[tile.tile_id])
            seen += table.n
    assert seen > 20


def test_threads_and_batches_change_nothing(
    engine: Engine, make_field: Callable[..., Field]
) -> None:
    field = make_field(512, noise=12)
    grid = field.grid(128)
    windows = join_tiles(grid, list(grid), WindowPlan(side=2))
    batches = [window_batch(field, grid, [window]) for window in windows]
    one = [table for batch in batches for table in engine.read(batch)]
    threads = map_ahead(engine.read, batches, threads=3, ahead=4, name="test-engine")
    for first, second in zip(one, (table for found in threads for table in found), strict=True):
        for item in dataclasses.fields(CellTable):
            np.testing.assert_array_equal(getattr(first, item.name), getattr(second, item.name))
    together = engine.read(window_batch(field, grid, windows))
    for first, second in zip(one, together, strict=True):
        assert_same(first, second)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_from_two_threads(
    manifest: ModelManifest, blur_net: Callable[..., nn.Module], make_field: Callable[..., Field]
) -> None:
    settings = [*SETTINGS, "inference.cuda_precision=fp32"]
    config = load_config(overrides=settings)
    engine = Engine(blur_net(), manifest, config, device=find_real_gpu())
    assert engine.windows.whole
    assert engine.streams == 2
    field = make_field(512, noise=12)
    grid = field.grid(128)
    batches = [
        window_batch(field, grid, [window])
        for window in join_tiles(grid, list(grid), engine.windows)
    ]
    one = [table for batch in batches for table in engine.read(batch)]
    threads = map_ahead(engine.read, batches, threads=2, ahead=3, name="test-engine")
    for first, second in zip(one, (table for found in threads for table in found), strict=True):
        assert_same(first, second)
    assert not torch.backends.cudnn.deterministic
