"""Tiles are joined into windows; which tiles there are, and which fail, does not change."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.errors import RegionReadError
from pathology.geometry import Box0
from pathology.tiling import (
    TileBatch,
    TileSource,
    TileWindow,
    WindowPlan,
    batches,
    join_tiles,
    map_ahead,
)
from tests.unit.tiling.test_source import StubSlide, grid_of

WHITE = (240.0, 240.0, 240.0)


def groups_of(slide: StubSlide, plan: WindowPlan, **changes: object) -> list[TileBatch]:
    grid = grid_of(slide)
    options: dict[str, object] = {"workers": 2, "queue_tiles": 3, "want_context": True}
    source = TileSource(slide, grid, list(grid), plan=plan, **(options | changes))  # type: ignore[arg-type]
    return list(batches(source, 1, WHITE, grid))


@given(
    wanted=st.sets(st.integers(0, 41), min_size=1),
    side=st.integers(1, 4),
    whole=st.booleans(),
)
def test_every_tile_is_in_one_window_that_covers_it(
    wanted: set[int], side: int, whole: bool
) -> None:
    grid = grid_of(StubSlide(width=7 * 128, height=6 * 128))
    tiles = [tile for tile in grid if tile.tile_id in wanted]
    windows = join_tiles(grid, tiles, WindowPlan(side=side, whole=whole))
    found = [tile for window in windows for tile in window.tiles]
    assert sorted(found, key=lambda tile: tile.tile_id) == tiles
    for window in windows:
        size = window.core.width // grid.core_width, window.core.height // grid.core_height
        assert max(size) <= side
        assert size == (side, side) or not whole
        for tile in window.tiles:
            x, y = window.corner_px(grid, tile)
            step = grid.core_width // grid.tile_px
            halo = grid.spec.halo_px
            assert tile.core.x == window.core.x + (x - halo) * step
            assert tile.core.y == window.core.y + (y - halo) * step
            assert window.core.contains(tile.core)
        if not whole:
            assert {min(t.row for t in window.tiles), min(t.col for t in window.tiles)} == {
                window.row,
                window.col,
            }


@pytest.mark.parametrize("whole", [False, True])
def test_cores_hold_the_same_pixels_as_single_tiles(whole: bool) -> None:
    slide = StubSlide()
    single = {
        tile.tile_id: pixels
        for group in groups_of(slide, WindowPlan())
        for tile, pixels in zip(group.tiles, group.core_pixels(), strict=True)
    }
    started = slide.started
    joined = groups_of(slide, WindowPlan(side=2, whole=whole))
    assert slide.started - started < started / 2
    seen = 0
    for group in joined:
        assert group.context is not None
        for tile, pixels in zip(group.tiles, group.core_pixels(), strict=True):
            np.testing.assert_array_equal(pixels, single[tile.tile_id])
            seen += 1
    assert seen == len(single)


def test_one_bad_place_fails_the_tiles_that_it_would_have_failed_alone() -> None:
    failures = []
    for plan in (WindowPlan(), WindowPlan(side=2), WindowPlan(side=3, whole=True)):
        slide = StubSlide()
        slide.broken[(300, 300)] = RegionReadError("stub: bad strip")
        slide.holes.append(Box0(x=520, y=20, width=40, height=40))
        grid = grid_of(slide)
        source = TileSource(
            slide, grid, list(grid), workers=2, queue_tiles=2, want_context=True, plan=plan
        )
        images = list(source)
        failures.append(sorted((i.tile.tile_id, i.error) for i in images if i.error))
        good = [tile.tile_id for i in images if not i.error for tile in i.window.tiles]
        assert sorted(good + [tile_id for tile_id, _ in failures[-1]]) == list(range(len(grid)))
    assert failures[0] == failures[1] == failures[2]
    assert {"stub: bad strip"} < {error for _, error in failures[0]}


def test_windows_of_two_shapes_do_not_share_a_batch() -> None:
    slide = StubSlide(width=3 * 128, height=2 * 128)
    grid = grid_of(slide)
    source = TileSource(
        slide, grid, list(grid), workers=1, queue_tiles=1, want_context=False,
        plan=WindowPlan(side=2),
    )  # fmt: skip
    groups = list(batches(source, 8, WHITE, grid))
    assert [[tile.tile_id for tile in group.tiles] for group in groups] == [[0, 1, 3, 4], [2, 5]]
    assert [group.part(0, 1).tiles for group in groups] == [group.tiles for group in groups]


def test_a_batch_knows_its_tiles() -> None:
    grid = grid_of(StubSlide())
    first, second = list(grid)[:2]
    with pytest.raises(ValueError, match="those of its windows"):
        TileBatch(
            grid=grid, tiles=(first,), detail=np.zeros((1, 8, 8, 3), np.uint8), context=None,
            white=WHITE, windows=(TileWindow.of(second),),
        )  # fmt: skip
    with pytest.raises(ValueError, match="at least one tile"):
        WindowPlan(side=0)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_and_not_too_far_ahead(threads: int) -> None:
    started, lock = [], threading.Lock()

    def work(item: int) -> int:
        with lock:
            started.append(item)
        time.sleep(0.002 if item % 3 else 0.006)
        return -item

    taken = 0
    for result in map_ahead(work, range(20), threads=threads, ahead=4, name="test-ahead"):
        assert result == -taken
        taken += 1
        assert len(started) <= taken + 4
    assert taken == 20


def test_an_error_comes_in_turn_and_leaves_no_thread() -> None:
    def work(item: int) -> float:
        return 1 / (3 - item)

    results = map_ahead(work, range(10), threads=2, ahead=3, name="test-ahead")
    seen: list[float] = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(results)
    assert seen == [1 / 3, 1 / 2, 1.0]
    assert not [t for t in threading.enumerate() if t.name.startswith("test-ahead")]
