"""One slide through every stage, with a model that needs no weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from pathology.config import Config, load_config
from pathology.errors import RegionReadError, SlideError
from pathology.geometry import Box0, Spacing
from pathology.pipeline import Progress, SlideRequest, score_slide, slide_identity
from pathology.runs import SlideResult, read_cells, read_tiles
from pathology.synthesis import Composition, FieldSpec, PatternMix, Staining, render_field
from pathology.synthesis.tiff import write_pyramid
from pathology.testing import FakeModel
from pathology.wsi.reader import SourceSlide
from pathology.wsi.slide import Region


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(
        overrides=["tiling.tile_px=256", "scoring.min_tumour_cells=10", "stain.check=false"]
    )


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


@pytest.fixture(scope="module")
def scored(slide: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> SlideResult:
    out = tmp_path_factory.mktemp("out")
    return score_slide(slide, out_dir=out, slide_id="a", reader=FakeModel(config), config=config)


def run(slide: Path, out: Path, config: Config, **known: object) -> SlideResult:
    request = SlideRequest(path=slide, **known)  # type: ignore[arg-type]
    return score_slide(
        slide,
        out_dir=out,
        slide_id="a",
        request=request,
        reader=FakeModel(config),
        config=config,
    )


def test_a_readable_slide_is_scored(scored: SlideResult) -> None:
    assert scored.status == "scored"
    assert scored.ihc_score == "3+"
    assert scored.n_tumour_cells is not None
    assert scored.n_tumour_cells > 100
    assert "invasive_region_unverified" in scored.flags


def test_tables_agree_with_the_result(slide: Path, config: Config, tmp_path: Path) -> None:
    result = run(slide, tmp_path, config)
    folder = tmp_path / "slides" / "a"
    cells = list(read_cells(folder / "cells.parquet"))
    tiles = read_tiles(folder / "tiles.parquet")
    assert sum(table.n for table in cells) == sum(result.class_counts.values())
    assert sum(row.n_tumour_cells for row in tiles) == result.n_tumour_cells
    assert sum(row.n_complete_intense for row in tiles) == result.n_complete_intense
    assert [row.tile_id for row in tiles] == sorted(row.tile_id for row in tiles)
    stored = orjson.loads((folder / "result.json").read_bytes())
    assert stored["ihc_score"] == result.ihc_score
    assert {file["name"] for file in stored["outputs"]} == {
        path.name for path in folder.iterdir() if path.name != "result.json"
    }


def test_the_same_slide_gives_the_same_bytes(slide: Path, config: Config, tmp_path: Path) -> None:
    many = config.model_copy(
        update={"runtime": config.runtime.model_copy(update={"workers": 4, "queue_tiles": 9})}
    )
    run(slide, tmp_path / "1", config)
    run(slide, tmp_path / "2", many)
    first, second = (sorted((tmp_path / n / "slides/a").iterdir()) for n in "12")
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


class _Broken:
    """Fails every read that touches a box."""

    def __init__(self, bad: Box0) -> None:
        self.bad = bad
        self.real = SourceSlide.read_region

    def __call__(self, slide: SourceSlide, box: Box0, *, mpp: float | Spacing) -> Region:
        fine = mpp.x if isinstance(mpp, Spacing) else mpp
        if fine < 1 and box.intersection(self.bad):
            raise RegionReadError("tumour.tif: broken here")
        return self.real(slide, box, mpp=mpp)


def broken(monkeypatch: pytest.MonkeyPatch, bad: Box0) -> None:
    fault = _Broken(bad)
    monkeypatch.setattr(
        SourceSlide, "read_region", lambda slide, box, *, mpp: fault(slide, box, mpp=mpp)
    )


def test_failed_tiles_that_cannot_change_the_score_are_counted(
    slide: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, Box0(x=0, y=0, width=8, height=8))
    result = run(slide, tmp_path, config)
    assert result.failed_tiles == 1
    assert result.ihc_score == "3+"
    assert any("broken here" in warning for warning in result.warnings)


def test_failed_tiles_that_could_change_the_score_withhold_it(
    slide: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half of the tissue: were it all unstained, it would still be 3+; the other way round for 0.
    pale = load_config(
        overrides=[
            "tiling.tile_px=256",
            "scoring.min_tumour_cells=10",
            "stain.check=false",
            "measurement.stained_od=2.0",
            "measurement.weak_od=2.1",
            "measurement.moderate_od=2.2",
            "measurement.intense_od=2.3",
        ]
    )
    assert run(slide, tmp_path / "whole", pale).ihc_score == "0"
    broken(monkeypatch, Box0(x=0, y=0, width=8, height=300))
    result = run(slide, tmp_path / "torn", pale)
    assert result.status == "not_scorable"
    assert result.reasons == ("failed_tiles",)
    assert result.ihc_score is None
    assert result.n_tumour_cells


def test_a_slide_that_fails_everywhere_has_no_score(
    slide: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, Box0(x=0, y=0, width=768, height=768))
    result = run(slide, tmp_path, config)
    assert result.status == "not_scorable"
    assert "failed_tiles" in result.reasons


def test_too_few_cells_are_no_zero(slide: Path, tmp_path: Path) -> None:
    strict = load_config(
        overrides=["tiling.tile_px=256", "scoring.min_tumour_cells=100000", "stain.check=false"]
    )
    result = run(slide, tmp_path, strict)
    assert result.reasons == ("too_few_cells",)
    assert result.pct_complete_intense is not None


def test_regions_decide_what_counts(
    slide: Path, config: Config, tmp_path: Path, scored: SlideResult
) -> None:
    def polygon(name: str, x: int, width: int) -> dict[str, object]:
        ring = [[x, 0], [x + width, 0], [x + width, 768], [x, 768], [x, 0]]
        return {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": name}},
        }

    features = [polygon("Tumor", 0, 400), polygon("In situ", 500, 268)]
    path = tmp_path / "regions.geojson"
    path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": features}))
    result = run(slide, tmp_path / "out", config, regions=path)
    assert result.region_source == "annotation"
    assert 0 < result.n_tumour_cells < 0.7 * scored.n_tumour_cells
    assert result.n_in_situ_excluded > 0


def test_metadata_of_the_manifest_reaches_the_row(
    slide: Path, config: Config, tmp_path: Path
) -> None:
    result = run(slide, tmp_path, config, case_id="C1", assay="4B5", role="control")
    assert (result.case_id, result.assay) == ("C1", "4B5")
    assert "control_slide" in result.flags


def test_progress_ends_at_the_whole_tissue(slide: Path, config: Config, tmp_path: Path) -> None:
    seen: list[Progress] = []
    score_slide(
        slide, out_dir=tmp_path, reader=FakeModel(config), config=config, progress=seen.append
    )
    assert [step.stage for step in seen if step.stage != "read"] == [
        "open",
        "tissue",
        "score",
        "report",
        "done",
    ]
    assert all(step.timing is None for step in seen[:-1])
    timing = seen[-1].timing
    assert timing is not None
    assert timing.tiles > 0
    assert 0 < sum(timing.seconds[name] for name in ("read", "tables", "pictures")) < 60
    assert sum(timing.seconds[name] for name in ("open", "tissue", "score")) < timing.wall_s
    reading = [step for step in seen if step.stage == "read"]
    assert reading[-1].done_mm2 == pytest.approx(reading[-1].total_mm2)
    assert timing.tissue_mm2 == pytest.approx(reading[-1].total_mm2, rel=0.2)
    assert np.all(np.diff([step.done_mm2 for step in reading]) >= 0)


def test_what_a_result_depends_on_is_in_the_identity(slide: Path, tmp_path: Path) -> None:
    base = slide_identity(SlideRequest(path=slide))
    assert slide_identity(SlideRequest(path=slide)) == base
    assert slide_identity(SlideRequest(path=slide, mpp=0.25)) != base
    assert slide_identity(SlideRequest(path=slide, case_id="C")) != base
    with pytest.raises(SlideError, match="region file"):
        slide_identity(SlideRequest(path=slide, regions=tmp_path / "none.geojson"))


def test_drawn_tumour_is_tissue_also_where_none_was_found(slide: Path, tmp_path: Path) -> None:
    blind = load_config(
        overrides=[
            "tiling.tile_px=256",
            "scoring.min_tumour_cells=10",
            "stain.check=false",
            "tissue.od_min=3.0",
        ]
    )
    assert run(slide, tmp_path / "none", blind).reasons == ("no_tissue",)
    ring = [[100, 100], [600, 100], [600, 600], [100, 600], [100, 100]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    path = tmp_path / "drawn.geojson"
    path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": [feature]}))
    result = run(slide, tmp_path / "drawn", blind, regions=path)
    assert result.ihc_score == "3+"
    assert result.tissue_mm2 == pytest.approx(0.0625, rel=0.05)
