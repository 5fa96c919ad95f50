"""``results.csv`` and ``results.parquet``: one row for every input slide, whatever happened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pathology.errors import OutputError
from pathology.runs.atomic import AtomicFile, atomic_write_bytes, disk_errors, output_errors
from pathology.runs.csvfile import Cell, parse_csv, render_csv
from pathology.runs.layout import RESULT, RESULTS_CSV, RESULTS_PARQUET, slide_folder
from pathology.runs.result import SlideResult
from pathology.runs.row import COLUMN_KINDS, FIRST_COLUMNS, RESULT_COLUMNS, ResultRow
from pathology.runs.schema import RESULT_SCHEMA, TABLE_OPTIONS

__all__ = [
    "read_results",
    "read_rows",
    "read_slide_result",
    "row_cells",
    "sort_results",
    "write_results",
]


def sort_results(results: Iterable[SlideResult]) -> list[SlideResult]:
    """Put results into the order of the tables: by path, then by slide id.

    The order in which slides were finished plays no part.

    Raises
    ------
    OutputError
        If a slide id occurs twice.
    """
    ordered = sorted(results, key=lambda result: (result.path, result.slide_id))
    seen: set[str] = set()
    for result in ordered:
        if result.slide_id in seen:
            raise OutputError(f"{result.path}: slide id {result.slide_id} occurs twice")
        seen.add(result.slide_id)
    return ordered


def row_cells(row: ResultRow) -> dict[str, Cell]:
    """Turn a result into the values of its row, words joined by ``;``.

    Examples
    --------
    >>> row = ResultRow(slide_id="a", path="a", status="failed",
    ...                 reasons=("disk_full", "unreadable"))
    >>> row_cells(row)["reasons"]
    'unreadable;disk_full'
    """
    cells: dict[str, Cell] = {}
    for name, kind in COLUMN_KINDS.items():
        value = getattr(row, name)
        cells[name] = (";".join(value) or None) if kind == "codes" else value
    return cells


def write_results(folder: Path, results: Iterable[SlideResult]) -> list[SlideResult]:
    """Write ``results.csv`` and ``results.parquet``.

    Both hold the same rows in the same order; numbers are rounded in the CSV file only.

    Parameters
    ----------
    folder
        The run folder.
    results
        One for every input slide, in any order.

    Returns
    -------
    list of SlideResult
        The results in the order of the tables.

    Raises
    ------
    OutputError
        If a slide id occurs twice, the disk is full or the folder cannot be written.
    """
    ordered = sort_results(results)
    # Columns, not rows: of ten thousand slides these take a tenth of the memory.
    columns: dict[str, list[Cell]] = {name: [] for name in RESULT_COLUMNS}
    for result in ordered:
        for name, cell in row_cells(result).items():
            columns[name].append(cell)
    table = pa.Table.from_pydict(columns, schema=RESULT_SCHEMA)
    rows = (
        dict(zip(RESULT_COLUMNS, cells, strict=True))
        for cells in zip(*columns.values(), strict=True)
    )
    path = folder / RESULTS_PARQUET
    with output_errors():
        with AtomicFile(path) as file, disk_errors(path):
            pq.write_table(table, file.stream, **TABLE_OPTIONS)
        atomic_write_bytes(folder / RESULTS_CSV, render_csv(RESULT_COLUMNS, rows))
    return ordered


def read_rows(path: Path) -> list[ResultRow]:
    """Read a ``results.csv`` (or ``results.parquet``): texts exactly as they were.

    Parameters
    ----------
    path
        The file, CSV unless its name ends in ``.parquet``; numbers of a CSV file are as they were
        rounded. Columns that a later version appended are left out.

    Returns
    -------
    list of ResultRow
        In the order of the file.

    Raises
    ------
    OutputError
        If the file is missing, or is not such a table; names the row and the column.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be read ({error.strerror or error})",
            fix="Name the output folder of `her2 score`; an interrupted run is finished by the "
            "same command.",
        ) from error
    if path.suffix == ".parquet":
        return _parse_parquet(content, path)
    columns, rows = parse_csv(content, name=str(path))
    known = tuple(columns[: len(RESULT_COLUMNS)])
    # A table of an earlier version ends earlier; what it does not say is empty.
    if len(known) < FIRST_COLUMNS or known != RESULT_COLUMNS[: len(known)]:
        raise OutputError(f"{path}: these are not the columns of a table of results")
    return [_parse_row(row, where=f"{path}: row {n}") for n, row in enumerate(rows, start=2)]


def read_results(folder: Path | str) -> list[SlideResult]:
    """Read the results of a run.

    Parameters
    ----------
    folder
        The folder given as ``--out`` to ``her2 score``.

    Returns
    -------
    list of SlideResult
        One for every row of ``results.csv``, in its order, with everything that the slide's
        ``result.json`` says; from the row alone where that file could not be written.

    Raises
    ------
    OutputError
        If the folder holds no finished run, or its files contradict each other.
    """
    root = Path(folder)
    return [read_slide_result(root, row) for row in read_rows(root / RESULTS_CSV)]


def read_slide_result(root: Path, row: ResultRow) -> SlideResult:
    """Read everything of one slide, from the row alone where it has no ``result.json``.

    Parameters
    ----------
    root
        The run folder.
    row
        The slide's row of ``results.csv``.

    Raises
    ------
    OutputError
        If ``result.json`` is damaged or contradicts the row.
    """
    path = slide_folder(root, row.slide_id) / RESULT
    try:
        result = SlideResult.from_json(path.read_bytes())
    except FileNotFoundError:
        return SlideResult(**{name: getattr(row, name) for name in RESULT_COLUMNS})
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error})") from error
    if (result.slide_id, result.status, result.ihc_score) != (
        row.slide_id,
        row.status,
        row.ihc_score,
    ):
        raise OutputError(
            f"{path} and {RESULTS_CSV} disagree on this slide",
            fix="Give the command of the run again, so that it writes its tables anew.",
        )
    return result


def _parse_parquet(content: bytes, path: Path) -> list[ResultRow]:
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise OutputError(f"{path}: is not a Parquet table ({error})") from error
    if tuple(table.column_names[: len(RESULT_COLUMNS)]) != RESULT_COLUMNS:
        raise OutputError(f"{path}: these are not the columns of a table of results")
    rows = []
    for number, row in enumerate(table.select(list(RESULT_COLUMNS)).to_pylist(), start=1):
        values = {
            name: tuple(row[name].split(";")) if row[name] else ()
            for name, kind in COLUMN_KINDS.items()
            if kind == "codes"
        }
        rows.append(_make_row({**row, **values}, where=f"{path}: row {number}"))
    return rows


def _parse_row(row: dict[str, str], *, where: str) -> ResultRow:
    values: dict[str, Any] = {}
    for name, kind in COLUMN_KINDS.items():
        if name not in row:
            continue
        try:
            values[name] = _parse_cell(row[name], kind)
        except ValueError as error:
            raise OutputError(f"{where}: column {name}: {error}") from error
    return _make_row(values, where=where)


def _make_row(values: dict[str, Any], *, where: str) -> ResultRow:
    try:
        return ResultRow(**values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise OutputError(f"{where}: {place} {first['msg']}".strip()) from error


def _parse_cell(text: str, kind: str) -> object:
    if kind == "codes":
        return tuple(text.split(";")) if text else ()
    if not text:
        return None
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        # Spreadsheets write TRUE.
        return text.lower() == "true"
    if kind == "int":
        return int(text)
    return float(text) if kind == "float" else text
