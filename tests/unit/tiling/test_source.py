"""Reading tiles ahead: order, bounds, failures, and threads that end."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from pathology.errors import RegionReadError
from pathology.geometry import Box0, Size0, Spacing
from pathology.tiling import InputSpec, TileGrid, TileImage, TileSource, batches, lay_grid
from pathology.tissue.mask import TissueMask
from pathology.types import U8Array
from pathology.wsi.slide import Region, SlideInfo

SPACING = Spacing(x=0.5, y=0.5)
SPEC = InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64)


class StubSlide:
    """A slide of 0.5 µm/px whose pixels are told by their place; some places can be made bad."""

    def __init__(self, width: int = 768, height: int = 512, delay_s: float = 0.0) -> None:
        self.box = Box0(x=0, y=0, width=width, height=height)
        self.info = SlideInfo(
            path=Path("stub"),
            vendor="array",
            size=Size0(width=width, height=height),
            bounds=self.box,
            spacing=SPACING,
            mpp_source="array",
            quickhash="0",
        )
        self.holes: list[Box0] = []
        self.broken: dict[tuple[int, int], Exception] = {}
        self.delay_s = delay_s
        self.lock = threading.Lock()
        self.started = 0
        self.running = 0
        self.most = 0

    def read_region(self, box: Box0, *, mpp: float | Spacing) -> Region:
        with self.lock:
            self.started += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            time.sleep(self.delay_s * (1 + box.x % 3))
            for (x, y), error in self.broken.items():
                if box.intersection(Box0(x=x, y=y, width=1, height=1)):
                    raise error
            return self._region(box, mpp)
        finally:
            with self.lock:
                self.running -= 1

    def _region(self, box: Box0, mpp: float | Spacing) -> Region:
        size = mpp.x if isinstance(mpp, Spacing) else mpp
        step = round(size / 0.5)
        x, y = np.arange(box.x, box.right, step), np.arange(box.y, box.bottom, step)[:, None]
        data = (x >= 0) & (y >= 0) & (x < self.box.width) & (y < self.box.height)
        for hole in self.holes:
            data &= ~((x >= hole.x) & (x < hole.right) & (y >= hole.y) & (y < hole.bottom))
        pixels = np.empty((*data.shape, 3), dtype=np.uint8)
        pixels[..., 0], pixels[..., 1], pixels[..., 2] = x % 251, y % 241, (x % 61) + (y % 97)
        pixels[~data] = 255
        return Region(pixels=pixels, data=data)

    def read(self, box: Box0, *, mpp: float | Spacing) -> U8Array:
        return self.read_region(box, mpp=mpp).pixels

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def grid_of(slide: StubSlide, tile_px: int = 128) -> TileGrid:
    return lay_grid(slide.box, SPACING, SPEC, tile_px=tile_px)


def source_of(slide: StubSlide, grid: TileGrid, **changes: object) -> TileSource:
    options: dict[str, object] = {"workers": 3, "queue_tiles": 4, "want_context": True}
    return TileSource(slide, grid, list(grid), **(options | changes))  # type: ignore[arg-type]


def reader_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("tile-reader")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> object:
    yield
    assert reader_threads() == []


def test_tiles_come_in_order_with_their_own_pixels() -> None:
    slide = StubSlide(delay_s=0.001)
    grid = grid_of(slide)
    images = list(source_of(slide, grid))
    assert [image.tile.tile_id for image in images] == list(range(len(grid)))
    for image in images:
        assert image.error == ""
        window, wide = grid.detail_window(image.tile), grid.context_window(image.tile)
        np.testing.assert_array_equal(image.detail, slide.read(window, mpp=0.5))
        np.testing.assert_array_equal(image.context, slide.read(wide, mpp=2.0))
        assert image.detail is not None
        assert image.detail.shape == (256, 256, 3)
        assert image.context is not None
        assert image.context.shape == (160, 160, 3)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_changes_nothing(workers: int) -> None:
    slide = StubSlide()
    grid = grid_of(slide)
    plain = list(source_of(slide, grid, workers=1, queue_tiles=1))
    for a, b in zip(plain, source_of(slide, grid, workers=workers), strict=True):
        assert a.tile == b.tile
        np.testing.assert_array_equal(a.detail, b.detail)


def test_no_context_is_read_where_none_is_wanted() -> None:
    slide = StubSlide()
    grid = grid_of(slide)
    assert all(image.context is None for image in source_of(slide, grid, want_context=False))
    assert slide.started == len(grid)


def test_tiles_are_read_by_threads_and_not_too_far_ahead() -> None:
    slide = StubSlide(delay_s=0.002)
    grid = grid_of(slide)
    images = source_of(slide, grid, want_context=False, workers=4, queue_tiles=4)
    for taken, _ in enumerate(images, start=1):
        time.sleep(0.003)
        assert slide.started <= taken + 4
    assert 2 <= slide.most <= 4


def test_a_tile_that_cannot_be_read_is_a_failed_tile() -> None:
    slide = StubSlide()
    grid = grid_of(slide)
    slide.broken[(300, 300)] = RegionReadError("stub: bad strip")
    images = list(source_of(slide, grid, want_context=False))
    failed = [image.tile for image in images if image.error]
    # Every tile whose window, halo included, holds the place.
    spot = Box0(x=300, y=300, width=1, height=1)
    assert failed == [tile for tile in grid if grid.detail_window(tile).contains(spot)]
    for image in images:
        assert (image.detail is None) == bool(image.error)
        assert image.error in ("", "stub: bad strip")


def test_an_unreadable_context_fails_the_tile_too() -> None:
    slide = StubSlide()
    grid = grid_of(slide)
    slide.broken[(767, 511)] = RegionReadError("stub: bad strip")
    images = list(source_of(slide, grid))
    spot = Box0(x=767, y=511, width=1, height=1)
    expected = [tile.tile_id for tile in grid if grid.context_window(tile).contains(spot)]
    assert [image.tile.tile_id for image in images if image.error] == expected


def test_other_exceptions_are_not_swallowed() -> None:
    slide = StubSlide()
    grid = grid_of(slide)
    slide.broken[(600, 10)] = ZeroDivisionError("a defect")
    seen: list[TileImage] = []
    with pytest.raises(ZeroDivisionError, match="a defect"):
        seen.extend(source_of(slide, grid))
    assert len(seen) < len(grid)


def test_closing_early_stops_reading() -> None:
    slide = StubSlide(width=4096, height=4096)
    grid = grid_of(slide)
    iterator = iter(source_of(slide, grid, want_context=False))
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert reader_threads() == []
    started = slide.started
    time.sleep(0.02)
    assert slide.started == started < 10


def test_leaving_a_loop_early_stops_reading() -> None:
    slide = StubSlide(width=4096, height=4096)
    for _ in source_of(slide, grid_of(slide), want_context=False):
        break
    assert slide.started < 10


def missing(hole: Box0, tissue: TissueMask | None) -> list[int]:
    slide = StubSlide()
    slide.holes.append(hole)
    grid = grid_of(slide, tile_px=256)
    images = source_of(slide, grid, tissue=tissue, want_context=False)
    return [image.tile.tile_id for image in images if "has no data" in image.error]


ALL = TissueMask(
    mask=np.ones((64, 96), dtype=np.bool_),
    box=Box0(x=0, y=0, width=768, height=512),
    spacing=SPACING,
)


@pytest.mark.parametrize("tissue", [None, ALL])
@pytest.mark.parametrize(
    ("hole", "expected"),
    [
        (Box0(x=10, y=10, width=32, height=21), [0]),  # 672 of 65,536 px: 1.03 %
        (Box0(x=10, y=10, width=32, height=20), []),  # 640 px: 0.98 %
        (Box0(x=240, y=10, width=32, height=100), [0, 1]),
        (Box0(x=300, y=300, width=10, height=10), []),
    ],
)
def test_tissue_without_data_fails_the_tile(
    hole: Box0, expected: list[int], tissue: TissueMask | None
) -> None:
    assert missing(hole, tissue) == expected


def test_glass_without_data_fails_nothing() -> None:
    mask = np.zeros((64, 96), dtype=np.bool_)
    mask[:, :16] = True  # the left 128 px are tissue
    tissue = TissueMask(mask=mask, box=ALL.box, spacing=SPACING)
    assert missing(Box0(x=128, y=0, width=640, height=512), tissue) == []
    # 1 % of the tile's tissue is 328 px; of all its pixels it would be 655.
    assert missing(Box0(x=0, y=0, width=18, height=18), tissue) == []
    assert missing(Box0(x=0, y=0, width=18, height=19), tissue) == [0]


def test_what_lies_beyond_the_slide_is_not_missing() -> None:
    slide = StubSlide(width=300, height=300)
    images = list(source_of(slide, grid_of(slide, tile_px=256), want_context=False))
    assert [image.error for image in images] == ["", "", "", ""]


def test_a_source_needs_workers_and_room() -> None:
    slide = StubSlide()
    grid = grid_of(slide)
    with pytest.raises(ValueError, match="at least one"):
        source_of(slide, grid, workers=0)
    with pytest.raises(ValueError, match="at least one"):
        source_of(slide, grid, queue_tiles=0)
    assert len(source_of(slide, grid)) == len(grid)


def test_batches_hold_readable_tiles_in_order() -> None:
    slide = StubSlide()
    grid = grid_of(slide)
    slide.broken[(300, 300)] = RegionReadError("stub: bad strip")
    failed: list[TileImage] = []
    groups = list(
        batches(
            source_of(slide, grid),
            5,
            (240.0, 241.0, 242.0),
            grid,
            on_failed=failed.append,
        )
    )
    ids = [tile.tile_id for group in groups for tile in group.tiles]
    assert sorted(ids + [image.tile.tile_id for image in failed]) == list(range(len(grid)))
    assert ids == sorted(ids)
    assert len(failed) > 0
    assert [len(group.tiles) for group in groups[:-1]] == [5] * (len(groups) - 1)
    for group in groups:
        assert group.white == (240.0, 241.0, 242.0)
        assert group.context is not None
        for tile, pixels in zip(group.tiles, group.detail, strict=True):
            np.testing.assert_array_equal(pixels, slide.read(grid.detail_window(tile), mpp=0.5))


def test_batches_without_context_or_tiles() -> None:
    slide = StubSlide()
    grid = grid_of(slide)
    white = (240.0, 240.0, 240.0)
    groups = list(batches(source_of(slide, grid, want_context=False), 7, white, grid))
    assert all(group.context is None for group in groups)
    assert list(batches([], 3, white, grid)) == []
    with pytest.raises(ValueError, match="at least one tile"):
        next(batches([], 0, white, grid))


def test_closing_the_batches_stops_reading() -> None:
    slide = StubSlide(width=4096, height=4096)
    grid = grid_of(slide)
    source = iter(source_of(slide, grid, want_context=False))
    groups = batches(source, 2, (240.0, 240.0, 240.0), grid)
    next(groups)
    groups.close()  # type: ignore[attr-defined]
    source.close()  # type: ignore[attr-defined]
    assert reader_threads() == []
