"""Whatever is written reads back, for any text, any number and any order of arrival."""

from __future__ import annotations

import csv
import io
import itertools
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.cells.table import CellTable
from pathology.runs import (
    CellWriter,
    ResultRow,
    SlideResult,
    count_columns,
    make_slide_id,
    path_text,
    read_cells,
    read_rows,
    write_results,
)
from pathology.runs import cells as cells_module
from pathology.runs.csvfile import format_cell, guard, parse_csv, render_csv, unguard
from pathology.runs.layout import is_slide_id
from pathology.runs.results import row_cells
from pathology.scoring.counts import PatternCounts

quick = settings(max_examples=60, deadline=None)
# Signs that mean something to a table, more often than chance would bring them.
signs = st.sampled_from(list("=+-@'\t\r\n\",; ;＝aé日"))
texts = st.text(st.one_of(signs, st.characters(exclude_categories=["Cs"])), min_size=1, max_size=12)
names = st.text(st.one_of(signs, st.characters()), max_size=12)


@quick
@given(texts)
def test_guard_is_undone_and_safe(text: str) -> None:
    safe = guard(text)
    assert unguard(safe) == text
    assert safe[0] not in "=+-@\t\r\n＝＋－＠"
    assert safe.lstrip()[:1] not in set("=+-@")


@quick
@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_tables_of_any_text_read_back(rows: list[tuple[str, str]]) -> None:
    content = render_csv(["a", "b"], [{"a": a, "b": b} for a, b in rows])
    assert [(row["a"], row["b"]) for row in parse_csv(content, name="t")[1]] == rows
    plain = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert plain[1:] == [[guard(a), guard(b)] for a, b in rows]


@quick
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9))
def test_numbers_are_rounded_once_and_for_all(value: float) -> None:
    text = format_cell(value)
    assert abs(float(text) - value) <= 0.5001e-4
    assert format_cell(float(text)) == text
    assert text != "-0.0"


@quick
@given(names)
def test_any_name_gives_a_plain_id(name: str) -> None:
    slide_id = make_slide_id(name)
    assert is_slide_id(slide_id)
    assert slide_id.isascii()
    assert len(slide_id) <= 71
    path_text(name).encode()


@quick
@given(st.lists(st.integers(0, 10**6), min_size=9, max_size=9), texts, texts)
def test_rows_read_back(numbers: list[int], path: str, case: str) -> None:
    counts = PatternCounts(
        **dict(zip((item.name for item in fields(PatternCounts)), numbers, strict=True))
    )
    result = SlideResult(
        slide_id="a",
        path=path,
        case_id=case,
        status="not_scorable",
        reasons=("too_few_cells",),
        **count_columns(counts),
    )
    assert SlideResult.from_json(result.to_json()) == result
    with tempfile.TemporaryDirectory() as folder:
        write_results(Path(folder), [result])
        (row,) = read_rows(Path(folder) / "results.csv")
    before, after = row_cells(result), row_cells(row)
    assert isinstance(row, ResultRow)
    for name, value in before.items():
        if isinstance(value, float):
            assert after[name] == round(value, 4)
        else:
            assert after[name] == value


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 50))
def test_cells_read_back_in_any_portions(sizes: list[int], group: int) -> None:
    rng, columns = np.random.default_rng(0), {}
    for name, column in vars(CellTable.empty()).items():
        values = rng.integers(0, 5, (sum(sizes), *column.shape[1:]))
        columns[name] = values.astype(column.dtype)
    cells = CellTable(**columns)
    edges = np.cumsum([0, *sizes])
    old, cells_module.ROW_GROUP = cells_module.ROW_GROUP, group
    try:
        with tempfile.TemporaryDirectory() as folder:
            one, many = Path(folder) / "one", Path(folder) / "many"
            with CellWriter(one) as writer:
                writer.write(cells)
            with CellWriter(many) as writer:
                for start, stop in itertools.pairwise(edges):
                    writer.write(cells.take(np.arange(start, stop)))
            assert one.read_bytes() == many.read_bytes()
            back = CellTable.concat(list(read_cells(many)))
    finally:
        cells_module.ROW_GROUP = old
    for item in fields(CellTable):
        assert np.array_equal(getattr(back, item.name), getattr(cells, item.name))
