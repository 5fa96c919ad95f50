"""Whole runs on a GPU: the command's workers, the scripts that time them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pathology.acceptance import compare_runs
from pathology.batch import score_folder
from pathology.runs import read_run_info
from pathology.synthesis import SlideSpec, render_slide, write_slide

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for score in ("1+", "3+"):
        slide = render_slide(SlideSpec(score=score, piece_mm=1.0), 5)
        write_slide(slide, folder / f"slide_{score[0]}.tif")
    return folder


def test_a_run_scores_as_on_the_processor_and_goes_on(
    device: str, slides: Path, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    score_folder([slides], there, device="cpu")
    # Another one goes first: the second is then opened while the first is read.
    found = score_folder([slides], here, device=device)
    assert [result.status for result in found] == ["scored"] * 2
    info = read_run_info(here)[1]
    assert info is not None
    assert info.device == device
    compared = compare_runs(there, here, names=("cpu", device), same_cell_um=0.5)
    assert not compared.only_in_one
    for pair in compared.pairs:
        print(pair)  # noqa: T201 - figures for the one who runs it
        assert pair.same_score
        assert pair.same_tier
        assert pair.cells > 300
        # A few hundred cells: one that differs weighs 0.3 %.
        assert pair.cells - pair.paired <= max(2, pair.cells // 500)
        assert pair.h_score_difference is not None
        assert pair.h_score_difference < 0.5
    before = {path: path.stat().st_mtime_ns for path in (here / "slides").rglob("*.parquet")}
    assert score_folder([slides], here, device=device) == found
    assert {path: path.stat().st_mtime_ns for path in before} == before


def run_script(name: str, *words: str | Path) -> str:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)  # noqa: T201 - figures for the one who runs it
    return done.stdout


def test_the_benchmark_times_the_network_as_it_runs(
    device: str, slides: Path, tmp_path: Path
) -> None:
    out = tmp_path / "benchmark"
    words = (slides / "slide_1.tif", "--device", device, "--repeat", "1", "--out", out)
    run_script("benchmark.py", *words)
    content = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    (slide,) = content["slides"]
    assert (content["machine"]["gpu"] is None) == (device == "cpu")
    # The whole cannot take less than its part; float32 in place of half precision would.
    assert slide["times_bare_network"] > 0.9
    assert (slide["min"]["device_bytes"] > 0) == (device != "cpu")


def test_the_peers_run_beside_it(device: str, slides: Path) -> None:
    precision = "fp32" if device == "cpu" else "fp16"
    words = ("--device", device, "--precision", precision, "--tiles", "4", "--repeats", "1")
    text = run_script("compare_peers.py", slides / "slide_3.tif", *words, "--workers", "1")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == 3
    assert all(row["equal_cells_pct"] > 98 for row in rows)
