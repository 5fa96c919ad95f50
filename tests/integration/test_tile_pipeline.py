"""One slide through every stage with a tile classifier: score, tables, pictures and exports."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from pathology.config import Config, load_config
from pathology.errors import RegionReadError
from pathology.geometry import Box0, Spacing
from pathology.pipeline import SlideRequest, score_slide
from pathology.report import export
from pathology.runs import SlideResult, read_cells, read_tiles, write_results
from pathology.runs.schema import CELL_SCHEMA, open_table
from pathology.scoring import TileOutputs
from pathology.synthesis import Composition, FieldSpec, PatternMix, Staining, render_field
from pathology.synthesis.tiff import write_pyramid
from pathology.testing import FakeTileModel
from pathology.wsi.reader import SourceSlide
from pathology.wsi.slide import Region


def settings(*overrides: str) -> Config:
    return load_config(overrides=["scoring.min_tumour_tiles=10", "stain.check=false", *overrides])


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = FieldSpec(
        width_px=768,
        height_px=768,
        mpp=0.5,
        composition=Composition(architecture="sheet", tumour_share=0.9),
        staining=Staining(tumour=PatternMix(unstained=0.2, complete_intense=0.8)),
    )
    path = tmp_path_factory.mktemp("slides") / "tumour.tif"
    write_pyramid(
        path, render_field(spec, 5).rgb, mpp=0.5, levels=2, compression="jpeg", quality=95
    )
    return path


def run(
    slide: Path,
    out: Path,
    config: Config,
    *,
    outputs: TileOutputs = "patterns",
    regions: Path | None = None,
) -> SlideResult:
    return score_slide(
        slide,
        out_dir=out,
        slide_id="a",
        request=SlideRequest(path=slide, regions=regions),
        reader=FakeTileModel(config, outputs=outputs),
        config=config,
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def scored(slide: Path, out: Path) -> SlideResult:
    return run(slide, out, settings())


def test_tiles_are_counted_in_the_place_of_cells(scored: SlideResult) -> None:
    assert (scored.status, scored.ihc_score) == ("scored", "3+")
    assert scored.tiles == scored.n_tumour_cells == 36
    assert scored.n_complete_intense > 4
    assert {"tile_model", "invasive_region_unverified"} <= set(scored.flags)
    assert "tiles)" in scored.deciding_clause
    assert scored.h_score is None
    assert scored.mean_membrane_od is None
    assert scored.class_counts["complete_intense"] == scored.n_complete_intense
    assert scored.tumour_mm2 == pytest.approx(scored.tissue_mm2, rel=0.05)
    assert scored.grid.tile_px == 128


def test_the_tables_keep_their_form(scored: SlideResult, out: Path) -> None:
    folder = out / "slides" / "a"
    with open_table(folder / "cells.parquet", CELL_SCHEMA) as table:
        assert table.metadata.num_rows == 0
    assert sum(part.n for part in read_cells(folder / "cells.parquet")) == 0
    rows = read_tiles(folder / "tiles.parquet")
    assert len(rows) == scored.tiles
    assert all(row.n_cells == 1 and row.n_tumour_cells in (0, 1) for row in rows)
    assert sum(row.n_complete_intense for row in rows) == scored.n_complete_intense
    assert {row.width_px for row in rows} == {128}
    assert (folder / "heatmap.png").stat().st_size > 10_000


def test_batches_and_threads_do_not_matter(
    slide: Path, scored: SlideResult, tmp_path: Path
) -> None:
    config = settings("inference.cpu_batch=7", "runtime.workers=4", "runtime.queue_tiles=9")
    other = run(slide, tmp_path, config)
    skipped = {"config_hash"}
    assert other.model_dump(exclude=skipped) == scored.model_dump(exclude=skipped)


def test_scores_of_tiles_go_the_same_way(slide: Path, tmp_path: Path) -> None:
    found = run(slide, tmp_path, settings(), outputs="scores")
    assert found.ihc_score == "3+"
    assert "called 3+ > 10 %" in found.deciding_clause


def test_few_tiles_are_no_low_score(slide: Path, tmp_path: Path) -> None:
    found = run(slide, tmp_path, load_config(overrides=["stain.check=false"]))
    assert (found.status, found.reasons) == ("not_scorable", ("too_few_cells",))
    assert "36 tumour tiles, fewer than 40" in found.deciding_clause
    assert found.pct_complete_intense is not None
    assert "tile_model" in found.flags


def test_regions_decide_which_tiles_count(slide: Path, scored: SlideResult, tmp_path: Path) -> None:
    def polygon(name: str, x: int, width: int) -> dict[str, object]:
        ring = [[x, 0], [x + width, 0], [x + width, 768], [x, 768], [x, 0]]
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": name}},
        }

    path = tmp_path / "regions.geojson"
    features = [polygon("Tumor", 0, 384), polygon("In situ", 512, 256)]
    path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": features}))
    found = run(slide, tmp_path / "out", settings(), regions=path)
    assert found.region_source == "annotation"
    assert found.n_tumour_cells == 18
    assert found.n_in_situ_excluded == 12
    assert scored.n_in_situ_excluded == 0


def test_failed_tiles_that_could_change_the_score_withhold_it(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, bad = SourceSlide.read_region, Box0(x=0, y=0, width=8, height=300)

    def torn(slide: SourceSlide, box: Box0, *, mpp: float | Spacing) -> Region:
        fine = mpp.x if isinstance(mpp, Spacing) else mpp
        if fine < 1 and box.intersection(bad):
            raise RegionReadError("tumour.tif: broken here")
        return real(slide, box, mpp=mpp)

    monkeypatch.setattr(SourceSlide, "read_region", torn)
    sure = run(slide, tmp_path / "sure", settings())
    assert (sure.ihc_score, sure.failed_tiles) == ("3+", 3)
    assert "failed_tiles" in sure.flags
    few = run(slide, tmp_path / "few", settings("scoring.min_tumour_tiles=35"))
    assert few.reasons == ("failed_tiles", "too_few_cells")


@pytest.fixture
def finished(scored: SlideResult, out: Path) -> Path:
    write_results(out, [scored])
    return out


def test_tiles_are_exported_for_qupath(finished: Path, scored: SlideResult, tmp_path: Path) -> None:
    files = export(finished, ["geojson"], tmp_path)["geojson"]
    path = next(file for file in files if file.suffix == ".gz")
    features = orjson.loads(gzip.decompress(path.read_bytes()))["features"]
    names = [item["properties"]["classification"]["name"] for item in features]
    assert len(features) == scored.tiles
    assert names.count("Tumor: 3+ complete intense") == scored.n_complete_intense
    assert {item["properties"]["objectType"] for item in features} == {"tile"}
    assert len({item["id"] for item in features}) == len(features)
    assert features[7]["geometry"]["coordinates"][0] == [
        [128, 128],
        [256, 128],
        [256, 256],
        [128, 256],
        [128, 128],
    ]


def test_the_page_speaks_of_tiles(finished: Path, tmp_path: Path) -> None:
    page = export(finished, ["html"], tmp_path)["html"][0].read_text(encoding="utf-8")
    assert "Tumour tiles by membrane pattern" in page
    assert "36 tumour tiles" in page
    assert "tumour cells" not in page.split("Flags")[0]
    assert "H-score" not in page
