"""A run scored again from its stored cells is the run that the new settings would have given."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rescoring import (
    all_bytes,
    difference,
    files,
    paint,
    quick,
    rectangles,
    score,
    write,
)

from pathology.batch import rescore_run
from pathology.errors import ConfigError, OutputError
from pathology.runs import SlideResult, read_results, read_run_info, read_tiles
from pathology.testing import FakeModel, FakeTileModel

LEVELS = (0.02, 0.9, 0.02, 0.2, 0.02, 0.4, 0.02, 0.02)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("slides")
    pixels = paint(384, 384, dab=LEVELS)
    return {
        "mixed": write(folder / "mixed.tif", pixels),
        "drawn": write(folder / "drawn.tif", pixels[::-1]),
        "few": write(folder / "few.tif", paint(256, 224, dab=(0.3,))),
        "blank": write(folder / "blank.tif", paint(384, 384, dab=(0.3,), margin=384)),
        "no-mpp": write(folder / "no-mpp.tif", pixels, mpp=None),
        "gone": folder / "gone.tif",
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    path = tmp_path_factory.mktemp("regions") / "drawn.geojson"
    boxes = {"Tumor": (32, 32, 300, 340), "In_situ": (220, 60, 280, 300), "Stroma": (0, 0, 9, 9)}
    path.write_bytes(rectangles(**boxes))
    return {"drawn": path}


@pytest.fixture(scope="module")
def run(
    slides: dict[str, Path], drawn: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    score(out, slides, quick(), FakeModel(quick()), regions=drawn)
    return out


def by_id(results: list[SlideResult]) -> dict[str, SlideResult]:
    return {result.slide_id: result for result in results}


def test_the_run_has_every_kind_of_slide(run: Path) -> None:
    found = by_id(read_results(run))
    assert {name: str(result.status) for name, result in found.items()} == {
        "mixed": "scored",
        "drawn": "scored",
        "few": "not_scorable",
        "blank": "not_scorable",
        "no-mpp": "not_scorable",
        "gone": "failed",
    }
    assert found["drawn"].n_in_situ_excluded > 0
    assert found["mixed"].bystander_pct is not None
    assert found["few"].membrane_od_p50 is None


def test_the_same_settings_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    before = all_bytes(run)
    rescore_run(run, tmp_path / "again")
    assert difference(files(run), files(tmp_path / "again")) == []
    assert all_bytes(run) == before
    _, info = read_run_info(tmp_path / "again")
    assert info.rescored.changes == ()
    assert info.rescored.scores == {}


CHANGES = (
    (
        "measurement.intense_od=0.3",
        "measurement.limit_of_blank_od=0.05",
        "scoring.qcs_od=0.2",
        "scoring.bystander_radius_um=20",
        "scoring.bootstrap_block_um=100",
    ),
    ("scoring.min_tumour_cells=10", "scoring.gap_policy=score_2", "scoring.pattern_floor_pct=0"),
    ("scoring.focus_min=0.99", "scoring.min_tumour_cells=100000"),
    (
        "cells.tumour_min=0.3",
        "scoring.group_nuclei=4",
        "scoring.group_tumour=4",
        "scoring.group_radius_um=30",
    ),
)


@pytest.mark.parametrize("overrides", CHANGES, ids=lambda item: item[0])
def test_other_settings_give_what_reading_the_slides_again_would(
    run: Path,
    slides: dict[str, Path],
    drawn: dict[str, Path],
    tmp_path: Path,
    overrides: tuple[str, ...],
) -> None:
    config = quick(*overrides)
    score(tmp_path / "fresh", slides, config, FakeModel(config), regions=drawn)
    rescore_run(run, tmp_path / "again", overrides=overrides)
    assert difference(files(tmp_path / "fresh"), files(tmp_path / "again")) == []
    assert difference(files(run), files(tmp_path / "again"))


def test_there_and_back_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    """Tables that were written anew from stored ones are those that reading wrote."""
    rescore_run(run, tmp_path / "1", overrides=["measurement.stained_od=0.3", *WEAKER])
    there = by_id(read_results(tmp_path / "1"))
    assert there["mixed"].n_unstained > by_id(read_results(run))["mixed"].n_unstained
    rescore_run(tmp_path / "1", tmp_path / "2", overrides=["measurement.stained_od=0.12", *BACK])
    assert difference(files(run), files(tmp_path / "2")) == []


WEAKER = ("measurement.weak_od=0.3", "measurement.moderate_od=0.35")
BACK = ("measurement.weak_od=0.20", "measurement.moderate_od=0.28")


def test_what_changed_is_recorded(run: Path, tmp_path: Path) -> None:
    rescore_run(run, tmp_path / "again", overrides=["scoring.min_tumour_cells=10"])
    key, info = read_run_info(tmp_path / "again")
    old_key, _ = read_run_info(run)
    assert info.rescored.config_hash == old_key.config_hash != key.config_hash
    assert info.rescored.changes == ("scoring.min_tumour_cells: 40 there, 10 now",)
    assert set(info.rescored.scores) == {"few"}
    old, new = info.rescored.scores["few"]
    assert old == "not_scorable (too_few_cells)"
    assert new == "2+"
    block = by_id(read_results(tmp_path / "again"))["few"].rescored
    assert (block.status, block.reasons) == ("not_scorable", ("too_few_cells",))
    assert block.changes == info.rescored.changes
    assert block.config_hash == old_key.config_hash


@pytest.mark.parametrize("slide_id", ["blank", "no-mpp", "gone"])
def test_refusals_that_no_setting_can_lift_stay(run: Path, tmp_path: Path, slide_id: str) -> None:
    lax = ["scoring.min_tumour_cells=1", "scoring.tumour_share_min=0", "scoring.focus_min=0"]
    rescore_run(run, tmp_path / "again", overrides=lax)
    old, new = (by_id(read_results(out))[slide_id] for out in (run, tmp_path / "again"))
    assert (new.status, new.reasons) == (old.status, old.reasons)
    assert new.error == old.error


def test_other_regions_give_what_reading_with_them_would(
    run: Path, slides: dict[str, Path], drawn: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "regions"
    folder.mkdir()
    one = rectangles(Tumor=(40, 40, 260, 350), DCIS=(70, 200, 140, 300), Control=(40, 40, 60, 60))
    two = rectangles(Ignore=(32, 32, 120, 350))
    (folder / "drawn.geojson").write_bytes(one)
    (folder / "mixed.geojson").write_bytes(two)
    fresh = {name: folder / f"{name}.geojson" for name in ("drawn", "mixed")}
    score(tmp_path / "fresh", slides, quick(), FakeModel(quick()), regions=fresh)
    results = by_id(rescore_run(run, tmp_path / "again", regions=folder))
    assert difference(files(tmp_path / "fresh"), files(tmp_path / "again")) == []
    assert "unknown_region_class" not in results["drawn"].flags
    assert any(
        text.startswith("regions: drawn.geojson (") for text in results["drawn"].rescored.changes
    )
    assert results["few"].rescored.changes == ()
    # The regions are kept with the cells: a third reading needs no file.
    rescore_run(tmp_path / "again", tmp_path / "third")
    assert difference(files(tmp_path / "again"), files(tmp_path / "third")) == []


def test_drawn_tumour_that_nobody_read_is_missing_evidence(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "regions"
    folder.mkdir()
    (folder / "few.geojson").write_bytes(rectangles(Tumor=(0, 0, 256, 224)))
    (folder / "blank.geojson").write_bytes(rectangles(Tumor=(0, 0, 384, 384)))
    results = by_id(
        rescore_run(
            run, tmp_path / "again", regions=folder, overrides=["scoring.min_tumour_cells=5"]
        )
    )
    assert results["blank"].reasons == ("failed_tiles",)
    assert "not read by the run" in results["blank"].warnings[0]
    rows = read_tiles(tmp_path / "again" / "slides" / "blank" / "tiles.parquet")
    assert {row.status for row in rows} == {"failed"}


def test_no_torch_is_loaded(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathology.cli import main\n"
        "try:\n"
        f"    main(['rescore', {str(run)!r}, '--out', {str(tmp_path / 'again')!r}])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 1, end.code\n"
        "bad = {'torch', 'torchvision'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing changed" in done.stdout
    assert "0 scores differ" in done.stdout


@pytest.mark.parametrize(
    "overrides",
    [
        "tissue.od_min=0.01",
        "stain.check=true",
        "cells.peak_min=0.4",
        "measurement.ray_tolerance_um=1.5",
        "tiling.tile_px=256",
    ],
)
def test_what_acts_on_pixels_is_refused(run: Path, tmp_path: Path, overrides: str) -> None:
    with pytest.raises(ConfigError, match=rf"{overrides.partition('=')[0]}: acts on pixels"):
        rescore_run(run, tmp_path / "again", overrides=[overrides])
    assert not (tmp_path / "again").exists()


def test_the_run_itself_is_never_written(run: Path, tmp_path: Path) -> None:
    for out in (run, run / "again", run.parent):
        with pytest.raises(OutputError, match="never changed"):
            rescore_run(run, out, force=True)


def test_a_run_of_slides_is_not_replaced(
    run: Path, slides: dict[str, Path], tmp_path: Path
) -> None:
    score(tmp_path / "other", {"few": slides["few"]}, quick(), FakeModel(quick()))
    with pytest.raises(OutputError, match="holds a run of `her2 score`"):
        rescore_run(run, tmp_path / "other")
    rescore_run(run, tmp_path / "other", force=True)
    rescore_run(run, tmp_path / "other")
    assert len(list((tmp_path / "other" / "previous").iterdir())) == 1


def test_a_damaged_table_fails_its_slide_only(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "slides" / "mixed" / "cells.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    results = by_id(rescore_run(tmp_path / "run", tmp_path / "again"))
    assert results["mixed"].reasons == ("unreadable",)
    assert results["drawn"].status == "scored"


def test_a_run_of_an_earlier_version_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "slides" / "mixed" / "result.json"
    tree = orjson.loads(path.read_bytes())
    tree["size_px"] = None
    path.write_bytes(orjson.dumps(tree))
    with pytest.raises(OutputError, match="did not store which cells counted"):
        rescore_run(tmp_path / "run", tmp_path / "again")


def test_the_cells_say_which_counted(run: Path) -> None:
    for slide_id in ("mixed", "drawn"):
        result = by_id(read_results(run))[slide_id]
        table = pq.read_table(run / "slides" / slide_id / "cells.parquet")
        counted = table.filter(table["evaluable"])
        assert len(counted) == result.n_tumour_cells
        assert set(counted["cell_class"].to_pylist()) == {"tumour"}
        patterns = counted["pattern"].to_pylist()
        assert patterns.count("complete_intense") == result.n_complete_intense


# ---- tile classifiers


@pytest.fixture(scope="module")
def tile_run(
    slides: dict[str, Path], drawn: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("tiles") / "out"
    config = quick("scoring.min_tumour_tiles=4")
    chosen = {name: slides[name] for name in ("mixed", "drawn", "few")}
    score(out, chosen, config, FakeTileModel(config, tile_px=64), regions=drawn)
    return out


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("scoring.cluster_min_tiles=2", "scoring.borderline_pp=5"),
        ("scoring.min_tumour_tiles=60",),
    ],
    ids=str,
)
def test_tiles_are_scored_again(
    tile_run: Path,
    slides: dict[str, Path],
    drawn: dict[str, Path],
    tmp_path: Path,
    overrides: tuple[str, ...],
) -> None:
    config = quick("scoring.min_tumour_tiles=4", *overrides)
    chosen = {name: slides[name] for name in ("mixed", "drawn", "few")}
    score(tmp_path / "fresh", chosen, config, FakeTileModel(config, tile_px=64), regions=drawn)
    rescore_run(tile_run, tmp_path / "again", overrides=overrides)
    assert difference(files(tmp_path / "fresh"), files(tmp_path / "again")) == []


def test_tiles_with_other_regions(tile_run: Path, slides: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "regions"
    folder.mkdir()
    for name in ("mixed", "drawn"):
        content = rectangles(Tumor=(40, 40, 260, 350), DCIS=(70, 200, 140, 300))
        (folder / f"{name}.geojson").write_bytes(content)
    config = quick("scoring.min_tumour_tiles=4")
    fresh = {name: folder / f"{name}.geojson" for name in ("mixed", "drawn")}
    chosen = {name: slides[name] for name in ("mixed", "drawn", "few")}
    score(tmp_path / "fresh", chosen, config, FakeTileModel(config, tile_px=64), regions=fresh)
    rescore_run(tile_run, tmp_path / "again", regions=folder)
    assert difference(files(tmp_path / "fresh"), files(tmp_path / "again")) == []


def test_probabilities_of_tiles_are_not_stored(tile_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="probabilities are not stored"):
        rescore_run(tile_run, tmp_path / "again", overrides=["cells.tumour_min=0.6"])
