"""Every look of an H-DAB slide passes; other stains are refused, whatever the camera did."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pathology.config import load_config
from pathology.synthesis.ground import Layers
from pathology.synthesis.optics import develop, expose
from pathology.synthesis.sampling import random_field_spec
from pathology.synthesis.scene import glass
from pathology.synthesis.spec import Appearance
from pathology.tissue import StainCheck, check_stain
from pathology.tissue.hue import HueShares
from pathology.tissue.stain_check import _blocks, _other_dye, _shrink
from pathology.types import U8Array

CONFIG = load_config().stain
SIDE, MPP = 320, 0.5
#: Published with ImageJ's colour deconvolution.
DYES = {
    "fast red": (0.21393921, 0.85112669, 0.47794022),
    "new fuchsin": (0.0777851125, 0.804293475, 0.5886050475),
    "AEC": (0.2743, 0.6796, 0.6803),
    "HRP green": (0.8098939567, 0.4488181033, 0.3714423567),
    "Alcian blue": (0.874622, 0.457711, 0.158256),
    "methyl green": (0.98003, 0.144316, 0.133146),
    "nickel-DAB": (1.0, 1.0, 1.0),
}


@lru_cache(maxsize=4)
def parts(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nuclei, bodies and membranes of round cells on a jittered lattice, 0 to about 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] * MPP
    near = np.full((SIDE, SIDE), 99.0)
    for cy in np.arange(6, SIDE * MPP, 13.0):
        for cx in np.arange(6, SIDE * MPP, 13.0):
            dy, dx = rng.uniform(-1.5, 1.5, 2)
            near = np.minimum(near, np.hypot(y - cy - dy, x - cx - dx))
    grain = ndimage.gaussian_filter(rng.normal(size=near.shape), 1.5)
    grain /= grain.std()
    nuclei = np.clip(4.0 - near, 0, 1) * np.clip(1 + 0.25 * grain, 0.2, 2)
    bodies = np.clip(6.5 - near, 0.15, 1) * np.clip(1 + 0.2 * grain, 0.2, 2)
    return nuclei, bodies, np.exp(-(((near - 6.2) / 0.6) ** 2))


def picture(look: Appearance, *, dab: float, seed: int = 0, in_nuclei: bool = False) -> U8Array:
    nuclei, bodies, membranes = parts(seed % 4)
    layers = Layers(
        nuclear=(0.27 * look.h_strength * look.h_contrast * nuclei).astype(np.float32),
        body=(look.cytoplasm_od * bodies).astype(np.float32),
        brown=(dab * (nuclei if in_nuclei else membranes)).astype(np.float32),
        pigment=np.zeros((SIDE, SIDE), np.float32),
    )
    noise = np.random.default_rng(seed).standard_normal((3, SIDE, SIDE), dtype=np.float32)
    return develop(expose(layers, look, MPP), look, MPP, noise)


def check(rgb: U8Array, look: Appearance, *, pixel_um: float = MPP) -> StainCheck:
    red, green, blue = (min(max(value, 1.0), 255.0) for value in glass(look))
    return check_stain([rgb], (red, green, blue), CONFIG, pixel_um=pixel_um)


def any_look(seed: int) -> Appearance:
    """A look out of the whole training distribution: laboratories, scanners, cameras."""
    return random_field_spec(np.random.default_rng([seed, 11])).appearance


SEEDS = st.integers(0, 2**31)


@settings(max_examples=60)
@given(seed=SEEDS, dab=st.sampled_from([0.0, 0.15, 0.3, 0.6, 1.2]))
def test_no_look_of_haematoxylin_and_dab_is_refused(seed: int, dab: float) -> None:
    look = any_look(seed)
    found = check(picture(look, dab=dab, seed=seed), look)
    # Palest haematoxylin leaves nothing to judge by: that is a flag.
    assert found.kind == "h_dab" or found.stained_px < 800, found.reason


@settings(max_examples=40)
@given(seed=SEEDS, dye=st.sampled_from(sorted(DYES)), strength=st.floats(0.6, 1.2))
def test_other_chromogens_are_refused(seed: int, dye: str, strength: float) -> None:
    # Without a tone curve: a stretched red may pass for brown, as it does for the eye.
    look = replace(any_look(seed), gamma=1.0, contrast=1.0, brightness=0.0, dab=DYES[dye])
    # Nickel-DAB is told by its darkness, AEC by its hue where it is not mixed with haematoxylin.
    strength = {"nickel-DAB": 1.2, "AEC": 0.9}.get(dye, strength)
    found = check(picture(look, dab=strength, seed=seed), look)
    assert found.kind == "not_ihc", (dye, found)
    assert any(figure.isdigit() for figure in found.reason)


@settings(max_examples=25)
@given(seed=SEEDS, eosin=st.floats(0.12, 0.35))
def test_eosin_is_told_from_haematoxylin_alone(seed: int, eosin: float) -> None:
    look = replace(any_look(seed), gamma=1.0, contrast=1.0, brightness=0.0)
    look = replace(look, eosin=True, cytoplasm_od=eosin)
    found = check(picture(look, dab=0.0, seed=seed), look)
    assert found.kind == "not_ihc"
    assert "pink" in found.reason
    assert found.pink_share > CONFIG.pink_max


def test_a_section_without_stain_is_refused() -> None:
    # Camera noise and JPEG leave a trace of colour: a few grey sections pass for weakly stained.
    rng, grey, refused = np.random.default_rng(0), (1.0, 1.0, 1.0), 0
    for seed in range(40):
        look = replace(any_look(seed), gamma=1.0, contrast=1.0, brightness=0.0)
        density = float(rng.uniform(0.08, 0.2))
        look = replace(look, haematoxylin=grey, h_strength=0.1, tint=1.0, cytoplasm_od=density)
        found = check(picture(look, dab=0.0, seed=seed), look)
        if found.kind == "not_ihc":
            refused += 1
            assert "no counterstain" in found.reason or "no colour" in found.reason
            assert found.haematoxylin_od < CONFIG.haematoxylin_min_od
    assert refused >= 38


def test_in_situ_hybridisation_is_refused_by_its_dots() -> None:
    look = Appearance(noise=1.0)
    rng = np.random.default_rng(3)
    od = -np.log10(np.maximum(picture(look, dab=0.0), 1) / np.asarray(look.white))
    for colour, per_mm2 in (((0.15, 0.9, 0.5), 5000), ((0.8, 0.8, 0.8), 9000)):
        for y, x in rng.integers(1, SIDE - 2, (round(per_mm2 * (SIDE * MPP / 1000) ** 2), 2)):
            od[y : y + 2, x : x + 2] += colour
    rgb = np.clip(np.asarray(look.white) * 10.0**-od, 0, 255).astype(np.uint8)
    found = check(rgb, look)
    assert found.kind == "not_ihc"
    assert "in-situ hybridisation" in found.reason
    # Too coarse for dots: what cannot be seen is not measured.
    assert np.isnan(check(rgb, look, pixel_um=1.0).red_dots_per_mm2)


def test_dots_are_not_counted_where_brown_proves_dab() -> None:
    look = Appearance()
    assert check(picture(look, dab=0.0), look).red_dots_per_mm2 >= 0
    assert np.isnan(check(picture(look, dab=0.6), look).red_dots_per_mm2)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_blocks_are_averaged_and_counted_as_one_would_by_hand(factor: int) -> None:
    field = np.random.default_rng(factor).integers(0, 256, (11, 14, 3), dtype=np.uint8)
    small, low = _shrink(field, factor), _blocks(field[..., 0] < 99, factor)
    assert small.shape[:2] == low.shape[:2] == (11 // factor, 14 // factor)
    for row, column in np.ndindex(low.shape[:2]):
        block = field[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        assert (small[row, column] == np.rint(block.mean(axis=(0, 1), dtype=np.float64))).all()
        assert sorted(low[row, column]) == sorted((block[..., 0] < 99).ravel())


@pytest.mark.parametrize(("in_nuclei", "high"), [(True, 1.0), (False, 0.3)])
def test_brown_nuclei_are_told_from_brown_membranes(in_nuclei: bool, high: float) -> None:
    look = Appearance()
    found = check(picture(look, dab=0.6, in_nuclei=in_nuclei), look)
    assert found.kind == "h_dab"
    assert high - 0.3 <= found.nuclear_brown_share <= high


def test_the_hue_of_a_chromogen_is_an_angle() -> None:
    for dab, low, high in (((0.26917, 0.56824, 0.77759), -1, 1), (DYES["AEC"], -7, -4)):
        look = replace(Appearance(h_strength=0.3, cytoplasm_od=0.0, noise=0.3), dab=dab)
        assert low < check(picture(look, dab=1.0), look).chromogen_hue_deg < high


def test_a_stretched_camera_picture_is_not_taken_for_another_stain() -> None:
    """Contrast drawn up until the glass is white makes haematoxylin pinker than it is."""
    for seed in (125, 127):
        look = replace(any_look(seed), contrast=1.6, brightness=0.0, gamma=0.9)
        assert max(glass(look)) >= 254
        for dab in (0.0, 0.3):
            assert check(picture(look, dab=dab, seed=seed), look).kind != "not_ihc"


def test_too_little_to_judge_leaves_the_question_open() -> None:
    empty = np.full((64, 64, 3), 240, dtype=np.uint8)
    found = check_stain([empty], (240.0, 240.0, 240.0), CONFIG, pixel_um=0.5)
    assert found.kind == "unchecked"
    assert "only 0 stained pixels" in found.reason


def test_of_two_limits_the_one_exceeded_further_is_named() -> None:
    # Three times the limit of green, and a hair above that of cyan, whose share is larger.
    check = StainCheck(kind="unchecked", green_share=0.06, cyan_share=0.31, chromogen_hue_deg=0.0)
    hue = HueShares(**dict.fromkeys((item.name for item in fields(HueShares)), 0))
    words = _other_dye(check, hue, load_config().stain, saturated=False)
    assert "6 % of the stain is green or blue" in words
    assert "limit 2 %" in words


def test_threads_do_not_change_what_is_found() -> None:
    values = np.random.default_rng(5).integers(60, 250, size=(5, 64, 64, 3), dtype=np.uint8)
    values[..., 2] = 245  # nothing is brown: dots are counted
    one, three = (
        check_stain(list(values), (245.0, 244.0, 246.0), CONFIG, pixel_um=MPP, threads=threads)
        for threads in (1, 3)
    )
    assert one.red_dots_per_mm2 + one.black_dots_per_mm2 > 0
    assert repr(one) == repr(three)
