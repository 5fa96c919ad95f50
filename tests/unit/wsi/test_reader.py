from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from pathology.errors import PathologyError
from pathology.geometry import Box0, Size0, Spacing
from pathology.wsi import ArraySlide, reader
from pathology.wsi.reader import Level, SourceSlide, true_scale


@pytest.fixture
def image(kit):
    return kit.field(300, 400)


def test_native_read_is_an_exact_copy(image):
    slide = ArraySlide(image, mpp=0.25)
    pixels = slide.read(Box0(x=13, y=17, width=101, height=55), mpp=0.25)
    np.testing.assert_array_equal(pixels, image[17:72, 13:114])
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous


def test_half_size_is_the_mean_of_two_by_two(image):
    region = ArraySlide(image, mpp=0.25).read_region(Box0(x=2, y=4, width=80, height=60), mpp=0.5)
    exact = image[4:64, 2:82].reshape(30, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(region.pixels - exact).max() <= 0.51
    assert region.data.all()


@pytest.mark.parametrize(
    ("width", "height", "mpp", "shape"),
    [
        (100, 60, 0.5, (30, 50)),
        (101, 61, 0.5, (30, 50)),
        (1, 1, 2.0, (1, 1)),
        (10, 10, 0.125, (20, 20)),
        (100, 100, Spacing(x=0.5, y=0.25), (100, 50)),
        (300, 300, 0.37, (203, 203)),
    ],
)
def test_shape_follows_the_contract(image, width, height, mpp, shape):
    slide = ArraySlide(image, mpp=0.25)
    region = slide.read_region(Box0(x=0, y=0, width=width, height=height), mpp=mpp)
    assert region.pixels.shape == (*shape, 3)
    assert region.data.shape == shape


def test_outside_is_white_and_flagged(image):
    slide = ArraySlide(image, mpp=0.25)
    region = slide.read_region(Box0(x=-10, y=-20, width=420, height=340), mpp=0.25)
    np.testing.assert_array_equal(region.pixels[20:320, 10:410], image)
    outside = ~np.pad(np.ones((300, 400), bool), ((20, 20), (10, 10)))
    np.testing.assert_array_equal(region.data, ~outside)
    assert (region.pixels[outside] == 255).all()
    far = slide.read_region(Box0(x=10**6, y=-(10**6), width=9, height=9), mpp=0.5)
    assert not far.data.any()
    assert (far.pixels == 255).all()


def test_pixels_without_data_are_white_before_they_are_averaged():
    image = np.zeros((400, 400, 3), np.uint8) + np.uint8(100)
    data = np.ones((400, 400), bool)
    data[:, 201:] = False
    image[:, 201:] = 0
    region = ArraySlide(image, mpp=0.25, data=data).read_region(
        Box0(x=0, y=0, width=400, height=400), mpp=0.5
    )
    assert region.pixels[0, 99:102, 0].tolist() == [100, 178, 255]
    # Half of the area has data: counted as data.
    assert region.data[0, 99:102].tolist() == [True, True, False]


def test_black_block_is_missing_at_any_size(image):
    image[100:164, 200:264] = 0
    slide = ArraySlide(image, mpp=0.25)
    region = slide.read_region(Box0(x=0, y=0, width=400, height=300), mpp=0.25)
    assert not region.data[100:164, 200:264].any()
    assert region.data.sum() == 300 * 400 - 64 * 64
    assert (region.pixels[100:164, 200:264] == 255).all()
    half = slide.read_region(Box0(x=0, y=0, width=400, height=300), mpp=0.5)
    assert not half.data[50:82, 100:132].any()
    assert half.pixels.min() > 0


def test_black_block_is_missing_through_a_keyhole(image):
    image[100:164, 200:264] = 0
    slide = ArraySlide(image, mpp=0.25)
    corner = slide.read_region(Box0(x=262, y=162, width=4, height=4), mpp=0.25)
    assert corner.data.tolist() == [
        [False, False, True, True],
        [False, False, True, True],
        [True] * 4,
        [True] * 4,
    ]


def test_all_black_slide_has_no_data():
    region = ArraySlide(np.zeros((500, 500, 3), np.uint8), mpp=0.25).read_region(
        Box0(x=0, y=0, width=500, height=500), mpp=1.0
    )
    assert not region.data.any()
    assert (region.pixels == 255).all()


@pytest.mark.parametrize("mpp", [0.25, 0.37, 0.5, 0.2])
def test_blocks_leave_no_seam(image, monkeypatch, mpp):
    slide = ArraySlide(image, mpp=0.25)
    box = Box0(x=-5, y=3, width=390, height=300)
    whole = slide.read_region(box, mpp=mpp)
    monkeypatch.setattr(reader, "_BLOCK_PX", 37)
    pieces = slide.read_region(box, mpp=mpp)
    np.testing.assert_array_equal(whole.pixels, pieces.pixels)
    np.testing.assert_array_equal(whole.data, pieces.data)


def test_memory_is_bounded_for_any_box():
    class Endless:
        levels = (Level(width=200_000, height=200_000, scale_x=Fraction(1), scale_y=Fraction(1)),)

        def read_level(self, _level, _x, y, width, height):
            return np.full((height, width, 4), 200 + (y // 16384), np.uint8)

        def close(self):
            pass

    info = ArraySlide(np.zeros((1, 1, 3), np.uint8), mpp=0.25).info
    info = type(info)(
        path=info.path,
        vendor="array",
        size=Size0(width=200_000, height=200_000),
        bounds=Box0(x=0, y=0, width=200_000, height=200_000),
        spacing=Spacing(x=0.25, y=0.25),
        mpp_source="array",
        quickhash="",
    )
    slide = SourceSlide(info, Endless())
    tracemalloc.start()
    pixels = slide.read(Box0(x=0, y=0, width=14_000, height=8_000), mpp=64.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pixels.shape == (31, 55, 3)
    assert peak < 300e6


def test_bad_pixel_size_is_refused(image):
    slide = ArraySlide(image, mpp=0.25)
    for mpp in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="spacing"):
            slide.read(Box0(x=0, y=0, width=9, height=9), mpp=mpp)


@pytest.mark.parametrize(
    ("full", "part", "nominal", "scale"),
    [
        (5468, 2734, 2.0, 2),
        (5467, 2733, 2.0002, 2),
        (5468, 170, 32.16, 32),
        (30491, 7623, 3.9997, 4),
        (30491, 477, 63.957, 64),
        (1411, 89, 15.86, 16),
        (1000, 1000, 1.0, 1),
        (1000, 300, 3.33, Fraction(10, 3)),
        (1000, 400, 2.5, Fraction(5, 2)),
        (3, 1, 3.0, 3),
    ],
)
def test_true_scale_undoes_rounding_of_sizes(full, part, nominal, scale):
    assert true_scale(full, part, nominal) == scale


def test_array_slide_describes_itself(image):
    slide = ArraySlide(image, mpp=0.25)
    assert slide.info.vendor == slide.info.mpp_source == "array"
    assert (slide.info.size.width, slide.info.size.height) == (400, 300)
    assert slide.info.bounds == Box0(x=0, y=0, width=400, height=300)
    assert slide.info.quickhash.startswith("sha256:")
    assert slide.info.quickhash == ArraySlide(image.copy(), mpp=0.5).info.quickhash
    assert slide.info.quickhash != ArraySlide(255 - image, mpp=0.25).info.quickhash
    with slide as same:
        assert same is slide


def test_array_slide_refuses_wrong_arrays(image):
    for bad in (image[..., 0], image.astype(float), image[:0]):
        with pytest.raises(ValueError, match="uint8"):
            ArraySlide(bad, mpp=0.25)
    with pytest.raises(ValueError, match="as large as"):
        ArraySlide(image, mpp=0.25, data=np.ones((3, 3), bool))
    assert not issubclass(ValueError, PathologyError)
