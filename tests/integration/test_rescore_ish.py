"""ISH goes along when a run is scored again, and decides only where its rules apply."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from running import her2_words, quick_config
from tiny_slides import write_slide

from pathology.batch import collect_inputs, rescore_run
from pathology.pipeline import score_slide
from pathology.runs import RunFolder, RunInfo, RunKey, now, write_cases, write_results
from pathology.runs.csvfile import parse_csv
from pathology.testing import FakeModel


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Score a 2+ slide and give its block an amplified ISH (group 1)."""
    base = tmp_path_factory.mktemp("ish")
    write_slide(base / "a.tif", dab=0.4, width=352, height=320)
    (base / "manifest.csv").write_text(
        "path,case_id,block_id,specimen_type,index_block\na.tif,C1,B1,resection,true\n"
    )
    config = quick_config("scoring.min_tumour_cells=20")
    reader = FakeModel(config)
    inputs = collect_inputs([base / "manifest.csv"])
    key = RunKey.of(config, model=reader.name, model_sha256=reader.sha256)
    with RunFolder(base / "out", key) as folder:
        result = score_slide(
            inputs.requests[0].path, out_dir=folder.path, slide_id=inputs.ids[0],
            request=inputs.requests[0], reader=reader, config=config,
        )  # fmt: skip
        write_results(folder.path, [result])
        write_cases(folder.path, [result])
        folder.write_info(
            RunInfo(command=(), versions={}, host="", device="cpu", started=now(), finished=now())
        )
    assert result.ihc_score == "2+"
    counts = base / "ish.json"
    reading = {"case_id": "C1", "block_id": "B1", "cells": 20, "her2_total": 120,
               "cep17_total": 40, "observer": "Ann", "controls_ok": True}  # fmt: skip
    counts.write_text(json.dumps([reading]))
    done = her2_words(["ish", str(base / "out"), "--results", str(counts)])
    assert done.returncode == 0, done.stderr
    return base / "out"


def case(out: Path) -> dict[str, str]:
    return parse_csv((out / "cases.csv").read_bytes(), name="cases.csv")[1][0]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".her2.lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_settings_give_the_same_final_status(run: Path, tmp_path: Path) -> None:
    before = content(run)
    rescore_run(run, tmp_path / "again")
    assert (tmp_path / "again" / "ish.json").read_bytes() == (run / "ish.json").read_bytes()
    assert (tmp_path / "again" / "cases.csv").read_bytes() == (run / "cases.csv").read_bytes()
    assert case(run)["final_her2_status"] == "positive"
    assert (case(run)["case_rule"], case(run)["index_block_id"]) == ("index_block", "B1")
    assert content(run) == before


def test_the_record_is_read_beside_the_new_score(run: Path, tmp_path: Path) -> None:
    # So high a cut-off that no cell is stained: IHC 0, and still amplified.
    words = ["measurement.weak_od=5", "measurement.moderate_od=6", "measurement.intense_od=7",
             "measurement.stained_od=4"]  # fmt: skip
    (result,) = rescore_run(run, tmp_path / "lower", overrides=words)
    assert result.ihc_score == "0"
    found = case(tmp_path / "lower")
    assert (found["her2_status"], found["final_her2_status"]) == ("negative", "positive")
    assert found["final_flags"] == "ish_ihc_discordant"
    assert found["final_rule"].startswith("group_1.ihc_0_1")


def test_a_guideline_of_another_organ_leaves_the_record_unused_and_says_so(
    run: Path, tmp_path: Path
) -> None:
    (result,) = rescore_run(
        run, tmp_path / "gastric", overrides=["scoring.guideline=gastric-inclusive"]
    )
    assert result.status == "scored"
    assert (tmp_path / "gastric" / "ish.json").read_bytes() == (run / "ish.json").read_bytes()
    found = case(tmp_path / "gastric")
    # As IHC alone would be: nothing of the breast's group 1.
    assert found["final_her2_status"] == result.her2_status == "equivocal"
    assert found["final_flags"] == "ish_other_organ"
    assert "its ISH is not applied: the rules are of breast" in found["final_clause"]
    # Back under the breast guideline the record decides again.
    rescore_run(
        tmp_path / "gastric", tmp_path / "back",
        overrides=["scoring.guideline=asco-cap-breast-2018"],
    )  # fmt: skip
    assert case(tmp_path / "back") == case(run)
