from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from pathology.errors import SlideError
from pathology.geometry import Size0, Spacing
from pathology.review.deepzoom import TILE_PX, SlideCache, ZoomPicture, tile_etag, tile_jpeg
from pathology.synthesis.tiff import write_pyramid
from pathology.wsi import ArraySlide

SIDES = st.integers(1, 5000)
MPP = st.sampled_from([0.25, 0.2522, 0.5, 1.1])


@given(SIDES, SIDES, MPP, st.sampled_from([1.0, 1.04]))
def test_squares_of_every_level_cover_the_slide_without_gap_or_overlap(
    width: int, height: int, mpp: float, ratio: float
) -> None:
    zoom = ZoomPicture(
        size=Size0(width=width, height=height), spacing=Spacing(x=mpp, y=mpp * ratio)
    )
    for level in range(zoom.max_level + 1):
        step = 1 << (zoom.max_level - level)
        columns = math.ceil(math.ceil(zoom.width / step) / TILE_PX)
        x = [zoom.tile(level, column, 0).box for column in range(columns)]
        assert x[0].x == 0
        assert all(one.right == two.x for one, two in pairwise(x))
        assert width <= x[-1].right < width + step + 1
        with pytest.raises(KeyError):
            zoom.tile(level, columns, 0)


def test_the_squares_put_together_are_the_slide() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (700, 1100, 3), dtype=np.uint8)
    pixels = np.repeat(np.repeat(pixels[::20, ::20], 20, axis=0), 20, axis=1)[:700, :1100]
    slide = ArraySlide(np.ascontiguousarray(pixels), mpp=0.5)
    zoom = ZoomPicture(size=slide.info.size, spacing=slide.info.spacing)
    whole = np.zeros((zoom.height, zoom.width, 3), dtype=np.uint8)
    for row in range(2):
        for column in range(3):
            part = simplejpeg.decode_jpeg(
                tile_jpeg(slide, zoom.tile(zoom.max_level, column, row)), colorspace="RGB"
            )
            y, x = row * TILE_PX, column * TILE_PX
            whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    assert np.abs(whole.astype(int) - pixels.astype(int)).mean() < 3  # JPEG


def test_the_number_of_open_slides_is_bounded_and_an_evicted_one_opens_again() -> None:
    opened: list[str] = []

    class Run:
        def open_slide(self, slide_id: str) -> ArraySlide:
            opened.append(slide_id)
            return ArraySlide(np.full((40, 40, 3), 200, dtype=np.uint8), mpp=0.5)

    cache = SlideCache(Run(), limit=2)  # type: ignore[arg-type]
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name)
    assert len(cache) == 2
    assert opened == ["a", "b", "c", "b"]  # "a" was used last when room was made


def test_a_slide_closed_between_lookup_and_read_is_opened_again() -> None:
    class Shut(ArraySlide):
        def read(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise ValueError("the slide is closed")

    pixels = np.full((40, 40, 3), 200, dtype=np.uint8)
    slides = [Shut(pixels, mpp=0.5), ArraySlide(pixels, mpp=0.5)]

    class Cache(SlideCache):
        def get(self, _: str) -> ArraySlide:
            return slides.pop(0)

    zoom = ZoomPicture(size=Size0(width=40, height=40), spacing=Spacing(x=0.5, y=0.5))
    cache = Cache(None)  # type: ignore[arg-type]
    assert cache.read("a", zoom.tile(zoom.max_level, 0, 0))[:2] == b"\xff\xd8"


def test_tags_differ_by_content_and_place() -> None:
    tags = {tile_etag(name, level, x, 0) for name in "ab" for level in (1, 2) for x in (0, 1)}
    assert len(tags) == 8


def test_a_missing_or_exchanged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    from serving import tiny_run

    run = tiny_run(tmp_path)
    slide_id = next(iter(run.rows))
    file = run.file(slide_id)
    other = tmp_path / "elsewhere"
    other.mkdir()
    moved = file.rename(other / file.name)
    with pytest.raises(SlideError, match="no such file") as caught:
        run.open_slide(slide_id)
    assert "--slides" in caught.value.fix
    found = type(run).open(run.root, slides=other)
    found.open_slide(slide_id).close()
    write_pyramid(moved, np.full((200, 300, 3), 90, dtype=np.uint8), mpp=0.5, levels=1)
    with pytest.raises(SlideError, match="not the file that was scored"):
        type(run).open(run.root, slides=other).open_slide(slide_id)
