"""What exports take over from the record of a review."""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pydicom
import pypdfium2
import pytest
from reviewing import ADA, PASSWORD, SENIOR, TICKED, Reader, rewrite, square
from typer.testing import CliRunner

from pathology.cells.table import PATTERNS
from pathology.cli import main
from pathology.cli.app import app
from pathology.report.geojson_cells import class_name
from pathology.review.context import ReviewContext
from pathology.review.database import FOLDER, RECORD
from pathology.review.problems import StoreError
from pathology.review.recorded import read_recorded
from pathology.review.signed_cells import write_signed_cells
from pathology.runs import SlideFolder


def test_a_run_without_a_record_has_no_decisions_and_gets_no_record(run: Path) -> None:
    assert read_recorded(run).decisions == {}
    assert not (run / FOLDER).exists()


def test_agreed_signed_overridden_and_open(context: ReviewContext) -> None:
    ada = Reader(context, ADA)
    ada.sign("a")
    ada.act("b", "decision", kind="override", ihc_score="0", tier="her2_null", reason="artefact")
    found = read_recorded(context.run, organization="Lab").decisions
    assert set(found) == {"a", "b"}
    assert (found["a"].state, found["a"].agrees, found["a"].reviewer) == ("signed", True, "Ada")
    assert found["a"].organization == "Lab"
    assert [answer for _, answer in found["a"].checklist] == [True, True, True]
    assert (found["b"].state, found["b"].agrees, found["b"].ihc_score) == ("open", False, "0")
    assert found["b"].reason == "artefact"


def test_the_result_in_the_reviewers_regions_replaces_the_runs_when_signed(
    context: ReviewContext,
) -> None:
    ada = Reader(context, ADA)
    drawn = [square("Tumor", 0, 0, 300)]
    ada.act("a", "regions", features=drawn, unit="px")
    assert read_recorded(context.run).reviewed == {}  # not before the signature
    ada.sign("a")
    found = read_recorded(context.run)
    assert found.reviewed["a"].region_source == "reviewed"
    stored = SlideFolder(root=context.run, slide_id="a").load()
    assert stored is not None
    assert found.reviewed["a"].n_tumour_cells != stored.n_tumour_cells
    assert found.decisions["a"].run_score == (stored.ihc_score or "no score")


def test_exported_cells_are_those_of_the_signed_score(
    context: ReviewContext, tmp_path: Path
) -> None:
    """In the reviewer's regions the cells that count give the signed counts, in every kind."""
    ada = Reader(context, ADA)
    ada.act("a", "regions", features=[square("Exclude", 0, 0, 300)], unit="px")
    ada.sign("a")
    signed = read_recorded(context.run).reviewed["a"]
    folder = SlideFolder(root=context.run, slide_id="a")
    stored, before = folder.load(), folder.cells.read_bytes()
    assert stored is not None
    assert signed.n_tumour_cells is not None
    assert stored.n_tumour_cells is not None
    assert 0 < signed.n_tumour_cells < stored.n_tumour_cells
    args = ["export", str(context.run), "--names", "original", "--to", "geojson,dicom-ann,ome-tiff"]
    for options, counts in (([], signed), (["--no-review"], stored)):
        out = tmp_path / str(len(options))
        done = CliRunner().invoke(app, [*args, *options, "--out", str(out)])
        assert done.exit_code == 0, done.output
        with gzip.open(out / "geojson" / "a.geojson.gz") as stream:
            tree = json.load(stream)
        names = Counter(one["properties"]["classification"]["name"] for one in tree["features"])
        assert tree["properties"]["counted_in"] == ("run" if options else "review")
        for code, pattern in enumerate(PATTERNS):
            found = names[class_name(0, code)]
            assert found == getattr(counts, f"n_{pattern}"), pattern
        assert (
            sum(names.values()) == pq.read_metadata(folder.cells).num_rows
        )  # none is lost: the others are grey
        summary = json.loads((out / "geojson" / "a.summary.geojson").read_bytes())
        tiles = [one["properties"]["measurements"]["Num Tumor"] for one in summary["features"]]
        assert sum(tiles) == counts.n_tumour_cells
        groups = pydicom.dcmread(next((out / "dicom-ann").glob("a*"))).AnnotationGroupSequence
        shown = sum(
            int(one.NumberOfAnnotations)
            for one in groups
            if one.AnnotationGroupLabel in {class_name(0, code) for code in range(len(PATTERNS))}
        )
        assert shown == counts.n_tumour_cells
    assert folder.cells.read_bytes() == before


def test_cells_that_do_not_give_the_signed_score_are_not_exported(
    context: ReviewContext, tmp_path: Path
) -> None:
    ada = Reader(context, ADA)
    ada.act("a", "regions", features=[square("Exclude", 0, 0, 300)], unit="px")
    ada.sign("a")
    recorded = read_recorded(context.run)
    n = recorded.reviewed["a"].n_unstained
    assert n is not None
    other = recorded.reviewed["a"].model_copy(update={"n_unstained": n + 1})
    changed = replace(recorded, reviewed={"a": other})
    with pytest.raises(StoreError, match=f"give n_unstained {n} .* {n + 1} was signed"):
        write_signed_cells(context.run, changed, tmp_path)


def test_scored_again_is_superseded_without_a_word_in_the_record(context: ReviewContext) -> None:
    Reader(context, ADA).sign("a")
    events = len(context.store.events("a"))
    rewrite(context.run, "a", h_score=1.0)
    found = read_recorded(context.run)
    assert found.decisions["a"].state == "superseded"
    assert found.reviewed == {}
    assert len(context.store.events("a")) == events


def test_an_addendum_corrects_the_score_that_goes_out(context: ReviewContext) -> None:
    Reader(context, ADA).sign("a")
    signed = read_recorded(context.run).decisions["a"].ihc_score
    other = "3+" if signed != "3+" else "2+"
    Reader(context, SENIOR).act("a", "addendum", text="second look", ihc_score=other)
    decision = read_recorded(context.run).decisions["a"]
    assert decision.ihc_score == other
    assert not decision.agrees
    assert str(signed) in decision.reason
    assert "second look" in decision.comment


def test_tiers_and_not_scorable_go_out_as_they_were_signed(context: ReviewContext) -> None:
    ada = Reader(context, ADA)
    ada.act(
        "a", "decision", kind="override", ihc_score="0", tier="her2_ultralow", reason="artefact"
    )
    ada.act("a", "sign", checklist=TICKED, password=PASSWORD, note="looked at the glass slide")
    ada.act("b", "decision", kind="override", ihc_score="not_scorable", reason="artefact")
    found = read_recorded(context.run).decisions
    assert (found["a"].ihc_score, found["a"].her2_tier) == ("0", "her2_ultralow")
    assert (found["b"].ihc_score, found["b"].not_scorable, found["b"].said) == (
        None,
        True,
        "not scorable",
    )
    ada.act("b", "sign", checklist=TICKED, password=PASSWORD, note="looked at the glass slide")
    assert read_recorded(context.run).decisions["b"].headline.endswith(": not scorable")
    Reader(context, SENIOR).act(
        "a", "addendum", text="second look", ihc_score="0", tier="her2_null"
    )
    corrected = read_recorded(context.run).decisions["a"]
    assert corrected.her2_tier == "her2_null"
    assert "0 (her2_ultralow) was signed" in corrected.reason


def test_no_signature_is_taken_from_a_broken_chain(
    context: ReviewContext, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Reader(context, ADA).sign("a")
    context.close()
    with sqlite3.connect(context.run / FOLDER / RECORD) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(
            "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'Ada', 'Eve') AS BLOB)"
        )
    with pytest.raises(StoreError, match="broken at event 1"):
        read_recorded(context.run)
    # Nor does an export: it writes nothing, says where and what to do, and does as it is told.
    args = ["export", str(context.run), "--to", "pdf,fhir", "--out", str(tmp_path / "x")]
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    for words in ("review.sqlite", "broken at event 1", "--no-review"):
        assert words in said
    assert "Traceback" not in said
    assert not (tmp_path / "x").exists()
    with pytest.raises(SystemExit) as ended:
        main([*args, "--no-review"])
    assert ended.value.code == 0
    assert len(list((tmp_path / "x" / "pdf").glob("*.pdf"))) == 3


def test_every_export_shows_both_scores_and_what_is_void(
    context: ReviewContext, tmp_path: Path
) -> None:
    ada = Reader(context, ADA)
    for name in "ab":
        ada.act(name, "decision", kind="override", ihc_score="1+", tier="her2_low",
                reason="artefact", text="edges")  # fmt: skip
        ada.act(name, "sign", checklist=TICKED, password=PASSWORD, note="looked at the glass")
    rewrite(context.run, "b", h_score=1.0)
    stored = SlideFolder(root=context.run, slide_id="a").load()
    assert stored is not None
    run_score = str(stored.ihc_score)
    assert run_score != "1+"
    args = ["export", str(context.run), "--names", "original", "--out", str(tmp_path)]
    kinds = "html,pdf,tables,xlsx,dicom-sr,fhir"
    done = CliRunner().invoke(app, [*args, "--to", kinds, "--organization", "Lab"])
    assert done.exit_code == 0, done.output
    assert "1 signed, 0 open, 1 superseded" in done.output
    for name, state, line in (
        ("a", "signed", "Signed by Ada on"),
        ("b", "superseded", "Not signed any more: scored again after Ada had signed 1+"),
    ):
        texts = _words_of(tmp_path, name)
        assert set(texts) == set(kinds.split(","))
        for kind, text in texts.items():
            for words in (run_score, "1+", state, "artefact"):
                assert words in text, (kind, words)
            assert line in text or kind in ("tables", "xlsx", "dicom-sr"), kind
        report = pydicom.dcmread(tmp_path / "dicom-sr" / f"{name}.sr.dcm")
        assert (report.VerificationFlag == "VERIFIED") == (state == "signed")
    index = (tmp_path / "html" / "index.html").read_text()
    assert "<b>1+</b>" in index
    assert "superseded: the slide was scored again" in index


def _words_of(folder: Path, name: str) -> dict[str, str]:
    """Return what a slide's file of each kind says, or its row of the tables."""
    document = pypdfium2.PdfDocument(folder / "pdf" / f"{name}.pdf")
    pages = " ".join(" ".join(page.get_textpage().get_text_range() for page in document).split())
    document.close()
    rows = list(openpyxl.load_workbook(folder / "xlsx" / "cohort.xlsx")["slides"].values)
    report = pydicom.dcmread(folder / "dicom-sr" / f"{name}.sr.dcm")
    table = (folder / "tables" / "slides.csv").read_text().splitlines()
    return {
        "html": (folder / "html" / f"{name}.html").read_text(),
        "pdf": pages,
        "tables": next(line for line in table if line.startswith(f"{name},")),
        "xlsx": " ".join(str(cell) for cell in next(row for row in rows if row[0] == name)),
        "dicom-sr": " ".join(str(item.value) for item in report.iterall() if item.VR != "SQ"),
        "fhir": (folder / "fhir" / f"{name}.fhir.json").read_text(),
    }


def test_exports_say_what_was_signed(context: ReviewContext, tmp_path: Path) -> None:
    ada = Reader(context, ADA)
    ada.act("a", "regions", features=[square("Tumor", 0, 0, 300)], unit="px")
    ada.act("a", "decision", kind="override", ihc_score="0", tier="her2_null", reason="artefact")
    ada.act("a", "sign", checklist=TICKED, password=PASSWORD, note="looked at the glass slide")
    args = ["export", str(context.run), "--to", "html,dicom-sr,fhir,tables", "--names", "original"]
    runner = CliRunner()
    done = runner.invoke(app, [*args, "--out", str(tmp_path / "x"), "--organization", "Lab"])
    assert done.exit_code == 0, done.output
    assert "1 signed" in done.output
    page = (tmp_path / "x" / "html" / "a.html").read_text()
    assert "Signed by Ada on" in page
    assert "run&#39;s own regions" in page
    signed, unsigned = (
        pydicom.dcmread(tmp_path / "x" / "dicom-sr" / f"{name}.sr.dcm") for name in "ab"
    )
    assert (signed.VerificationFlag, signed.PreliminaryFlag) == ("VERIFIED", "PRELIMINARY")
    assert signed.VerifyingObserverSequence[0].VerifyingOrganization == "Lab"
    assert unsigned.VerificationFlag == "UNVERIFIED"
    bundle = json.loads((tmp_path / "x" / "fhir" / "a.fhir.json").read_text())
    resources = [entry["resource"] for entry in bundle["entry"]]
    states = {item["status"] for item in resources if "status" in item}
    assert states == {"preliminary"}
    assert "Signed by Ada" in resources[-1]["conclusion"]
    slides = (tmp_path / "x" / "tables" / "slides.csv").read_text()
    assert "reviewed" in slides
    # Without an organization nobody has verified in DICOM's sense; left out, nobody has looked.
    done = runner.invoke(app, [*args, "--out", str(tmp_path / "y")])
    assert "UNVERIFIED" in done.output
    plain = pydicom.dcmread(tmp_path / "y" / "dicom-sr" / "a.sr.dcm")
    assert plain.VerificationFlag == "UNVERIFIED"
    runner.invoke(app, [*args, "--out", str(tmp_path / "z"), "--no-review"])
    assert "Not reviewed" in (tmp_path / "z" / "html" / "a.html").read_text()


def test_the_record_is_read_without_the_extra(context: ReviewContext) -> None:
    Reader(context, ADA).sign("a")
    code = (
        "import sys\n"
        "for name in ('fastapi', 'starlette', 'uvicorn'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from pathology.review.recorded import read_recorded\n"
        "print(read_recorded(Path(sys.argv[1])).decisions['a'].state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(context.run)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "signed"
