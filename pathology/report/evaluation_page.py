"""The page of ``her2 evaluate``: figures with intervals, charts, and how to read each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pathology.agreement import (
    CUTS,
    Comparison,
    ContinuousAgreement,
    Evaluation,
    Options,
)
from pathology.report import evaluation_words as words
from pathology.report.charts import Interval, draw_curve, draw_intervals, draw_limits, draw_table
from pathology.report.evaluation_gather import REFUSALS, ContinuousColumns, Gathered
from pathology.report.evaluation_tables import (
    LABELS,
    TIER_LABELS,
    comparisons,
    named_flows,
    panel_figures,
)
from pathology.report.html import Picture, page_environment

__all__ = ["render_evaluation"]

#: Refused readings listed on the page; all of them are in ``refused.csv``.
_LISTED = 25


def render_evaluation(
    gathered: Gathered,
    evaluation: Evaluation,
    continuous: ContinuousAgreement | None,
    *,
    options: Options,
    columns: ContinuousColumns | None,
) -> str:
    """Return the page of an evaluation.

    Parameters
    ----------
    gathered
        The study and where it comes from.
    evaluation
        Its figures.
    continuous, columns
        Agreement of measured numbers, and their columns, where asked for.
    options
        How the figures were made.

    Returns
    -------
    str
        HTML that stands alone.
    """
    program, name = evaluation.program, evaluation.reference.name
    return (
        page_environment()
        .get_template("evaluation.html.j2")
        .render(
            gathered=gathered,
            evaluation=evaluation,
            reference=words.reference_words(name),
            options=options,
            tally=_tally(program),
            flow=_flow_rows(evaluation, continuous),
            refused=Counter(item.reason for item in gathered.refused),
            refused_rows=gathered.refused[:_LISTED],
            refusal_words=REFUSALS,
            unsaid=[file.name for file in gathered.files if not file.says_saw_score],
            table=_table_picture(program, name),
            tiers=_tiers_picture(evaluation),
            cuts=_cut_rows(program),
            cuts_picture=_cuts_picture(program),
            coefficients=[
                (words.COEFFICIENT_WORDS[key], words.coefficient_text(estimate))
                for key, estimate in program.coefficients
            ],
            readers=_reader_rows(evaluation),
            panel=_panel_rows(evaluation),
            curve=_curve_picture(evaluation),
            leave_one_out=_leave_one_out_picture(evaluation),
            sites=_sites_picture(evaluation),
            numbers=_numbers(gathered, continuous, columns),
        )
    )


def _tally(program: Comparison) -> list[tuple[str, str]]:
    def share(*what: Any) -> str:
        value = program.share(*what).value
        return "–" if value is None else f"{100 * value:.1f} %"

    kappa = program.coefficient("kappa_quadratic").value
    return [
        ("slides compared", f"{program.flow.slides_used:,}"),
        ("patients", f"{program.patients:,}"),
        ("same score", share("all")),
        ("kappa, quadratic", "–" if kappa is None else f"{kappa:.2f}"),
        ("positive agreement at 2+", share(">=2+", "positive")),
        ("negative agreement at 2+", share(">=2+", "negative")),
    ]


def _flow_rows(
    evaluation: Evaluation, continuous: ContinuousAgreement | None
) -> list[tuple[str, int, int, str]]:
    rows = []
    for name, flow in named_flows(evaluation, continuous):
        why = "; ".join(f"{n:,}: {words.FLOW_WORDS[reason]}" for reason, n in flow.left_out)
        rows.append((name, flow.slides_in, flow.slides_used, why))
    return rows


def _table_picture(program: Comparison, name: str) -> Picture:
    return Picture(
        title="Score by score",
        caption=words.read_table(program, name),
        png=draw_table(
            program.table,
            LABELS,
            rows=f"{words.reference_words(name)}",
            columns="program",
        ),
    )


def _tiers_picture(evaluation: Evaluation) -> Picture | None:
    if evaluation.tiers is None:
        return None
    name = evaluation.reference.name
    return Picture(
        title="Tier by tier",
        caption=words.read_tiers(evaluation.tiers, name),
        png=draw_table(
            evaluation.tiers.table,
            TIER_LABELS,
            rows=words.reference_words(name),
            columns="program",
        ),
    )


def _cut_rows(program: Comparison) -> list[dict[str, str]]:
    rows = []
    for cut in CUTS:
        for kind in ("overall",) if cut == "all" else ("overall", "positive", "negative"):
            out = program.share(cut, kind)  # type: ignore[arg-type]
            counted = program.share(cut, kind, "disagreement")  # type: ignore[arg-type]
            exact = ""
            if out.exact_low is not None and out.exact_high is not None:
                exact = f"{100 * out.exact_low:.1f} to {100 * out.exact_high:.1f}"
            rows.append(
                {
                    "cut": words.CUT_WORDS[cut] if kind == "overall" else "",
                    "kind": kind,
                    "count": f"{out.agreeing:,}/{out.total:,}",
                    "share": words.share_text(out),
                    "exact": exact,
                    "counted": f"{counted.agreeing:,}/{counted.total:,}",
                    "counted_share": words.share_text(counted),
                }
            )
    return rows


def _cuts_picture(program: Comparison) -> Picture:
    rows = [_interval(program, "all", "overall", "same score of four", 2)]
    for cut in CUTS[1:]:
        rows.append(_interval(program, cut, "positive", words.CUT_WORDS[cut], 0))
        rows.append(_interval(program, cut, "negative", words.CUT_WORDS[cut], 1))
    return Picture(
        title="Agreement at each cut-off",
        caption=words.read_cuts(program),
        png=draw_intervals(
            rows,
            axis="agreement, % (95 % interval)",
            series=("positive agreement", "negative agreement", "overall"),
        ),
    )


def _interval(program: Comparison, cut: Any, kind: Any, label: str, series: int) -> Interval:
    share = program.share(cut, kind)
    return Interval(
        label=label,
        value=share.value,
        low=share.low,
        high=share.high,
        note=f"{share.agreeing:,}/{share.total:,}",
        series=series,
    )


def _reader_rows(evaluation: Evaluation) -> list[tuple[str, str, str, str, str]]:
    """Return the program against each reader."""
    rows = []
    for name, site, comparison in comparisons(evaluation):
        if site is None and (name, comparison) in evaluation.by_reader:
            counted = comparison.share("all", "overall", "disagreement")
            rows.append(
                (
                    name,
                    f"{comparison.flow.slides_used:,}",
                    words.share_text(comparison.share("all")),
                    words.share_text(counted),
                    words.coefficient_text(comparison.coefficient("kappa_quadratic")),
                )
            )
    return rows


def _panel_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    rows = []
    for name, estimate, flow in panel_figures(evaluation):
        text = words.share_text if name.startswith("unanimous") else words.coefficient_text
        rows.append((words.COEFFICIENT_WORDS[name], f"{flow.slides_used:,}", text(estimate)))
    return rows


def _curve_picture(evaluation: Evaluation) -> Picture | None:
    panel = evaluation.panel
    if panel is None or not panel.left_out.curve:
        return None
    curves = [("unscored slides left out", panel.left_out.curve)]
    if panel.disagreement.flow != panel.left_out.flow:
        curves.append(("unscored slides as disagreement", panel.disagreement.curve))
    return Picture(
        title="Unanimity against the number of readers",
        caption=words.read_curve(panel),
        png=draw_curve(curves),
    )


def _leave_one_out_picture(evaluation: Evaluation) -> Picture | None:
    rows = []
    for one in evaluation.leave_one_out:
        for series, estimate in ((0, one.program_overall), (1, one.reader_overall)):
            rows.append(
                Interval(
                    label=f"without {one.reader}",
                    value=estimate.value,
                    low=estimate.low,
                    high=estimate.high,
                    note=f"n = {one.flow.slides_used:,}" if not series else "",
                    series=series,
                )
            )
    if not rows:
        return None
    return Picture(
        title="Readers and program against the other readers",
        caption=words.read_leave_one_out(evaluation),
        png=draw_intervals(
            rows,
            axis="same score as the majority of the other readers, % (95 % interval)",
            series=("program", "the reader left out"),
            start=_axis_start(rows),
        ),
    )


def _axis_start(rows: list[Interval]) -> float:
    """Return a round lower end of the axis, below all intervals."""
    lows = [value for row in rows for value in (row.low, row.value) if value is not None]
    return max(0.0, float(np.floor(10 * min(lows, default=0.0) - 0.2)) / 10)


def _sites_picture(evaluation: Evaluation) -> Picture | None:
    rows = [
        _interval(comparison, "all", "overall", site, 0) for site, comparison in evaluation.by_site
    ]
    if not rows:
        return None
    return Picture(
        title="By site",
        caption=words.read_sites(evaluation),
        png=draw_intervals(rows, axis="same score, % (95 % interval)"),
    )


def _numbers(
    gathered: Gathered, continuous: ContinuousAgreement | None, columns: ContinuousColumns | None
) -> dict[str, Any] | None:
    if continuous is None or columns is None:
        return None
    first = continuous.pairs[0]
    numbers, program = gathered.numbers, gathered.program_numbers
    if numbers is None or program is None:
        return None
    there = np.isfinite(numbers)
    total = np.where(there, numbers, 0.0).sum(axis=1)
    both = there.any(axis=1) & np.isfinite(program)
    theirs = total[both] / there[both].sum(axis=1)
    rows = [
        (
            pair.reader,
            f"{pair.flow.slides_used:,}",
            words.coefficient_text(pair.icc_2_1),
            "–" if pair.limits.bias.value is None else f"{pair.limits.bias.value:.2f}",
            _limits_text(pair),
        )
        for pair in continuous.pairs
    ]
    among = continuous.readers_icc_2_1
    return {
        "columns": columns,
        "rows": rows,
        "among": None if among is None else words.coefficient_text(among),
        "among_slides": 0 if continuous.readers_icc is None else continuous.readers_icc.slides,
        "picture": Picture(
            title="Program minus readers",
            caption=words.read_continuous(first, columns.results),
            png=draw_limits(program[both], theirs, first.limits, unit=columns.results),
        ),
    }


def _limits_text(pair: Any) -> str:
    lower, upper = pair.limits.lower.value, pair.limits.upper.value
    return "–" if lower is None or upper is None else f"{lower:.2f} to {upper:.2f}"
