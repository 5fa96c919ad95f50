"""The tables of a cohort for statistics: slides, cases, what the columns mean, and the run.

CSV and Parquet always, one Excel file by the kind ``xlsx``. A text that a spreadsheet would run as
a formula gets an apostrophe in front in CSV and Excel; Parquet holds every text as it is.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pathology import __version__
from pathology.report.job import ExportJob, ExportSlide, import_extra
from pathology.report.table_words import describe_column, unit_of
from pathology.report.words import RESEARCH_USE_ONLY
from pathology.runs import CASE_COLUMNS, COLUMN_KINDS, RESULT_COLUMNS, CaseRow, summarise_cases
from pathology.runs.atomic import disk_errors
from pathology.runs.csvfile import Cell, guard, render_csv
from pathology.runs.ish_store import read_ish
from pathology.runs.outputs import OutputFolder
from pathology.runs.results import row_cells
from pathology.runs.schema import TABLE_OPTIONS

__all__ = ["Sheet", "sheets_of", "write_tables", "write_workbook"]

_ADDED: Final = ("specimen_type", "site", "stain_run", "deciding_clause")
_REVIEW: Final = (
    "reviewer",
    "review_state",
    "reviewer_agrees",
    "reviewer_score",
    "reviewer_reason",
    "reviewed_at",
    "reviewer_tier",
    "reviewer_not_scorable",
    "reviewer_comment",
    "run_ihc_score",
)
_TYPES: Final = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
_STATUSES: Final = ("scored", "not_scorable", "failed")
#: An Excel sheet holds 1,048,576 rows, its header among them.
_MAX_ROWS: Final = 1_048_575


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Hold one table.

    Parameters
    ----------
    name
        Of the sheet and of the files.
    kinds
        Kind of each column, in their order: ``text``, ``int``, ``float`` or ``bool``.
    rows
        One value for each column.
    """

    name: str
    kinds: Mapping[str, str]
    rows: Sequence[Mapping[str, Cell]]


def sheets_of(job: ExportJob) -> list[Sheet]:
    """Return the tables of an export: cases, slides, columns and provenance.

    Parameters
    ----------
    job
        The slides; a case is there where one of its slides is.
    """
    slides, cases = _slides(job), _cases(job)
    return [cases, slides, _columns(cases, slides), _provenance(job, cases)]


def write_tables(job: ExportJob, folder: OutputFolder) -> list[Path]:
    """Write each table as CSV and as Parquet.

    Parameters
    ----------
    job
        The slides.
    folder
        Where to write.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    SlideError
        If a file cannot be written.
    """
    written = []
    for sheet in sheets_of(job):
        content = render_csv(list(sheet.kinds), sheet.rows)
        written.append(folder.write(f"{sheet.name}.csv", content))
        fields = [
            pa.field(name, _TYPES.get(kind, pa.string())) for name, kind in sheet.kinds.items()
        ]
        table = pa.Table.from_pylist([dict(row) for row in sheet.rows], schema=pa.schema(fields))
        with folder.open(f"{sheet.name}.parquet") as file, disk_errors(file.path):
            pq.write_table(table, file.stream, **TABLE_OPTIONS)
        written.append(file.path)
    for slide in job.slides:
        job.step(slide.result.slide_id)
    return written


def write_workbook(job: ExportJob, folder: OutputFolder) -> list[Path]:
    """Write the tables, and ``cohort.xlsx`` with a sheet for each.

    Parameters
    ----------
    job, folder
        As in :func:`write_tables`.

    Returns
    -------
    list of pathlib.Path
        The files, the workbook first.
    """
    stream = io.BytesIO()
    _fill_workbook(stream, sheets_of(job), job)
    book = folder.write("cohort.xlsx", stream.getvalue())
    return [book, *write_tables(job, folder)]


def _fill_workbook(stream: io.BytesIO, sheets: Sequence[Sheet], job: ExportJob) -> None:
    library = import_extra("xlsxwriter", "xlsx")
    # Row by row to disk; no text is ever taken for a formula, a number or a link.
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    book = library.Workbook(stream, options)
    made = job.made_at or "1980-01-01T00:00:00"
    book.set_properties(
        {
            "title": "HER2 IHC results",
            "comments": RESEARCH_USE_ONLY,
            "author": f"her2-ihc {__version__}",
            # The time of the run: the same run gives the same file.
            "created": datetime.fromisoformat(made).replace(tzinfo=None),
        }
    )
    bold = book.add_format({"bold": True, "bottom": 1})
    for sheet in sheets:
        _fill_sheet(book.add_worksheet(sheet.name), sheet, bold)
    book.close()


def _fill_sheet(page: Any, sheet: Sheet, bold: Any) -> None:
    page.freeze_panes(1, 1)
    page.set_header(f"&L{sheet.name}&R{RESEARCH_USE_ONLY}")
    for column, name in enumerate(sheet.kinds):
        page.set_column(column, column, min(max(len(name) + 2, 10), 32))
    page.autofilter(0, 0, min(len(sheet.rows), _MAX_ROWS), len(sheet.kinds) - 1)
    for column, name in enumerate(sheet.kinds):
        page.write_string(0, column, name, bold)
    for number, row in enumerate(sheet.rows[:_MAX_ROWS], start=1):
        for column, name in enumerate(sheet.kinds):
            value = row[name]
            if isinstance(value, bool):
                page.write_boolean(number, column, value)
            elif isinstance(value, int | float):
                page.write_number(number, column, value)
            elif value is not None:
                page.write_string(number, column, guard(value))


def _slides(job: ExportJob) -> Sheet:
    kinds = {name: "text" if kind == "codes" else kind for name, kind in COLUMN_KINDS.items()}
    kinds |= dict.fromkeys((*_ADDED, *_REVIEW), "text")
    kinds |= dict.fromkeys(("reviewer_agrees", "reviewer_not_scorable"), "bool")
    return Sheet(name="slides", kinds=kinds, rows=[_slide_row(slide) for slide in job.slides])


def _slide_row(slide: ExportSlide) -> dict[str, Cell]:
    result, decision = slide.result, slide.decision
    row = row_cells(result)
    row |= {name: getattr(result, name) for name in _ADDED}
    row |= dict.fromkeys(_REVIEW)
    if decision is not None:
        row |= {
            "reviewer": decision.reviewer or None,
            "review_state": decision.state,
            "reviewer_agrees": decision.agrees,
            "reviewer_score": decision.ihc_score,
            "reviewer_reason": decision.reason or None,
            "reviewed_at": decision.at or None,
            "reviewer_tier": decision.her2_tier,
            "reviewer_not_scorable": decision.not_scorable,
            "reviewer_comment": decision.comment or None,
            "run_ihc_score": decision.run_score or None,
        }
    return row


def _cases(job: ExportJob) -> Sheet:
    rows = summarise_cases([slide.source for slide in job.slides], read_ish(job.root))
    found = [row.model_dump() if job.names is None else _hide(row, job) for row in rows]
    found.sort(key=lambda row: (str(row["case_id"]), not row["case_id_given"]))
    kinds = {name: _case_kind(name) for name in CASE_COLUMNS}
    return Sheet(name="cases", kinds=kinds, rows=found)


def _case_kind(name: str) -> str:
    text = str(CaseRow.model_fields[name].annotation)
    return "bool" if "bool" in text else "int" if "'int'" in text else "text"


def _hide(row: CaseRow, job: ExportJob) -> dict[str, Cell]:
    """Return a case under the pseudonyms of its slides, its blocks and itself."""
    names, values = job.names, row.model_dump()
    if names is None:  # pragma: no cover - asked for under pseudonyms only
        return values
    # A case without a name of its own is called like its slide.
    kind = "case" if row.case_id_given else "slide"
    case = row.case_id if row.case_id_given else None
    values["case_id"] = names.name(kind, row.case_id)
    slides = row.slide_ids.split(";")
    values["slide_ids"] = ";".join(sorted(names.name("slide", slide) for slide in slides))
    if row.deciding_slide_id:
        values["deciding_slide_id"] = names.name("slide", row.deciding_slide_id)
    shown = {slide: names.name("slide", slide) for slide in slides}
    for column in ("deciding_block_id", "index_block_id", "final_block_id"):
        blocks = str(values[column]).split(";") if values[column] else []
        shown |= {block: names.block(case, block) for block in blocks}
        values[column] = ";".join(shown[block] for block in blocks) or None
    for slide in job.slides:
        if slide.source.slide_id in slides and slide.source.block_id:
            shown[slide.source.block_id] = names.block(case, slide.source.block_id)
    shown[row.case_id] = str(values["case_id"])
    values["final_clause"] = _replace_names(row.final_clause, shown)
    return values


def _replace_names(text: str, shown: Mapping[str, str]) -> str:
    """Replace whole names, the longest first, so that a short one is not cut out of a long one."""
    names = sorted(shown, key=len, reverse=True)
    pattern = "|".join(re.escape(name) for name in names)
    return re.sub(rf"(?<![\w.-])(?:{pattern})(?![\w-])", lambda m: shown[m.group()], text)


def _columns(*sheets: Sheet) -> Sheet:
    rows: list[dict[str, Cell]] = [
        {
            "table": sheet.name,
            "column": name,
            "type": kind,
            "unit": unit_of(name) or None,
            "meaning": describe_column(name),
        }
        for sheet in sheets
        for name, kind in sheet.kinds.items()
    ]
    return Sheet(name="columns", kinds=dict.fromkeys(rows[0], "text"), rows=rows)


def _provenance(job: ExportJob, cases: Sheet) -> Sheet:
    results = [slide.result for slide in job.slides]

    def several(name: str) -> str:
        return ";".join(sorted({str(v) for r in results if (v := getattr(r, name)) is not None}))

    status = [result.status for result in results]
    pairs: list[tuple[str, str]] = [
        ("use", RESEARCH_USE_ONLY),
        ("run", job.run_name),
        ("run finished", job.made_at or ""),
        ("exported by", f"her2-ihc {__version__}"),
        ("names", "original" if job.names is None else "pseudonyms"),
        ("slides in the run", str(job.n_in_run)),
        ("slides exported", str(len(results))),
        *(
            (f"slides {word}", str(status.count(word)))
            for word in ("scored", "not_scorable", "failed")
        ),
        ("cases", str(len(cases.rows))),
        ("slides with a reviewer's decision", str(sum(s.decision is not None for s in job.slides))),
        ("columns of slides", str(len(RESULT_COLUMNS) + len(_ADDED) + len(_REVIEW))),
        *((name, several(name)) for name in ("guideline", "calibration", "model", "model_sha256")),
        ("configuration", several("config_hash")),
    ]
    rows: list[dict[str, Cell]] = [{"name": n, "value": v or None} for n, v in pairs]
    return Sheet(name="provenance", kinds={"name": "text", "value": "text"}, rows=rows)
