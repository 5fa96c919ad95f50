"""The CSV manifest: one row per slide, checked as a whole before any work begins."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathology.acceptance.expected import ExpectedOutcome
from pathology.acceptance.facts import Stated
from pathology.errors import UsageError
from pathology.pipeline import SlideRequest
from pathology.runs import path_text
from pathology.runs.csvfile import check_separator

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


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One line of a manifest with what is needed to name it in an error."""

    manifest: Path
    line: int
    cells: dict[str, str]
    truth: bool = False

    def text(self, column: str) -> str:
        return self.cells.get(column, "").strip()

    def wrong(self, column: str, problem: str, fix: str) -> UsageError:
        return UsageError(
            f"{self.manifest}: line {self.line}, column {column!r}: {problem}", fix=fix
        )

    def choice(self, column: str, allowed: tuple[str, ...]) -> str:
        value = self.text(column)
        if value and value not in allowed:
            raise self.wrong(
                column, f"{value!r} is not allowed", f"Allowed: {', '.join(allowed)}, or empty."
            )
        return value

    def expected(self) -> ExpectedOutcome | None:
        """Return what the slide may come out as; sets and refusals are for an acceptance only."""
        text = self.text("expected_score") if self.truth else self.choice("expected_score", _SCORES)
        if not text:
            return None
        try:
            return ExpectedOutcome.parse(text)
        except ValueError as error:
            raise self.wrong(
                "expected_score",
                str(error),
                "Give 0, 1+, 2+ or 3+, several as 0;1+, not_scorable, not_scorable:REASON, or "
                "nothing.",
            ) from error

    def resolve(self, column: str) -> Path:
        # The raw cell: a file name may begin or end with a space.
        return self.manifest.parent / self.cells[column]


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
        request = _request(row, mpp)
        _check_index_block(row, request, index_blocks)
        key = os.path.normpath(request.path.absolute())
        if key in seen:
            raise row.wrong(
                "path",
                f"{row.cells['path']!r} is listed twice (first on line {seen[key]})",
                "Keep one row per slide.",
            )
        seen[key] = row.line
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
            expected=row.expected(),
            saw_score={"true": True, "false": False}.get(row.choice("saw_score", _BOOLS)),
        )
        for row in _rows(path, truth=True)
    }


def _key(row: _Row) -> str:
    return Path(row.cells["path"]).as_posix()


def _rows(path: Path, *, truth: bool) -> Iterator[_Row]:
    """Yield the non-empty lines below a checked header."""
    try:
        # utf-8-sig drops the byte-order mark that spreadsheet programs write.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, truth=truth)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise UsageError(
                        f"{path}: line {reader.line_num}: {len(cells)} values under "
                        f"{len(header)} column names",
                        fix="Put values that contain a comma in double quotes.",
                    )
                values = dict(zip(header, cells, strict=True))
                yield _Row(manifest=path, line=reader.line_num, cells=values, truth=truth)
    except OSError as error:
        raise UsageError(f"{path}: the manifest cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: the manifest is not UTF-8 text ({error.reason} at byte {error.start})",
            fix="Save it as CSV UTF-8.",
        ) from error
    except csv.Error as error:
        raise UsageError(
            f"{path}: line {reader.line_num}: not valid CSV ({error})",
            fix="Check the quotes of this line.",
        ) from error


def _check_header(path: Path, header: list[str], *, truth: bool) -> None:
    check_separator(header, where=f"{path}: line 1")
    columns = (*MANIFEST_COLUMNS, *TRUTH_COLUMNS) if truth else MANIFEST_COLUMNS
    known = ", ".join(columns)
    unknown = [name for name in header if name not in columns]
    if unknown:
        raise UsageError(
            f"{path}: line 1: unknown column {unknown[0]!r}",
            fix=f"Columns, separated by commas: {known}.",
        )
    if "path" not in header:
        raise UsageError(f"{path}: line 1: there is no column 'path'", fix=f"Columns: {known}.")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise UsageError(f"{path}: line 1: column {twice[0]!r} is there twice", fix="Keep one.")


def _request(row: _Row, mpp: float | None) -> SlideRequest:
    if not row.text("path"):
        raise row.wrong("path", "is empty", "Give the path of a slide, or delete the line.")
    own = row.text("mpp")
    path = row.resolve("path")
    expected = row.expected()
    # Where several outcomes are right, no one of them is expected.
    single = expected.scores[0] if expected and len(expected.scores) == 1 else ""
    return SlideRequest(
        path=path,
        display_path=path_text(path),
        key=_key(row),
        mpp=_number(row, own) if own else mpp,
        mpp_source="manifest" if own else "argument",
        regions=row.resolve("regions") if row.text("regions") else None,
        case_id=row.text("case_id"),
        block_id=row.text("block_id"),
        specimen_type=row.text("specimen_type"),
        site=row.text("site"),
        assay=row.text("assay"),
        stain_run=row.text("stain_run"),
        role="control" if row.choice("role", _ROLES) == "control" else "test",
        expected_score=single,
        index_block=row.choice("index_block", _BOOLS) == "true",
    )


def _check_index_block(
    row: _Row, request: SlideRequest, declared: dict[str, tuple[str, int]]
) -> None:
    """Refuse an index block without a name, and a second one of the same case."""
    if not request.index_block:
        return
    if not (request.case_id and request.block_id):
        raise row.wrong(
            "index_block", "needs case_id and block_id", "Name the case and the block, or leave it."
        )
    block, line = declared.setdefault(request.case_id, (request.block_id, row.line))
    if block != request.block_id:
        raise row.wrong(
            "index_block",
            f"case {request.case_id!r} has the index block {block!r} on line {line}",
            "Declare one index block for a case.",
        )


def _number(row: _Row, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise row.wrong("mpp", f"{text!r} is not a number above 0", "Give µm per pixel, e.g. 0.25.")
    return value
