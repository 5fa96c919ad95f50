"""Drawn regions give the numbers of ``her2 rescore --regions``, without a folder being written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from reviewing import square

from pathology.batch import rescore_run
from pathology.errors import RegionsError, UsageError
from pathology.pipeline.recount import recount_slide
from pathology.runs import RESULT_COLUMNS, SlideFolder, read_run_info

REGIONS = {
    "exclude": [square("Exclude", 0, 0, 1200), square("Control", 1300, 1300, 600)],
    "tumour": [square("Tumor", 100, 100, 1500), square("Ignore*", 300, 300, 300)],
    "in situ": [square("In situ", 0, 0, 5000)],
}


@pytest.mark.parametrize("kind", REGIONS)
def test_a_recount_is_a_rescore_with_regions(run: Path, tmp_path: Path, kind: str) -> None:
    content = orjson.dumps({"type": "FeatureCollection", "features": REGIONS[kind]})
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    folder = SlideFolder(root=run, slide_id="a")
    before = folder.load()
    assert before is not None
    name = Path(before.path).name
    (drawn / f"{name}.geojson").write_bytes(content)
    rescored = {r.slide_id: r for r in rescore_run(run, tmp_path / "other", regions=drawn)}["a"]
    key, _ = read_run_info(run)
    counted = recount_slide(before, folder, content, config=key.restore(where=run))
    assert rescored.n_tumour_cells != before.n_tumour_cells
    different = {
        column for column in RESULT_COLUMNS if getattr(counted, column) != getattr(rescored, column)
    }
    assert different <= {"flags", "region_source"}
    assert counted.region_source == "reviewed"
    assert set(rescored.flags) - set(counted.flags) <= {"invasive_region_unverified"}
    assert counted.counts == rescored.counts
    assert counted.rescored is not None
    assert "regions: none there" in counted.rescored.changes[0]


def test_removing_all_regions_undoes_those_of_the_run(run: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    before = SlideFolder(root=run, slide_id="a").load()
    assert before is not None
    content = orjson.dumps({"type": "FeatureCollection", "features": REGIONS["exclude"]})
    (drawn / f"{Path(before.path).name}.geojson").write_bytes(content)
    rescore_run(run, tmp_path / "other", regions=drawn)
    folder = SlideFolder(root=tmp_path / "other", slide_id="a")
    annotated = folder.load()
    assert annotated is not None
    assert annotated.n_tumour_cells != before.n_tumour_cells
    key, _ = read_run_info(run)
    counted = recount_slide(annotated, folder, None, config=key.restore(where=run))
    assert counted.n_tumour_cells == before.n_tumour_cells
    assert (counted.ihc_score, counted.regions) == (before.ihc_score, None)


def test_what_cannot_be_counted_again_says_so(run: Path) -> None:
    key, _ = read_run_info(run)
    config = key.restore(where=run)
    folder = SlideFolder(root=run, slide_id="a")
    result = folder.load()
    assert result is not None
    with pytest.raises(UsageError, match="no cells are stored"):
        recount_slide(result.model_copy(update={"outputs": ()}), folder, None, config=config)
    with pytest.raises(UsageError, match="did not store which cells"):
        recount_slide(result.model_copy(update={"size_px": None}), folder, None, config=config)
    with pytest.raises(RegionsError):
        recount_slide(result, folder, b"{", config=config)


def test_the_record_never_loads_torch() -> None:
    code = (
        "import sys; import pathology.review.api_actions, pathology.review.gatekeeper; "
        "import pathology.review.relink; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
