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
from pathology.runs.csvfile import parse_rows, render_csv
from pathology.runs.row import TIER_ORDER

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
#: Twenty readers of a hundred thousand slides.
_MAX_BYTES: Final = 256 << 20


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
        return _wrong(self.file, self.row, column, problem, fix)


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
    content = _read(path)
    columns, rows = parse_rows(content, name=str(path))
    form = _check_header(path, columns)
    if not rows:
        raise UsageError(f"{path}: there are no readings", fix="List one slide per row.")
    known = (*_LONG, value_column) if form == "long" else tuple(columns)
    read = _long_rows if form == "long" else _wide_rows
    return ReadingFile(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        form=form,
        rows=len(rows),
        readings=tuple(read(path, columns, rows, value_column)),
        columns_not_used=tuple(name for name in columns if name not in known),
        says_saw_score="saw_score" in columns,
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


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: is larger than any reader file")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: the readings cannot be read ({error.strerror or error})",
            fix="Name a CSV file with --readers.",
        ) from error


def _check_header(path: Path, columns: Sequence[str]) -> str:
    """Return the form of a file whose header is in order."""
    for name in columns:
        if not name:
            raise UsageError(f"{path}: row 1: a column has no name", fix="Name or remove it.")
        if columns.count(name) > 1:
            raise UsageError(f"{path}: row 1: column {name!r} is there twice", fix="Keep one.")
    if "slide_id" not in columns:
        raise UsageError(
            f"{path}: row 1: there is no column 'slide_id'",
            fix="Columns: slide_id, reader, score; or slide_id and one column per reader.",
        )
    if "score" in columns:
        return "long"
    if "reader" in columns:
        raise UsageError(
            f"{path}: row 1: there is a column 'reader' and no column 'score'",
            fix="Columns: slide_id, reader, score.",
        )
    if not set(columns) - set(_ABOUT):
        raise UsageError(
            f"{path}: row 1: there is neither a column 'score' nor one per reader",
            fix="Columns: slide_id, reader, score; or slide_id and one column per reader.",
        )
    return "wide"


def _wrong(file: str, row: int, column: str, problem: str, fix: str) -> UsageError:
    return UsageError(f"{file}: row {row}, column {column!r}: {problem}", fix=fix)


_Rows = list[tuple[int, dict[str, str]]]


def _long_rows(
    path: Path, columns: Sequence[str], rows: _Rows, value_column: str | None
) -> Iterator[Reading]:
    for number, row in rows:
        reader = row["reader"] if "reader" in columns else path.stem
        _check_reader(str(path), number, "reader", reader)
        score = _score(str(path), number, "score", row["score"])
        yield Reading(
            file=path.name,
            row=number,
            column="score",
            reader=reader,
            score=score,
            tier=_tier(str(path), number, row.get("tier", ""), score),
            value=_value(str(path), number, value_column, row),
            **_about(path, number, row),
        )


def _wide_rows(
    path: Path, columns: Sequence[str], rows: _Rows, value_column: str | None
) -> Iterator[Reading]:
    del value_column  # a wide file holds scores only
    readers = [name for name in columns if name not in _ABOUT]
    for name in readers:
        _check_reader(str(path), 1, name, name)
    for number, row in rows:
        about = _about(path, number, row)
        for name in readers:
            if row[name]:
                score = _score(str(path), number, name, row[name])
                yield Reading(
                    file=path.name, row=number, column=name, reader=name, score=score, **about
                )


def _check_reader(file: str, row: int, column: str, reader: str) -> None:
    if not reader:
        raise _wrong(file, row, column, "is empty", "Name the reader.")
    if reader in _RESERVED:
        raise _wrong(
            file, row, column, f"{reader!r} means something else here", "Name the reader otherwise."
        )


def _about(path: Path, number: int, row: dict[str, str]) -> dict[str, Any]:
    slide_id = row["slide_id"]
    if not slide_id:
        raise _wrong(str(path), number, "slide_id", "is empty", "Name the slide.")
    saw = row.get("saw_score", "").lower()
    if saw not in ("", "true", "false"):
        raise _wrong(
            str(path),
            number,
            "saw_score",
            f"{saw!r} is not allowed",
            "Allowed: true, false, empty.",
        )
    return {
        "slide_id": slide_id,
        "site": row.get("site") or None,
        "patient_id": row.get("patient_id") or None,
        "saw_score": {"true": True, "false": False}.get(saw),
    }


def _score(file: str, row: int, column: str, text: str) -> str:
    if text not in READING_SCORES:
        problem = f"{text!r} is not a score" if text else "is empty"
        raise _wrong(
            file, row, column, problem, f"Allowed: {', '.join(READING_SCORES)}. Nothing is guessed."
        )
    return text


def _tier(file: str, row: int, text: str, score: str) -> str | None:
    if not text:
        return None
    if text not in TIER_ORDER:
        raise _wrong(
            file, row, "tier", f"{text!r} is not a tier", f"Allowed: {', '.join(TIER_ORDER)}."
        )
    if text not in TIERS_OF[score]:
        allowed = ", ".join(TIERS_OF[score]) or "none"
        raise _wrong(
            file, row, "tier", f"{text!r} does not go with {score}", f"With {score}: {allowed}."
        )
    return text


def _value(file: str, row: int, column: str | None, cells: dict[str, str]) -> float | None:
    text = cells.get(column, "") if column else ""
    if not text or column is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _wrong(
            file,
            row,
            column,
            f"{text!r} is not a number",
            "Write it like 12.5, without a sign of %.",
        )
    return value
