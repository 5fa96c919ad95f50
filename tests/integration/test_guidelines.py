"""Guidelines from the command line to the pages: specimen types, low tiers, the scale."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "batch"))

from faulty_reader import FakeFactory
from running import Done, her2, quick_config
from tiny_slides import write_slide

from pathology.pipeline import score_slide
from pathology.runs import SlideResult, read_results
from pathology.scoring import guideline_names
from pathology.testing import FakeModel


def manifest(folder: Path, *rows: str, header: str) -> Path:
    path = folder / "slides.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for name, dab in (("dark", 0.9), ("edge", 0.62), ("none", 0.0)):
        write_slide(folder / f"{name}.tif", dab=dab)
        write_slide(folder / f"{name}2.tif", dab=dab)
    return folder


@pytest.fixture(scope="module")
def gastric(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("gastric") / "out"
    listed = manifest(
        slides,
        "dark.tif,resection",
        "dark2.tif,Biopsy ",
        "none.tif,biopsy",
        "none2.tif,",
        "edge.tif,needle",
        header="path,specimen_type",
    )
    words = ("--guideline", "gastric-inclusive", "--export", "html")
    return out, her2("score", listed, "--out", out, *words)


def rows_of(out: Path) -> dict[str, SlideResult]:
    return {Path(row.path).stem: row for row in read_results(out)}


def test_a_run_without_any_specimen_type_stops_before_it_begins(slides, tmp_path) -> None:
    for words in (("score", slides, "--out", tmp_path / "out"), ("plan", slides)):
        options = (
            ("--guideline", "gastric-strict")
            if words[0] == "score"
            else ("--set", "scoring.guideline=gastric-strict")
        )
        done = her2(*words, *options)
        assert done.returncode == 2
        text = " ".join(done.stderr.split())
        assert "no slide states resection or biopsy" in text
        assert "specimen_type" in text
    assert not (tmp_path / "out").exists()


def test_a_slide_without_its_specimen_type_has_no_score_and_stops_nobody(gastric) -> None:
    out, done = gastric
    assert done.returncode == 0
    rows = rows_of(out)
    for name, said in (("none2", "states none"), ("edge", "'needle'")):
        assert rows[name].reasons == ("specimen_type_unknown",)
        assert said in (rows[name].deciding_clause or "")
        assert rows[name].n_tumour_cells > 100
    assert rows["dark"].ihc_score == rows["dark2"].ihc_score == "3+"
    assert "of a resection" in (rows["dark"].deciding_clause or "")
    assert "in a biopsy" in (rows["dark2"].deciding_clause or "")


def test_gastric_slides_have_no_low_tier(gastric) -> None:
    rows = rows_of(gastric[0])
    assert (rows["none"].ihc_score, rows["none"].her2_status) == ("0", "negative")
    assert rows["none"].her2_tier is rows["none"].ultralow_upper_pct is None
    assert rows["dark"].her2_tier == "her2_positive"


def test_what_is_not_verified_is_said_wherever_the_guideline_is_named(gastric) -> None:
    out, done = gastric
    assert all("guideline_unverified" in row.flags for row in read_results(out))
    assert "Guideline gastric-inclusive is not verified: the categories" in done.stdout
    pages = list((out / "exports" / "html").rglob("*.html"))
    slides = [page for page in pages if page.name != "index.html"]
    assert slides
    for page in slides:
        assert "gastric-inclusive (not verified)" in page.read_text(encoding="utf-8")


def test_help_names_every_guideline() -> None:
    text = "".join(her2("score", "--help").stdout.split())
    for name in guideline_names():
        assert "".join(name.split()) in text.replace("│", "")


@pytest.fixture(scope="module")
def low(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SlideResult]:
    out = tmp_path_factory.mktemp("low") / "out"
    listed = manifest(
        slides,
        "none.tif,VENTANA 4B5",
        "none2.tif,SP3",
        "dark.tif,SP3",
        header="path,assay",
    )
    assert her2("score", listed, "--out", out, "--guideline", "db04-approx").returncode == 0
    return rows_of(out)


def test_a_null_says_what_it_rests_on(low) -> None:
    """No stained cell: a bound that is not 0, no limit of blank, and the clone that was read."""
    known, other = low["none"], low["none2"]
    for row in (known, other):
        assert row.her2_tier == "her2_null"
        assert (row.deciding_lo, row.n_unstained) == (0.0, row.n_tumour_cells)
        assert row.deciding_hi > 0
        assert row.ultralow_upper_pct > 100 * (1 - 0.05 ** (1 / row.n_tumour_cells))
        assert {"limit_of_blank_unset", "ultralow_not_excluded"} <= set(row.flags)
    assert "assay_not_4B5" not in known.flags
    assert "assay_not_4B5" in other.flags
    assert "assay_not_4B5" in low["dark"].flags  # the trial's scores are of its own assay


def score(slide: Path, out: Path, *overrides: str) -> SlideResult:
    config = quick_config(*overrides)
    return score_slide(slide, out_dir=out, slide_id="a", reader=FakeModel(config), config=config)


def test_a_limit_of_blank_is_not_unset(slides, tmp_path) -> None:
    row = score(slides / "none.tif", tmp_path, "measurement.limit_of_blank_od=0.02")
    assert row.her2_tier == "her2_null"
    assert "limit_of_blank_unset" not in row.flags
    assert "assay_not_4B5" in row.flags  # a slide without a manifest names no assay


def test_the_scale_is_part_of_the_interval(slides, tmp_path) -> None:
    """Lines just above the cut-off of intense: one gain makes them 3+, a slightly higher one 2+."""
    exact, unsure = (
        score(slides / "edge.tif", tmp_path / sd, f"scoring.gain_sd={sd}") for sd in ("0", "0.1")
    )
    assert exact.ihc_score == unsure.ihc_score
    assert exact.n_complete_intense == unsure.n_complete_intense
    assert max(exact.boot_share_2, exact.boot_share_3) > 0.95
    assert max(unsure.boot_share_2, unsure.boot_share_3) < 0.9
    assert unsure.boot_share_2 + unsure.boot_share_3 == pytest.approx(1, abs=0.01)
    assert "scale_unstable" in unsure.flags
    assert unsure.borderline
    assert "scale_unstable" not in exact.flags
    assert unsure.deciding_hi - unsure.deciding_lo > exact.deciding_hi - exact.deciding_lo


def test_a_tile_model_cannot_score_by_a_gastric_guideline(slides, tmp_path) -> None:
    class Tiles(FakeFactory):
        kind = "tiles"

    listed = manifest(slides, "dark.tif,biopsy", header="path,specimen_type")
    words = ("--guideline", "gastric-inclusive")
    done = her2("score", listed, "--out", tmp_path / "out", *words, factory=Tiles())
    assert done.returncode == 2
    assert "tile model" in done.stderr
