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
from pathology.synthesis.paint import before_blur
from pathology.synthesis.transfer import before_scanner

MPP = 0.25
DAB_HUES = ((0.26917, 0.56824, 0.77759), (0.2, 0.5, 0.84), (0.33, 0.6, 0.73))


def photograph(od: float, width_um: float, look: Appearance) -> float:
    """Paint one straight membrane through all of the optics, and read it like a slide."""
    wanted, width = np.array([od], np.float32), np.array([width_um], np.float32)
    painted = before_scanner(wanted, width, look, MPP)
    peak, thin = before_blur(painted, width, look.blur_um, MPP)
    side = 81
    across = (np.arange(side) - side // 2) * MPP
    line = peak * np.exp(-4 * np.log(2) * (across / thin) ** 2)
    empty = np.zeros((side, side), np.float32)
    brown = np.tile(line.astype(np.float32), (side, 1))
    layers = Layers(nuclear=empty, body=empty.copy(), brown=brown, pigment=empty.copy())
    shown = develop(expose(layers, look, MPP), look, MPP, np.zeros((3, side, side), np.float32))
    stain = load_config().stain
    dab = unmix(optical_density(shown, look.white), stain.haematoxylin, stain.dab)[..., 1]
    return float(dab[side // 2, side // 2])


@given(
    od=st.floats(0.1, 1.0), width_um=st.floats(0.9, 2.6), sharpen=st.floats(0.0, 2.0),
    hue=st.sampled_from(DAB_HUES),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_picture_shows_what_was_drawn(
    od: float, width_um: float, sharpen: float, hue: tuple[float, float, float]
) -> None:
    look = Appearance(sharpen=sharpen, dab=hue, noise=0.0, jpeg_quality=0, blur_um=0.25)
    # Sharpening digs below black where lines are dark; what a camera clips cannot be shown.
    shown = photograph(od, width_um, look)
    assert shown == pytest.approx(od, abs=0.03 + 0.06 * od)


def test_without_correction_sharpening_would_darken_the_line() -> None:
    look = Appearance(sharpen=2.0)
    needed = before_scanner(np.array([0.4]), np.array([0.7]), look, MPP)
    assert needed[0] < 0.32


@given(sharpen=st.floats(0, 2.5), width_um=st.floats(0.4, 3.0))
@settings(max_examples=25, deadline=None)
def test_more_is_wanted_more_is_painted(sharpen: float, width_um: float) -> None:
    od = np.linspace(0, 1.5, 40)
    painted = before_scanner(od, np.full(40, width_um), Appearance(sharpen=sharpen), 0.5)
    assert abs(float(painted[0])) < 1e-6
    assert (np.diff(painted) >= -1e-6).all()
