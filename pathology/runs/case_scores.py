"""What a run says of each case, for tables that join it: score, ISH, numbers of its slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathology.errors import OutputError
from pathology.runs.csvfile import parse_csv
from pathology.runs.layout import CASES_CSV, RESULTS_CSV
from pathology.runs.results import read_rows
from pathology.runs.row import COLUMN_KINDS, ResultRow
from pathology.runs.usertable import UserTable, parse_user_csv, read_user_file

__all__ = ["CaseScore", "read_case_scores", "read_patient_rows"]

_NEEDED = ("case_id", "status", "ihc_score", "deciding_slide_id")
#: Largest table of patients that is read.
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """Hold one case.

    Parameters
    ----------
    ihc
        ``0``, ``1+``, ``2+`` or ``3+``; None without a score.
    status
        As in ``cases.csv``.
    ish
        ``negative`` or ``positive``; None where the run has no such result.
    numbers
        Of the deciding slide, by column of ``results.csv``; None where it has none.
    """

    ihc: str | None
    status: str
    ish: str | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)


def read_patient_rows(path: Path) -> UserTable:
    """Read a table with one row per patient.

    Parameters
    ----------
    path
        CSV, UTF-8, with a header.

    Returns
    -------
    UserTable
        Rows with their numbers as a spreadsheet shows them.

    Raises
    ------
    UsageError
        If it cannot be read, or a column is there twice; names the row.
    """
    content = read_user_file(
        path,
        what="the table",
        table="table of patients",
        fix="Name a CSV file with one row per patient.",
        max_bytes=_MAX_BYTES,
    )
    return parse_user_csv(content, name=str(path), kind="row")


def read_case_scores(folder: Path, *, numbers: Sequence[str] = ()) -> dict[str, CaseScore]:
    """Read the cases of a run.

    Parameters
    ----------
    folder
        Output folder of ``her2 score``.
    numbers
        Columns of ``results.csv`` to bring along from the deciding slide; others are passed over.

    Returns
    -------
    dict
        By case id.

    Raises
    ------
    OutputError
        If there is no such table, or a case id stands there twice.
    """
    path = folder / CASES_CSV
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be read ({error.strerror or error})",
            fix="Name the output folder of a finished `her2 score` with --results.",
        ) from error
    columns, rows = parse_csv(content, name=str(path))
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise OutputError(f"{path}: there is no column {missing[0]!r}")
    slides = _slide_numbers(folder, numbers)
    found: dict[str, CaseScore] = {}
    for number, row in enumerate(rows, start=2):
        if row["case_id"] in found:
            raise OutputError(
                f"{path}: row {number}, column 'case_id': {row['case_id']!r} is there twice",
                fix="Give each case an id of its own in the manifest of the run.",
            )
        # The final status is that of ISH only where the case has any.
        ish = row.get("final_her2_status") if row.get("ish_category") else None
        found[row["case_id"]] = CaseScore(
            ihc=row["ihc_score"] or None,
            status=row["status"],
            ish=ish if ish in ("negative", "positive") else None,
            numbers=slides.get(row["deciding_slide_id"], {}) if row["ihc_score"] else {},
        )
    return found


def _slide_numbers(folder: Path, numbers: Sequence[str]) -> dict[str, dict[str, float | None]]:
    wanted = [name for name in numbers if COLUMN_KINDS.get(name) in ("int", "float")]
    if not wanted:
        return {}
    return {
        row.slide_id: {name: _number(row, name) for name in wanted}
        for row in read_rows(folder / RESULTS_CSV)
    }


def _number(row: ResultRow, name: str) -> float | None:
    value = getattr(row, name)
    return None if value is None else float(value)
