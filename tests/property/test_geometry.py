from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.geometry import Box0, Point0, Size0, Spacing

boxes = st.builds(
    Box0,
    x=st.integers(-50, 50),
    y=st.integers(-50, 50),
    width=st.integers(1, 60),
    height=st.integers(1, 60),
)


def pixels(box: Box0 | None) -> set[tuple[int, int]]:
    if box is None:
        return set()
    return {(x, y) for x in range(box.x, box.right) for y in range(box.y, box.bottom)}


@given(boxes, boxes)
def test_intersection_is_the_common_set_of_pixels(a: Box0, b: Box0) -> None:
    assert pixels(a.intersection(b)) == pixels(a) & pixels(b)
    assert a.contains(b) == (pixels(b) <= pixels(a))


@given(boxes, st.integers(0, 9), st.integers(0, 9))
def test_padding_adds_a_frame(box: Box0, x: int, y: int) -> None:
    padded = box.padded(x, y)
    assert padded.contains(box)
    assert padded.area == (box.width + 2 * x) * (box.height + 2 * y)


@pytest.mark.parametrize("value", [0.0, -0.25, float("nan"), float("inf")])
def test_a_spacing_is_finite_and_positive(value: float) -> None:
    with pytest.raises(ValueError, match="spacing"):
        Spacing(x=0.25, y=value)
    with pytest.raises(ValueError, match="spacing"):
        Spacing(x=value, y=0.25)


def test_anisotropy_is_relative_to_the_smaller_side() -> None:
    assert Spacing(x=0.25, y=0.255).anisotropy == pytest.approx(0.02)
    assert Spacing(x=0.255, y=0.25).anisotropy == pytest.approx(0.02)


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (-1, 1)])
def test_sizes_and_boxes_are_never_empty(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        Size0(width=width, height=height)
    with pytest.raises(ValueError, match="at least"):
        Box0(x=0, y=0, width=width, height=height)


def test_points_convert_with_the_spacing_of_their_axis() -> None:
    assert Point0(x=8, y=8).to_um(Spacing(x=0.25, y=0.5)) == (2.0, 4.0)
