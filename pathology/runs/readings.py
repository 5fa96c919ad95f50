"""Reader files: what people scored slides as, one row per reading or one column per reader.

A score is one of the texts 0, 1+, 2+, 3+ and not_scorable. Blanks around it are taken off; nothing
else is guessed: "2", "2 +" and "II" are errors that name the row and the column.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pathology.errors import UsageError
from pathology.runs.csvfile import render_csv
from pathology.runs.row import TIER_ORDER
from pathology.runs.usertable import (
    UserRow,
    UserTable,
    parse_user_csv,
    read_user_file,
    wrong_field,
)

__all__ = [
    "NOT_SCORABLE",
    "READING_SCORES",
    "TIERS_OF",
    "Reading",
    "ReadingFile",
    "read_readings",
    "render_readings",
]

#: What a reader writes who looked and could not give a score.
NOT_SCORABLE: Final = "not_scorable"
#: Texts that a reader may write.
READING_SCORES: Final[tuple[str, ...]] = ("0", "1+", "2+", "3+", NOT_SCORABLE)
#: Names that mean something else in tables.
_RESERVED: Final = ("consensus", "program")
#: Columns that describe the slide or the reading, in files of both forms.
_ABOUT: Final = ("slide_id", "site", "patient_id", "saw_score")
_LONG: Final = (*_ABOUT, "reader", "score", "tier")
#: Tiers that go with a score. With ISH a reader's 2+ may be low or positive; without, equivocal.
TIERS_OF: Final = {
    "0": ("her2_null", "her2_ultralow"),
    "1+": ("her2_low",),
    "2+": ("her2_low", "her2_equivocal", "her2_positive"),
    "3+": ("her2_positive",),
    NOT_SCORABLE: (),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Hold one reading of one slide.

    Parameters
    ----------
    file, row, column
        Where it stands; rows as a spreadsheet numbers them.
    slide_id, reader
        Who read what.
    score
        One of :data:`READING_SCORES`.
    tier
        HER2 tier, where given.
    site, patient_id
        Of the slide, where given.
    saw_score
        Whether the reader had seen the program's score; None where not said.
    value
        A measured number, where given.
    """

    file: str
    row: int
    column: str
    slide_id: str
    reader: str
    score: str
    tier: str | None = None
    site: str | None = None
    patient_id: str | None = None
    saw_score: bool | None = None
    value: float | None = None

    def wrong(self, column: str, problem: str, fix: str) -> UsageError:
        """Return an error about this reading that names file, row and column."""
        return wrong_field(self.file, f"row {self.row}", column, problem, fix=fix)


@dataclass(frozen=True, kw_only=True)
class ReadingFile:
    """Hold a reader file.

    Parameters
    ----------
    name
        Name of the file.
    sha256
        Of its content.
    form
        ``long`` or ``wide``.
    rows
        Rows below the header that are not empty.
    readings
        In the order of the file; an empty cell of a wide file is none.
    columns_not_used
        Columns that mean nothing here.
    says_saw_score
        Whether there is a column ``saw_score``.
    """

    name: str
    sha256: str
    form: str
    rows: int
    readings: tuple[Reading, ...]
    columns_not_used: tuple[str, ...]
    says_saw_score: bool


def read_readings(path: Path, *, value_column: str | None = None) -> ReadingFile:
    """Read a reader file and check all of it.

    Parameters
    ----------
    path
        CSV, UTF-8, with a header. Long: ``slide_id``, ``score``, and ``reader`` (else the file's
        name is the reader); any of ``tier, site, patient_id, saw_score``. Wide: ``slide_id``, one
        column per reader, and any of ``site, patient_id, saw_score``.
    value_column
        Column of a long file with a measured number.

    Returns
    -------
    ReadingFile
        Its readings.

    Raises
    ------
    UsageError
        If the file cannot be read, or its header or a value is wrong; names row and column.
    """
    content = read_user_file(
        path,
        what="the readings",
        table="reader file",
        fix="Name a CSV file with --readers.",
    )
    table = parse_user_csv(content, name=str(path), kind="row")
    form = _check_header(table)
    if not table.rows:
        raise UsageError(f"{path}: there are no readings", fix="List one slide per row.")
    known = (*_LONG, value_column) if form == "long" else table.columns
    readings = (
        _long_readings(path, table, value_column)
        if form == "long"
        else _wide_readings(path, table)  # holds scores only
    )
    return ReadingFile(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        form=form,
        rows=len(table.rows),
        readings=tuple(readings),
        columns_not_used=tuple(name for name in table.columns if name not in known),
        says_saw_score="saw_score" in table.columns,
    )


def render_readings(rows: Sequence[Mapping[str, str | bool | None]]) -> bytes:
    r"""Write readings as a long file that :func:`read_readings` reads.

    Parameters
    ----------
    rows
        ``slide_id``, ``reader``, ``score`` and any of ``tier``, ``site``, ``patient_id``,
        ``saw_score``.

    Returns
    -------
    bytes
        The file; texts that a spreadsheet would run are made harmless.

    Examples
    --------
    >>> render_readings([{"slide_id": "a", "reader": "R", "score": "1+", "saw_score": False}])
    b'slide_id,reader,score,tier,site,patient_id,saw_score\na,R,1+,,,,false\n'
    """
    columns = ("slide_id", "reader", "score", "tier", "site", "patient_id", "saw_score")
    return render_csv(columns, [{name: row.get(name) for name in columns} for row in rows])


def _check_header(table: UserTable) -> str:
    """Return the form of a file whose header is in order."""
    columns = table.columns
    if "" in columns:
        raise table.wrong_header("a column has no name", fix="Name or remove it.")
    if "slide_id" not in columns:
        raise table.wrong_header(
            "there is no column 'slide_id'",
            fix="Columns: slide_id, reader, score; or slide_id and one column per reader.",
        )
    if "score" in columns:
        return "long"
    if "reader" in columns:
        raise table.wrong_header(
            "there is a column 'reader' and no column 'score'",
            fix="Columns: slide_id, reader, score.",
        )
    if not set(columns) - set(_ABOUT):
        raise table.wrong_header(
            "there is neither a column 'score' nor one per reader",
            fix="Columns: slide_id, reader, score; or slide_id and one column per reader.",
        )
    return "wide"


def _long_readings(path: Path, table: UserTable, value_column: str | None) -> Iterator[Reading]:
    for row in table.rows:
        reader = row.text("reader") if "reader" in table.columns else path.stem
        if problem := _wrong_reader(reader):
            raise row.wrong("reader", problem[0], fix=problem[1])
        score = _score(row, "score")
        yield Reading(
            file=path.name,
            row=row.row,
            column="score",
            reader=reader,
            score=score,
            tier=_tier(row, score),
            value=_value(row, value_column),
            **_about(row),
        )


def _wide_readings(path: Path, table: UserTable) -> Iterator[Reading]:
    readers = [name for name in table.columns if name not in _ABOUT]
    for name in readers:
        if problem := _wrong_reader(name):
            raise wrong_field(table.file, "row 1", name, problem[0], fix=problem[1])
    for row in table.rows:
        about = _about(row)
        for name in readers:
            if row.text(name):
                yield Reading(
                    file=path.name,
                    row=row.row,
                    column=name,
                    reader=name,
                    score=_score(row, name),
                    **about,
                )


def _wrong_reader(reader: str) -> tuple[str, str] | None:
    """Return what is wrong with the name of a reader, and what to do."""
    if not reader:
        return "is empty", "Name the reader."
    if reader in _RESERVED:
        return f"{reader!r} means something else here", "Name the reader otherwise."
    return None


def _about(row: UserRow) -> dict[str, Any]:
    slide_id = row.text("slide_id")
    if not slide_id:
        raise row.wrong("slide_id", "is empty", fix="Name the slide.")
    saw = row.text("saw_score").lower()
    if saw not in ("", "true", "false"):
        raise row.wrong("saw_score", f"{saw!r} is not allowed", fix="Allowed: true, false, empty.")
    return {
        "slide_id": slide_id,
        "site": row.text("site") or None,
        "patient_id": row.text("patient_id") or None,
        "saw_score": {"true": True, "false": False}.get(saw),
    }


def _score(row: UserRow, column: str) -> str:
    text = row.text(column)
    if text not in READING_SCORES:
        raise row.wrong(
            column,
            f"{text!r} is not a score" if text else "is empty",
            fix=f"Allowed: {', '.join(READING_SCORES)}. Nothing is guessed.",
        )
    return text


def _tier(row: UserRow, score: str) -> str | None:
    text = row.text("tier")
    if not text:
        return None
    if text not in TIER_ORDER:
        raise row.wrong("tier", f"{text!r} is not a tier", fix=f"Allowed: {', '.join(TIER_ORDER)}.")
    if text not in TIERS_OF[score]:
        allowed = ", ".join(TIERS_OF[score]) or "none"
        raise row.wrong(
            "tier", f"{text!r} does not go with {score}", fix=f"With {score}: {allowed}."
        )
    return text


def _value(row: UserRow, column: str | None) -> float | None:
    if column is None or not (text := row.text(column)):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise row.wrong(
            column,
            f"{text!r} is not a number",
            fix="Write it like 12.5, without a sign of %.",
        )
    return value
