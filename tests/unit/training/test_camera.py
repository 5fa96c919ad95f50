"""Cameras: what they do to light, colour by colour, and glass goes as the picture goes."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pathology.training.data.camera import CameraView, random_camera
from pathology.types import U8Array

CAMERAS = st.builds(
    CameraView,
    exposure=st.floats(0.7, 1.4),
    warmth=st.floats(-0.2, 0.2),
    saturation=st.floats(0, 2),
    contrast=st.floats(0.7, 2),
    gamma=st.floats(0.6, 1.6),
    brightness=st.floats(-30, 30),
)
PICTURES = arrays.arrays(np.uint8, (3, 4, 3))


def one_colour(camera: CameraView, colour: list[int]) -> list[float]:
    """The same, a colour at a time."""

    def cut(value: float) -> float:
        return min(max(value, 0.0), 255.0)

    gains = (1 + camera.warmth, 1.0, 1 - camera.warmth)
    light = [cut(v * gain * camera.exposure) for v, gain in zip(colour, gains, strict=True)]
    grey = 0.299 * light[0] + 0.587 * light[1] + 0.114 * light[2]
    light = [cut(grey + camera.saturation * (v - grey)) for v in light]
    stretched = [(v - 128) * camera.contrast + 128 + camera.brightness for v in light]
    return [cut(255 * (max(v, 0.0) / 255) ** camera.gamma) for v in stretched]


@given(camera=CAMERAS, rgb=PICTURES)
def test_a_picture_is_what_happens_to_each_colour(camera: CameraView, rgb: U8Array) -> None:
    # Near black a gamma below 1 is steep: half a grey level of error in is some levels out.
    slow = [[one_colour(camera, colour) for colour in row] for row in rgb.tolist()]
    np.testing.assert_allclose(camera.light(rgb), slow, atol=0.6)
    assert camera.picture(rgb).dtype == np.uint8
    np.testing.assert_allclose(camera.picture(rgb), camera.light(rgb), atol=0.5)


@given(rgb=PICTURES)
def test_a_camera_left_alone_changes_nothing(rgb: U8Array) -> None:
    np.testing.assert_array_equal(CameraView().picture(rgb), rgb)


@given(camera=CAMERAS, glass=st.tuples(*[st.integers(0, 255)] * 3))
def test_glass_goes_as_the_picture_goes_and_is_never_black(
    camera: CameraView, glass: tuple[int, int, int]
) -> None:
    white = camera.white(np.array(glass))
    picture = camera.picture(np.array([[glass]], dtype=np.uint8))[0, 0]
    np.testing.assert_allclose(white, np.maximum(picture, 1), atol=0.5)
    assert white.min() >= 1


@given(level=st.integers(1, 255), camera=CAMERAS)
def test_saturation_leaves_grey_alone(level: int, camera: CameraView) -> None:
    grey = np.full((1, 1, 3), level, dtype=np.uint8)
    vivid = CameraView(saturation=camera.saturation).light(grey)
    np.testing.assert_allclose(vivid, level, atol=1e-3)


def test_saturation_0_is_grey_and_yellow_light_is_yellow() -> None:
    colour = np.array([[[180, 120, 60]]], dtype=np.uint8)
    red, green, blue = CameraView(saturation=0).light(colour)[0, 0]
    assert red == pytest.approx(green, abs=1e-3) == pytest.approx(blue, abs=1e-3)
    assert red == pytest.approx(0.299 * 180 + 0.587 * 120 + 0.114 * 60, abs=1e-3)
    assert CameraView(warmth=0.1).light(colour)[0, 0].tolist() == pytest.approx([198, 120, 54])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exposure", 0.0), ("contrast", -1.0), ("gamma", float("nan")), ("gamma", float("inf")),
        ("saturation", -0.1), ("saturation", float("nan")), ("warmth", 1.0), ("warmth", -1.0),
        ("brightness", float("inf")),
    ],
)  # fmt: skip
def test_a_camera_that_cannot_be_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: .*not {re.escape(str(value))}$"):
        CameraView(**{name: value})


def test_cameras_are_drawn_from_all_that_cameras_do() -> None:
    drawn = [random_camera(np.random.default_rng([seed, 2])) for seed in range(400)]
    assert drawn[7] == random_camera(np.random.default_rng([7, 2]))
    shares = {
        field.name: np.mean([getattr(camera, field.name) != field.default for camera in drawn])
        for field in fields(CameraView)
    }
    for name, share in (("exposure", 1 / 2), ("saturation", 1 / 2), ("contrast", 2 / 3)):
        assert shares[name] == pytest.approx(share, abs=0.08)
    assert shares["warmth"] == shares["exposure"]
    assert shares["gamma"] == shares["brightness"] == shares["contrast"]
    contrast = [camera.contrast for camera in drawn]
    assert min(contrast) < 1 < 1.7 < max(contrast)
    warmth = [camera.warmth for camera in drawn]
    assert min(warmth) < -0.1
    assert max(warmth) > 0.1
