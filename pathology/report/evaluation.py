"""``her2 evaluate``: results against readers, as JSON, tables and one page."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pathology import __version__
from pathology.agreement import (
    CONSENSUS,
    ContinuousAgreement,
    Evaluation,
    Options,
    compare_numbers,
    evaluate_study,
)
from pathology.errors import OutputError, UsageError
from pathology.report.evaluation_gather import ContinuousColumns, Gathered, gather_study
from pathology.report.evaluation_page import render_evaluation
from pathology.report.evaluation_tables import (
    LABELS,
    TABLES,
    TIER_LABELS,
    comparisons,
    named_flows,
    table_rows,
)
from pathology.runs.atomic import output_errors
from pathology.runs.csvfile import render_csv
from pathology.runs.layout import RESULTS_CSV
from pathology.runs.outputs import OutputFolder

__all__ = ["EVALUATION_VERSION", "EvaluationRequest", "evaluate_results"]

#: Version of the form of ``evaluation.json``.
EVALUATION_VERSION: Final = 1
JSON_NAME: Final = "evaluation.json"
PAGE_NAME: Final = "evaluation.html"
TABLE_FOLDER: Final = "tables"


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """Say what is compared with what.

    Parameters
    ----------
    results
        Run folder, ``results.csv`` or ``results.parquet``.
    readers
        Reader files, at least one.
    options
        Reference, ties and bootstrap.
    calibrations
        Calibration files whose slides are refused as reference.
    continuous
        Columns of a measured number; None for none.
    allow_unknown
        Whether readings of slides that the results do not hold are listed, in place of an error.
    """

    results: Path
    readers: tuple[Path, ...]
    options: Options
    calibrations: tuple[Path, ...] = ()
    continuous: ContinuousColumns | None = None
    allow_unknown: bool = False


def evaluate_results(request: EvaluationRequest, out: Path, *, force: bool = False) -> list[str]:
    """Compare results with readers and write what was found.

    Parameters
    ----------
    request
        What to compare.
    out
        Folder for ``evaluation.json``, ``evaluation.html`` and ``tables/*.csv``.
    force
        Whether an evaluation that is there is replaced; other files never are.

    Returns
    -------
    list of str
        A short summary, line by line.

    Raises
    ------
    UsageError
        If an input is wrong, ``out`` holds an evaluation and ``force`` is not given, or a file is
        in the way that no evaluation wrote.
    """
    folder = OutputFolder(out, command="her2 evaluate")
    _check_out(folder, force=force)
    gathered = gather_study(
        request.results,
        request.readers,
        calibrations=request.calibrations,
        continuous=request.continuous,
        allow_unknown=request.allow_unknown,
    )
    _check_reference(request.options.reference, gathered)
    evaluation = evaluate_study(gathered.study, request.options)
    continuous = _numbers(gathered, request.options)
    tables = table_rows(evaluation, gathered, continuous)
    files = {_table_file(name): render_csv(TABLES[name], rows) for name, rows in tables.items()}
    files[JSON_NAME] = _json(request, gathered, evaluation, continuous)
    page = render_evaluation(
        gathered, evaluation, continuous, options=request.options, columns=request.continuous
    )
    files[PAGE_NAME] = page.encode()
    with output_errors():
        for name, content in files.items():
            folder.write(name, content)
    return summary_lines(gathered, evaluation)


def _table_file(name: str) -> str:
    return f"{TABLE_FOLDER}/{name}.csv"


def _check_out(folder: OutputFolder, *, force: bool) -> None:
    out = folder.path
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file", fix="Name a folder with --out.")
    folder.check((JSON_NAME, PAGE_NAME, *map(_table_file, TABLES)))
    if (out / JSON_NAME).exists() and not force:
        raise OutputError(
            f"{out}: holds an evaluation", fix="Name another folder, or give --force to replace it."
        )


def _check_reference(name: str | None, gathered: Gathered) -> None:
    known = (*gathered.study.readers, CONSENSUS)
    if name is not None and name not in known:
        raise UsageError(
            f"--reference {name!r}: there is no such reader with an accepted reading",
            fix=f"Known: {', '.join(known)}.",
        )


def _numbers(gathered: Gathered, options: Options) -> ContinuousAgreement | None:
    if gathered.numbers is None or gathered.program_numbers is None:
        return None
    return compare_numbers(
        gathered.program_numbers,
        gathered.study.readers,
        gathered.numbers,
        patient=gathered.study.patient,
        bootstrap=options.bootstrap,
    )


def _json(
    request: EvaluationRequest,
    gathered: Gathered,
    evaluation: Evaluation,
    continuous: ContinuousAgreement | None,
) -> bytes:
    content = {
        "evaluation_version": EVALUATION_VERSION,
        "program": f"her2-ihc {__version__}",
        "research_use_only": True,
        "reference": evaluation.reference.name,
        "ties": request.options.ties,
        "bootstrap": asdict(request.options.bootstrap),
        "inputs": _inputs(request, gathered),
        "readers": list(gathered.study.readers),
        "refused": [item.record for item in gathered.refused],
        "categories": list(LABELS),
        "comparisons": [
            {"against": name, "site": site, **_comparison(comparison)}
            for name, site, comparison in comparisons(evaluation)
        ],
        "tier_categories": list(TIER_LABELS),
        "tiers": None if evaluation.tiers is None else asdict(evaluation.tiers),
        "among_readers": None if evaluation.panel is None else asdict(evaluation.panel),
        "leave_one_out": [asdict(one) for one in evaluation.leave_one_out],
        "continuous": None if continuous is None else asdict(continuous),
        "flow": [
            {
                "table": name,
                "slides_in": flow.slides_in,
                "slides_used": flow.slides_used,
                "left_out": dict(flow.left_out),
            }
            for name, flow in named_flows(evaluation, continuous)
        ],
    }
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _comparison(comparison: Any) -> dict[str, Any]:
    return {**asdict(comparison), "coefficients": dict(comparison.coefficients)}


def _inputs(request: EvaluationRequest, gathered: Gathered) -> dict[str, Any]:
    return {
        "results": _results_input(request.results),
        "result_rows": gathered.result_rows,
        "control_rows": gathered.control_rows,
        "slides_with_case_id": gathered.case_ids,
        "slides_with_patient_id": gathered.patient_ids,
        "calibrations": list(gathered.calibrations),
        "models": list(gathered.models),
        "guidelines": list(gathered.guidelines),
        "continuous": None if request.continuous is None else asdict(request.continuous),
        "reader_files": [
            {
                "name": file.name,
                "sha256": file.sha256,
                "form": file.form,
                "rows": file.rows,
                "readings": len(file.readings),
                "columns_not_used": list(file.columns_not_used),
                "says_saw_score": file.says_saw_score,
            }
            for file in gathered.files
        ],
    }


def _results_input(path: Path) -> dict[str, str]:
    table = path / RESULTS_CSV if path.is_dir() else path
    return {"name": table.name, "sha256": hashlib.sha256(table.read_bytes()).hexdigest()}


def _plain(value: Any) -> Any:
    """Make a value ready for JSON: estimates as dictionaries, nothing in place of NaN."""
    if hasattr(value, "__dataclass_fields__"):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def summary_lines(gathered: Gathered, evaluation: Evaluation) -> list[str]:
    """Say in a few lines what was found."""
    program, study = evaluation.program, gathered.study
    overall = program.share("all")
    lines = [
        f"{gathered.result_rows} rows of results, {len(study.readers)} readers; reference: "
        f"{evaluation.reference.name}; {program.flow.slides_used} of {program.flow.slides_in} "
        "slides compared",
        *(f"left out: {n} ({reason})" for reason, n in program.flow.left_out),
    ]
    reasons: dict[str, int] = {}
    for item in gathered.refused:
        reasons[item.reason] = reasons.get(item.reason, 0) + 1
    lines += [f"refused: {n} readings ({reason})" for reason, n in sorted(reasons.items())]
    if overall.value is not None:
        lines.append(f"same score    {_share_text(overall)}")
        for cut in (">=1+", ">=2+", "3+"):
            positive, negative = program.share(cut, "positive"), program.share(cut, "negative")
            lines.append(
                f"cut {cut:<9} positive {_share_text(positive)}; negative {_share_text(negative)}"
            )
        kappa = program.coefficient("kappa_quadratic")
        if kappa.value is not None:
            lines.append(f"kappa (quadratic) {kappa.value:.3f}{_range(kappa.low, kappa.high)}")
    if evaluation.tiers is not None:
        lines.append(f"same tier     {_share_text(evaluation.tiers.overall)}")
    return lines


def _share_text(share: Any) -> str:
    if share.value is None:
        return "no slide"
    text = f"{share.agreeing}/{share.total} = {100 * share.value:.1f} %"
    if share.low is None:
        return text
    return f"{text} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
