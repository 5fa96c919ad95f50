from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import openslide
import pytest

from pathology.errors import ReasonCode, RegionReadError, SlideError
from pathology.geometry import Box0
from pathology.wsi import ArraySlide, open_slide
from pathology.wsi.reader import Level
from pathology.wsi.vendor import OpenSlideSource

WHOLE = Box0(x=0, y=0, width=1024, height=1024)


def flaky(monkeypatch, failures: int) -> list[int]:
    """Let the first reads fail as OpenSlide does: the handle then refuses everything."""
    real = openslide.OpenSlide.read_region
    latched: set[int] = set()
    calls: list[int] = []
    lock = threading.Lock()

    def read_region(self, location, level, size):
        with lock:
            calls.append(id(self))
            if len(calls) <= failures or id(self) in latched:
                latched.add(id(self))
                kept.append(self)
                raise openslide.OpenSlideError("simulated")
        return real(self, location, level, size)

    kept: list[object] = []
    monkeypatch.setattr(openslide.OpenSlide, "read_region", read_region)
    return calls


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 0.6, 1.0, 2.0])
def test_equals_the_array_that_was_written(make_slide, kit, mpp):
    image = kit.field(1024, 1024)
    with open_slide(make_slide(image)) as slide:
        seen = slide.read_region(WHOLE, mpp=mpp)
    expected = ArraySlide(image, mpp=0.25).read_region(WHOLE, mpp=mpp)
    # Coarser levels were averaged and rounded once when they were written.
    assert np.abs(seen.pixels.astype(int) - expected.pixels).max() <= (2 if mpp != 0.6 else 8)
    assert np.abs(seen.pixels.astype(int) - expected.pixels).mean() < (0.6 if mpp != 0.6 else 1.5)
    assert seen.data.all()
    if mpp in (0.25, 0.4):
        np.testing.assert_array_equal(seen.pixels, expected.pixels)


@pytest.mark.parametrize("side", [1021, 1023, 999])
def test_odd_sizes_do_not_shift_coarse_levels(make_slide, kit, side):
    image = kit.field(side, side)
    box = Box0(x=0, y=0, width=960, height=960)
    with open_slide(make_slide(image, levels=5)) as slide:
        for mpp in (1.0, 2.0, 4.0):
            seen = slide.read(box, mpp=mpp).astype(int)
            expected = ArraySlide(image, mpp=0.25).read(box, mpp=mpp).astype(int)
            # A shift by a tenth of a pixel would show; interpolation inside OpenSlide costs a bit.
            assert np.abs(seen - expected).mean() < 0.6
            assert abs((seen - expected).mean()) < 0.1


def test_edge_of_a_rounded_down_level_is_data(make_slide, kit):
    image = kit.field(1024, 1024)
    slide = ArraySlide(image, mpp=0.25)
    source = slide._source  # the array as level 0 of a pyramid with a short second level
    short = image[:1016, :1016].reshape(127, 8, 127, 8, 3).mean(axis=(1, 3)).astype(np.uint8)

    class Pyramid:
        levels = (
            *source.levels,
            Level(width=127, height=127, scale_x=Fraction(8), scale_y=Fraction(8)),
        )

        def read_level(self, level, x, y, width, height):
            if level == 0:
                return source.read_level(0, x, y, width, height)
            return ArraySlide(short, mpp=2.0)._source.read_level(0, x, y, width, height)

        def close(self):
            pass

    slide._source = Pyramid()
    region = slide.read_region(WHOLE, mpp=2.0)
    assert region.data.all()
    np.testing.assert_array_equal(region.pixels[:127, :127], short)
    np.testing.assert_array_equal(region.pixels[127, :127], short[126])
    assert (region.pixels[127, 127] == short[126, 126]).all()
    last = slide.read_region(Box0(x=1016, y=1016, width=16, height=8), mpp=2.0)
    assert last.data.tolist() == [[True, False]]
    assert (last.pixels[0, 0] == short[126, 126]).all()


def test_missing_tile_is_white_without_data(make_slide, kit):
    path = make_slide(kit.field(1024, 1024), levels=1)
    kit.drop_tile(path, 5)  # row 1, column 1 of 4 × 4 tiles of 256 px
    with open_slide(path) as slide:
        region = slide.read_region(WHOLE, mpp=0.25)
    assert not region.data[256:512, 256:512].any()
    assert region.data.sum() == 1024 * 1024 - 256 * 256
    assert (region.pixels[256:512, 256:512] == 255).all()


def test_broken_tile_fails_by_name_and_spares_the_rest(make_slide, kit):
    image = kit.field(1024, 1024)
    path = make_slide(image, levels=1, name="broken one.tif")
    kit.zero_tile(path, 5)
    with open_slide(path, cache_mb=0) as slide:
        for _ in range(2):
            with pytest.raises(RegionReadError, match=r"broken one\.tif.*300, 300.*fresh handle"):
                slide.read(Box0(x=300, y=300, width=10, height=10), mpp=0.25)
            box = Box0(x=0, y=0, width=256, height=1024)
            np.testing.assert_array_equal(slide.read(box, mpp=0.25), image[:, :256])


def test_error_is_tried_once_more_on_a_fresh_handle(make_slide, kit, monkeypatch):
    image = kit.field(1024, 1024)
    with open_slide(make_slide(image)) as slide:
        calls = flaky(monkeypatch, failures=1)
        np.testing.assert_array_equal(slide.read(WHOLE, mpp=0.25), image)
        assert len(calls) == 2
        assert calls[0] != calls[1]
        slide.read(WHOLE, mpp=0.25)
        assert calls[2] == calls[1]  # the fresh handle stays


def test_two_errors_are_an_error_and_the_third_read_works(make_slide, kit, monkeypatch):
    image = kit.field(1024, 1024)
    with open_slide(make_slide(image)) as slide:
        calls = flaky(monkeypatch, failures=2)
        with pytest.raises(RegionReadError, match="simulated"):
            slide.read(WHOLE, mpp=0.25)
        assert len(calls) == 2
        np.testing.assert_array_equal(slide.read(WHOLE, mpp=0.25), image)
        assert len(calls) == 3  # at once: the latched handle was replaced, too


def test_vanished_file_is_a_region_error(make_slide, kit):
    path = make_slide(levels=1)
    kit.zero_tile(path, 0)
    with open_slide(path, cache_mb=0) as slide:
        path.unlink()
        for _ in range(2):
            with pytest.raises(RegionReadError):
                slide.read(Box0(x=0, y=0, width=10, height=10), mpp=0.25)


def test_many_threads_with_broken_tiles_get_what_one_thread_gets(make_slide, kit):
    image = kit.field(1024, 1024)
    path = make_slide(image, levels=1)
    for tile in (0, 6, 11):
        kit.zero_tile(path, tile)
    boxes = [
        Box0(x=x, y=y, width=128, height=128)
        for y in range(0, 1024, 128)
        for x in range(0, 1024, 128)
    ]

    with open_slide(path) as slide:

        def read(box: Box0) -> bytes | None:
            try:
                return slide.read(box, mpp=0.25).tobytes()
            except RegionReadError:
                return None

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(read, boxes * 2))
    broken = {0, 6, 11}
    for box, result in zip(boxes * 2, results, strict=True):
        if box.y // 256 * 4 + box.x // 256 in broken:
            assert result is None
        else:
            assert result == image[box.y : box.bottom, box.x : box.right].tobytes()


def test_cache_has_the_size_that_was_asked_for(make_slide, monkeypatch):
    sizes = []
    real = openslide.OpenSlideCache

    def cache(capacity):
        sizes.append(capacity)
        return real(capacity)

    monkeypatch.setattr(openslide, "OpenSlideCache", cache)
    open_slide(make_slide(), cache_mb=7).close()
    assert sizes == [7_000_000]


def test_closed_slide_says_so(make_slide):
    slide = open_slide(make_slide())
    slide.close()
    slide.close()
    with pytest.raises(ValueError, match="closed"):
        slide.read(WHOLE, mpp=0.25)


def test_recognised_but_broken_is_unreadable(make_slide, monkeypatch):
    def refuse(self, filename):
        raise openslide.OpenSlideError("simulated")

    path = make_slide()
    monkeypatch.setattr(openslide.OpenSlide, "__init__", refuse)
    with pytest.raises(SlideError, match=r"slide\.tif.*damaged") as caught:
        OpenSlideSource(path, cache_mb=1)
    assert caught.value.reason is ReasonCode.UNREADABLE
