"""Whole slides: the truth has the score that was asked for, and blocks join."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pathology.synthesis import (
    REGIONS,
    SCORES,
    PatternMix,
    SlideSpec,
    render_slide,
    score_mix,
    write_slide,
)
from pathology.synthesis.slide import count_patterns
from pathology.wsi import open_slide


def small(score: str, **kwargs: object) -> SlideSpec:
    return SlideSpec(score=score, piece_mm=0.7, mpp=1.0, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "near"), [*((score, False) for score in SCORES), ("1+", True), ("3+", True)]
)
def test_truth_has_the_shares_of_the_score(score: str, near: bool) -> None:
    spec = small(score, near_cutoff=near)
    slide = render_slide(spec, 1)
    counts = slide.counts
    assert counts.total > 600
    share = np.array(
        [
            counts.unstained, counts.incomplete_faint, counts.incomplete_moderate_intense,
            counts.complete_weak_moderate, counts.complete_intense,
        ]
    ) / counts.total  # fmt: skip
    error = np.abs(share - np.array(spec.mix.as_tuple()))
    # A seventh of a square millimetre holds few clones; the share that decides is kept closer.
    assert error.max() < (0.07 if near else 0.05)
    assert error[{"1+": 1, "3+": 4}[score] if near else 0] < (0.025 if near else 0.05)
    assert (slide.expected_score, counts) == (score[:2].strip("_"), count_patterns(slide.cells))
    if score == "0":
        assert counts.unstained == counts.total


def test_mixes_keep_their_distance_from_ten_per_cent() -> None:
    assert score_mix("3+").complete_intense > 0.5
    assert score_mix("2+").complete_weak_moderate > 0.3
    assert score_mix("2+").complete_intense == 0
    one = score_mix("1+")
    assert one.incomplete_faint > 0.3
    assert one.complete_weak_moderate + one.complete_intense == 0
    assert 0 < score_mix("0_ultralow").incomplete_faint < 0.07
    with pytest.raises(ValueError, match="score must be one of"):
        score_mix("4+")


@pytest.mark.parametrize("kind", ["muscle", "stroma_only", "blank"])
def test_kinds_without_tumour(kind: str) -> None:
    slide = render_slide(SlideSpec(kind=kind, piece_mm=0.4, mpp=1.0), 2)
    assert slide.expected_score is None
    assert slide.counts.total == 0
    assert not (slide.cells.cell_class == 0).any()
    if kind == "blank":
        assert slide.cells.n == 0
        assert not slide.region.any()
        assert slide.rgb.mean(axis=(0, 1)) == pytest.approx(slide.white, abs=1.0)
    if kind == "muscle":
        assert (slide.region == REGIONS.index("muscle")).mean() > 0.2


def test_he_slide_is_pink() -> None:
    pink = render_slide(SlideSpec(kind="he", piece_mm=0.3, mpp=1.0), 2)
    blue = render_slide(SlideSpec(score="0", piece_mm=0.3, mpp=1.0), 2)
    red, green = (pink.rgb[..., c].astype(int) for c in (0, 1))
    assert (red - green).mean() > (blue.rgb[..., 0].astype(int) - blue.rgb[..., 1]).mean() + 5
    assert pink.expected_score is None


def test_stained_in_situ_does_not_count() -> None:
    spec = small("0", in_situ=4, in_situ_mix=PatternMix(unstained=0.0, complete_intense=1.0))
    slide = render_slide(spec, 3)
    stained = slide.cells.pattern > 0
    assert stained.any()
    assert set(np.unique(slide.cells.cell_class[stained])) == {1}
    assert slide.counts.unstained == slide.counts.total > 0


def test_same_seed_same_bytes() -> None:
    spec = SlideSpec(score="2+", piece_mm=0.2, mpp=1.0)
    assert render_slide(spec, 4).rgb.tobytes() == render_slide(spec, 4).rgb.tobytes()
    assert render_slide(spec, 4).rgb.tobytes() != render_slide(spec, 5).rgb.tobytes()


def test_no_seam_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of another size give the same picture, but for camera noise."""
    from dataclasses import replace

    from pathology.synthesis import slide as room

    spec = SlideSpec(score="2+", piece_mm=0.3, mpp=1.0)
    spec = replace(spec, appearance=replace(spec.appearance, noise=0.0, jpeg_quality=0))
    whole = render_slide(spec, 6)
    monkeypatch.setattr(room, "_BLOCK_PX", 192)
    parts = render_slide(spec, 6)
    differ = np.abs(whole.rgb.astype(int) - parts.rgb.astype(int)).max(axis=2)
    # What a blur without margin would change lies within two pixels of a joint.
    joint = np.zeros(differ.shape, dtype=bool)
    for place in range(192, min(differ.shape), 192):
        joint[place - 2 : place + 2] = joint[:, place - 2 : place + 2] = True
    assert (differ[joint] > 3).mean() < 2e-3
    assert (differ > 3).mean() < 1e-3
    assert (whole.region != parts.region).mean() < 1e-3
    assert whole.cells.n == parts.cells.n


def test_written_slide_is_read_back(tmp_path: Path) -> None:
    slide = render_slide(SlideSpec(score="1+", piece_mm=0.3), 7)
    path = tmp_path / "a.tif"
    write_slide(slide, path)
    with open_slide(path) as read:
        assert (read.info.size.height, read.info.size.width) == slide.rgb.shape[:2]
        assert read.info.spacing.x == pytest.approx(0.5, rel=1e-3)


def test_bad_specs_are_refused() -> None:
    with pytest.raises(ValueError, match="kind must be"):
        SlideSpec(kind="bone")
    with pytest.raises(ValueError, match="piece_mm"):
        SlideSpec(piece_mm=40)
    with pytest.raises(ValueError, match="architecture"):
        SlideSpec(architecture="brick")
