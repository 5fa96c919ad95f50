"""The cohort workbook read back by another library, and the heat map as OME-TIFF."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import openpyxl
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image

from pathology.report import Decision, ExportOptions, export
from pathology.report.heat_grid import heat_grid
from pathology.report.job import gather_job
from pathology.runs import CASE_COLUMNS, RESULT_COLUMNS, Pseudonyms, read_cell_columns
from pathology.runs.csvfile import unguard
from pathology.runs.outputs import WRITTEN

sys.path.insert(0, str(Path(__file__).parent))

from exporting import FINISHED, ORIGIN, REFUSED, SCORED, SPACING, write_run

pytest.importorskip("xlsxwriter")
EVIL = "=cmd|' /C calc'!A0"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tables") / "run"
    write_run(root)
    return root


def files(run: Path, out: Path, kind: str, **choices: Any) -> dict[str, Path]:
    found = export(run, [kind], out, options=ExportOptions(**choices))[kind]
    assert set(out.iterdir()) == {*found, out / WRITTEN}
    return {path.name: path for path in found}


def test_three_forms_of_a_table_say_the_same(run: Path, tmp_path: Path) -> None:
    found = files(run, tmp_path, "xlsx", names=True)
    book = openpyxl.load_workbook(found["cohort.xlsx"], data_only=False)
    assert book.sheetnames == ["cases", "slides", "columns", "provenance"]
    for name in book.sheetnames:
        sheet = list(book[name].values)
        parquet = pq.read_table(found[f"{name}.parquet"])
        rows = list(csv.reader(io.StringIO(found[f"{name}.csv"].read_text())))
        assert list(sheet[0]) == parquet.column_names == rows[0]
        assert len(sheet) == parquet.num_rows + 1 == len(rows)
        for cells, values in zip(sheet[1:], parquet.to_pylist(), strict=True):
            for cell, value in zip(cells, values.values(), strict=True):
                if isinstance(value, float):
                    assert cell == pytest.approx(value)
                else:
                    assert cell in (value, f"'{value}")
    slides = pq.read_table(found["slides.parquet"])
    assert tuple(slides.column_names[: len(RESULT_COLUMNS)]) == RESULT_COLUMNS
    assert tuple(pq.read_table(found["cases.parquet"]).column_names) == CASE_COLUMNS


def test_no_cell_is_a_formula(run: Path, tmp_path: Path) -> None:
    found = files(run, tmp_path, "xlsx", names=True)
    book = openpyxl.load_workbook(found["cohort.xlsx"])
    texts = [str(c.value) for s in book for row in s for c in row if c.data_type == "s"]
    assert {c.data_type for s in book for row in s for c in row} <= {"s", "n", "b"}
    assert f"'{EVIL}" in texts
    for name in ("cases.csv", "slides.csv"):
        for row in csv.reader(io.StringIO(found[name].read_text())):
            for cell in row:
                text = cell.lstrip()
                assert not text or text[0] not in "=@\t\r" or text == "", cell
                if text[0:1] in "+-":
                    float(text or 0)
    # Parquet is read by programs, not by spreadsheets: the text is as it was.
    assert EVIL in pq.read_table(found["cases.parquet"])["case_id"].to_pylist()


def test_every_column_is_described(run: Path, tmp_path: Path) -> None:
    found = pq.read_table(files(run, tmp_path, "tables", names=True)["columns.parquet"])
    rows = found.to_pylist()
    assert {row["table"] for row in rows} == {"cases", "slides"}
    for row in rows:
        assert row["meaning"], row
        if row["type"] in ("int", "float"):
            assert row["unit"], row


def test_provenance_counts_what_went_in_and_out(run: Path, tmp_path: Path) -> None:
    found = files(run, tmp_path, "tables", slides=[SCORED])["provenance.parquet"]
    said = {row["name"]: row["value"] for row in pq.read_table(found).to_pylist()}
    assert (said["slides in the run"], said["slides exported"]) == ("3", "1")
    assert said["use"] == "Research use only"
    assert said["run finished"] == FINISHED
    assert said["names"] == "pseudonyms"


def test_pseudonyms_join_the_tables(run: Path, tmp_path: Path) -> None:
    found = files(run, tmp_path, "xlsx")
    slides = pq.read_table(found["slides.parquet"]).to_pylist()
    cases = pq.read_table(found["cases.parquet"]).to_pylist()
    assert sorted(s for c in cases for s in c["slide_ids"].split(";")) == sorted(
        s["slide_id"] for s in slides
    )
    case = next(c for c in cases if c["n_scored"] == 1)
    slide = next(s for s in slides if s["status"] == "scored")
    assert (case["case_id"], case["deciding_block_id"]) == (slide["case_id"], slide["block_id"])
    names = Pseudonyms.load(run)
    assert slide["slide_id"] == names.name("slide", SCORED)
    everything = b"".join(path.read_bytes() for path in found.values() if path.suffix == ".csv")
    book = openpyxl.load_workbook(found["cohort.xlsx"])
    everything += " ".join(str(c.value) for s in book for row in s for c in row).encode()
    everything += b"".join(
        str(pq.read_table(p).to_pylist()).encode() for p in found.values() if p.suffix == ".parquet"
    )
    for secret in (b"Smith", b"gone", b"blank-", b"calc", b"/data"):
        assert secret not in everything


def test_a_decision_has_its_columns(run: Path, tmp_path: Path) -> None:
    made = Decision(reviewer="=B. Reader", state="open", agrees=True)
    found = files(run, tmp_path, "tables", names=True, decisions={SCORED: made})
    rows = pq.read_table(found["slides.parquet"]).to_pylist()
    row = next(row for row in rows if row["slide_id"] == SCORED)
    assert (row["reviewer"], row["review_state"], row["reviewer_agrees"]) == (
        "=B. Reader",
        "open",
        True,
    )
    other = next(row for row in rows if row["slide_id"] == REFUSED)
    assert other["reviewer_agrees"] is None
    assert "'=B. Reader" in found["slides.csv"].read_text()


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", "\r=", "\n=", " =", "＝", "'="])
def test_no_text_of_any_column_is_run(tmp_path: Path, sign: str) -> None:
    evil = f"{sign}cmd|' /C calc'!A0"
    write_run(tmp_path / "run", n_cells=40, case_id=evil, block_id=evil, site=evil, assay=evil)
    made = Decision(
        reviewer=evil, organization=evil, state="open", agrees=False, reason=evil, comment=evil
    )
    found = files(tmp_path / "run", tmp_path / "out", "xlsx", names=True, decisions={SCORED: made})
    book = openpyxl.load_workbook(found["cohort.xlsx"])
    cells = [c for sheet in book for row in sheet for c in row if c.value is not None]
    assert {c.data_type for c in cells} <= {"s", "n", "b"}
    assert not any(c.hyperlink for c in cells)
    texts = [c.value for c in cells if c.data_type == "s"]
    assert sum("calc" in text for text in texts) >= 8
    rows = list(csv.reader(io.StringIO(found["slides.csv"].read_bytes().decode(), newline="")))
    for text in (*texts, *(cell for row in rows for cell in row)):
        # A sentence may quote the name; what begins with it is the danger.
        assert "calc" not in text or text.startswith(("'", "block ")), text
    # The apostrophe is taken off again by whoever reads the tables with this program.
    column = rows[0].index("reviewer_comment")
    assert unguard(next(row for row in rows if row[0] == SCORED)[column]) == evil
    slides = pq.read_table(found["slides.parquet"]).to_pylist()
    assert next(row for row in slides if row["slide_id"] == SCORED)["site"] == evil


@pytest.mark.parametrize("state", ["open", "signed", "superseded"])
def test_an_override_shows_both_scores(run: Path, tmp_path: Path, state: Any) -> None:
    made = Decision(
        reviewer="B. Reader", state=state, agrees=False, ihc_score="1+", her2_tier="her2_low",
        reason="artefact", comment="edge", run_score="3+", at="2026-01-06T10:00:00+00:00",
    )  # fmt: skip
    found = files(run, tmp_path, "xlsx", names=True, decisions={SCORED: made})
    sheet = list(openpyxl.load_workbook(found["cohort.xlsx"])["slides"].values)
    parquet = pq.read_table(found["slides.parquet"]).to_pylist()
    for rows in (parquet, [dict(zip(sheet[0], line, strict=True)) for line in sheet[1:]]):
        row = next(row for row in rows if row["slide_id"] == SCORED)
        assert (row["ihc_score"], row["run_ihc_score"], row["reviewer_score"]) == ("2+", "3+", "1+")
        assert (row["review_state"], row["reviewer_tier"]) == (state, "her2_low")
        assert (row["reviewer_not_scorable"], row["reviewer_comment"]) == (False, "edge")


def test_tables_and_heat_maps_are_the_same_twice(run: Path, tmp_path: Path) -> None:
    for kind in ("xlsx", "ome-tiff"):
        first = files(run, tmp_path / kind / "1", kind)
        second = files(run, tmp_path / kind / "2", kind)
        assert {n: p.read_bytes() for n, p in first.items()} == {
            n: p.read_bytes() for n, p in second.items()
        }


def slow_counts(run: Path, side_um: float, shape: tuple[int, int]) -> Any:
    """Count cells square by square, in another way than the program."""
    found = np.zeros((5, *shape), dtype=int)
    names = ["x_um", "y_um", "pattern", "evaluable"]
    for part in read_cell_columns(run / "slides" / SCORED / "cells.parquet", names):
        for x, y, pattern, counted in zip(*(part[name] for name in names), strict=True):
            if counted:
                row = int((float(y) - ORIGIN[1] * SPACING.y) // side_um)
                column = int((float(x) - ORIGIN[0] * SPACING.x) // side_um)
                found[pattern, row, column] += 1
    return found


def test_the_heat_map_counts_every_cell_where_it_lies(run: Path, tmp_path: Path) -> None:
    path = files(run, tmp_path, "ome-tiff", names=True)[f"{SCORED}.ome.tiff"]
    values = tifffile.imread(path)
    assert values.dtype == np.float32
    assert values.shape == (7, 10, 40)
    counts = slow_counts(run, 25.0, (10, 40))
    total = counts.sum(axis=0)
    assert np.allclose(values[0], total / (0.025**2), rtol=1e-6)
    with np.errstate(invalid="ignore"):
        assert np.allclose(values[5], 100 * counts[0] / total, rtol=1e-5, equal_nan=True)
        assert np.allclose(values[1], 100 * counts[4] / total, rtol=1e-5, equal_nan=True)
    # Where nothing was counted nothing is known.
    assert np.isnan(values[6][total == 0]).all()


def test_the_heat_map_says_where_it_lies(run: Path, tmp_path: Path) -> None:
    path = files(run, tmp_path, "ome-tiff", names=True)[f"{SCORED}.ome.tiff"]
    # Read by Pillow, which knows nothing of the library that wrote the file.
    with Image.open(path) as image:
        text = image.tag_v2[270].encode("latin-1").decode()
        assert image.size == (40, 10)
        first = np.asarray(image)
    assert np.array_equal(first, tifffile.imread(path)[0])
    space = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
    pixels = ElementTree.fromstring(text).find("o:Image/o:Pixels", space)  # noqa: S314
    assert pixels is not None
    assert float(pixels.attrib["PhysicalSizeX"]) == 25.0
    assert pixels.attrib["PhysicalSizeXUnit"] == "µm"
    assert (pixels.attrib["SizeX"], pixels.attrib["SizeY"], pixels.attrib["SizeC"]) == (
        "40",
        "10",
        "7",
    )
    planes = pixels.findall("o:Plane", space)
    assert {float(p.attrib["PositionX"]) for p in planes} == {ORIGIN[0] * SPACING.x}
    assert {float(p.attrib["PositionY"]) for p in planes} == {ORIGIN[1] * SPACING.y}
    names = [c.attrib["Name"] for c in pixels.findall("o:Channel", space)]
    assert names[0] == "Tumour cells per mm²"
    assert names[1] == "complete intense %"
    assert "research use only" in text


def test_coarser_levels_keep_every_cell(run: Path) -> None:
    slide = next(s for s in gather_job(run).slides if s.source.slide_id == SCORED)
    grid = heat_grid(slide, square_um=1.0)
    assert grid is not None
    level = grid
    while max(level.counts.shape[1:]) > 1:
        level = level.coarser()
        assert level.counts.sum() == grid.counts.sum() == slide.source.n_tumour_cells
        assert level.od_sum.sum() == pytest.approx(grid.od_sum.sum())


def test_large_heat_maps_are_pyramids(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathology.report.ome_tiff import render_ome_tiff

    slide = next(s for s in gather_job(run).slides if s.source.slide_id == SCORED)
    grid = heat_grid(slide, square_um=2.0)
    assert grid is not None
    with tifffile.TiffFile(io.BytesIO(render_ome_tiff(grid, name="a"))) as file:
        series = file.series[0]
        assert [level.shape[-1] for level in series.levels] == [500, 250, 125]
        assert series.kind == "ome"
