"""The value of a pixel does not depend on the window that it is read with."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.geometry import Box0, Spacing
from pathology.synthesis.tiff import write_pyramid
from pathology.wsi import ArraySlide, Slide, open_slide

SIDE = 601


def picture() -> np.ndarray:
    image = np.random.default_rng(3).integers(1, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    image[150:220, 250:330] = 0  # lost
    image[350:450, 100:110] = 0  # drawn
    return image


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Slide]:
    image = picture()
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    write_pyramid(path, image, mpp=0.25, levels=5, tile_px=64, compression="deflate")
    # 601 px halve to 301, 151, 76, 38: OpenSlide's downsamplings are fractional.
    return {"file": open_slide(path), "array": ArraySlide(image, mpp=0.25)}


#: Output pixels per period and level-0 pixels per period: 1, 1.98, 2, 1.25, 4, 4.2, 8, 0.5, 0.8.
STEPS = [(1, 1), (64, 127), (1, 2), (4, 5), (1, 4), (5, 21), (1, 8), (2, 1), (5, 4)]


@settings(max_examples=30)
@given(data=st.data(), kind=st.sampled_from(["file", "array"]), step=st.sampled_from(STEPS))
def test_window_equals_whole(slides: dict[str, Slide], data, kind, step):
    slide = slides[kind]
    pixels, level0 = step
    mpp = 0.25 * level0 / pixels
    periods = (SIDE + 100) // level0
    # A grid that starts anywhere, also outside the slide.
    origin_x, origin_y = data.draw(st.integers(-60, 60)), data.draw(st.integers(-60, 60))
    whole = slide.read_region(
        Box0(x=origin_x, y=origin_y, width=periods * level0, height=periods * level0), mpp=mpp
    )
    for _ in range(3):
        column, row = data.draw(st.integers(0, periods - 1)), data.draw(st.integers(0, periods - 1))
        across = data.draw(st.integers(1, min(periods - column, 200)))
        down = data.draw(st.integers(1, min(periods - row, 200)))
        box = Box0(
            x=origin_x + column * level0,
            y=origin_y + row * level0,
            width=across * level0,
            height=down * level0,
        )
        window = slide.read_region(box, mpp=mpp)
        place = np.s_[
            row * pixels : (row + down) * pixels, column * pixels : (column + across) * pixels
        ]
        np.testing.assert_array_equal(window.pixels, whole.pixels[place])
        np.testing.assert_array_equal(window.data, whole.data[place])


@given(
    x=st.integers(-400, 800),
    y=st.integers(-400, 800),
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    mpp_x=st.floats(0.1, 3.0),
    mpp_y=st.floats(0.1, 3.0),
)
def test_shape_white_and_flags_hold_for_any_box(slides, x, y, width, height, mpp_x, mpp_y):
    box = Box0(x=x, y=y, width=width, height=height)
    region = slides["file"].read_region(box, mpp=Spacing(x=mpp_x, y=mpp_y))
    rows, columns = max(1, round(height * 0.25 / mpp_y)), max(1, round(width * 0.25 / mpp_x))
    assert region.pixels.shape == (rows, columns, 3)
    step_x, step_y = Fraction(width, columns), Fraction(height, rows)
    left, right = (
        x + np.arange(columns) * float(step_x),
        x + np.arange(1, columns + 1) * float(step_x),
    )
    top, bottom = y + np.arange(rows) * float(step_y), y + np.arange(1, rows + 1) * float(step_y)
    # A pixel of the coarser level that is read (up to 16 px wide) may straddle the edge.
    outside_x = (right <= -1) | (left >= SIDE + 16)
    outside_y = (bottom <= -1) | (top >= SIDE + 16)
    outside = outside_y[:, None] | outside_x[None, :]
    assert not region.data[outside].any()
    assert (region.pixels[outside] == 255).all()
    assert region.pixels[~region.data].size == 0 or region.pixels[~region.data].min() > 0
