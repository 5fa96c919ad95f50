from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pathology.synthesis import Appearance, Composition, FieldSpec, render_field
from pathology.tissue import focus_score

#: Blur of the optics in the fields below, µm.
SHARP_UM = 0.3


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
    assert scores[0] > 1.5 * scores[2]
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize("gain", [0.4, 2.0, 4.0])
@pytest.mark.parametrize("white", [190, 250])
def test_focus_does_not_depend_on_stain_or_lamp(od: np.ndarray, gain: float, white: float) -> None:
    usual = focus_score(render(od))
    assert focus_score(render(od, gain=gain, white=white)) == pytest.approx(usual, rel=0.1)


@pytest.mark.parametrize("side", [8, 64])
def test_nothing_to_focus_on_has_no_score(side: int) -> None:
    assert math.isnan(focus_score(np.full((side, side, 3), 240, dtype=np.uint8)))


def test_noise_on_glass_is_nothing_to_focus_on() -> None:
    noise = np.random.default_rng(0).normal(238, 3.5, (256, 256, 3))
    assert math.isnan(focus_score(noise.clip(0, 255).astype(np.uint8)))


def test_a_tile_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        focus_score(np.zeros((32, 32, 3), dtype=np.float32))  # type: ignore[arg-type]


def defocused(
    rgb: np.ndarray, total_um: float, *, sharpen: float, noise: float, quality: int
) -> np.ndarray:
    """What a scanner makes of a sharp field whose total blur is ``total_um``: the order matters."""
    sigma = math.sqrt(max(total_um**2 - SHARP_UM**2, 0.0)) / 0.5
    light = ndimage.gaussian_filter(rgb.astype(np.float32), (sigma, sigma, 0))
    light += sharpen * (light - ndimage.gaussian_filter(light, (0.9, 0.9, 0)))
    light += noise * np.random.default_rng(1).standard_normal(light.shape)
    buffer = io.BytesIO()
    Image.fromarray(light.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.fixture(scope="module", params=[0.4, 1.5], ids=["pale", "dark"])
def field(request: pytest.FixtureRequest) -> np.ndarray:
    look = Appearance(
        blur_um=SHARP_UM, noise=0.0, jpeg_quality=0, sharpen=0.0, h_strength=request.param
    )
    spec = FieldSpec(
        width_px=320,
        height_px=320,
        composition=Composition(tumour_share=0.6),
        appearance=look,
    )
    return render_field(spec, 8).rgb


@pytest.mark.parametrize("sharpen", [0.0, 2.0])
@pytest.mark.parametrize(("noise", "quality"), [(0.5, 95), (3.0, 70)])
def test_the_limit_lies_between_sharp_and_blurred_whatever_the_scanner_does(
    field: np.ndarray, sharpen: float, noise: float, quality: int
) -> None:
    def score(total_um: float) -> float:
        made = defocused(field, total_um, sharpen=sharpen, noise=noise, quality=quality)
        return focus_score(made)

    assert min(score(0.3), score(0.6), score(0.7)) > 0.5
    assert max(score(1.6), score(2.0), score(3.0)) < 0.5


def test_the_scale_is_in_micrometres(field: np.ndarray) -> None:
    """The same tissue at twice the pixel size has about the same score, not that of a blur."""
    coarse = field[::1].reshape(160, 2, 160, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    blurred = defocused(field, 1.0, sharpen=0, noise=0.5, quality=95)
    blurred = blurred.reshape(160, 2, 160, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    fine = focus_score(field)
    assert focus_score(coarse, pixel_um=1.0) == pytest.approx(fine, abs=0.12)
    assert focus_score(blurred, pixel_um=1.0) < fine - 0.15
