"""Direct reading gives what OpenSlide gives, whatever the file and the window."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "wsi"))

from jpeg_tiff import write_jpeg_tiff

from pathology.config import load_config
from pathology.geometry import Box0
from pathology.wsi import Slide, open_slide
from pathology.wsi.choosing import compare_tile
from pathology.wsi.direct import DirectSource
from pathology.wsi.vendor import OpenSlideSource

WIDTH, HEIGHT = 1040, 800
#: Tile side, RGB or YCbCr, subsampling, tables in the directory, BigTIFF with big-endian numbers.
KINDS = [
    (240, True, "4:4:4", True, False),
    (240, False, "4:2:2", True, False),
    (256, False, "4:2:0", True, False),
    (256, False, "4:2:0", False, True),
    (256, False, "4:4:4", False, False),
    (512, False, "4:2:2", False, False),
    (512, False, "4:2:0", True, True),
    (512, True, "4:4:4", False, True),
]


def picture() -> np.ndarray:
    """Make colourful noise, a part that is exactly black, and single black pixels."""
    rng = np.random.default_rng(5)
    noise = ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH, 3)), (1, 1, 0))
    image = (128 + 110 * noise / np.abs(noise).max()).astype(np.uint8)
    image[256:320, 512:576] = 0
    image[600:616:4, 100:200:7] = 0
    return image


def halve(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    parts = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
    return np.ascontiguousarray(parts.mean(axis=(1, 3)).round().astype(np.uint8))


@pytest.fixture(scope="module")
def sources(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[int], tuple[DirectSource, OpenSlideSource]]:
    folder = tmp_path_factory.mktemp("direct")
    levels = [picture()]
    for _ in range(3):
        levels.append(halve(levels[-1]))
    made: dict[int, tuple[Path, Slide, OpenSlideSource]] = {}

    def get(kind: int) -> tuple[DirectSource, OpenSlideSource]:
        if kind not in made:
            side, rgb, subsampling, shared, big = KINDS[kind]
            path = write_jpeg_tiff(
                folder / f"{kind}.tif",
                levels,
                side=side,
                rgb=rgb,
                subsampling=subsampling,
                shared=shared,
                big=big,
                byteorder=">" if big else "<",
            )
            slide = open_slide(path)
            assert slide.info.reader == "direct", slide.info.reader_note
            made[kind] = path, slide, OpenSlideSource(path, cache_mb=16)
        return made[kind][1]._source, made[kind][2]

    return get


@settings(max_examples=60)
@given(data=st.data(), kind=st.integers(0, len(KINDS) - 1))
def test_any_window_of_any_level_is_the_same(sources, data, kind):
    direct, general = sources(kind)
    number = data.draw(st.integers(0, len(direct.levels) - 1))
    level = direct.levels[number]
    assert general.exact[number]
    width, height = data.draw(st.integers(1, 600)), data.draw(st.integers(1, 600))
    width, height = min(width, level.width), min(height, level.height)
    x = data.draw(st.integers(0, level.width - width))
    y = data.draw(st.integers(0, level.height - height))
    expected = general.read_level(number, x, y, width, height)
    np.testing.assert_array_equal(direct.read_level(number, x, y, width, height), expected)
    plain = np.zeros((height, width, 3), np.uint8)
    if direct.copy_plain(number, x, y, plain):
        np.testing.assert_array_equal(plain, expected[..., :3])
        assert (plain.max(axis=2) > 0).all()


@settings(max_examples=40)
@given(
    kind=st.integers(0, len(KINDS) - 1),
    x=st.integers(-200, WIDTH),
    y=st.integers(-200, HEIGHT),
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    mpp=st.sampled_from([0.25, 0.4, 0.496, 0.5, 0.7, 1.0, 2.0, 3.0]),
)
def test_any_region_at_any_pixel_size_is_the_same(sources, kind, x, y, width, height, mpp):
    _, general = sources(kind)
    box = Box0(x=x, y=y, width=width, height=height)
    with (
        open_slide(general._path) as direct,
        open_slide(
            general._path, reading=load_config(overrides=["reading.reader=openslide"]).reading
        ) as slow,
    ):
        assert (direct.info.reader, slow.info.reader) == ("direct", "openslide")
        seen, expected = direct.read_region(box, mpp=mpp), slow.read_region(box, mpp=mpp)
    np.testing.assert_array_equal(seen.pixels, expected.pixels)
    np.testing.assert_array_equal(seen.data, expected.data)


@pytest.mark.parametrize("kind", [0, 2, 5])
def test_levels_with_rounded_sizes_lie_within_the_stated_tolerance(tmp_path, kind):
    side, rgb, subsampling, shared, _ = KINDS[kind]
    # A quarter of 1,597 × 2,077 px is no whole number of pixels: OpenSlide interpolates.
    image = np.tile(picture(), (2, 2, 1))[:1597, :2077]
    quarter = halve(halve(image))
    path = write_jpeg_tiff(
        tmp_path / "a.tif",
        [image, quarter],
        side=side,
        rgb=rgb,
        subsampling=subsampling,
        shared=shared,
    )
    general = OpenSlideSource(path, cache_mb=1)
    assert general.exact == (True, False)
    with open_slide(path) as slide:
        assert slide.info.reader == "direct"
        direct = slide._source
        level = direct.levels[1]
        seen = direct.read_level(1, 0, 0, level.width, level.height)
    expected = general.read_level(1, 0, 0, level.width, level.height)
    assert not np.array_equal(seen, expected)
    for top in range(0, level.height, side):
        for left in range(0, level.width, side):
            place = np.s_[top : top + side, left : left + side]
            assert compare_tile(seen[place], expected[place], exact=False)
