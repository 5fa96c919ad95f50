from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pathology.config import load_config
from pathology.pipeline import score_slide
from pathology.synthesis import Composition, FieldSpec, PatternMix, Staining, render_field
from pathology.synthesis.tiff import write_pyramid
from pathology.testing import FakeModel
from pathology.tissue.lost import lost_tissue

UM = 8.0


def disc(side: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(x, y) <= radius


def test_a_hole_in_tissue_was_tissue() -> None:
    tissue = disc(120, 50)
    hole = np.zeros_like(tissue)
    hole[50:66, 40:60] = True
    assert np.array_equal(lost_tissue(hole, tissue & ~hole, pixel_um=UM), hole)


def test_glass_that_was_not_scanned_is_no_tissue() -> None:
    tissue = disc(200, 40)
    frame = ~disc(200, 60)
    assert not lost_tissue(frame, tissue, pixel_um=UM).any()


def test_a_short_touch_is_no_loss_a_long_cut_is_a_band() -> None:
    for radius, column, lost in ((20, 131, False), (60, 140, True)):
        tissue = disc(300, radius)
        missing = np.zeros_like(tissue)
        missing[:, :column] = True
        found = lost_tissue(missing, tissue & ~missing, pixel_um=UM)
        assert bool(found.any()) == lost
        depth = np.flatnonzero(found.any(axis=0))
        assert not lost or depth.min() >= column - round(250 / UM) - 1
        assert not (found & ~missing).any()


def field(patterns: PatternMix) -> np.ndarray:
    spec = FieldSpec(
        width_px=768,
        height_px=768,
        composition=Composition(architecture="sheet", tumour_share=0.9),
        staining=Staining(tumour=patterns),
    )
    return render_field(spec, 11).rgb


@pytest.mark.parametrize(
    "lost",
    [np.s_[256:512, 256:512], np.s_[:, :256], np.s_[512:, 512:]],
    ids=["one tile in the middle", "a third, along tile borders", "a corner"],
)
def test_zeroed_tiles_never_give_a_zero(tmp_path: Path, lost: tuple[slice, slice]) -> None:
    config = load_config(
        overrides=["tiling.tile_px=256", "scoring.min_tumour_cells=10", "stain.check=false"]
    )
    rgb = field(PatternMix())
    path = tmp_path / "whole.tif"
    write_pyramid(path, rgb, mpp=0.5, levels=1, compression="none")
    whole = score_slide(path, out_dir=tmp_path / "1", reader=FakeModel(config), config=config)
    assert whole.ihc_score == "0"
    assert whole.failed_tiles == 0
    torn = rgb.copy()
    torn[lost] = 0
    path = tmp_path / "torn.tif"
    write_pyramid(path, torn, mpp=0.5, levels=1, compression="none")
    result = score_slide(path, out_dir=tmp_path / "2", reader=FakeModel(config), config=config)
    assert result.ihc_score is None
    assert "failed_tiles" in result.reasons
    assert "no_data_in_tissue" in result.flags
    assert result.failed_tiles
