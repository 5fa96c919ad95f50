from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from pathology.tissue import focus_score


@pytest.fixture
def od(scene: Any) -> np.ndarray:
    made = scene(128, 0.5)
    made.tissue(np.ones_like(made.x, dtype=bool), nuclei=0.4, membrane=0.3)
    return np.asarray(made.od)


def render(od: np.ndarray, *, blur: float = 0.0, gain: float = 1.0, white: float = 240) -> Any:
    image = white * 10.0 ** (-gain * ndimage.gaussian_filter(od, (blur, blur, 0)))
    return np.rint(image).clip(0, 255).astype(np.uint8)


def test_focus_falls_as_blur_grows(od: np.ndarray) -> None:
    scores = [focus_score(render(od, blur=blur)) for blur in (0, 0.7, 1.5, 3.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 3 * scores[2]
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize("gain", [0.4, 2.0, 4.0])
@pytest.mark.parametrize("white", [190, 250])
def test_focus_does_not_depend_on_stain_or_lamp(od: np.ndarray, gain: float, white: float) -> None:
    usual = focus_score(render(od))
    assert focus_score(render(od, gain=gain, white=white)) == pytest.approx(usual, rel=0.1)


@pytest.mark.parametrize("side", [8, 64])
def test_nothing_to_focus_on_has_no_score(side: int) -> None:
    assert math.isnan(focus_score(np.full((side, side, 3), 240, dtype=np.uint8)))


def test_a_tile_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        focus_score(np.zeros((32, 32, 3), dtype=np.float32))  # type: ignore[arg-type]
