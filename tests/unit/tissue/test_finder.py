from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pathology.config import load_config
from pathology.errors import ReasonCode, SlideError
from pathology.geometry import Box0
from pathology.tissue import TissueFinding, find_tissue, read_overview

CONFIG = load_config()
EOSIN = np.array([0.07, 0.99, 0.11])


def cover(finding: TissueFinding, truth: np.ndarray) -> tuple[float, float]:
    """Share of the truth that was found, and what was found beyond it, as a share of the truth."""
    mask = finding.tissue.mask
    rows = ((np.arange(mask.shape[0]) + 0.5) * truth.shape[0] / mask.shape[0]).astype(int)
    columns = ((np.arange(mask.shape[1]) + 0.5) * truth.shape[1] / mask.shape[1]).astype(int)
    want = truth[np.ix_(rows, columns)]
    area = max(int(want.sum()), 1)
    return float((mask & want).sum()) / area, float((mask & ~want).sum()) / area


def core(scene: Any, **kind: Any) -> tuple[Any, np.ndarray]:
    made = scene()
    where = made.disc(800, 800, 500)
    made.tissue(where, **kind)
    return made, where


@pytest.mark.parametrize(
    ("kind", "glass"),
    [
        ({"nuclei": 0.2, "stroma": 0.03}, (236, 235, 243)),
        ({"nuclei": 0.1, "stroma": 0.02}, (236, 235, 243)),
        ({"membrane": 0.8}, (250, 240, 215)),
        ({"membrane": 0.3}, (190, 188, 195)),
    ],
)
def test_tissue_is_found_pale_or_dark_on_any_glass(
    scene: Any, kind: dict[str, float], glass: tuple[float, float, float]
) -> None:
    made, where = core(scene, **kind)
    finding = find_tissue(made.slide(glass), CONFIG)
    found, beyond = cover(finding, where)
    assert found > 0.98
    assert beyond < 0.02
    assert finding.white_point == pytest.approx(glass, abs=1.5)
    assert finding.tissue_mm2 == pytest.approx(np.pi * 0.5**2, rel=0.03)
    assert finding.stain.kind == "h_dab"
    assert finding.scorable
    assert finding.flags == ()


def test_dust_smears_ghosts_and_noise_are_not_tissue(scene: Any) -> None:
    made = scene()
    for x, y, r in made.rng.uniform((0, 0, 4), (1600, 1600, 20), size=(20, 3)):
        made.add(made.disc(x, y, r), (0.6, 0.6, 0.6))
    made.add(0.006 * made.disc(800, 800, 500), (1.0, 1.0, 1.5))
    made.add(made.x / 1600, (0.03, 0.03, 0.03))
    finding = find_tissue(made.slide(noise=4.0), CONFIG)
    assert finding.tissue_mm2 == 0
    assert finding.reasons == (ReasonCode.NO_TISSUE,)
    assert "0.000 mm²" in finding.explanations[0]
    assert "dust" in finding.excluded


def test_a_shadow_beside_tissue_is_not_tissue(scene: Any) -> None:
    made, where = core(scene, nuclei=0.25)
    made.add(made.x > 900, (0.02, 0.02, 0.02))
    found, beyond = cover(find_tissue(made.slide(), CONFIG), where)
    assert found > 0.98
    assert beyond < 0.1


@pytest.mark.parametrize(
    "ink", [(0.9, 0.6, 0.1), (0.62, 0.18, 0.43), (0.08, 0.78, 0.6), (1.2, 1.2, 1.2)]
)
def test_ink_of_any_colour_is_excluded_also_on_tissue(
    scene: Any, ink: tuple[float, float, float]
) -> None:
    made, where = core(scene, nuclei=0.25)
    line = abs(made.y - 800 - 60 * np.sin(made.x / 200)) < 90
    made.add(line, ink)
    finding = find_tissue(made.slide(), CONFIG)
    assert cover(finding, line)[0] == 0
    found, beyond = cover(finding, where & ~line)
    assert found > 0.85  # a margin of 40 µm on both sides of the ink goes with it
    assert beyond < 0.02
    assert {"pen", "black"} & set(finding.excluded)
    assert finding.stain.kind == "h_dab"


def test_lines_of_a_cover_slip_are_excluded(scene: Any) -> None:
    made = scene(2500)
    where = made.disc(1300, 1200, 500)
    made.tissue(where, nuclei=0.25)
    lines = (abs(made.x - 250) < 12) | (abs(made.y - 200) < 10) | (abs(made.x - 2400) < 25)
    made.add(lines, (0.3, 0.3, 0.3))
    finding = find_tissue(made.slide(), CONFIG)
    assert cover(finding, where)[0] > 0.98
    assert cover(finding, lines)[0] == 0
    assert finding.excluded["edge"].area_mm2 > 0.1


@pytest.mark.parametrize(("side", "mpp"), [(256, 0.5), (128, 0.25)])
@pytest.mark.parametrize("membrane", [0.0, 0.6])
def test_a_field_full_of_tissue_without_glass_is_all_tissue(
    scene: Any, side: int, mpp: float, membrane: float
) -> None:
    made = scene(side, mpp)
    everywhere = np.ones_like(made.x, dtype=bool)
    made.tissue(everywhere, nuclei=0.3, stroma=0.1, membrane=membrane)
    finding = find_tissue(made.slide(), CONFIG)
    assert cover(finding, everywhere)[0] > 0.95
    assert finding.flags == ("white_point_uncertain",)
    assert finding.scorable


@pytest.mark.parametrize("side", [256.0, 512.0])
@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_a_pale_field_whose_glass_lies_between_its_tissue_is_tissue(
    scene: Any, side: float, mpp: float
) -> None:
    made = scene(side, mpp)
    gaps = np.zeros((made.n, made.n), dtype=bool)
    for x, y in made.rng.uniform(30, side - 30, size=(round(side**2 / 16000), 2)):
        gaps |= made.disc(x, y, 22)
    made.tissue(~gaps, nuclei=0.12, stroma=0.015)
    finding = find_tissue(made.slide(), CONFIG)
    found, _ = cover(finding, ~gaps)
    assert found > 0.9
    assert finding.scorable


@pytest.mark.parametrize("value", [0, 255])
def test_blank_slides_have_no_tissue(stub: Any, value: int) -> None:
    finding = find_tissue(stub(np.full((500, 500, 3), value, dtype=np.uint8)), CONFIG)
    assert finding.reasons == (ReasonCode.NO_TISSUE,)
    assert finding.tissue_mm2 == 0
    assert ("black" in finding.excluded) == (value == 0)


def test_a_black_frame_is_excluded_and_does_not_hide_tissue(scene: Any, stub: Any) -> None:
    made, where = core(scene, nuclei=0.25)
    image = made.render()
    image[:100], image[:, :90] = 0, 0
    finding = find_tissue(stub(image), CONFIG)
    assert cover(finding, where)[0] > 0.98
    assert cover(finding, where)[1] < 0.02
    assert finding.excluded["black"].area_mm2 > 0.5


@pytest.mark.parametrize("stroma", [0.08, 0.25])
def test_haematoxylin_and_eosin_is_refused_with_a_number(scene: Any, stroma: float) -> None:
    made, _ = core(scene, ground=EOSIN, stroma=stroma, nuclei=0.4)
    finding = find_tissue(made.slide(), CONFIG)
    assert finding.reasons == (ReasonCode.NOT_IHC,)
    assert "%" in finding.explanations[0]
    assert finding.tissue_mm2 > 0.7
    unchecked = find_tissue(made.slide(), load_config(overrides=["stain.check=false"]))
    assert unchecked.scorable
    assert unchecked.flags == ("stain_unchecked",)


def test_a_purple_haematoxylin_is_no_eosin(scene: Any) -> None:
    purple = np.array([0.55, 0.75, 0.3])
    made, _ = core(scene, counter=purple, ground=purple)
    assert find_tissue(made.slide(), CONFIG).stain.kind == "h_dab"


def test_a_grey_image_is_refused(scene: Any, stub: Any) -> None:
    made, _ = core(scene, membrane=0.5)
    grey = np.repeat(made.render().mean(-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    finding = find_tissue(stub(grey), CONFIG)
    assert finding.reasons == (ReasonCode.NOT_IHC,)
    assert "colour" in finding.explanations[0]


def test_a_stretched_image_is_refused_as_clipped_and_nothing_else(scene: Any, stub: Any) -> None:
    made, _ = core(scene, membrane=0.9)
    image = (made.render().astype(np.float64) - 130) * 2.6
    finding = find_tissue(stub(np.clip(image, 0, 255).astype(np.uint8)), CONFIG)
    assert finding.reasons == (ReasonCode.CLIPPED_IMAGE,)
    assert "white_saturated" in finding.flags


def test_dots_of_in_situ_hybridisation_are_refused_and_brown_is_not(scene: Any) -> None:
    made = scene(500, 0.5)
    where = made.disc(250, 250, 210)
    made.tissue(where, nuclei=0.3)
    config = load_config(overrides=["stain.probes=2"])
    plain = find_tissue(made.slide(), config)
    assert plain.stain.kind == "h_dab"
    for colour, number in (((0.1, 0.9, 0.5), 1300), ((0.9, 0.9, 0.9), 1600)):
        dots = np.zeros_like(made.x)
        places = made.rng.integers(2, made.n - 2, size=(number, 2))
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            dots[places[:, 0] + dy, places[:, 1] + dx] = 1
        made.add(dots * where, colour)
    finding = find_tissue(made.slide(), config)
    assert finding.reasons == (ReasonCode.NOT_IHC,)
    assert "dots" in finding.explanations[0]


def test_parts_that_cannot_be_decoded_count_as_tissue(scene: Any, stub: Any) -> None:
    made, where = core(scene, nuclei=0.25)
    broken = Box0(x=20, y=20, width=10, height=10)  # on glass, far from the core
    finding = find_tissue(stub(made.render(), broken=broken), CONFIG)
    assert "overview_incomplete" in finding.flags
    assert finding.tissue.fraction(broken) == 1.0
    assert cover(finding, where)[0] > 0.98


def test_a_slide_of_which_nothing_can_be_decoded_fails(stub: Any) -> None:
    image = np.full((500, 500, 3), 240, dtype=np.uint8)
    with pytest.raises(SlideError, match=r"stub.tif.*no part") as caught:
        find_tissue(stub(image, broken=Box0(x=-1, y=-1, width=999, height=999)), CONFIG)
    assert caught.value.reason is ReasonCode.UNREADABLE


def test_masks_lie_in_the_scanned_bounds(scene: Any, stub: Any) -> None:
    made, where = core(scene, nuclei=0.25)
    bounds = Box0(x=100, y=150, width=600, height=601)
    finding = find_tissue(stub(made.render(), bounds=bounds), CONFIG)
    assert finding.box == bounds == finding.tissue.box
    assert finding.overview.shape[:2] == finding.tissue.mask.shape
    assert cover(finding, where[150:751, 100:700])[0] > 0.98


def test_the_same_slide_gives_the_same_finding(scene: Any) -> None:
    made, _ = core(scene, membrane=0.4)
    slide = made.slide()
    one, two = find_tissue(slide, CONFIG), find_tissue(slide, CONFIG)
    assert (one.tissue.mask == two.tissue.mask).all()
    assert repr((one.stain, one.white_point)) == repr((two.stain, two.white_point))


@pytest.mark.parametrize(
    ("pixels", "mpp", "expected"), [(200, 0.5, 0.5), (1000, 1.0, 3.9), (40_000, 4.0, 65.3)]
)
def test_an_overview_is_never_huge_nor_needlessly_coarse(
    stub: Any, pixels: int, mpp: float, expected: float
) -> None:
    slide = stub(np.zeros((1, 1, 3), dtype=np.uint8), mpp=mpp)
    slide.info = type(slide.info)(
        **{**vars(slide.info), "bounds": Box0(x=0, y=0, width=pixels, height=pixels)}
    )
    seen: list[float] = []

    class Seen(Exception):
        pass

    def read_region(box: Box0, *, mpp: float) -> None:
        seen.append(mpp)
        raise Seen

    slide.read_region = read_region
    with pytest.raises(Seen):
        read_overview(slide, 8.0)
    assert seen == [pytest.approx(expected, rel=0.01)]
