"""Make a cohort study from files, and write it: JSON, one CSV per table, one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from pathology import __version__
from pathology.cohort import RunScore, Study, StudyOptions, Table, parse_cohort, run_study
from pathology.report.cohort_page import render_study
from pathology.report.words import RESEARCH_USE_ONLY
from pathology.runs.atomic import atomic_write_bytes, output_errors
from pathology.runs.case_scores import read_case_scores, read_patient_rows
from pathology.runs.csvfile import render_csv
from pathology.runs.outputs import OutputFolder

__all__ = ["STUDY_PAGE", "StudyFiles", "study_cohort", "write_table"]

STUDY_PAGE: Final = "cohort.html"
_JSON: Final = "cohort.json"
_INDEX: Final = "tables.csv"


@dataclass(frozen=True, kw_only=True)
class StudyFiles:
    """Hold a study and the files that it was written to.

    Parameters
    ----------
    study
        The study.
    page
        The page.
    paths
        All files, the page first.
    """

    study: Study
    page: Path
    paths: tuple[Path, ...]


def study_cohort(
    table: Path, out: Path, options: StudyOptions, *, results: Path | None = None
) -> StudyFiles:
    """Read a table of patients, study it, and write what was found.

    Parameters
    ----------
    table
        CSV, one row per patient.
    out
        Folder to write into; made where it is missing. Files of an earlier study are replaced,
        other files never.
    options
        What to make.
    results
        Output folder of ``her2 score``, whose scores are joined by ``case_id``.

    Returns
    -------
    StudyFiles
        What was written.

    Raises
    ------
    UsageError
        If the table is wrong, naming row and column, the folder cannot be written, or a file is in
        the way that no study wrote.
    """
    folder = OutputFolder(out, command="her2 cohort")
    folder.check((STUDY_PAGE, _JSON, _INDEX))  # before minutes of resampling
    given = read_patient_rows(table)
    rows = [(row.row, row.cells) for row in given.rows]
    markers = (options.cutoff.marker,) if options.cutoff else ()
    run = None
    if results is not None:
        run = {
            case: RunScore(
                ihc=found.ihc, status=found.status, ish=found.ish, biomarkers=found.numbers
            )
            for case, found in read_case_scores(results, numbers=markers).items()
        }
    cohort = parse_cohort(given.file, given.columns, rows, biomarkers=markers, run=run)
    study = run_study(cohort, options)
    return _write(study, table, folder, options)


def write_table(path: Path, table: Table) -> None:
    """Write one table as CSV.

    Raises
    ------
    OutputError
        If the disk is full or the file cannot be written.
    """
    with output_errors():
        atomic_write_bytes(path, _csv(table))


def _write(study: Study, table: Path, folder: OutputFolder, options: StudyOptions) -> StudyFiles:
    tables = (*study.tables, *study.data)
    files = {f"{found.name}.csv": _csv(found) for found in tables}
    files[_INDEX] = _index(tables)
    files[_JSON] = orjson.dumps(_as_json(study, options), option=orjson.OPT_INDENT_2)
    # The page last: where it stands, all it refers to stands as well.
    html = render_study(study, name=table.name, settings=_settings(options))
    files[STUDY_PAGE] = html.encode()
    folder.check(files)
    with output_errors():
        paths = [folder.write(name, content) for name, content in files.items()]
    return StudyFiles(study=study, page=paths[-1], paths=(paths[-1], *paths[:-1]))


def _csv(table: Table) -> bytes:
    return render_csv([column.name for column in table.columns], table.records())


def _index(tables: Sequence[Table]) -> bytes:
    columns = ("table", "title", "rows_in", "rows_out", "left_out")
    return render_csv(
        columns,
        [
            {
                "table": found.name,
                "title": found.title,
                "rows_in": found.account.rows_in,
                "rows_out": found.account.rows_out,
                "left_out": "; ".join(f"{n} {why}" for why, n in found.account.left_out) or None,
            }
            for found in tables
        ],
    )


def _as_json(study: Study, options: StudyOptions) -> dict[str, Any]:
    return {
        "program": f"her2-ihc {__version__}",
        "use": RESEARCH_USE_ONLY,
        "table": Path(study.name).name,
        "options": _plain(options),
        "notes": study.notes,
        "warnings": study.cutoffs.warnings if study.cutoffs else (),
        "tables": {
            found.name: {
                "title": found.title,
                "rows_in": found.account.rows_in,
                "rows_out": found.account.rows_out,
                "left_out": dict(found.account.left_out),
                "notes": found.notes,
                "rows": found.records(),
            }
            for found in (*study.tables, *study.data)
        },
    }


def _plain(options: StudyOptions) -> dict[str, Any]:
    return {
        "parts": options.parts,
        "treatment": options.treatment,
        "control": options.control,
        "basis": options.basis,
        "alpha": options.alpha,
        "os_information": options.os_information,
        "criteria": vars(options.criteria) if options.criteria else None,
        "cutoff": vars(options.cutoff) if options.cutoff else None,
    }


def _settings(options: StudyOptions) -> list[str]:
    basis = (options.basis or "as randomised where the table has it").replace("_", " ")
    lines = [f"Strata and hormone receptors of the tests: {basis}."]
    if "survival" in options.parts:
        lines.append(
            f"Two-sided error {options.alpha:g}; overall survival at information fraction "
            f"{options.os_information:g}."
        )
    return lines
