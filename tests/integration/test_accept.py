"""``her2 accept`` through the command line: runs, page, JSON and exit status."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from faulty_reader import FakeFactory
from running import Done, her2_words, with_quick
from tiny_slides import write_slide

from pathology.batch import accept as batch_accept
from pathology.cli import main

#: Two small synthetic slides, and limits that a model without a network can reach.
CRITERIA = """
synthetic:
  slides:
    - {name: score-3, score: 3+, piece_mm: 0.4}
    - {name: blank, kind: blank, piece_mm: 0.3, reasons: [no_tissue]}
  criteria:
    score_agreement: {min_n: 1}
    tumour_cells_found: {limit: 30}
    tumour_cells_right: {limit: 30}
    pattern_error: {limit: 60}
site:
  criteria:
    score_agreement: {min_n: 2}
    positive_agreement_2: {min_n: 2}
"""


def accept(*words: str | Path, factory: FakeFactory | None = None) -> Done:
    model = factory or FakeFactory()
    with patch.object(batch_accept, "make_factory", lambda _: model):
        return her2_words(
            with_quick("accept", *words, "--set", "scoring.min_tumour_cells=40"), factory=model
        )


def verdicts(out: Path, slides: str = "synthetic") -> dict[str, dict[str, Any]]:
    found = json.loads((out / "acceptance.json").read_text())
    return {row["criterion"]: row for row in found["verdicts"] if row["slides"] == slides}


@pytest.fixture(scope="module")
def criteria(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("criteria") / "own.yaml"
    file.write_text(CRITERIA)
    return file


@pytest.fixture(scope="module")
def passed(criteria: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("accept") / "out"
    done = accept("--out", out, "--criteria", criteria, "--device", "cpu,cuda:0")
    return out, done


def test_synthetic_slides_and_a_repeat_run_pass_and_the_missing_gpu_does_not(
    passed: tuple[Path, Done],
) -> None:
    out, done = passed
    assert done.returncode == 0, done.stdout + done.stderr
    found = verdicts(out)
    assert {found[name]["outcome"] for name in ("device_scores", "device_cells")} == {"not_tested"}
    assert "no CUDA GPU was found" in found["device_scores"]["untested"]
    assert found["repeat_identical"]["outcome"] == "pass"
    assert found["repeat_identical"]["n"] == 9  # 3 tables of all, and 3 of each slide
    assert found["score_agreement"]["value"] == 100
    assert found["seconds_per_mm2"]["outcome"] == "reported"
    assert found["seconds_per_mm2"]["value"] > 0
    assert found["memory"]["value"] > 10
    assert "not tested  synthetic: The other device gives the same score: cuda:0" in done.stdout
    assert done.stdout.splitlines()[-2].startswith("passed: ")
    page = (out / "acceptance.html").read_text()
    for text in ("Passed", "Research use only", "not tested", "score-3-", "no CUDA GPU"):
        assert text.lower() in page.lower()
    assert "<script" not in page
    assert (out / "runs" / "synthetic" / "cpu" / "results.csv").is_file()


def test_again_nothing_is_read_and_the_verdicts_are_the_same(
    passed: tuple[Path, Done], criteria: Path, tmp_path: Path
) -> None:
    out = passed[0]
    before = verdicts(out)
    written = {name: (out / name).read_bytes() for name in ("acceptance.json", "acceptance.html")}
    journal = tmp_path / "journal"
    done = accept(
        "--out", out, "--criteria", criteria, "--device", "cpu",
        factory=FakeFactory(journal=journal),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not journal.exists()
    after = verdicts(out)
    for name, content in written.items():  # other tests read them
        (out / name).write_bytes(content)
    assert after["memory"]["outcome"] == "not_tested"
    assert after["device_scores"]["untested"] == "no second device or earlier run was given"
    timed = {"seconds_per_mm2", "memory", "device_scores", "device_h_score", "device_cells"}
    assert {k: v for k, v in after.items() if k not in timed} == {
        k: v for k, v in before.items() if k not in timed
    }


def test_an_earlier_run_serves_as_second_device_and_a_changed_one_fails(
    passed: tuple[Path, Done], criteria: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(passed[0], theirs, copy_function=shutil.copy2)
    out = tmp_path / "out"
    shutil.copytree(passed[0], out, copy_function=shutil.copy2)
    words = ("--out", out, "--criteria", criteria, "--device", "cpu", "--against", theirs)
    done = accept(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    same = verdicts(out)
    assert {same[f"device_{name}"]["outcome"] for name in ("scores", "h_score", "cells")} == {
        "pass"
    }
    assert same["device_scores"]["against"] == "theirs/cpu"
    # The other machine lost a tenth of the cells.
    cells = next(theirs.glob("runs/synthetic/cpu/slides/score-3-*/cells.parquet"))
    table = pq.read_table(cells)
    pq.write_table(table.slice(table.num_rows // 10), cells)
    done = accept(*words)
    assert done.returncode == 1
    lost = verdicts(out)
    assert (lost["device_cells"]["outcome"], lost["device_scores"]["outcome"]) == ("fail", "pass")
    assert 80 < lost["device_cells"]["value"] < 99


def test_files_of_others_are_kept_and_own_ones_written_over(
    passed: tuple[Path, Done], criteria: Path, tmp_path: Path
) -> None:
    theirs = b"a year of work"
    words = ("--criteria", criteria, "--device", "cpu", "--no-repeat")
    for name in ("acceptance.html", "acceptance.json", "slides/blank.tif"):
        file = tmp_path / name / name
        file.parent.mkdir(parents=True)
        file.write_bytes(theirs)
        done = accept("--out", tmp_path / name, *words)
        assert done.returncode == 2, name
        assert f"{file}: is there already, and `her2 accept` did not write" in done.stderr
        assert file.read_bytes() == theirs
        assert not (tmp_path / name / "runs").exists()
    out = tmp_path / "out"
    shutil.copytree(passed[0], out, copy_function=shutil.copy2)
    slide = (out / "slides" / "blank.tif").read_bytes()
    page = (out / "acceptance.html").read_bytes()
    done = accept("--out", out, *words, "--seed", "77")
    assert "pass" in done.stdout, done.stderr
    assert (out / "slides" / "blank.tif").read_bytes() != slide
    assert (out / "acceptance.html").read_bytes() != page


def test_runs_of_other_settings_are_no_second_device(
    passed: tuple[Path, Done], criteria: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(passed[0], out, copy_function=shutil.copy2)
    other = tmp_path / "other"
    shutil.copytree(passed[0], other, copy_function=shutil.copy2)
    for file in (other / "runs" / "synthetic").glob("*/run.json"):
        content = json.loads(file.read_text())
        content["model_sha256"] = "0" * 64
        file.write_text(json.dumps(content))
    done = accept("--out", out, "--criteria", criteria, "--device", "cpu", "--against", other)
    assert done.returncode == 2
    assert "runs of different settings (model: fake/1.0.0" in done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("site")
    for name, dab in (("neg", 0.0), ("pos", 0.9), ("late", 0.9)):
        write_slide(base / f"{name}.tif", dab=dab, width=352, height=320)
    (base / "broken.tif").write_bytes(b"no slide")
    return base


def manifest(site: Path, tmp_path: Path, *rows: str) -> Path:
    file = tmp_path / "manifest.csv"
    lines = ["path,case_id,expected_score,saw_score", *(f"{site}/{row}" for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_the_site_s_own_slides_with_sets_and_a_refusal(
    site: Path, criteria: Path, tmp_path: Path
) -> None:
    file = manifest(
        site, tmp_path, "neg.tif,A,0;1+,false", "pos.tif,B,3+,", "late.tif,C,0,true",
        "broken.tif,D,failed:unsupported_format;failed:unreadable,",
    )  # fmt: skip
    out = tmp_path / "out"
    done = accept(
        file, "--out", out, "--criteria", criteria, "--no-synthetic", "--no-repeat",
        "--device", "cpu",
    )  # fmt: skip
    found = verdicts(out, "site")
    assert (found["score_agreement"]["outcome"], found["score_agreement"]["n"]) == ("pass", 2)
    assert found["slides_end"]["value"] == 100  # the broken file was expected to fail
    assert found["refusal_reasons"]["outcome"] == "pass"
    # late.tif would disagree; it was read after the score was seen, so it is no truth.
    assert found["positive_agreement_2"]["n"] == 1
    assert found["positive_agreement_2"]["outcome"] == "not_tested"
    results = json.loads((out / "acceptance.json").read_text())["sets"][0]["results"]
    refused = {row["slide_id"].split("-")[0]: row["refused_as_truth"] for row in results}
    assert refused == {"neg": None, "pos": None, "late": "saw_score", "broken": None}
    # Nothing failed, but the required repeat run was not made.
    assert found["repeat_identical"]["outcome"] == "not_tested"
    assert done.returncode == 1
    assert "incomplete: " in done.stdout
    assert "1 refused as truth because the reader had seen" in (out / "acceptance.html").read_text()


def test_a_wrong_score_fails_with_the_slide_s_name(
    site: Path, criteria: Path, tmp_path: Path
) -> None:
    file = manifest(site, tmp_path, "neg.tif,A,3+,", "pos.tif,B,0;1+,")
    out = tmp_path / "out"
    done = accept(
        file, "--out", out, "--criteria", criteria, "--no-synthetic", "--no-repeat",
        "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 1
    found = verdicts(out, "site")["score_agreement"]
    assert (found["outcome"], found["value"]) == ("fail", 0.0)
    assert "neg-" in found["detail"]
    assert "failed: " in done.stdout


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (("neg.tif,A,2,",), "line 2, column 'expected_score': '2' is not allowed"),
        (("neg.tif,A,0,", "pos.tif,A,not_scorable:dull,"), "line 3, column 'expected_score'"),
        (("neg.tif,A,0,yes",), "line 2, column 'saw_score': 'yes' is not allowed"),
        (("neg.tif,A,,",), "no slide has an expected_score"),
        (("neg.tif,A,0,", "neg.tif,A,1+,"), "is listed twice"),
    ],
)
def test_a_wrong_manifest_is_a_usage_error_before_any_work(
    site: Path, criteria: Path, tmp_path: Path, rows: tuple[str, ...], problem: str
) -> None:
    file = manifest(site, tmp_path, *rows)
    done = accept(file, "--out", tmp_path / "out", "--criteria", criteria)
    assert (done.returncode, not (tmp_path / "out").exists()) == (2, True)
    assert problem in done.stderr
    assert str(file) in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--no-synthetic",), "there is nothing to accept on"),
        (("--device", "cpu,cpu"), "name each device once"),
        (("--criteria", "none.yaml"), "none.yaml: cannot be read"),
        (("--against", "none"), "--against none: holds no run"),
        (("--set", "scoring.guideline=gastric-strict"), "the synthetic slides show breast tissue"),
        (("--device", "cuda:0"), "no CUDA GPU was found"),
    ],
)
def test_wrong_words_are_a_usage_error(
    words: tuple[str, ...], problem: str, criteria: Path, tmp_path: Path
) -> None:
    own = () if "--criteria" in words else ("--criteria", criteria)
    done = accept("--out", tmp_path / "out", *own, *words)
    assert done.returncode == 2
    assert problem in done.stderr
    assert not (tmp_path / "out" / "acceptance.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_bundled_model_is_accepted_on_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        main(["accept", "--out", str(out), "--device", "cpu"])
    found = verdicts(out)
    assert [name for name, row in found.items() if row["outcome"] == "fail"] == []
    assert end.value.code == 0, capsys.readouterr().out
    assert found["score_agreement"]["n"] + found["score_agreement_near"]["n"] == 5
    assert found["repeat_identical"]["outcome"] == "pass"
    assert found["device_scores"]["outcome"] == "not_tested"


def test_a_device_that_is_none_is_named_before_slides_are_made(
    criteria: Path, tmp_path: Path
) -> None:
    done = accept("--out", tmp_path / "out", "--criteria", criteria, "--device", "cuda:0")
    assert done.returncode == 2
    assert not (tmp_path / "out" / "slides").exists()
