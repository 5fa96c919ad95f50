"""``her2 evaluate`` from files to files: refusals, clear errors, the page, and its speed."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pathology.assets import config_path
from pathology.cli import main
from pathology.provenance import SlideIdentity
from pathology.runs import SlideResult, count_columns, read_rows, write_results
from pathology.runs.layout import slide_folder
from pathology.scoring.counts import PatternCounts
from pathology.stain.calibration import CalibratedModel, Calibration, CalibrationSlide
from pathology.stain.calibration_file import load_calibration

ROOT = Path(__file__).parents[2]
STATUS = {"0": "negative", "1+": "negative", "2+": "equivocal", "3+": "positive"}
TIER = {"0": "her2_null", "1+": "her2_low", "2+": "her2_equivocal", "3+": "her2_positive"}
SCORES = ("0", "1+", "2+", "3+")


def result(slide_id: str, score: str | None, **changes: Any) -> SlideResult:
    base: dict[str, Any] = {
        "slide_id": slide_id,
        "path": f"{slide_id}.svs",
        "identity": SlideIdentity(size=100, mtime_ns=1, quickhash=f"hash-{slide_id}"),
    }
    if score is None:
        base |= {"status": "not_scorable", "reasons": ("too_few_cells",)}
    else:
        base |= {
            "status": "scored",
            "ihc_score": score,
            "her2_status": STATUS[score],
            "her2_tier": TIER[score],
            "ish_reflex": score == "2+",
            **count_columns(PatternCounts(unstained=90, intense_complete=10)),
        }
    return SlideResult(**{**base, **changes})


def write_run(folder: Path, results: list[SlideResult]) -> Path:
    folder.mkdir(parents=True)
    write_results(folder, results)
    for one in results:
        place = slide_folder(folder, one.slide_id)
        place.mkdir(parents=True)
        (place / "result.json").write_bytes(one.to_json())
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    results = [result(f"s{k:02d}", SCORES[k % 4], site="Lab A") for k in range(16)]
    results.append(result("u00", None))
    results.append(result("cal", "2+", flags=("calibration_slide",), calibration="lab/1"))
    results.append(result("ctl", "3+", role="control"))
    return write_run(tmp_path / "run", results)


@pytest.fixture
def readers(tmp_path: Path) -> Path:
    lines = ["slide_id,reader,score,saw_score"]
    for name, shift in (("A", 0), ("B", 0), ("C", 1)):
        lines += [f"s{k:02d},{name},{SCORES[(k + shift * (k < 4)) % 4]},false" for k in range(16)]
    lines += ["u00,A,1+,", "u00,B,1+,", "cal,A,2+,", "ctl,B,3+,", "u00,C,0,true"]
    path = tmp_path / "readers.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def evaluate(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", *map(str, words)])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_from_files_to_files(
    run: Path, readers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert evaluate(run, "--readers", readers, "--out", out, "--replicates", 200) == 0
    shown = capsys.readouterr().out
    assert "same score    16/16 = 100.0 %" in shown
    found = json.loads((out / "evaluation.json").read_bytes())
    assert found["research_use_only"] is True
    assert found["reference"] == "consensus"
    assert found["inputs"]["result_rows"] == 19
    assert found["inputs"]["control_rows"] == 1
    assert found["inputs"]["calibrations"] == ["lab/1"]
    # Rows that cannot test the program are refused, and listed with the reason.
    assert {(item["slide_id"], item["reader"], item["reason"]) for item in found["refused"]} == {
        ("cal", "A", "calibration_slide"),
        ("ctl", "B", "control_slide"),
        ("u00", "C", "saw_score"),
    }
    assert [row["row"] for row in rows_of(out / "tables" / "refused.csv")] == ["52", "53", "54"]
    first = found["comparisons"][0]
    assert first["table"] == [
        [0] * 5,
        [0, 4, 0, 0, 0],
        [1, 0, 4, 0, 0],
        [0, 0, 0, 4, 0],
        [0] * 4 + [4],
    ]
    flow = found["flow"][0]
    assert flow["slides_in"] == 18
    assert flow["slides_used"] == 16
    assert flow["left_out"] == {"not_read": 1, "no_score_by_program": 1}
    counted = [
        share
        for share in first["shares"]
        if (share["cut"], share["unscored"]) == ("all", "disagreement")
    ]
    assert [(share["agreeing"], share["total"]) for share in counted] == [(16, 17)]
    for row in rows_of(out / "tables" / "flow.csv"):
        assert int(row["slides_used"]) <= int(row["slides_in"])


def test_tiers_have_a_table_of_their_own(run: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "tiers.csv", tmp_path / "out"
    lines = ["slide_id,reader,score,tier"]
    given = {"0": "her2_ultralow", "2+": "her2_low"}
    for k in range(16):
        score = SCORES[k % 4]
        # The last 0 does not say whether it is null.
        lines.append(f"s{k:02d},A,{score},{'' if k == 12 else given.get(score, '')}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert evaluate(run, "--readers", path, "--out", out, "--replicates", 200) == 0
    table = {row["reference_tier"]: row for row in rows_of(out / "tables" / "tiers.csv")}
    # The program says null to 0 and, without ISH, equivocal to 2+.
    assert table["ultralow"]["program_null"] == "3"
    assert table["low"] == {
        "against": "A", "reference_tier": "low", "program_no tier": "0", "program_null": "0",
        "program_ultralow": "0", "program_low": "4", "program_equivocal": "4",
        "program_positive": "0",
    }  # fmt: skip
    rows = rows_of(out / "tables" / "agreement.csv")
    tier = next(row for row in rows if row["cut"] == "tier")
    assert (tier["agreeing"], tier["total"], tier["method"]) == ("8", "15", "wilson")
    flow = [row for row in rows_of(out / "tables" / "flow.csv") if row["table"].startswith("tiers")]
    assert {row["slides_used"] for row in flow} == {"15"}
    assert [(row["reason"], row["slides_left_out"]) for row in flow] == [
        ("null_or_ultralow_not_said", "1"), ("no_tier_by_reference", "2"),
    ]  # fmt: skip
    page = (out / "evaluation.html").read_text(encoding="utf-8")
    assert "Tier by tier" in page
    assert "0 without saying whether null or ultralow" in page
    assert json.loads((out / "evaluation.json").read_bytes())["tiers"]["overall"]["agreeing"] == 8


def test_every_table_says_how_many_slides_went_in_out_and_why(
    run: Path, readers: Path, tmp_path: Path
) -> None:
    evaluate(run, "--readers", readers, "--out", tmp_path / "out", "--replicates", 200)
    totals: dict[str, list[int]] = {}
    for row in rows_of(tmp_path / "out" / "tables" / "flow.csv"):
        entry = totals.setdefault(row["table"], [int(row["slides_in"]), int(row["slides_used"]), 0])
        entry[2] += int(row["slides_left_out"] or 0)
    assert len(totals) >= 10
    for name, (went_in, used, left_out) in totals.items():
        assert went_in == used + left_out, name
    slides = rows_of(tmp_path / "out" / "tables" / "slides.csv")
    assert len(slides) == 18
    assert slides[-1]["reader_scores"] == "2 x 1+"


def test_the_page_stands_alone_and_says_what_it_is(
    run: Path, readers: Path, tmp_path: Path
) -> None:
    evaluate(run, "--readers", readers, "--out", tmp_path / "out", "--replicates", 200)
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert page.count("Research use only") >= 3
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert page.count("data:image/png;base64,") == 4
    assert "the reader had seen the program&#39;s score" in page
    assert "The reference is a reading, not the truth" in page


def test_names_from_outside_cannot_break_the_page_or_the_tables(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    text = "slide_id,reader,score\ns00,<b>=evil</b>,0\ns01,=1+1,1+\ns02,$\\frac$,2+\ns03,東京,3+\n"
    path.write_text(text, encoding="utf-8")
    evaluate(run, "--readers", path, "--out", tmp_path / "out", "--replicates", 100)
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "<b>=evil" not in page
    table = (tmp_path / "out" / "tables" / "coefficients.csv").read_text(encoding="utf-8")
    assert "\n'=1+1," in table


def test_the_same_inputs_give_the_same_bytes(run: Path, readers: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        out = tmp_path / name
        evaluate(run, "--readers", readers, "--out", out, "--replicates", 150)
        contents.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert len(contents[0]) == 14
    assert contents[0] == contents[1]


def test_csv_parquet_and_folder_say_the_same(run: Path, readers: Path, tmp_path: Path) -> None:
    assert read_rows(run / "results.parquet") == [
        row.row() if isinstance(row, SlideResult) else row for row in read_rows(run / "results.csv")
    ]
    figures = []
    for number, source in enumerate((run, run / "results.csv", run / "results.parquet")):
        out = tmp_path / f"out{number}"
        assert evaluate(source, "--readers", readers, "--out", out, "--replicates", 100) == 0
        figures.append(json.loads((out / "evaluation.json").read_bytes())["comparisons"])
    assert figures[0] == figures[1] == figures[2]


def test_wide_and_several_files_and_a_named_reference(run: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_text("slide_id,A,B\ns00,0,0\ns01,1+,\ns02,2+,3+\n", encoding="utf-8")
    other = tmp_path / "C.csv"
    other.write_text("slide_id,score\ns00,0\ns02,3+\n", encoding="utf-8")
    out = tmp_path / "out"
    words = ("--readers", wide, "--readers", other, "--out", out, "--replicates", 100)
    assert evaluate(run, *words, "--reference", "B") == 0
    found = json.loads((out / "evaluation.json").read_bytes())
    assert found["readers"] == ["A", "B", "C"]
    assert found["reference"] == "B"
    assert found["flow"][0]["slides_used"] == 2


def test_patients_of_several_slides_take_the_bootstrap(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "R.csv"
    lines = [f"s{k:02d},{SCORES[k % 4 if k % 5 else 0]},P{k // 2}" for k in range(16)]
    path.write_text("slide_id,score,patient_id\n" + "\n".join(lines) + "\n", encoding="utf-8")
    evaluate(run, "--readers", path, "--out", tmp_path / "out", "--replicates", 300)
    found = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())["comparisons"][0]
    assert found["clustered"] is True
    assert found["patients"] == 8
    assert found["shares"][0]["method"] == "patient_bootstrap"
    assert found["shares"][0]["exact_low"] is None


def test_numbers_are_compared_where_asked(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "R.csv"
    lines = [f"s{k:02d},{SCORES[k % 4]},{8 + k % 5}" for k in range(16)]
    path.write_text("slide_id,score,pct\n" + "\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    words = ("--readers", path, "--out", out, "--replicates", 100)
    assert evaluate(run, *words, "--continuous", "pct=pct_complete_intense") == 0
    pair = json.loads((out / "evaluation.json").read_bytes())["continuous"]["pairs"][0]
    assert pair["limits"]["bias"]["value"] == pytest.approx(np.mean([2 - k % 5 for k in range(16)]))
    assert "Program minus readers" in (out / "evaluation.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slide_id,reader,score\ns00,A,2\n", "row 2, column 'score': '2' is not a score"),
        ("slide_id,reader,score\ns00,A,0\nzz,A,0\n", "row 3, column 'slide_id': 'zz' is no slide"),
        (
            "slide_id,reader,score\ns00,A,0\ns01,A,0\ns00,A,1+\n",
            "row 4, column 'score': reader 'A' has read 's00' twice (first in r.csv, row 2)",
        ),
        (
            "slide_id,reader,score,site\ns00,A,0,Lab B\n",
            "row 2, column 'site': 'Lab B' contradicts 'Lab A'",
        ),
        (
            "slide_id,reader,score,patient_id\ns00,A,0,P1\ns00,B,0,P2\n",
            "row 3, column 'patient_id': 'P2' contradicts 'P1'",
        ),
        (
            "slide_id,reader,score\ncal,A,0\n",
            "no reading can serve as reference (1: the calibration",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_its_place(
    run: Path, tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text, encoding="utf-8")
    assert evaluate(run, "--readers", path, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--reference", "Z"), "no such reader"),
        (("--ties", "toss"), "--ties 'toss' is not known"),
        (("--continuous", "pct=nothing"), "no column of numbers 'nothing'"),
        (("--continuous", "pct=h_score"), "no reading has a number"),
    ],
)
def test_options_that_do_not_fit(
    run: Path, readers: Path, tmp_path: Path, words: tuple[str, ...], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert evaluate(run, "--readers", readers, "--out", tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err


def test_an_evaluation_is_not_replaced_unasked(run: Path, readers: Path, tmp_path: Path) -> None:
    words = (run, "--readers", readers, "--out", tmp_path / "out", "--replicates", 100)
    assert evaluate(*words) == 0
    assert evaluate(*words) == 2
    assert evaluate(*words, "--force") == 0


def test_unknown_slides_are_listed_where_allowed(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("slide_id,reader,score\ns00,A,0\nzz,A,0\n", encoding="utf-8")
    out = tmp_path / "out"
    words = ("--readers", path, "--out", out, "--replicates", 100, "--allow-unknown")
    assert evaluate(run, *words) == 0
    assert [row["reason"] for row in rows_of(out / "tables" / "refused.csv")] == ["unknown_slide"]


def test_slides_of_a_given_calibration_are_refused_by_their_hash(
    run: Path, readers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = load_calibration(config_path("calibration/reference.yaml"))
    values = reference.model_dump(exclude={"sha256"})
    values |= {
        "name": "mine",
        "method": "gain",
        "model": CalibratedModel(name="m", sha256="a" * 64),
        "gain_interval": (0.9, 1.1),
        "slides_per_score": {"0": 1, "1+": 1, "2+": 0, "3+": 0},
        "slides": (
            CalibrationSlide(quickhash="hash-s00", size_bytes=100),
            CalibrationSlide(quickhash="hash-s01", size_bytes=101),
        ),
    }
    calibration = Calibration(**values).sealed()
    path = tmp_path / "mine.yaml"
    path.write_text(calibration.to_yaml(), encoding="utf-8")
    out = tmp_path / "out"
    words = ("--readers", readers, "--replicates", 100, "--calibration", path)
    assert evaluate(run, *words, "--out", out) == 0
    refused = json.loads((out / "evaluation.json").read_bytes())["refused"]
    # Another size is another slide, whatever its hash.
    taken = {item["slide_id"] for item in refused if item["reason"] == "calibration_slide"}
    assert taken == {"cal", "s00"}
    # A table alone does not know the hashes: it is refused, not passed.
    assert evaluate(run / "results.csv", *words, "--out", tmp_path / "two") == 2
    assert "Name the run folder" in capsys.readouterr().err


@pytest.mark.slow
def test_ten_thousand_slides_and_twenty_readers(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "benchmark_evaluate", ROOT / "scripts" / "benchmark_evaluate.py"
    )
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    run, readers = script.make_study(tmp_path, slides=10_000, readers=20, slides_per_patient=2)
    # Processor time: the bound is on the work, not on who else uses the machine.
    start = time.process_time()
    words = ("--readers", readers, "--out", tmp_path / "out")
    assert evaluate(run / "results.csv", *words, "--continuous", "pct=pct_complete_intense") == 0
    assert time.process_time() - start < 60
    found = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    assert len(found["leave_one_out"]) == 20
