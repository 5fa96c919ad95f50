"""The table at the end of a run, on stdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pathology.cli.display import outcome
from pathology.report import guideline_notes, reason_words
from pathology.runs import RunOrigin, SlideResult

__all__ = ["print_changes", "print_results", "stdout_console", "summary_line"]

#: A flag of every slide until a person has confirmed the region: said once, below the table.
_EVERYWHERE = "invasive_region_unverified"
#: Width of the table where stdout is not a terminal: nothing is cut, long names wrap.
_PIPE_WIDTH = 120


def print_results(results: Sequence[SlideResult], *, console: Console | None = None) -> None:
    """Print one line per slide, then what went wrong, the counts, and what can be done.

    Parameters
    ----------
    results
        All slides of the run.
    console
        Where to print; None takes stdout.
    """
    console = console or stdout_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("slide", overflow="fold")
    table.add_column("score")
    table.add_column("tier")
    table.add_column("cells", justify="right")
    table.add_column("why", overflow="fold")
    for result in results:
        table.add_row(
            Text(result.slide_id),
            Text(_score(result)),
            Text((result.her2_tier or "").removeprefix("her2_")),
            Text("" if result.n_tumour_cells is None else f"{result.n_tumour_cells:,}"),
            Text(_why(result)),
        )
    console.print(table)
    _print_failures(console, [item for item in results if item.status == "failed"])
    console.print(summary_line(results), markup=False, highlight=False, soft_wrap=True)
    _print_remedies(console, [item for item in results if item.status == "not_scorable"])
    for text in guideline_notes(results):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if any(_EVERYWHERE in result.flags and result.ihc_score for result in results):
        console.print("The model chose the invasive region; nobody has verified it yet.")


def print_changes(origin: RunOrigin, *, console: Console | None = None) -> None:
    """Print what differs from the run that results were made from, and which scores do.

    Parameters
    ----------
    origin
        That run.
    console
        Where to print; None takes stdout.
    """
    console = console or stdout_console()
    lines = [f"changed: {change}" for change in origin.changes]
    if origin.regions:
        lines.append(f"changed: the regions of {len(origin.regions)} slides")
    lines = lines or ["nothing changed: the settings are those of the run"]
    lines.append(f"{len(origin.scores)} scores differ from {origin.path}")
    lines += [f"  {name}: {old} -> {new}" for name, (old, new) in sorted(origin.scores.items())]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def summary_line(results: Iterable[SlideResult]) -> str:
    """Count the slides by what became of them.

    Examples
    --------
    >>> summary_line([SlideResult(slide_id="a", path="a.svs", status="failed",
    ...                           reasons=("unreadable",))])
    '1 slide: 0 scored, 0 not scorable, 1 failed (unreadable 1)'
    """
    results = list(results)
    by_status = Counter(str(result.status) for result in results)
    parts = [f"{by_status['scored']} scored"]
    for status, words in (("not_scorable", "not scorable"), ("failed", "failed")):
        reasons = Counter(
            str(code) for item in results if item.status == status for code in item.reasons
        )
        listed = ", ".join(f"{code} {count}" for code, count in sorted(reasons.items()))
        parts.append(f"{by_status[status]} {words}" + (f" ({listed})" if listed else ""))
    plural = "" if len(results) == 1 else "s"
    return f"{len(results)} slide{plural}: {', '.join(parts)}"


def stdout_console() -> Console:
    """Return a console on stdout that is wide enough in a pipe, too."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def _score(result: SlideResult) -> str:
    return outcome(result) if result.status == "scored" else "-"


def _why(result: SlideResult) -> str:
    """Give the deciding clause and the doubts, or the reasons for having no score."""
    if result.status != "scored":
        message = result.error.message if result.error is not None else ""
        cause = message.removeprefix(f"{result.path}: ").removeprefix("no score: ")
        # A failure's cause and remedy stand in the list below the table.
        shown = cause and result.status == "not_scorable"
        return f"{outcome(result)}: {cause}" if shown else outcome(result)
    clause = result.deciding_clause or result.deciding_rule or ""
    parts = [clause.removeprefix(f"{result.ihc_score}: ")]
    if result.margin_pp is not None:
        parts.append(f"{abs(result.margin_pp):.1f} pp from {result.nearest_score or 'the cut-off'}")
    parts += [flag.replace("_", " ") for flag in result.flags if flag != _EVERYWHERE]
    return "; ".join(part for part in parts if part)


def _print_failures(console: Console, failed: Sequence[SlideResult]) -> None:
    if not failed:
        return
    console.print(f"\n{len(failed)} failed:", markup=False)
    for result in failed:
        codes = ", ".join(str(code) for code in result.reasons)
        console.print(f"  {result.path} [{codes}]", markup=False, highlight=False, soft_wrap=True)
        if result.error is not None:
            for text in (result.error.message, result.error.fix):
                if text:
                    console.print(f"    {text}", markup=False, highlight=False, soft_wrap=True)
    console.print()


def _print_remedies(console: Console, refused: Sequence[SlideResult]) -> None:
    """Say once for each reason what can be done about it."""
    for code in sorted({str(code) for result in refused for code in result.reasons}):
        text = f"  {code}: {reason_words(code).fix}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
