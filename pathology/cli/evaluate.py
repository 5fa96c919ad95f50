"""``her2 evaluate``: results against readers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathology.agreement import TieRule

__all__ = ["evaluate"]


def evaluate(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="Output folder of `her2 score`, or its results.csv or results.parquet.",
            show_default=False,
        ),
    ],
    readers: Annotated[
        list[Path],
        typer.Option(
            "--readers",
            metavar="CSV",
            help="What people scored. Long: slide_id, reader, score (0, 1+, 2+, 3+, not_scorable) "
            "and any of tier, site, patient_id, saw_score. Wide: slide_id and one column per "
            "reader. May be given several times.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for evaluation.html, evaluation.json and tables/*.csv.",
            show_default=False,
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="NAME",
            help="consensus (of all readers; the default where there are several) or a reader.",
            show_default=False,
        ),
    ] = None,
    ties: Annotated[
        str,
        typer.Option(
            "--ties",
            metavar="RULE",
            help="Slides on which the readers' votes are tied: leave-out, or take the lower or "
            "higher score.",
        ),
    ] = "leave-out",
    continuous: Annotated[
        str | None,
        typer.Option(
            "--continuous",
            metavar="COLUMN",
            help="Also compare a measured number: READER_COLUMN=RESULTS_COLUMN, such as "
            "pct=pct_complete_intense, or one name for both, such as h_score.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Refuse the slides that this calibration was fitted on as reference, besides "
            "those that the results flag. Needs the run folder. May be given several times.",
            show_default=False,
        ),
    ] = None,
    allow_unknown: Annotated[
        bool,
        typer.Option(
            "--allow-unknown",
            help="List readings of slides that the results do not hold, in place of an error.",
        ),
    ] = False,
    replicates: Annotated[
        int, typer.Option("--replicates", min=100, help="Bootstrap samples of patients.")
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 20180511,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace an evaluation in DIR; other files never."),
    ] = False,
) -> None:
    """Compare results with one or many readers: agreement, kappas, intervals, and a page.

    Refused as reference, and listed: slides that the results' calibration was fitted on, and
    readings made after seeing the score (column saw_score). The reference is a reading, not the
    truth.
    """
    from pathology.agreement import Bootstrap, Options
    from pathology.report.evaluation import EvaluationRequest, evaluate_results
    from pathology.report.evaluation_gather import ContinuousColumns

    request = EvaluationRequest(
        results=results,
        readers=tuple(readers),
        options=Options(
            reference=reference,
            ties=_tie_rule(ties),
            bootstrap=Bootstrap(replicates=replicates, seed=seed),
        ),
        calibrations=tuple(calibration or ()),
        continuous=None if continuous is None else ContinuousColumns.parse(continuous),
        allow_unknown=allow_unknown,
    )
    for line in evaluate_results(request, out, force=force):
        print(line)
    print(f"page {out / 'evaluation.html'}, figures {out / 'evaluation.json'}, tables {out}/tables")


def _tie_rule(text: str) -> TieRule:
    from pathology.agreement import TIE_RULES
    from pathology.errors import UsageError

    for rule in TIE_RULES:
        if rule == text:
            return rule
    raise UsageError(f"--ties {text!r} is not known", fix=f"Known: {', '.join(TIE_RULES)}.")
