"""Slides that must not be scored look like what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from pathology.synthesis import REGIONS, SlideSpec, SyntheticSlide, render_slide


def small(kind: str, **kwargs: object) -> SyntheticSlide:
    return render_slide(SlideSpec(kind=kind, piece_mm=0.3, mpp=1.0, **kwargs), 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "region", "least"), [("fat", "fat", 0.25), ("lymph_node", "lymphoid", 0.7)]
)
def test_tissue_without_tumour(kind: str, region: str, least: float) -> None:
    slide = small(kind)
    assert slide.expected_score is None
    assert slide.counts.total == 0
    assert (slide.region == REGIONS.index(region)).sum() > least * (slide.region > 0).sum()


def test_an_unstained_section_has_no_colour_and_some_structure() -> None:
    rgb = small("unstained").rgb.astype(int)
    tint = np.abs(rgb - rgb.mean(axis=(0, 1)))
    assert np.quantile((rgb[..., 2] - rgb[..., 0]) - np.median(rgb[..., 2] - rgb[..., 0]), 0.99) < 8
    assert tint.mean() > 1


def test_a_slide_out_of_focus_has_lost_its_detail_not_its_tissue() -> None:
    sharp, blurred = small("ihc", score="2+"), small("out_of_focus", score="2+")
    detail = [np.abs(np.diff(s.rgb[..., 1].astype(int), axis=0)).mean() for s in (sharp, blurred)]
    assert detail[1] < 0.6 * detail[0]
    assert blurred.rgb.mean() == pytest.approx(sharp.rgb.mean(), abs=3)
    assert blurred.expected_score is None


def test_aec_is_red_even_where_no_score_was_asked_for() -> None:
    slide = small("aec")
    assert slide.counts.complete_intense > 0
    # Red-brown absorbs green as much as blue; DAB absorbs blue more.
    dark = slide.rgb[slide.rgb.sum(axis=-1) < 330].astype(int)
    brown = small("ihc", score="3+").rgb
    dark_brown = brown[brown.sum(axis=-1) < 330].astype(int)
    assert np.median(dark[:, 1] - dark[:, 2]) < np.median(dark_brown[:, 1] - dark_brown[:, 2]) - 5


def test_fluorescence_shines_in_the_dark() -> None:
    slide = small("fluorescence", score="3+")
    assert np.median(slide.rgb.max(axis=-1)) < 120
    assert slide.rgb[:8, :8].max() < 30  # glass
    assert slide.rgb[..., 2].max() > 150
    assert np.median(slide.rgb[..., 0]) < 30
    assert slide.expected_score is None
