"""Large slides of repeated fields: the same picture as one made pixel by pixel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
import pytest

from pathology.synthesis import mosaic
from pathology.synthesis.mosaic import MosaicSpec, write_mosaic
from pathology.synthesis.pyramid import TileSource
from pathology.synthesis.tiff import write_pyramid
from pathology.wsi import open_slide

SMALL = MosaicSpec(tissue_mm2=0.05, mpp=0.5, tile_px=64, fields=2)


@pytest.fixture(autouse=True)
def _small_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MosaicSpec, "field_px", property(lambda self: 2 * self.tile_px))


def test_a_repeated_block_has_the_bytes_of_a_block_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mosaic(SMALL, tmp_path / "kept.tif")
    monkeypatch.setattr(
        mosaic._Mosaic,
        "source",
        lambda self, whole: TileSource(width=whole, height=whole, read=self.read),
    )
    write_mosaic(SMALL, tmp_path / "anew.tif")
    assert (tmp_path / "kept.tif").read_bytes() == (tmp_path / "anew.tif").read_bytes()


@pytest.mark.parametrize("tile_px", [64, 240])
def test_openslide_reads_the_fields_where_they_lie(tile_px: int, tmp_path: Path) -> None:
    spec = replace(SMALL, tile_px=tile_px, quality=95)
    truth = write_mosaic(spec, tmp_path / "slide.tif", seed=3)
    with open_slide(tmp_path / "slide.tif") as slide:
        assert slide.info.spacing.mean == pytest.approx(0.5)
        assert (slide.info.size.width, slide.info.size.height) == (truth.width_px,) * 2
    side = spec.field_px
    with openslide.OpenSlide(tmp_path / "slide.tif") as slide:
        glass = np.asarray(slide.read_region((0, 0), 0, (side, side)))[..., :3]
        tissue = np.asarray(slide.read_region((side, side), 0, (side, side)))[..., :3]
    assert glass.std() < 2
    assert tissue.std() > 10
    assert truth.width_px == (spec.side + 2) * side


def test_counts_and_area_grow_with_the_slide(tmp_path: Path) -> None:
    one = write_mosaic(SMALL, tmp_path / "one.tif")
    four = write_mosaic(replace(SMALL, tissue_mm2=0.2), tmp_path / "four.tif")
    assert four.tissue_mm2 >= 0.2 > one.tissue_mm2 >= 0.05
    assert 0 < one.n_tumour_cells < one.n_cells < four.n_cells
    assert (tmp_path / "four.tif").stat().st_size > 2 * (tmp_path / "one.tif").stat().st_size


def test_the_seed_and_the_settings_decide(tmp_path: Path) -> None:
    contents = []
    for number, seed in enumerate((0, 0, 1)):
        path = tmp_path / f"{number}.tif"
        write_mosaic(SMALL, path, seed=seed)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(
    "wrong",
    [{"tissue_mm2": 0.0}, {"mpp": 0.01}, {"tile_px": 100}, {"fields": 0}, {"tile_px": 2048}],
)
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(SMALL, **wrong)


def test_only_what_is_promised_to_be_the_same_is_kept(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    plain = TileSource.from_array(picture)
    unsure = replace(plain, same=lambda *_: None)
    write_pyramid(tmp_path / "plain.tif", plain, mpp=0.5, levels=2, tile_px=64)
    write_pyramid(tmp_path / "unsure.tif", unsure, mpp=0.5, levels=2, tile_px=64)
    assert (tmp_path / "plain.tif").read_bytes() == (tmp_path / "unsure.tif").read_bytes()
