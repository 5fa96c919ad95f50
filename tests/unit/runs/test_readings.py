"""Reader files: both forms, and every way of being wrong named by row and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathology.errors import UsageError
from pathology.runs import read_readings


def write(folder: Path, text: str, name: str = "readers.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


LONG = "slide_id,reader,score"


def test_a_long_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "\ufeffslide_id,reader,score,tier,site,patient_id,saw_score,pct,comment\r\n"
        "a, R1 , 1+ ,her2_low,Lab A,P1,FALSE,12.5,fine\r\n"
        "\r\n"
        "b,R1,not_scorable,,,,TRUE,,\r\n"
        ",,,,,,,,\r\n"
        "c,R1,2+,her2_low,,,,0,'=1+1\r\n",
    )
    found = read_readings(path, value_column="pct")
    assert (found.form, found.rows, found.columns_not_used) == ("long", 3, ("comment",))
    assert found.says_saw_score
    assert len(found.sha256) == 64
    first, second, third = found.readings
    assert (first.slide_id, first.reader, first.score, first.tier) == ("a", "R1", "1+", "her2_low")
    assert (first.site, first.patient_id, first.saw_score, first.value) == (
        *("Lab A", "P1"),
        *(False, 12.5),
    )
    assert (second.row, second.score, second.tier, second.saw_score, second.value) == (
        *(4, "not_scorable"),
        *(None, True, None),
    )
    # Rows are those of a spreadsheet, blank ones included.
    assert (third.row, third.saw_score, third.value) == (6, None, 0.0)


def test_without_a_reader_the_file_is_the_reader(tmp_path: Path) -> None:
    found = read_readings(write(tmp_path, "slide_id,score\na,3+\n", "Dr Who.csv"))
    assert [(item.reader, item.score) for item in found.readings] == [("Dr Who", "3+")]
    assert not found.says_saw_score


def test_a_wide_file(tmp_path: Path) -> None:
    found = read_readings(write(tmp_path, "slide_id,site,A,B\na,x,0,1+\nb,y,,not_scorable\n"))
    assert found.form == "wide"
    assert [(i.slide_id, i.reader, i.score, i.site, i.column) for i in found.readings] == [
        ("a", "A", "0", "x", "A"),
        ("a", "B", "1+", "x", "B"),
        ("b", "B", "not_scorable", "y", "B"),
    ]


@pytest.mark.parametrize("text", ["2", "2 +", "II", "2++", "+2", "0.0", "N/A", "1", "equivocal"])
@pytest.mark.parametrize("form", ["long", "wide"])
def test_unknown_score_text_is_an_error_in_its_cell(tmp_path: Path, text: str, form: str) -> None:
    if form == "long":
        path = write(tmp_path, f"{LONG}\na,R,0\nb,R,{text}\n")
        place = "row 3, column 'score'"
    else:
        path = write(tmp_path, f"slide_id,A,B\na,0,0\nb,0,{text}\n")
        place = "row 3, column 'B'"
    with pytest.raises(UsageError, match=place) as caught:
        read_readings(path)
    assert "is not a score" in str(caught.value)
    assert "0, 1+, 2+, 3+, not_scorable" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty, not even a header"),
        (LONG + "\n", "no readings"),
        (LONG + "\na,R\n", "row 2 has 2 fields"),
        ("slide;reader;score\na;R;0\n", "semicolons"),
        ("slide_id,reader,score,score\na,R,0,0\n", "column 'score' is there twice"),
        ("slide_id,reader,score,\na,R,0,\n", "a column has no name"),
        ("reader,score\nR,0\n", "no column 'slide_id'"),
        ("slide_id,reader\na,R\n", "no column 'score'"),
        ("slide_id,site\na,x\n", "neither a column 'score'"),
        (LONG + "\n,R,0\n", "row 2, column 'slide_id': is empty"),
        (LONG + "\na,,0\n", "row 2, column 'reader': is empty"),
        (LONG + "\na,R,\n", "row 2, column 'score': is empty"),
        (LONG + "\na,consensus,0\n", "'consensus' means something else"),
        ("slide_id,program\na,0\n", "row 1, column 'program'"),
        (LONG + ",tier\na,R,1+,low\n", "column 'tier': 'low' is not a tier"),
        (LONG + ",tier\na,R,1+,her2_null\n", "'her2_null' does not go with 1+"),
        (LONG + ",tier\na,R,not_scorable,her2_low\n", "does not go with not_scorable"),
        (LONG + ",saw_score\na,R,0,maybe\n", "row 2, column 'saw_score'"),
        (LONG + ",pct\na,R,0,12 %\n", "row 2, column 'pct': '12 %' is not a number"),
        (LONG + ",pct\na,R,0,inf\n", "is not a number"),
        (LONG + ",pct\na,R,0,nan\n", "is not a number"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_readings(write(tmp_path, text), value_column="pct")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_readings(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("slide_id,A\nä,0\n".encode("latin-1"))
    with pytest.raises(UsageError, match="UTF-8"):
        read_readings(tmp_path / "latin.csv")
