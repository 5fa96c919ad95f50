"""The CSV manifest: one row per slide, checked as a whole before any work begins."""

from __future__ import annotations

import math
import os
from pathlib import Path

from pathology.acceptance.expected import ExpectedOutcome
from pathology.acceptance.facts import Stated
from pathology.errors import UsageError
from pathology.pipeline import SlideRequest
from pathology.runs import path_text
from pathology.runs.usertable import UserRow, parse_user_csv, read_user_file

__all__ = ["MANIFEST_COLUMNS", "TRUTH_COLUMNS", "read_manifest", "read_stated"]

#: Columns that a manifest may have; only ``path`` must be there.
MANIFEST_COLUMNS: tuple[str, ...] = (
    "path",
    "mpp",
    "regions",
    "case_id",
    "block_id",
    "specimen_type",
    "site",
    "assay",
    "stain_run",
    "role",
    "expected_score",
    "index_block",
)
#: Columns that a manifest of an acceptance may have besides.
TRUTH_COLUMNS: tuple[str, ...] = ("saw_score",)
_ROLES = ("test", "control")
_SCORES = ("0", "1+", "2+", "3+")
_BOOLS = ("true", "false")


def read_manifest(
    path: Path, *, mpp: float | None = None, truth: bool = False
) -> list[SlideRequest]:
    """Read a manifest and check all of it.

    Parameters
    ----------
    path
        CSV file, UTF-8 with or without a byte-order mark, comma-separated, with a header line.
        Paths in it are relative to the manifest's own folder. Files need not exist: one that does
        not becomes a failed row later.
    mpp
        Pixel size in µm/px for rows whose ``mpp`` is empty (from ``--mpp``); None leaves it to the
        slide's header.
    truth
        Whether it is that of an acceptance: ``expected_score`` may hold several scores or a
        refusal, which :func:`read_stated` gives, and there may be a column ``saw_score``.

    Returns
    -------
    list of SlideRequest
        One request per row, in the order of the file.

    Raises
    ------
    UsageError
        If the file cannot be read, its header or a value is wrong, a path is given twice, or there
        is no row; names the file, the line and the column.
    """
    requests: list[SlideRequest] = []
    seen: dict[str, int] = {}
    index_blocks: dict[str, tuple[str, int]] = {}
    for row in _rows(path, truth=truth):
        request = _request(row, mpp=mpp, truth=truth)
        _check_index_block(row, request, index_blocks)
        key = os.path.normpath(request.path.absolute())
        if key in seen:
            raise row.wrong(
                "path",
                f"{row.cells['path']!r} is listed twice (first on line {seen[key]})",
                fix="Keep one row per slide.",
            )
        seen[key] = row.row
        requests.append(request)
    if not requests:
        raise UsageError(f"{path}: the manifest has no rows", fix="List one slide per line.")
    return requests


def read_stated(path: Path) -> dict[str, Stated]:
    """Read what a manifest of an acceptance says of each slide, by the ``key`` of its request.

    Parameters
    ----------
    path
        As for :func:`read_manifest`.

    Raises
    ------
    UsageError
        If a value is wrong; names the file, the line and the column.
    """
    return {
        _key(row): Stated(
            expected=_expected(row, truth=True),
            saw_score={"true": True, "false": False}.get(_choice(row, "saw_score", _BOOLS)),
        )
        for row in _rows(path, truth=True)
    }


def _key(row: UserRow) -> str:
    return Path(row.cells["path"]).as_posix()


def _rows(path: Path, *, truth: bool) -> tuple[UserRow, ...]:
    content = read_user_file(path, what="the manifest", table="manifest")
    columns = (*MANIFEST_COLUMNS, *TRUTH_COLUMNS) if truth else MANIFEST_COLUMNS
    table = parse_user_csv(content, name=str(path), columns=columns, exact=True)
    if "path" not in table.columns:
        raise table.wrong_header("there is no column 'path'", fix=f"Columns: {', '.join(columns)}.")
    return table.rows


def _request(row: UserRow, *, mpp: float | None, truth: bool) -> SlideRequest:
    if not row.text("path"):
        raise row.wrong("path", "is empty", fix="Give the path of a slide, or delete the line.")
    own = row.text("mpp")
    path = _resolve(row, "path")
    expected = _expected(row, truth=truth)
    # Where several outcomes are right, no one of them is expected.
    single = expected.scores[0] if expected and len(expected.scores) == 1 else ""
    return SlideRequest(
        path=path,
        display_path=path_text(path),
        key=_key(row),
        mpp=_number(row, own) if own else mpp,
        mpp_source="manifest" if own else "argument",
        regions=_resolve(row, "regions") if row.text("regions") else None,
        case_id=row.text("case_id"),
        block_id=row.text("block_id"),
        specimen_type=row.text("specimen_type"),
        site=row.text("site"),
        assay=row.text("assay"),
        stain_run=row.text("stain_run"),
        role="control" if _choice(row, "role", _ROLES) == "control" else "test",
        expected_score=single,
        index_block=_choice(row, "index_block", _BOOLS) == "true",
    )


def _resolve(row: UserRow, column: str) -> Path:
    # The raw cell: a file name may begin or end with a space.
    return Path(row.file).parent / row.cells[column]


def _choice(row: UserRow, column: str, allowed: tuple[str, ...]) -> str:
    value = row.text(column)
    if value and value not in allowed:
        raise row.wrong(
            column, f"{value!r} is not allowed", fix=f"Allowed: {', '.join(allowed)}, or empty."
        )
    return value


def _expected(row: UserRow, *, truth: bool) -> ExpectedOutcome | None:
    """Return what the slide may come out as; sets and refusals are for an acceptance only."""
    column = "expected_score"
    text = row.text(column) if truth else _choice(row, column, _SCORES)
    if not text:
        return None
    try:
        return ExpectedOutcome.parse(text)
    except ValueError as error:
        raise row.wrong(
            column,
            str(error),
            fix="Give 0, 1+, 2+ or 3+, several as 0;1+, not_scorable, not_scorable:REASON, or "
            "nothing.",
        ) from error


def _check_index_block(
    row: UserRow, request: SlideRequest, declared: dict[str, tuple[str, int]]
) -> None:
    """Refuse an index block without a name, and a second one of the same case."""
    if not request.index_block:
        return
    if not (request.case_id and request.block_id):
        raise row.wrong(
            "index_block",
            "needs case_id and block_id",
            fix="Name the case and the block, or leave it.",
        )
    block, line = declared.setdefault(request.case_id, (request.block_id, row.row))
    if block != request.block_id:
        raise row.wrong(
            "index_block",
            f"case {request.case_id!r} has the index block {block!r} on line {line}",
            fix="Declare one index block for a case.",
        )


def _number(row: UserRow, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise row.wrong(
            "mpp", f"{text!r} is not a number above 0", fix="Give µm per pixel, e.g. 0.25."
        )
    return value
