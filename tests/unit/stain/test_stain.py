from __future__ import annotations

import numpy as np
import pytest

from pathology.config import load_config
from pathology.stain import StainMatrix, density_table, glass_pixels, optical_density, unmix
from pathology.stain import white_point as measure_white

STAIN = load_config().stain
H, DAB = STAIN.haematoxylin, STAIN.dab
BACKGROUND = (243.0, 243.0, 243.0)
#: RGB of amounts (H, DAB) on a background of 243, worked out elsewhere from the same vectors.
TABLE = [
    (0.05, 0.1, (212, 197, 196)),
    (0.05, 0.2, (199, 173, 164)),
    (0.05, 0.4, (176, 133, 115)),
    (0.05, 0.6, (155, 102, 80)),
    (0.05, 0.8, (137, 79, 56)),
    (0.05, 1.0, (121, 61, 39)),
    (0.05, 1.5, (89, 31, 16)),
    (0.4, 0.0, (133, 127, 186)),
    (0.8, 0.0, (73, 67, 142)),
]


@pytest.mark.parametrize(("h", "dab", "rgb"), TABLE)
def test_mixing_reproduces_the_table_of_colours(h: float, dab: float, rgb: tuple[int, ...]) -> None:
    od = StainMatrix(haematoxylin=H, dab=DAB).mix(np.array([h, dab]))
    assert np.abs(243 * 10.0**-od - rgb).max() <= 2


@pytest.mark.parametrize(("h", "dab", "rgb"), TABLE)
def test_unmixing_gets_the_amounts_back(h: float, dab: float, rgb: tuple[int, ...]) -> None:
    od = optical_density(np.array(rgb, dtype=np.uint8), BACKGROUND)
    assert unmix(od, H, DAB) == pytest.approx([h, dab], abs=0.02)


def test_unmixing_is_the_inverse_of_the_documented_matrix() -> None:
    stains = StainMatrix(haematoxylin=H, dab=DAB)
    h, d = np.array(H), np.array(DAB)
    h, d = h / np.sqrt(h @ h), d / np.sqrt(d @ d)
    r = np.array([h[1] * d[2] - h[2] * d[1], h[2] * d[0] - h[0] * d[2], h[0] * d[1] - h[1] * d[0]])
    r /= np.sqrt(r @ r)
    assert r == pytest.approx([0.63304, -0.71286, 0.30180], abs=1e-4)
    od = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    slow = np.linalg.solve(np.stack([h, d, r]).T, od.T.astype(np.float64)).T
    assert stains.unmix(od) == pytest.approx(slow[:, :2], abs=1e-5)
    assert stains.condition_number == pytest.approx(3.0, abs=0.05)


def test_what_is_off_the_plane_does_not_change_the_amounts() -> None:
    stains = StainMatrix(haematoxylin=H, dab=DAB)
    od = stains.mix(np.array([0.3, 0.2]))
    moved = od + 0.5 * stains.matrix[2].astype(np.float32)
    assert stains.unmix(moved) == pytest.approx(stains.unmix(od), abs=1e-6)


def test_a_pixel_has_the_same_amounts_in_any_array() -> None:
    stains = StainMatrix(haematoxylin=H, dab=DAB)
    od = np.random.default_rng(1).random((64, 33, 3)).astype(np.float32)
    whole = stains.unmix(od)
    assert all((stains.unmix(od[i, j]) == whole[i, j]).all() for i in (0, 63) for j in (0, 32))


def test_density_keeps_noise_of_glass_centred_on_zero() -> None:
    rng = np.random.default_rng(2)
    glass = np.clip(np.rint(rng.normal(235, 3, size=(200, 200, 3))), 0, 255).astype(np.uint8)
    od = optical_density(glass, (235.0, 235.0, 235.0))
    assert od.dtype == np.float32
    assert abs(float(od.mean())) < 2e-4
    assert float(od.min()) < -0.01


def test_black_is_read_as_one_and_white_as_zero() -> None:
    table = density_table((240.0, 200.0, 255.0))
    assert (table[0] == table[1]).all()
    assert table[0, 0] == pytest.approx(np.log10(240.0))
    assert table[200, 1] == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("white", [(0.0, 1.0, 1.0), (1.0, float("nan"), 1.0), (1.0, 1.0)])
def test_a_bad_white_point_is_refused(white: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="white"):
        density_table(white)


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2, 3), dtype=np.float32), np.zeros((2, 4), dtype=np.uint8)]
)
def test_pixels_of_another_kind_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rgb"):
        optical_density(pixels, BACKGROUND)


@pytest.mark.parametrize(
    ("h", "dab"),
    [
        ((0.0, 0.0, 0.0), DAB),
        (DAB, tuple(2 * v for v in DAB)),
        ((float("inf"), 0.0, 0.0), DAB),
        ((1.0, 0.0), DAB),
    ],
)
def test_useless_stain_vectors_are_refused(h: tuple[float, ...], dab: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="vector"):
        unmix(np.zeros(3), h, dab)


def _slide(share_of_tissue: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    image = rng.normal((236, 235, 243), 1.2, size=(200, 200, 3))
    rows = round(200 * share_of_tissue)
    image[:rows] = rng.normal((190, 170, 180), 18, size=(rows, 200, 3))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_white_point_is_the_glass_however_much_tissue_there_is(share: float) -> None:
    white = measure_white(_slide(share), STAIN)
    assert white.rgb == pytest.approx((236, 235, 243), abs=1.5)
    assert not white.uncertain
    assert not white.saturated


def test_white_point_without_glass_is_the_brightest_and_uncertain() -> None:
    white = measure_white(_slide(1.0), STAIN)
    assert white.uncertain
    assert min(white.rgb) > 200


def test_white_point_ignores_what_is_not_usable() -> None:
    image = _slide(0.5)
    image[150:] = 255
    usable = np.ones((200, 200), dtype=np.bool_)
    usable[145:] = False
    assert measure_white(image, STAIN, usable=usable).rgb == pytest.approx((236, 235, 243), abs=1.5)
    nothing = measure_white(image, STAIN, usable=np.zeros_like(usable))
    assert nothing.uncertain
    assert nothing.rgb == (255.0, 255.0, 255.0)


def test_saturated_glass_is_reported() -> None:
    stretched = np.clip(_slide(0.4).astype(np.int16) + 30, 0, 255).astype(np.uint8)
    assert measure_white(stretched, STAIN).saturated


def test_glass_is_smooth() -> None:
    rng = np.random.default_rng(4)
    rough = rng.normal(240, 8, size=(60, 60, 3)).clip(0, 255).astype(np.uint8)
    assert not glass_pixels(rough, window=7).any()
    assert not glass_pixels(np.full((9, 9, 3), 60, dtype=np.uint8)).any()
