from __future__ import annotations

import numpy as np
import pytest

from pathology.wsi.missing import MISSING_PX, blank_missing, flatten, has_black


def opaque(height: int, width: int, value: int = 200) -> np.ndarray:
    pixels = np.full((height, width, 4), value, np.uint8)
    pixels[..., 3] = 255
    return pixels


def blank_slowly(void: np.ndarray) -> np.ndarray:
    """Mark every square of 16 × 16 void pixels, one after the other."""
    missing = np.zeros_like(void)
    for row in range(void.shape[0] - MISSING_PX + 1):
        for column in range(void.shape[1] - MISSING_PX + 1):
            square = np.s_[row : row + MISSING_PX, column : column + MISSING_PX]
            if void[square].all():
                missing[square] = True
    return missing


@pytest.mark.parametrize("seed", range(6))
def test_black_areas_equal_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    pixels = opaque(70, 90)
    for _ in range(6):
        row, column = rng.integers(0, 70), rng.integers(0, 90)
        height, width = rng.integers(10, 26, 2)
        pixels[row : row + height, column : column + width, :3] = 0
    inside = np.ones((70, 90), bool)
    result = blank_missing(pixels, inside=inside)
    expected = blank_slowly(pixels[..., :3].max(axis=2) == 0)
    np.testing.assert_array_equal(result[..., 3] == 0, expected)
    assert (result[expected] == (255, 255, 255, 0)).all()
    np.testing.assert_array_equal(result[~expected], pixels[~expected])


@pytest.mark.parametrize(("side", "missing"), [(15, False), (16, True)])
def test_smallest_black_square(side, missing):
    pixels = opaque(40, 40)
    pixels[10 : 10 + side, 12 : 12 + side, :3] = 0
    result = blank_missing(pixels, inside=np.ones((40, 40), bool))
    assert (result[..., 3] == 0).any() == missing
    assert (result[..., :3].max(axis=2) == 0).any() != missing


def test_almost_black_and_thin_lines_are_content():
    pixels = opaque(64, 64)
    pixels[:, 20:35, :3] = 0  # a line 15 px wide
    pixels[:, 40:64, :3] = (0, 0, 1)
    result = blank_missing(pixels, inside=np.ones((64, 64), bool))
    np.testing.assert_array_equal(result, pixels)


def test_black_strip_along_the_edge_is_missing_together_with_what_lies_beyond():
    pixels = opaque(64, 72)
    pixels[:, 50:55, :3] = 0
    inside = np.ones((64, 72), bool)
    assert blank_missing(pixels, inside=inside)[..., 3].all()
    pixels[:, 55:] = (255, 255, 255, 0)
    inside[:, 55:] = False
    assert not blank_missing(pixels, inside=inside)[:, 50:55, 3].any()


def test_has_black_sees_only_opaque_black():
    pixels = opaque(4, 4)
    assert not has_black(pixels)
    pixels[1, 1] = (0, 0, 0, 0)
    assert not has_black(pixels)
    pixels[1, 1] = (0, 0, 0, 255)
    assert has_black(pixels)
    pixels[1, 1] = (1, 0, 0, 255)
    assert not has_black(pixels)


def test_flatten_lays_on_white():
    pixels = np.array([[[0, 0, 0, 0], [0, 0, 0, 128], [10, 20, 30, 255]]], np.uint8)
    before = pixels.copy()
    assert flatten(pixels).tolist() == [
        [[255, 255, 255, 0], [127, 127, 127, 255], [10, 20, 30, 255]]
    ]
    np.testing.assert_array_equal(pixels, before)


def test_flatten_leaves_opaque_pixels_alone():
    pixels = opaque(3, 5)
    assert flatten(pixels) is pixels
