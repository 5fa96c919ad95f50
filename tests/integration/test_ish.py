"""``her2 ish`` through the command line, on a run that ``her2 score`` made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from running import her2, her2_words, quick_config
from tiny_slides import write_slide

from pathology.batch import collect_inputs
from pathology.pipeline import score_slide
from pathology.runs import (
    RunFolder,
    RunInfo,
    RunKey,
    now,
    write_cases,
    write_results,
)
from pathology.runs.csvfile import parse_csv
from pathology.testing import FakeModel


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Score one slide as `her2 score` does, in this process."""
    base = tmp_path_factory.mktemp("ish")
    write_slide(base / "a.tif", dab=0.4)
    (base / "manifest.csv").write_text("path,case_id,block_id,index_block\na.tif,C1,B1,true\n")
    config = quick_config()
    reader = FakeModel(config)
    inputs = collect_inputs([base / "manifest.csv"])
    key = RunKey.of(config, model=reader.name, model_sha256=reader.sha256)
    with RunFolder(base / "out", key) as folder:
        result = score_slide(
            inputs.requests[0].path,
            out_dir=folder.path,
            slide_id=inputs.ids[0],
            request=inputs.requests[0],
            reader=reader,
            config=config,
        )
        write_results(folder.path, [result])
        write_cases(folder.path, [result])
        folder.write_info(
            RunInfo(command=(), versions={}, host="", device="cpu", started=now(), finished=now())
        )
    assert result.ihc_score == "2+"
    return base


def cases(base: Path) -> dict[str, dict[str, str]]:
    rows = parse_csv((base / "out" / "cases.csv").read_bytes(), name="cases.csv")[1]
    return {row["case_id"]: row for row in rows}


def cells(her2_per_cell: int, *, observer: str, extra: str = "") -> str:
    return "".join(f"C1,B1,{n},{her2_per_cell},2,{observer},{extra}\n" for n in range(20))


HEADER = "case_id,block_id,cell,her2,cep17,observer,reading,blinded,includes_2plus_area\n"


def test_from_counts_per_cell_to_a_final_status_that_a_resumed_run_keeps(run: Path) -> None:
    # Arrange
    out, path = run / "out", run / "ish.csv"
    original = (out / "results.csv").read_bytes()
    assert cases(run)["C1"]["final_her2_status"] == "equivocal"
    # Act: 3 signals per cell over 2 CEP17, group 5
    path.write_text(HEADER + cells(3, observer="Ann", extra=",,"))
    done = her2_words(["ish", str(out), "--results", str(path)])
    # Assert
    assert (done.returncode, done.stderr) == (0, "")
    assert "20 rows in, 1 readings: 1 new, 0 unchanged, 0 replaced" in done.stdout
    assert "Research use only" in done.stdout
    assert "open: 0 of 1 cases\n" in done.stdout
    case = cases(run)["C1"]
    assert (case["final_her2_status"], case["final_her2_tier"]) == ("negative", "her2_low")
    assert (case["her2_status"], case["case_rule"], case["index_block_id"]) == (
        "equivocal",
        "index_block",
        "B1",
    )
    assert case["final_clause"] == (
        "index block B1: HER2/CEP17 60/40 = 1.50, HER2 60/20 = 3.00 per cell: group 5; IHC 2+: "
        "negative"
    )
    before = (out / "cases.csv").read_bytes()
    resumed = her2("score", run / "manifest.csv", "--out", out)
    assert "1 done before" in resumed.stderr
    assert (out / "cases.csv").read_bytes() == before
    assert (out / "results.csv").read_bytes() == original


def test_json_replaces_with_a_record_and_a_recount_closes_the_case(run: Path) -> None:
    out, path = run / "out", run / "group4.json"
    first = {
        "case_id": "C1", "block_id": "B1", "cells": 20, "her2_total": 90, "cep17_total": 50,
        "observer": "Ann", "controls_ok": True,
    }  # fmt: skip
    path.write_text(json.dumps([first]))
    done = her2_words(["ish", str(out), "--results", str(path)])
    assert done.returncode == 0, done.stderr
    assert cases(run)["C1"]["final_rule"] == "group_4.ihc_2.recount_needed"
    assert len(json.loads((out / "ish.json").read_text())["replaced"]) == 1
    second = {
        **first, "observer": "Bob", "reading": "recount", "blinded": True,
        "includes_2plus_area": True,
    }  # fmt: skip
    path.write_text(json.dumps({"results": [second]}))
    done = her2_words(["ish", str(out), "--results", str(path)])
    assert "1 new, 0 unchanged, 0 replaced" in done.stdout
    assert "1 readings of earlier files kept" in done.stdout
    case = cases(run)["C1"]
    assert (case["final_rule"], case["final_her2_tier"]) == (
        "group_4.ihc_2.recount_confirmed",
        "her2_low",
    )
    assert case["final_flags"] == "comment_required"


def test_bad_input_is_a_usage_error_that_changes_nothing(run: Path) -> None:
    out, path = run / "out", run / "bad.csv"
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    path.write_text("block_id,case_id,call\nB1,C1,2 +\n")
    done = her2_words(["ish", str(out), "--results", str(path)])
    assert done.returncode == 2
    assert done.stderr.startswith(f"her2: {path}: line 2, column 'call': '2 +' is no call")
    assert her2_words(["ish", str(run), "--results", str(path)]).returncode == 2
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
