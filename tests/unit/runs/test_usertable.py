"""Tables that people give: one reader, which names file, row, column and fix."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.errors import UsageError
from pathology.runs.csvfile import render_csv
from pathology.runs.usertable import parse_user_csv, read_user_file

FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(rows=st.lists(st.tuples(FIELD, FIELD), max_size=6), bom=st.booleans())
def test_exact_fields_come_back_as_they_were_written(
    rows: list[tuple[str, str]], bom: bool
) -> None:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    content = stream.getvalue().encode("utf-8-sig" if bom else "utf-8")
    found = parse_user_csv(content, name="t.csv", exact=True)
    assert found.columns == ("a", "b")
    kept = [row for row in rows if any(field.strip() for field in row)]
    assert [tuple(row.cells.values()) for row in found.rows] == kept


@given(rows=st.lists(st.tuples(FIELD, FIELD), max_size=6))
def test_what_this_program_wrote_reads_back_without_blanks(rows: list[tuple[str, str]]) -> None:
    content = render_csv(["a", "b"], [{"a": a, "b": b} for a, b in rows])
    found = parse_user_csv(content, name="t.csv")
    stripped = [(a.strip(), b.strip()) for a, b in rows]
    assert [tuple(row.cells.values()) for row in found.rows] == [x for x in stripped if any(x)]


def test_rows_are_counted_as_a_spreadsheet_shows_them_lines_as_an_editor_does() -> None:
    content = b'a,b\n\n"x\ny",1\nz,2\n'
    assert [row.place for row in parse_user_csv(content, name="t.csv").rows] == ["line 4", "line 5"]
    found = parse_user_csv(content, name="t.csv", kind="row")
    assert [row.place for row in found.rows] == ["row 3", "row 4"]
    assert str(found.wrong_header("no column 'c'", fix="Add it.")) == (
        "t.csv: row 1: no column 'c'. Add it."
    )


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"a;b\n1;2\n", "t.csv: line 1: the columns are separated by semicolons. Save it as"),
        (b"a\tb\n", "t.csv: line 1: the columns are separated by tabs"),
        (b"a,c\n", "t.csv: line 1: unknown column 'c'. Columns: a, b."),
        (b"a, a\n", "t.csv: line 1: column 'a' is there twice. Keep one."),
        (b"a,b\n1,2\n1\n", "t.csv: line 3: 1 values under 2 column names. Put values that"),
        (b"a,b\n1,2,3\n", "t.csv: line 2: 3 values under 2 column names"),
        (b'a,b\n"1,2\n', "t.csv: line 2: not valid CSV"),
        (b"a,b\n\xff,2\n", "t.csv: is not UTF-8 text (invalid start byte at byte 4). Save it"),
    ],
)
def test_what_is_no_such_table_is_named(content: bytes, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_user_csv(content, name="t.csv", columns=["a", "b"])
    assert str(caught.value).startswith(named)


def test_a_file_that_is_too_large_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with pytest.raises(UsageError, match=r"labels\.csv: the labels cannot be read .*Name it\."):
        read_user_file(path, what="the labels", table="table of labels", fix="Name it.")
    path.write_bytes(b"12345")
    assert read_user_file(path, what="the labels", table="table", max_bytes=5) == b"12345"
    with pytest.raises(UsageError, match=r"labels\.csv: is larger than any table of labels"):
        read_user_file(path, what="the labels", table="table of labels", max_bytes=4)
