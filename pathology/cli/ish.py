"""``her2 ish``: ISH results in, the final status of every case out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathology.cli.options import RunArgument

if TYPE_CHECKING:
    from pathology.runs import CaseRow, IshOutcome

__all__ = ["ish"]


def ish(
    run_dir: RunArgument,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="CSV|JSON",
            help="ISH results: block_id (or slide_id, case_id), and her2 and cep17 for each cell, "
            "or cells, her2_total and cep17_total, or call (positive, negative, indeterminate, "
            "group 1 to 5). Also probe (dual, single), reading (first, recount, adjudication), "
            "observer, blinded, controls_ok and others: docs/ish.md. Without it the stored results "
            "are applied again.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Add ISH counts or calls to a run; give each case its final HER2 status.

    Results join on the tissue block: ISH of another block leaves a 2+ equivocal, and a 2+ without
    ISH is never called low. Writes ish.json (what was counted, by whom, from which file; replaced
    results are kept in it), ish.csv (one row per reading) and the last columns of cases.csv. Scores
    of slides are not touched. Research use only.
    """
    from pathology.runs import apply_ish

    outcome = apply_ish(run_dir, results)
    if not outcome.finished:
        print(
            f"her2: {run_dir}: this run has not finished; only the slides in its results.csv are "
            "joined (the same `her2 score` command goes on with the rest and keeps the ISH)",
            file=sys.stderr,
        )
    _print_cases(outcome.cases)
    _print_lists(outcome.cases)
    _print_accounts(outcome)
    print(f"final status in {run_dir / 'cases.csv'}. Research use only.")


def _print_cases(cases: tuple[CaseRow, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    from pathology.cli.tables import stdout_console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("case", "IHC", "ISH", "final", "tier"):
        table.add_column(name, overflow="fold")
    table.add_column("why", overflow="fold")
    for case in cases:
        table.add_row(
            Text(case.case_id),
            Text(case.ihc_score or "-"),
            Text((case.ish_category or "-").replace("_", " ")),
            Text(case.final_her2_status),
            Text((case.final_her2_tier or "-").removeprefix("her2_")),
            Text(case.final_clause),
        )
    stdout_console().print(table)


def _print_lists(cases: tuple[CaseRow, ...]) -> None:
    """Name the cases that somebody has to look at, and those that wait for something."""
    for title, chosen in (
        ("discordant", [case for case in cases if case.final_discordant]),
        ("open", [c for c in cases if c.final_her2_status in ("equivocal", "indeterminate")]),
    ):
        print(f"{title}: {len(chosen)} of {len(cases)} cases" + (":" if chosen else ""))
        for case in chosen:
            flags = (case.final_flags or "").replace("_", " ").replace(";", ", ")
            print(f"  {case.case_id}" + (f" ({flags})" if flags else ""))


def _print_accounts(outcome: IshOutcome) -> None:
    """Say where every row went."""
    counts = outcome.counts
    if counts is not None:
        print(
            f"{outcome.rows} rows in, {outcome.readings} readings: {counts.new} new, "
            f"{counts.unchanged} unchanged, {counts.replaced} replaced (the old ones are kept in "
            f"ish.json); {counts.kept} readings of earlier files kept"
        )
    if outcome.joined:
        words = {
            "block": "on a block of the run",
            "other_block": "on another block of a case of the run, which decides nothing",
            "not_in_run": "on a case that the run no longer holds, which decides nothing",
        }
        listed = ", ".join(f"{count} {words[name]}" for name, count in outcome.joined.items())
        print(f"{sum(outcome.joined.values())} readings stored: {listed}")
