"""The figures of a reader study as rows, for CSV files and for JSON.

Every table has the slides that went in and came out in ``flow``, under the same name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from pathology.agreement import (
    NO_SCORE,
    NOT_READ,
    SCORES,
    Comparison,
    ContinuousAgreement,
    Estimate,
    Evaluation,
    Flow,
)
from pathology.report.evaluation_gather import REFUSALS, Gathered
from pathology.runs import TIER_ORDER
from pathology.runs.csvfile import Cell

__all__ = [
    "LABELS",
    "TABLES",
    "TIER_LABELS",
    "Row",
    "comparisons",
    "named_flows",
    "panel_figures",
    "table_rows",
]

Row = dict[str, Cell]

#: Categories of a table of two readings.
LABELS: Final[tuple[str, ...]] = ("no score", *SCORES)
#: Tiers of a table of two readings, in words.
TIER_LABELS: Final[tuple[str, ...]] = (
    "no tier",
    *(name.removeprefix("her2_") for name in TIER_ORDER),
)
#: Columns of each table.
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "confusion": ("against", "site", "reference_score", *(f"program_{name}" for name in LABELS)),
    "agreement": (
        *("against", "site", "cut", "kind", "unscored", "agreeing", "total"),
        *("value", "low", "high", "method", "exact_low", "exact_high"),
    ),
    "coefficients": ("against", "site", "coefficient", "slides", "value", "low", "high"),
    "leave_one_out": (*("reader", "figure", "slides", "value", "low", "high"),),
    "panel": ("figure", "slides", "value", "low", "high"),
    "curve": ("unscored", "readers", "share", "low", "high"),
    "continuous": ("reader", "figure", "slides", "value", "low", "high"),
    "flow": ("table", "slides_in", "slides_used", "reason", "slides_left_out"),
    "refused": ("file", "row", "slide_id", "reader", "reason", "meaning"),
    "tiers": ("against", "reference_tier", *(f"program_{name}" for name in TIER_LABELS)),
    "slides": ("slide_id", "site", "program", "reference", "agree", "reader_scores"),
}


def comparisons(evaluation: Evaluation) -> Iterator[tuple[str, str | None, Comparison]]:
    """Yield the name of the reference, the site, and the comparison, of all that were made."""
    name = evaluation.reference.name
    yield name, None, evaluation.program
    for site, comparison in evaluation.by_site:
        yield name, site, comparison
    for reader, comparison in evaluation.by_reader:
        # Where a reader is the reference, that comparison stands above.
        if reader != name:
            yield reader, None, comparison


def panel_figures(evaluation: Evaluation) -> list[tuple[str, Estimate, Flow]]:
    """Return name, value and slides of the figures of agreement among readers."""
    panel = evaluation.panel
    if panel is None:
        return []
    return [
        ("fleiss_kappa", panel.fleiss, panel.complete),
        ("krippendorff_alpha_ordinal", panel.alpha, panel.twice),
        ("gwet_ac1_unweighted", panel.ac1, panel.twice),
        ("gwet_ac2_linear", panel.ac2_linear, panel.twice),
        ("gwet_ac2_quadratic", panel.ac2_quadratic, panel.twice),
        ("unanimous_unscored_left_out", panel.left_out.share, panel.left_out.flow),
        ("unanimous_unscored_disagreement", panel.disagreement.share, panel.disagreement.flow),
    ]


def named_flows(
    evaluation: Evaluation, continuous: ContinuousAgreement | None
) -> list[tuple[str, Flow]]:
    """Return the slides that went into every table, and why others did not."""
    flows = [
        (f"program against {name}" + (f", site {site}" if site else ""), comparison.flow)
        for name, site, comparison in comparisons(evaluation)
    ]
    if evaluation.tiers is not None:
        flows.append((f"tiers against {evaluation.reference.name}", evaluation.tiers.flow))
    flows += [(f"among readers: {name}", flow) for name, _, flow in panel_figures(evaluation)]
    flows += [
        (f"without {one.reader}: against the other readers", one.flow)
        for one in evaluation.leave_one_out
    ]
    if continuous is not None:
        flows += [(f"numbers against {pair.reader}", pair.flow) for pair in continuous.pairs]
        if continuous.readers_flow is not None:
            flows.append(("numbers among readers", continuous.readers_flow))
    return flows


def table_rows(
    evaluation: Evaluation, gathered: Gathered, continuous: ContinuousAgreement | None
) -> dict[str, list[Row]]:
    """Return the rows of every table.

    Parameters
    ----------
    evaluation
        The figures.
    gathered
        The study.
    continuous
        Agreement of measured numbers, where asked for.

    Returns
    -------
    dict
        Rows by name of table, with the columns of :data:`TABLES`.
    """
    return {
        "confusion": list(_confusion(evaluation)),
        "agreement": list(_agreement(evaluation)),
        "coefficients": list(_coefficients(evaluation)),
        "leave_one_out": list(_leave_one_out(evaluation)),
        "panel": [
            {"figure": name, "slides": flow.slides_used, **_figure(estimate)}
            for name, estimate, flow in panel_figures(evaluation)
        ],
        "curve": list(_curve(evaluation)),
        "continuous": [] if continuous is None else list(_continuous(continuous)),
        "flow": list(_flows(evaluation, continuous)),
        "refused": [{**item.record, "meaning": REFUSALS[item.reason]} for item in gathered.refused],
        "tiers": list(_tiers(evaluation)),
        "slides": list(_slides(evaluation, gathered)),
    }


def _figure(estimate: Estimate) -> dict[str, Cell]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _confusion(evaluation: Evaluation) -> Iterator[Row]:
    for name, site, comparison in comparisons(evaluation):
        for label, counts in zip(LABELS, comparison.table, strict=True):
            columns = {f"program_{other}": n for other, n in zip(LABELS, counts, strict=True)}
            yield {"against": name, "site": site, "reference_score": label, **columns}


def _tiers(evaluation: Evaluation) -> Iterator[Row]:
    if evaluation.tiers is None:
        return
    for label, counts in zip(TIER_LABELS, evaluation.tiers.table, strict=True):
        columns = {f"program_{other}": n for other, n in zip(TIER_LABELS, counts, strict=True)}
        yield {"against": evaluation.reference.name, "reference_tier": label, **columns}


def _agreement(evaluation: Evaluation) -> Iterator[Row]:
    for name, site, comparison in comparisons(evaluation):
        for share in comparison.shares:
            yield {"against": name, "site": site, **asdict(share)}
    if evaluation.tiers is not None:
        share = evaluation.tiers.overall
        yield {"against": evaluation.reference.name, "site": None, **asdict(share)}


def _coefficients(evaluation: Evaluation) -> Iterator[Row]:
    for name, site, comparison in comparisons(evaluation):
        for coefficient, estimate in comparison.coefficients:
            yield {
                "against": name,
                "site": site,
                "coefficient": coefficient,
                "slides": comparison.flow.slides_used,
                **_figure(estimate),
            }


def _leave_one_out(evaluation: Evaluation) -> Iterator[Row]:
    for one in evaluation.leave_one_out:
        for name in ("reader_overall", "program_overall", "difference"):
            yield {
                "reader": one.reader,
                "figure": name,
                "slides": one.flow.slides_used,
                **_figure(getattr(one, name)),
            }
        for name in ("reader_kappa", "program_kappa"):
            yield {
                "reader": one.reader,
                "figure": f"{name}_quadratic",
                "slides": one.flow.slides_used,
                **_figure(getattr(one, name)),
            }
        for name in ("reader_unscored", "program_unscored"):
            yield {
                "reader": one.reader,
                "figure": name.replace("unscored", "overall_unscored_disagreement"),
                "slides": one.slides_unscored,
                **_figure(getattr(one, name)),
            }


def _curve(evaluation: Evaluation) -> Iterator[Row]:
    panel = evaluation.panel
    if panel is None:
        return
    for policy, found in (("left_out", panel.left_out), ("disagreement", panel.disagreement)):
        for point in found.curve:
            yield {"unscored": policy, **asdict(point)}


def _continuous(continuous: ContinuousAgreement) -> Iterator[Row]:
    for pair in continuous.pairs:
        base: Row = {"reader": pair.reader, "slides": pair.flow.slides_used}
        yield {**base, "figure": "icc_2_1", **_figure(pair.icc_2_1)}
        yield from _icc_rows(base, asdict(pair.icc))
        yield {**base, "figure": "bias", **_figure(pair.limits.bias)}
        yield {**base, "figure": "sd", **_figure(Estimate(value=pair.limits.sd))}
        yield {**base, "figure": "lower_limit", **_figure(pair.limits.lower)}
        yield {**base, "figure": "upper_limit", **_figure(pair.limits.upper)}
    if continuous.readers_icc is not None and continuous.readers_icc_2_1 is not None:
        mine: Row = {"reader": "readers among themselves", "slides": continuous.readers_icc.slides}
        yield {**mine, "figure": "icc_2_1", **_figure(continuous.readers_icc_2_1)}
        yield from _icc_rows(mine, asdict(continuous.readers_icc))


def _icc_rows(base: Mapping[str, Cell], icc: Mapping[str, Any]) -> Iterator[Row]:
    for name in ("icc_1_1", "icc_3_1", "icc_1_k", "icc_2_k", "icc_3_k"):
        yield {**base, "figure": name, **_figure(Estimate(value=icc[name]))}


def _flows(evaluation: Evaluation, continuous: ContinuousAgreement | None) -> Iterator[Row]:
    for name, flow in named_flows(evaluation, continuous):
        base: Row = {
            "table": name,
            "slides_in": flow.slides_in,
            "slides_used": flow.slides_used,
        }
        for reason, slides in flow.left_out or ((None, None),):
            yield {**base, "reason": reason, "slides_left_out": slides}


def _slides(evaluation: Evaluation, gathered: Gathered) -> Iterator[Row]:
    study, reference = gathered.study, evaluation.reference
    for number, slide_id in enumerate(study.slides):
        program, theirs = int(study.program[number]), int(reference.scores[number])
        votes = Counter(int(code) for code in study.readings[number] if code > NOT_READ)
        yield {
            "slide_id": slide_id,
            "site": study.sites[number],
            "program": _word(program),
            "reference": _word(theirs),
            "agree": program == theirs if min(program, theirs) > NO_SCORE else None,
            "reader_scores": "; ".join(f"{n} x {_word(code)}" for code, n in sorted(votes.items())),
        }


def _word(code: int) -> str | None:
    if code == NOT_READ:
        return None
    return "no score" if code == NO_SCORE else SCORES[code]
