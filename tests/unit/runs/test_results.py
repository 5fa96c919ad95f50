from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pathology.errors import OutputError
from pathology.runs import (
    COLUMN_KINDS,
    RESULT_COLUMNS,
    RESULT_SCHEMA,
    SlideFolder,
    SlideResult,
    read_results,
    read_rows,
    write_results,
)

Make = Callable[..., SlideResult]
NAMES = ["=cmd|' /C calc'!A0", "a, b", 'say "x"', "two\nlines", "r\rn", "日本 é", "-1", "'=1", "@"]


def test_every_name_reads_back_exactly(tmp_path: Path, scored: Make) -> None:
    results = [
        scored(f"s-{n}", path=name, case_id=name, assay=name) for n, name in enumerate(NAMES)
    ]
    write_results(tmp_path, results)
    back = {row.slide_id: row for row in read_rows(tmp_path / "results.csv")}
    assert [(back[f"s-{n}"].path, back[f"s-{n}"].case_id) for n in range(len(NAMES))] == [
        (name, name) for name in NAMES
    ]
    assert b"\n=" not in (tmp_path / "results.csv").read_bytes()
    table = pq.read_table(tmp_path / "results.parquet")
    assert sorted(table.column("path").to_pylist()) == sorted(NAMES)


def test_order_of_finishing_does_not_matter(tmp_path: Path, scored: Make, unscored: Make) -> None:
    results = [scored("b", "2+"), unscored("a"), scored("c", "0", path="cores/a.svs")]
    files = []
    for order in itertools.permutations(results):
        write_results(tmp_path, order)
        files.append(
            tuple((tmp_path / name).read_bytes() for name in ("results.csv", "results.parquet"))
        )
    assert len(set(files)) == 1
    ids = [row.slide_id for row in read_rows(tmp_path / "results.csv")]
    assert ids == ["a", "c", "b"]


def test_csv_has_the_columns_and_the_forms(tmp_path: Path, scored: Make, unscored: Make) -> None:
    write_results(tmp_path, [scored("a", "2+"), unscored("b", reasons=("no_tumour", "not_ihc"))])
    header, first, second = (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()
    assert header == ",".join(RESULT_COLUMNS)
    fields = dict(zip(RESULT_COLUMNS, first.split(","), strict=True))
    assert fields["ish_reflex"] == "true"
    assert fields["mean_membrane_od"] == "0.3333"
    assert fields["mpp"] == "0.251235"
    assert fields["flags"] == "borderline;invasive_region_unverified"
    assert fields["ihc_score"] == "2+"
    refused = dict(zip(RESULT_COLUMNS, second.split(","), strict=True))
    assert refused["reasons"] == "no_tumour;not_ihc"
    assert refused["ihc_score"] == refused["ish_reflex"] == refused["n_tumour_cells"] == ""


def test_parquet_is_typed_and_agrees_with_the_csv(tmp_path: Path, scored: Make) -> None:
    write_results(tmp_path, [scored("a", "2+")])
    table = pq.read_table(tmp_path / "results.parquet")
    assert table.schema.equals(RESULT_SCHEMA)
    (row,) = table.to_pylist()
    assert row["ish_reflex"] is True
    assert row["mean_membrane_od"] == 1 / 3
    (text,) = read_rows(tmp_path / "results.csv")
    for name, kind in COLUMN_KINDS.items():
        value = getattr(text, name)
        if kind == "float" and value is not None:
            assert value == round(row[name], 6 if name == "mpp" else 4)
        elif kind == "codes":
            assert ";".join(value) == (row[name] or "")
        else:
            assert value == row[name]


def test_read_results_gives_everything(tmp_path: Path, scored: Make, unscored: Make) -> None:
    full, bare = scored("a"), unscored("b", status="failed", reason="disk_full")
    SlideFolder(root=tmp_path, slide_id="a").write_result(full)
    write_results(tmp_path, [bare, full])
    first, second = read_results(tmp_path)
    assert first == full
    # The disk was full: there is no result.json, and the row alone must do.
    assert (second.slide_id, second.status, second.identity) == ("b", "failed", None)
    assert read_results(str(tmp_path)) == [first, second]


def test_read_results_refuses_what_does_not_fit(tmp_path: Path, scored: Make) -> None:
    with pytest.raises(OutputError, match=r"results\.csv.*interrupted run"):
        read_results(tmp_path)
    write_results(tmp_path, [scored("a", "3+")])
    folder = SlideFolder(root=tmp_path, slide_id="a")
    folder.write_result(scored("a", "2+"))
    with pytest.raises(OutputError, match="disagree"):
        read_results(tmp_path)
    folder.result.write_bytes(b"{")
    with pytest.raises(OutputError, match=r"result\.json"):
        read_results(tmp_path)


def test_appended_columns_are_tolerated_and_others_not(tmp_path: Path, scored: Make) -> None:
    write_results(tmp_path, [scored("a")])
    path = tmp_path / "results.csv"
    header, row = path.read_text().splitlines()
    path.write_text(f"{header},later\n{row},1\n")
    assert read_rows(path)[0].slide_id == "a"
    path.write_text(f"later,{header}\n1,{row}\n")
    with pytest.raises(OutputError, match="columns"):
        read_rows(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("3+", "5+", "row 2: ihc_score"),
        ("100", "x", "column n_tumour_cells"),
        ("positive", "negative", "does not go with"),
        (",false", ",perhaps", "neither true nor false"),
    ],
)
def test_edited_tables_name_row_and_column(
    tmp_path: Path, scored: Make, old: str, new: str, words: str
) -> None:
    write_results(tmp_path, [scored("a", "3+")])
    path = tmp_path / "results.csv"
    header, row = path.read_text().splitlines()
    path.write_text(f"{header}\n{row.replace(old, new, 1)}\n")
    with pytest.raises(OutputError, match=words.replace("+", r"\+")):
        read_rows(path)


def test_no_slides_make_an_empty_table(tmp_path: Path) -> None:
    assert write_results(tmp_path, []) == []
    assert read_results(tmp_path) == []


def test_a_slide_never_has_two_rows(tmp_path: Path, scored: Make) -> None:
    with pytest.raises(OutputError, match="twice"):
        write_results(tmp_path, [scored("a"), scored("a", path="other.svs")])
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_an_earlier_version_is_read(tmp_path: Path, scored: Make) -> None:
    write_results(tmp_path, [scored("a", "2+")])
    lines = (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()
    end = RESULT_COLUMNS.index("expected_score") + 1
    (tmp_path / "old.csv").write_text(
        "".join(",".join(line.split(",")[:end]) + "\n" for line in lines), encoding="utf-8"
    )
    (row,) = read_rows(tmp_path / "old.csv")
    assert row.ihc_score == "2+"
    assert row.bystander_pct is None
    (tmp_path / "cut.csv").write_text(
        "".join(",".join(line.split(",")[: end - 1]) + "\n" for line in lines), encoding="utf-8"
    )
    with pytest.raises(OutputError, match="not the columns"):
        read_rows(tmp_path / "cut.csv")
