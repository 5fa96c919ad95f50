"""The density that is drawn for a membrane is the density that the scanner's picture shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.config import load_config
from pathology.stain import optical_density, unmix
from pathology.synthesis import Appearance
from pathology.synthesis.ground import Layers
from pathology.synthesis.optics import develop, expose
from pathology.synthesis.paint import before_blur, seen_width
from pathology.synthesis.scene import glass
from pathology.synthesis.transfer import before_scanner

DAB_HUES = ((0.26917, 0.56824, 0.77759), (0.2, 0.5, 0.84), (0.33, 0.6, 0.73))


def photograph(od: float, width_um: float, look: Appearance, mpp: float) -> float:
    """Paint one straight membrane through all of the optics, and read it like a slide."""
    wanted, width = np.array([od], np.float32), np.array([width_um], np.float32)
    painted = before_scanner(wanted, seen_width(width, look.blur_um, mpp), look, mpp)
    peak, thin = before_blur(painted, width, look.blur_um, mpp)
    side = 81
    across = (np.arange(side) - side // 2) * mpp
    line = peak * np.exp(-4 * np.log(2) * (across / thin) ** 2)
    empty = np.zeros((side, side), np.float32)
    brown = np.tile(line.astype(np.float32), (side, 1))
    layers = Layers(nuclear=empty, body=empty.copy(), brown=brown, pigment=empty.copy())
    shown = develop(expose(layers, look, mpp), look, mpp, np.zeros((3, side, side), np.float32))
    stain = load_config().stain
    dab = unmix(optical_density(shown, glass(look)), stain.haematoxylin, stain.dab)[..., 1]
    return float(dab[side // 2, side // 2])


@given(
    od=st.floats(0.1, 0.9), width_um=st.floats(0.35, 2.6), sharpen=st.floats(0.0, 2.0),
    hue=st.sampled_from(DAB_HUES), blur_um=st.floats(0.25, 1.0), mpp=st.sampled_from([0.25, 0.5]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_the_picture_shows_what_was_drawn(
    od: float, width_um: float, sharpen: float, hue: tuple[float, float, float], blur_um: float,
    mpp: float,
) -> None:  # fmt: skip
    if mpp == 0.5:  # lines that such pixels can hold
        width_um, blur_um = max(width_um, 1.0), max(blur_um, 0.45)
    look = Appearance(sharpen=sharpen, dab=hue, noise=0.0, jpeg_quality=0, blur_um=blur_um)
    shown = photograph(od, width_um, look, mpp)
    # A pixel of 0.5 µm samples a line of its own width more or less well.
    assert shown == pytest.approx(od, abs=0.03 + (0.06 if mpp == 0.25 else 0.15) * od)


@pytest.mark.parametrize(
    ("gamma", "contrast", "brightness"), [(1.25, 1.0, 0.0), (0.8, 1.1, 5.0), (1.0, 1.4, -10.0)]
)
def test_the_tone_curve_is_part_of_what_is_shown(
    gamma: float, contrast: float, brightness: float
) -> None:
    look = Appearance(
        noise=0.0, jpeg_quality=0, gamma=gamma, contrast=contrast, brightness=brightness
    )
    assert photograph(0.3, 1.0, look, 0.5) == pytest.approx(0.3, abs=0.03)


def test_without_correction_sharpening_would_darken_the_line() -> None:
    look = Appearance(sharpen=2.0)
    needed = before_scanner(np.array([0.4]), np.array([0.7]), look, 0.25)
    assert needed[0] < 0.32


@given(sharpen=st.floats(0, 2.5), width_um=st.floats(0.4, 3.0))
@settings(max_examples=25, deadline=None)
def test_more_is_wanted_more_is_painted(sharpen: float, width_um: float) -> None:
    od = np.linspace(0, 1.5, 40)
    painted = before_scanner(od, np.full(40, width_um), Appearance(sharpen=sharpen), 0.5)
    assert abs(float(painted[0])) < 1e-6
    assert (np.diff(painted) >= -1e-6).all()
