"""The printed report: read back as text and rendered to pixels by another program's engine."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pytest

from pathology.errors import UsageError
from pathology.report import Decision, ExportOptions, export
from pathology.report.export import EXPORT_KINDS
from pathology.report.job import gather_job
from pathology.runs import Pseudonyms

sys.path.insert(0, str(Path(__file__).parent))

from exporting import FAILED, REFUSED, SCORED, write_pixels, write_run

pytest.importorskip("reportlab")
SIGNED = Decision(
    reviewer="A. Reader",
    organization="Lab 7",
    state="signed",
    agrees=False,
    ihc_score="1+",
    reason="in situ carcinoma was counted",
    at="2026-01-06T10:00:00+00:00",
    checklist=(("Controls passed", True),),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pdf")
    write_pixels(root / "slides")
    write_run(root / "run")
    return root / "run"


def reports(run: Path, out: Path, **choices: Any) -> dict[str, bytes]:
    options = ExportOptions(**{"slide_root": run.parent, **choices})
    found = export(run, ["pdf"], out, options=options)["pdf"]
    return {path.stem: path.read_bytes() for path in found}


def texts(content: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(content)
    found = [page.get_textpage().get_text_range() for page in document]
    document.close()
    return found


@pytest.fixture(scope="module")
def named(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return reports(run, tmp_path_factory.mktemp("named"), names=True, decisions={SCORED: SIGNED})


def test_every_slide_has_a_report_and_every_page_says_what_it_is(named: dict[str, bytes]) -> None:
    assert set(named) == {SCORED, REFUSED, FAILED}
    for name, content in named.items():
        pages = texts(content)
        for number, text in enumerate(pages, start=1):
            assert "RESEARCH USE ONLY" in text
            assert "Not for use in diagnostic procedures" in text
            assert f"Page {number} of {len(pages)}" in text
            assert text.count(name) >= 2


def test_the_report_says_what_the_result_says(run: Path, named: dict[str, bytes]) -> None:
    text = " ".join(" ".join(texts(named[SCORED])).split())
    result = next(s for s in gather_job(run).slides if s.source.slide_id == SCORED).result
    assert "2+: complete weak-moderate staining in > 10 % of tumour cells" in text
    assert "HER2 equivocal" in text
    assert "between 18.0 % and 24.0 %" in text
    assert f"{result.n_complete_intense:,}" in text
    assert f"{result.pct_unstained:.1f} %" in text
    assert "10 % cut-off" in text
    assert "The program chose where the invasive tumour is" in text
    assert "median 0.20" in text
    for part in ("her2-cells/0.2.2", "asco-cap-breast-2018", "2026-01-05", "QUALITY CONTROL"):
        assert part in text
    for part in ("A. Reader, Lab 7", "overridden", "in situ carcinoma was counted", "1+", "yes"):
        assert part in text
    for word in ("trastuzumab", "eligib", "treat", "therapy"):
        assert word not in text.lower()
    assert "LIMITS The cut-offs of density are not calibrated to a laboratory." in text
    assert "No tissue found" in " ".join(texts(named[REFUSED]))
    assert "slides/gone <b>.png: empty file" in " ".join(texts(named[FAILED]))


def flat(content: bytes) -> str:
    return " ".join(" ".join(texts(content)).split())


@pytest.mark.parametrize("state", ["open", "signed", "superseded"])
def test_both_scores_and_the_signature_are_in_print(run: Path, tmp_path: Path, state: Any) -> None:
    decision = replace(SIGNED, state=state, her2_tier="her2_low", run_score="3+", comment="Müller")
    found = reports(run, tmp_path, names=True, slides=[SCORED], decisions={SCORED: decision})
    text = flat(found[SCORED])
    first = " ".join(texts(found[SCORED])[0].split())
    for part in ("Reviewer's HER2 IHC score", "HER2 low", "Program's HER2 IHC score", "2+",
                 "in the reviewer's regions", "3+ in the run's own", "Müller",
                 "The program's score was overridden: in situ carcinoma was counted"):  # fmt: skip
        assert part in first, part
    signed = "Signed electronically by A. Reader, Lab 7, 2026-01-06 10:00 UTC"
    assert (signed in text) == (state != "open")
    assert ("not valid any more" in text) == (state == "superseded")
    assert ("Not signed any more" in first) == (state == "superseded")
    # Where nobody has signed there is room for a hand.
    assert ("Not signed. Name Date Signature" in text) == (state == "open")


def test_signed_as_not_scorable_is_no_low_score(run: Path, tmp_path: Path) -> None:
    decision = replace(SIGNED, ihc_score=None, not_scorable=True, agrees=True, reason="")
    found = reports(run, tmp_path, names=True, slides=[REFUSED], decisions={REFUSED: decision})
    assert "Signed by A. Reader on 2026-01-06 10:00 UTC: not scorable" in flat(found[REFUSED])


def test_letters_of_many_scripts_and_signs_are_printed(tmp_path: Path) -> None:
    case = "Größe µ ≥ ² Ωμέγα Иванова 山田太郎 김철수 やまだ"
    hostile = "<b>&amp;</b> ;" + "W" * 200
    write_run(tmp_path / "run", n_cells=80, case_id=case, block_id=hostile, site="नि שלום abc")
    decision = replace(SIGNED, reviewer="李小龙", comment="x" * 900)
    found = reports(tmp_path / "run", tmp_path / "out", names=True, decisions={SCORED: decision})
    text = flat(found[SCORED])
    for part in case.split():
        assert part in text, part
    # Together: PDFium drops a lone letter of a font that is not embedded when it gives the text.
    assert "李小龙" in text
    assert "<b>&amp;</b>" in text
    # What no font has is printed as its number, never as an empty box; Hebrew is turned round.
    assert "U+0928U+093F" in text
    assert "abc" in text
    document = pypdfium2.PdfDocument(found[SCORED])
    for page in document:
        pixels = np.asarray(page.render(scale=1.0).to_pil().convert("L"))
        assert (pixels[:, :20] == 255).all()
        assert (pixels[:, -20:] == 255).all()
    document.close()


def test_a_report_of_a_common_slide_has_three_pages(named: dict[str, bytes]) -> None:
    pages = texts(named[SCORED])
    assert len(pages) == 3
    order = ("Reviewer's HER2 IHC score", "TUMOUR CELLS BY MEMBRANE PATTERN",
             "MEMBRANE DENSITY", "FLAGS", "QUALITY CONTROL", "WHERE THIS COMES FROM", "SIGNATURE",
             "REPRESENTATIVE FIELDS")  # fmt: skip
    places = [flat(named[SCORED]).index(words) for words in order]
    assert places == sorted(places)


def test_without_a_decision_the_report_says_so(run: Path, tmp_path: Path) -> None:
    content = reports(run, tmp_path, names=True, slides=[SCORED], slide_root=tmp_path)[SCORED]
    assert "Not reviewed: no pathologist has confirmed this result." in texts(content)[0]


def test_pages_show_pictures(named: dict[str, bytes]) -> None:
    document = pypdfium2.PdfDocument(named[SCORED])
    images = [o for page in document for o in page.get_objects() if o.type == 3]
    # Heat map, overview, and four fields with and without their cells.
    assert len(images) == 10
    for number, page in enumerate(document, start=1):
        pixels = np.asarray(page.render(scale=1.0).to_pil().convert("L"))
        ink = float((pixels < 200).mean())
        assert 0.01 < ink < 0.7, number
        # Nothing runs over the edge of the paper, and the margins stay white.
        assert (pixels[:, :20] == 255).all()
        assert (pixels[:, -20:] == 255).all()
    document.close()


def test_a_slide_that_has_moved_gets_a_report_that_says_so(run: Path, tmp_path: Path) -> None:
    found = reports(run, tmp_path, names=True, slide_root=tmp_path, slides=[SCORED])
    text = " ".join(texts(found[SCORED]))
    assert "the slide's file is not where it was" in " ".join(text.split())


def test_pseudonymised_reports_name_nobody(run: Path, tmp_path: Path) -> None:
    found = reports(run, tmp_path)
    name = Pseudonyms.load(run).name("slide", SCORED)
    assert name in found
    for key, content in found.items():
        document = pypdfium2.PdfDocument(content)
        everything = key + " ".join(texts(content)) + str(document.get_metadata_dict())
        document.close()
        for secret in ("Smith", "gone", "blank", "pathology-pc", "A1"):
            assert secret not in everything, secret


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    first = reports(run, tmp_path / "1", slides=[SCORED])
    assert first == reports(run, tmp_path / "2", slides=[SCORED])


def test_results_of_an_older_version_give_a_report_without_pictures(
    tmp_path: Path,
) -> None:
    write_run(tmp_path / "run", schema_version=1, size_px=None)
    for name in ("tissue.png", "backdrop.jpg"):
        (tmp_path / "run" / "slides" / SCORED / name).unlink()
    text = " ".join(texts(reports(tmp_path / "run", tmp_path / "out", names=True)[SCORED]))
    assert "did not store what they are drawn from" in " ".join(text.split())


def test_a_missing_library_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def refuse(name: str, *_: object) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UsageError, match=r"her2-ihc\[pdf\]"):
        EXPORT_KINDS["pdf"].check()
