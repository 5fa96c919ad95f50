from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pathology.wsi.resample import Axis, resample, rgb


def rgba(height: int, width: int) -> np.ndarray:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    return pixels


def area_slowly(line: np.ndarray, low: Fraction, high: Fraction) -> np.ndarray:
    """Integrate a row of pixels from ``low`` to ``high``, exactly."""
    total = np.zeros(line.shape[1], dtype=object)
    for index in range(len(line)):
        share = min(high, Fraction(index + 1)) - max(low, Fraction(index))
        if share > 0:
            total += line[index].astype(object) * share
    return total / (high - low)


@pytest.mark.parametrize(("start", "length", "count"), [(3, 50, 23), (0, 64, 64), (7, 61, 2)])
def test_area_mean_equals_exact_integration(start, length, count):
    pixels = rgba(80, 80)
    axis = Axis(start=start, length=length, count=count, scale=Fraction(1))
    one = Axis(start=0, length=80, count=80, scale=Fraction(1)).part(0, 80)
    part = axis.part(0, count)
    wide = resample(
        np.ascontiguousarray(pixels[:, part.first : part.last]), part, one, whole=(0, 0)
    )
    tall = resample(np.ascontiguousarray(pixels[part.first : part.last]), one, part, whole=(0, 0))
    step = Fraction(length, count)
    for index in range(count):
        low = start + index * step
        for result, line in ((wide[5, index], pixels[5]), (tall[index, 5], pixels[:, 5])):
            exact = [float(value) for value in area_slowly(line, low, low + step)]
            assert np.abs(result - np.array(exact)).max() <= 0.5 + 2e-3


def test_enlarging_interpolates_between_centres():
    pixels = np.zeros((1, 4, 4), np.uint8)
    pixels[0, :, 0] = (0, 100, 200, 40)
    # Two output pixels for each of level pixels 1 and 2: centres at 1.25, 1.75, 2.25, 2.75.
    across = Axis(start=1, length=2, count=4, scale=Fraction(1)).part(0, 4)
    down = Axis(start=0, length=1, count=1, scale=Fraction(1)).part(0, 1)
    assert (across.first, across.last) == (0, 4)
    result = resample(pixels, across, down, whole=(0, 0))
    assert result[0, :, 0].tolist() == [75, 125, 175, 160]


def test_whole_steps_equal_the_general_way():
    pixels = rgba(60, 90)
    across = Axis(start=0, length=90, count=30, scale=Fraction(1))
    down = Axis(start=0, length=60, count=30, scale=Fraction(1))
    assert (across.whole, down.whole) == (3, 2)
    parts = across.part(0, 30), down.part(0, 30)
    fast = resample(pixels, *parts, whole=(3, 2)).astype(int)
    slow = resample(pixels, *parts, whole=(0, 0)).astype(int)
    # Halves may be rounded either way.
    assert np.abs(fast - slow).max() <= 1
    exact = pixels.reshape(30, 2, 30, 3, 4).mean(axis=(1, 3))
    assert np.abs(fast - exact).max() <= 0.51


def test_no_step_no_change():
    pixels = rgba(4, 5)
    part = Axis(start=0, length=5, count=5, scale=Fraction(1)).part(0, 5)
    assert resample(pixels, part, part, whole=(1, 1)) is pixels


@pytest.mark.parametrize(
    ("start", "length", "count", "scale", "whole"),
    [
        (0, 8, 4, 1, 2),
        (1, 8, 4, 1, 2),
        (1, 8, 4, 2, 0),  # the start falls between two level pixels
        (2, 8, 4, 2, 1),
        (0, 9, 4, 1, 0),
        (0, 4, 8, 1, 0),
        (-4, 8, 4, 4, 0),
    ],
)
def test_whole_needs_whole_steps_and_alignment(start, length, count, scale, whole):
    assert Axis(start=start, length=length, count=count, scale=Fraction(scale)).whole == whole


def test_weights_are_the_same_for_any_part():
    axis = Axis(start=-7, length=1000, count=307, scale=Fraction(7, 3))
    full = axis.part(0, 307)
    all_weights = full.weights().toarray()
    for begin, end in ((0, 1), (13, 97), (306, 307)):
        part = axis.part(begin, end)
        offset = part.first - full.first
        expected = all_weights[begin:end, offset : offset + part.last - part.first]
        np.testing.assert_array_equal(part.weights().toarray(), expected)
    np.testing.assert_allclose(all_weights.sum(axis=1), 1, atol=1e-6)


def test_rgb_drops_the_flag():
    pixels = rgba(7, 9)
    result = rgb(pixels)
    np.testing.assert_array_equal(result, pixels[..., :3])
    assert result.flags.c_contiguous
