"""Everything that may lie in a folder, in one run: each gets its own row and stops nobody."""

from __future__ import annotations

import csv
import json
import os
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from running import Done, her2, result_bytes
from tiny_slides import paint, write_slide

from pathology.batch import BundleFactory
from pathology.errors import ModelError
from pathology.inference.manifest import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    ModelInput,
    ModelManifest,
    NetworkSpec,
    StainVectors,
)

STRANGE = "=1+1, Größe µ.tif"


def spoil_tiles(path: Path) -> None:
    """Overwrite the middle tiles of level 0 with zeros."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    with path.open("r+b") as file:
        for offset, count in places[4:5]:
            file.seek(offset)
            file.write(bytes(count))


def spoil_resolution(path: Path) -> None:
    """Write 0/1 pixels per centimetre into the header."""
    with tifffile.TiffFile(path) as file:
        places = [page.tags[name].valueoffset for page in file.pages for name in (282, 283)]
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            file.write(struct.pack("<II", 0, 1))


def square(x: float, y: float, side: float) -> dict[str, object]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }


def write_regions(path: Path, *features: dict[str, object]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))


def fill_folder(folder: Path) -> None:
    write_slide(folder / "good.tif", dab=0.9)
    write_slide(folder / "pale.tif", dab=0.0)
    write_slide(folder / "sub folder" / "good.tif", dab=0.0)
    write_slide(folder / STRANGE, dab=0.9)
    write_slide(folder / "bad_regions.tif")
    write_slide(folder / "outside.tif")
    truncated = write_slide(folder / "truncated.tif")
    os.truncate(truncated, truncated.stat().st_size * 6 // 10)
    spoil_tiles(write_slide(folder / "zeroed.tif"))
    (folder / "empty.svs").touch()
    (folder / "text.svs").write_text("this is no slide\n" * 20)
    small = paint(576, 512, dab=0.9)
    write_slide(folder / "no_mpp.tif", pixels=small, mpp=None)
    write_slide(folder / "mpp_10.tif", pixels=small, mpp=10.0)
    spoil_resolution(write_slide(folder / "mpp_0.tif", pixels=small))
    write_slide(folder / "anisotropic.tif", pixels=small, mpp=(0.5, 0.55))
    write_slide(folder / "white.tif", pixels=np.full((512, 576, 3), 255, np.uint8))
    write_slide(folder / "black.tif", pixels=np.zeros((512, 576, 3), np.uint8))
    write_slide(folder / "tiny.tif", pixels=np.full((40, 40, 3), 255, np.uint8))
    (folder / "broken_link.svs").symlink_to(folder / "nowhere.svs")
    (folder / "notes.txt").write_text("not a slide")


@dataclass(frozen=True, kw_only=True)
class Run:
    done: Done
    out: Path
    rows: dict[str, dict[str, str]]
    words: tuple[str | Path, ...]
    folder: Path

    def result(self, name: str) -> dict[str, object]:
        path = self.out / "slides" / self.rows[name]["slide_id"] / "result.json"
        content = json.loads(path.read_text())
        assert isinstance(content, dict)
        return content


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    base = tmp_path_factory.mktemp("bad input")
    folder, out = base / "slides", base / "out"
    fill_folder(folder)
    (base / "regions").mkdir()
    (base / "regions" / "bad_regions.geojson").write_text('{"type": "Feature')
    write_regions(base / "regions" / "outside.geojson", square(90_000, 90_000, 500))
    (base / "list.csv").write_text("path,case_id\nabsent.tif,C9\n")
    # Named from within, so that paths in the table begin as the file names do.
    words = ("score", ".", "../list.csv", "--out", out, "--regions", "../regions")
    done = her2(*words, cwd=folder)
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert f"'{STRANGE}" in rows  # a spreadsheet must not take the name for a formula
    rows[STRANGE] = rows.pop(f"'{STRANGE}")
    return Run(done=done, out=out, rows=rows, words=words, folder=folder)


def test_every_input_has_one_row_and_the_run_says_that_some_failed(run: Run) -> None:
    assert run.done.returncode == 1, run.done.stderr
    assert len(run.rows) == 19
    assert "1 other files skipped" in run.done.stderr


@pytest.mark.parametrize(
    ("name", "score"),
    [("good.tif", "3+"), ("pale.tif", "0"), ("sub folder/good.tif", "0"), (STRANGE, "3+")],
)
def test_the_others_keep_their_scores(run: Run, name: str, score: str) -> None:
    assert (run.rows[name]["status"], run.rows[name]["ihc_score"]) == ("scored", score)
    place = run.out / "slides" / run.rows[name]["slide_id"]
    written = {path.name for path in place.iterdir()}
    assert written >= {"result.json", "cells.parquet", "tiles.parquet", "overview.png"}


FAILED = {
    "truncated.tif": {"unreadable", "unsupported_format"},
    "empty.svs": {"unreadable"},
    "text.svs": {"unsupported_format"},
    "broken_link.svs": {"file_missing"},
    "../absent.tif": {"file_missing"},
    "bad_regions.tif": {"invalid_regions"},
    "outside.tif": {"invalid_regions"},
}
REFUSED = {
    "no_mpp.tif": {"missing_mpp"},
    "mpp_10.tif": {"implausible_mpp"},
    "mpp_0.tif": {"missing_mpp", "implausible_mpp"},
    "anisotropic.tif": {"anisotropic_mpp"},
    "white.tif": {"no_tissue"},
    "black.tif": {"no_tissue"},
    "tiny.tif": {"too_small"},
}


@pytest.mark.parametrize("name", FAILED)
def test_what_cannot_be_read_fails_with_file_cause_and_fix(run: Run, name: str) -> None:
    row = run.rows[name]
    assert row["status"] == "failed"
    assert row["reasons"] in FAILED[name]
    assert row["ihc_score"] == ""
    error = run.result(name)["error"]
    assert isinstance(error, dict)
    assert name.split(".")[0] in str(error["message"])  # the slide, or its region file
    assert error["fix"]
    assert name in run.done.stdout
    assert str(error["fix"]) in run.done.stdout


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_evidence_is_not_scorable(run: Run, name: str) -> None:
    row = run.rows[name]
    assert row["status"] == "not_scorable"
    assert set(row["reasons"].split(";")) <= REFUSED[name]
    assert row["ihc_score"] == ""
    error = run.result(name)["error"]
    assert error is None or name in str(error)


def test_tiles_that_cannot_be_read_are_counted_and_never_taken_for_negative(run: Run) -> None:
    row = run.rows["zeroed.tif"]
    assert int(row["failed_tiles"]) >= 1
    if row["status"] == "scored":
        assert row["ihc_score"] == "3+"
    else:
        assert "failed_tiles" in row["reasons"]


def test_a_case_from_the_manifest_keeps_its_name(run: Run) -> None:
    assert run.rows["../absent.tif"]["case_id"] == "C9"


def test_nothing_temporary_is_left(run: Run) -> None:
    assert not [path for path in run.out.rglob("*") if "tmp" in path.name]


def test_the_same_command_again_changes_no_byte(run: Run) -> None:
    before = result_bytes(run.out)
    again = her2(*run.words, cwd=run.folder)
    assert again.returncode == 1
    assert result_bytes(run.out) == before
    assert "12 done before" in again.stderr


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file\na.tif\n", "unknown column 'file'"),
        ("path,mpp\na.tif,half\n", "line 2, column 'mpp'"),
        ("path,role\na.tif,none\n", "line 2, column 'role'"),
    ],
)
def test_a_wrong_manifest_stops_the_run_before_any_work(
    tmp_path: Path, text: str, named: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    done = her2("score", tmp_path / "list.csv", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_or_cannot_be_made(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "a.tif")
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        done = her2("score", slide, "--out", out)
        assert done.returncode == 2
        assert str(tmp_path / "file") in done.stderr
        assert "Traceback" not in done.stderr


def test_a_file_without_permission() -> None:
    # Nothing is locked for root, so the reading is done as nobody; the folders above must be open.
    code = (
        "import os, sys\n"
        "from pathology.errors import SlideError\n"
        "from pathology.wsi import open_slide\n"
        "if os.geteuid() == 0:\n    os.setuid(65534)\n"
        "try:\n    open_slide(sys.argv[1])\n"
        "except SlideError as error:\n    print(error.status, error.reason, error)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        slide = write_slide(Path(folder) / "locked.tif")
        slide.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", code, str(slide)], capture_output=True, text=True, check=False
        )
    assert done.stdout.startswith("failed permission_denied"), done.stderr
    assert "locked.tif" in done.stdout


def test_a_model_whose_weights_were_changed(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "a.tif")
    bundle = tmp_path / "model"
    bundle.mkdir()
    manifest = ModelManifest(
        name="tiny",
        version="0.0.1",
        network=NetworkSpec(name="cellnet"),
        input=ModelInput(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64),
        stain=StainVectors(haematoxylin=(0.65, 0.7, 0.29), dab=(0.27, 0.57, 0.78)),
        licence="Apache-2.0",
        intended_use="Tests.",
        weights_sha256="0" * 64,
    )
    (bundle / MANIFEST_FILE).write_text(manifest.to_yaml())
    (bundle / WEIGHTS_FILE).write_bytes(b"changed")
    with pytest.raises(ModelError, match="the weights have been changed"):
        BundleFactory.of(bundle)
    code = "from pathology.cli import main; main()"
    words = ["score", str(slide), "--out", str(tmp_path / "out"), "--model", str(bundle)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the weights have been changed" in done.stderr
    # A model of one's own does not come back with a new installation of the program.
    assert "einstall" not in done.stderr
    assert not (tmp_path / "out").exists()
    (bundle / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match="cannot be read") as caught:
        BundleFactory.of(bundle)
    assert "Copy the model's folder again" in str(caught.value.fix)
