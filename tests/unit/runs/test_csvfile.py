from __future__ import annotations

import csv
import io

import pytest

from pathology.errors import OutputError
from pathology.runs.csvfile import format_cell, guard, parse_csv, render_csv, unguard

DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "'=1", "''@a"]
HARMLESS = [
    "a",
    "a=b",
    "1+",
    "3+",
    "'quoted'",
    "O'Neil",
    "ä,b",
    'a"b',
    "a\nb",
    "日本",
    " a ",
    "a;=1",
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_formula_is_never_the_first_thing_a_spreadsheet_sees(text: str) -> None:
    assert guard(text) == "'" + text
    assert unguard(guard(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_are_left_alone(text: str) -> None:
    assert guard(text) == text == unguard(text)


def test_numbers_are_not_guarded() -> None:
    assert format_cell(-1.25) == "-1.25"
    assert format_cell(-3) == "-3"


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (None, "", ""),
        (True, "", "true"),
        (False, "", "false"),
        (0, "", "0"),
        (1 / 3, "", "0.3333"),
        (2 / 3, "", "0.6667"),
        (0.00004, "", "0.0"),
        (-0.00004, "", "0.0"),
        (0.0001, "", "0.0001"),
        (100.0, "", "100.0"),
        (0.25123456, "mpp", "0.251235"),
    ],
)
def test_values_have_one_form(value: float | None, column: str, text: str) -> None:
    assert format_cell(value, column=column) == text


def test_tables_read_back_and_other_readers_agree() -> None:
    texts = DANGEROUS + HARMLESS
    content = render_csv(["a", "b"], [{"a": text, "b": n} for n, text in enumerate(texts)])
    columns, rows = parse_csv(content, name="t.csv")
    assert columns == ["a", "b"]
    assert [row["a"] for row in rows] == texts
    # An independent reader sees the guarded text, and the same number of rows.
    plain = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert [row[0] for row in plain[1:]] == [guard(text) for text in texts]


def test_a_table_saved_by_a_spreadsheet_is_read() -> None:
    assert parse_csv(b"\xef\xbb\xbfa,b\r\n1,2\r\n", name="t")[1] == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"a,b\n1\n", "row 2 has 1"), (b"\xff\n", "UTF-8"), (b'a\n"x\n', "commas")],
)
def test_what_is_not_a_table_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(OutputError, match=words):
        parse_csv(content, name="t.csv")
