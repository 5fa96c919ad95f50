"""``her2 calibrate``: the cut-offs of a laboratory from its own scored slides."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathology.cli.options import ReplaceFileOption

if TYPE_CHECKING:
    from datetime import date

    from pathology.calibration import Gathered, Study
    from pathology.stain.calibration import Calibration

__all__ = ["calibrate"]


def calibrate(
    run_dir: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR",
            help="Output folder of `her2 score`. Its stored cells are used; no slide is read.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Calibration file (YAML) to write; FILE.report.json is written beside it.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="CSV",
            help="Columns slide_id or path, and score (0, 1+, 2+, 3+); for controls role=control "
            "and expected_intensity (negative, faint, moderate, intense). Default: the run's own "
            "expected_score.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="METHOD",
            help="gain: one factor on all densities (4 slides or more of 2 scores). cutoffs: the "
            "three cut-offs as well (12 or more, 3 of each score).",
        ),
    ] = "gain",
    site: Annotated[
        str | None,
        typer.Option("--site", metavar="NAME", help="Laboratory; slides of others are left out."),
    ] = None,
    assay: Annotated[
        str | None,
        typer.Option("--assay", metavar="NAME", help="Antibody or kit; others are left out."),
    ] = None,
    scanner: Annotated[
        str | None, typer.Option("--scanner", metavar="NAME", help="Recorded only.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name in results. Default: FILE's own."),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="TEXT", help="Version in results. Default: the date."),
    ] = None,
    created: Annotated[
        str | None,
        typer.Option("--created", metavar="YYYY-MM-DD", help="Date to record. Default: today."),
    ] = None,
    with_names: Annotated[
        bool,
        typer.Option(
            "--with-names",
            help="Keep file names and slide ids in both files; they may identify patients.",
        ),
    ] = False,
    force: ReplaceFileOption = False,
) -> None:
    """Fit how dark a laboratory stains, and the limit of blank, to slides that people scored.

    Writes a calibration file for `her2 score --calibration`, and a report with every slide's score
    by a calibration that had not seen it. Slides are named by content hash only. A fit that says
    too little is refused.
    """
    from pathology.calibration import gather, read_labels, report_json, report_text

    day = _parse_date(created)
    _check_method(method)
    _check_target(out, force=force)
    wanted = None if labels is None else read_labels(labels)
    gathered = gather(run_dir, wanted, assay=assay, site=site)
    study = _study(gathered, method)
    calibration = _make(
        study,
        gathered,
        name=name or out.stem,
        version=version or day.isoformat(),
        created=day,
        site=site,
        assay=assay,
        scanner=scanner,
        with_paths=with_names,
    )
    report = report_json(study, gathered, calibration, with_paths=with_names)
    _write(out, calibration, report)
    print(report_text(study, gathered, calibration))
    print(f"calibration {out}, report {_report_path(out)}")


def _parse_date(text: str | None) -> date:
    from datetime import UTC, date, datetime

    from pathology.errors import UsageError

    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--created {text!r} is not a date", fix="Write 2026-01-31.") from error


def _check_method(method: str) -> None:
    from pathology.errors import UsageError

    if method not in ("gain", "cutoffs"):
        raise UsageError(f"--method {method!r} is not known", fix="Known: gain, cutoffs.")


def _study(gathered: Gathered, method: str) -> Study:
    """Fit; where that is refused, say which slides were left out, which may be why."""
    from pathology.calibration import CalibrationError, left_out_lines, study_slides

    try:
        return study_slides(
            gathered.samples, gathered.config, "gain" if method == "gain" else "cutoffs"
        )
    except CalibrationError:
        for line in left_out_lines(gathered):
            print(line, file=sys.stderr)
        raise


def _report_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.report.json")


def _check_target(out: Path, *, force: bool) -> None:
    from pathology.errors import OutputError

    if out.is_dir():
        raise OutputError(f"{out}: is a folder", fix="Name a file, such as site.yaml.")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent}: there is no such folder", fix="Make it first.")
    for path in (out, _report_path(out)):
        if path.exists() and not force:
            raise OutputError(
                f"{path}: exists, and results may refer to it",
                fix="Name another file, or give --force to replace it.",
            )


def _make(study: Study, gathered: Gathered, **known: object) -> Calibration:
    from pydantic import ValidationError

    from pathology.calibration import make_calibration
    from pathology.config import list_problems
    from pathology.errors import UsageError

    try:
        return make_calibration(study, gathered, **known)  # type: ignore[arg-type]
    except ValidationError as error:
        raise UsageError(
            f"the calibration file cannot be made: {list_problems(error)}",
            fix="Give --name and --version of letters, digits, '.', '_' and '-'.",
        ) from error


def _write(out: Path, calibration: Calibration, report: bytes) -> None:
    from pathology.runs.atomic import atomic_write_bytes, output_errors

    with output_errors():
        # The report first: a calibration never stands without its evidence.
        atomic_write_bytes(_report_path(out), report)
        atomic_write_bytes(out, calibration.to_yaml().encode())
