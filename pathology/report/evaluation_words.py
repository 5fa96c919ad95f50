"""Plain sentences about the figures of a reader study: what each says, and what it does not."""

from __future__ import annotations

from typing import Final

import numpy as np

from pathology.agreement import (
    CONSENSUS,
    SCORES,
    Comparison,
    Estimate,
    Evaluation,
    Share,
    TierComparison,
)
from pathology.agreement.continuous_study import ContinuousPair
from pathology.agreement.panel_study import PanelAgreement

__all__ = [
    "COEFFICIENT_WORDS",
    "CUT_WORDS",
    "FLOW_WORDS",
    "coefficient_text",
    "read_continuous",
    "read_curve",
    "read_cuts",
    "read_leave_one_out",
    "read_sites",
    "read_table",
    "read_tiers",
    "share_text",
]

#: What each cut-off asks.
CUT_WORDS: Final = {
    "all": "same score of four",
    ">=1+": "1+ or more, against 0",
    ">=2+": "2+ or more, against 0 and 1+",
    "3+": "3+, against 0 to 2+",
    "low": "low, against null and ultralow",
    "tier": "same tier of five",
}
#: What each coefficient is.
COEFFICIENT_WORDS: Final = {
    "kappa_unweighted": "Cohen's kappa, unweighted",
    "kappa_linear": "Cohen's kappa, linear weights",
    "kappa_quadratic": "Cohen's kappa, quadratic weights",
    "gwet_ac1_unweighted": "Gwet's AC1",
    "gwet_ac2_linear": "Gwet's AC2, linear weights",
    "gwet_ac2_quadratic": "Gwet's AC2, quadratic weights",
    "fleiss_kappa": "Fleiss' kappa",
    "krippendorff_alpha_ordinal": "Krippendorff's alpha, ordinal",
    "unanimous_unscored_left_out": "All readers agree; unscored slides left out",
    "unanimous_unscored_disagreement": "All readers agree; unscored slides as disagreement",
}
#: Why a slide is not in a table.
FLOW_WORDS: Final = {
    "not_read": "no reader read it",
    "read_by_one": "only one reader read it",
    "tie": "the readers' votes are tied",
    "not_read_by_reference": "the reference did not read it",
    "not_read_by_program": "the program did not read it",
    "not_read_by_reader": "this reader did not read it",
    "not_read_by_all": "a reader did not read it",
    "not_scored_by_all": "a reader gave no score",
    "scored_by_fewer_than_two": "fewer than two readers scored it",
    "fewer_than_two_other_readers": "fewer than two other readers read it",
    "no_score_by_both": "neither gave a score",
    "no_score_by_reference": "the reference gave no score",
    "no_score_by_program": "the program gave no score",
    "no_score_by_other_readers": "most other readers gave no score",
    "no_score_by_reader": "this reader gave no score",
    "no_score_by_a_reader": "a reader gave no score",
    "null_or_ultralow_not_said": "0 without saying whether null or ultralow",
    "no_tier_by_reference": "the reference has no tier",
    "no_number_by_reader": "no number by the reader",
    "no_number_by_program": "no number by the program",
    "not_measured_by_all": "a reader gave no number",
}


def share_text(share: Share | Estimate) -> str:
    """Write a share as per cent with its interval.

    Examples
    --------
    >>> share_text(Estimate(value=0.5, low=0.25, high=0.75))
    '50.0 % (25.0 to 75.0)'
    """
    if share.value is None:
        return "–"
    text = f"{100 * share.value:.1f} %"
    if share.low is None or share.high is None:
        return text
    return f"{text} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def coefficient_text(estimate: Estimate) -> str:
    """Write a coefficient with its interval.

    Examples
    --------
    >>> coefficient_text(Estimate(value=0.6561))
    '0.656'
    """
    if estimate.value is None:
        return "undefined"
    text = f"{estimate.value:.3f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({estimate.low:.3f} to {estimate.high:.3f})"


def reference_words(name: str) -> str:
    """Name the reference in a sentence."""
    return "the readers' consensus" if name == CONSENSUS else f"reader {name}"


def read_table(comparison: Comparison, name: str) -> str:
    """Say what a table of two readings shows."""
    table = np.array(comparison.table)[1:, 1:]
    n = int(table.sum())
    theirs = reference_words(name)
    if not n:
        return f"No slide has a score by both the program and {theirs}."
    higher, lower = int(np.triu(table, 1).sum()), int(np.tril(table, -1).sum())
    far = int(np.triu(table, 2).sum() + np.tril(table, -2).sum())
    text = (
        f"Of {n:,} slides that both scored, the program gave the score of {theirs} to "
        f"{int(np.trace(table)):,} ({share_text(comparison.share('all'))}), a higher one to "
        f"{higher:,} and a lower one to {lower:,}; {far:,} differ by two steps or more."
    )
    apart = table * (1 - np.eye(len(table), dtype=int))
    if apart.sum():
        row, column = np.unravel_index(int(apart.argmax()), apart.shape)
        text += (
            f" The most frequent difference: {SCORES[row]} called {SCORES[column]} "
            f"({int(apart.max()):,} slides)."
        )
    unscored = sum(comparison.table[0]) + sum(row[0] for row in comparison.table[1:])
    if unscored:
        slides = "slide" if unscored == 1 else "slides"
        text += f" On {unscored:,} {slides} at least one of the two gave no score."
    return text


def read_tiers(tiers: TierComparison, name: str) -> str:
    """Say what the table of tiers shows, and what a tier is that a score is not."""
    return (
        f"Of {tiers.overall.total:,} slides that have a tier by both, {tiers.overall.agreeing:,} "
        f"have the same by the program and {reference_words(name)} "
        f"({share_text(tiers.overall)}); kappa {coefficient_text(tiers.kappa_unweighted)}, with "
        f"linear weights {coefficient_text(tiers.kappa_linear)}. The program's tier is that of IHC "
        "alone: it calls a 2+ equivocal, where a reader who knows the ISH calls it low or positive."
    )


def read_cuts(comparison: Comparison) -> str:
    """Say what agreement per cut-off shows."""
    known = [
        (cut, kind, comparison.share(cut, kind))
        for cut in (">=1+", ">=2+", "3+", "low")
        for kind in ("positive", "negative")
    ]
    found = [item for item in known if item[2].value is not None]
    if not found:
        return "There is no slide to ask about."
    cut, kind, worst = min(found, key=lambda item: item[2].value or 0.0)
    side = "the reference calls positive" if kind == "positive" else "the reference calls negative"
    text = (
        "Each cut-off is a question of its own. Positive agreement is the share of slides which "
        "the reference calls positive and the program does too; negative agreement likewise. "
        f"They agree least on “{CUT_WORDS[cut]}” among slides that {side}: "
        f"{worst.agreeing:,} of {worst.total:,}, {share_text(worst)}."
    )
    if comparison.clustered:
        text += (
            " Some patients have several slides, so intervals come from drawing patients; the "
            "usual formulas would make them too narrow."
        )
    return text


def read_curve(panel: PanelAgreement) -> str:
    """Say what the curve of unanimity shows."""
    found = panel.left_out
    if not found.curve:
        return "No slide was read by all readers, so there is no curve."
    first, last = found.curve[0], found.curve[-1]
    return (
        f"Two readers chosen at random agree on {100 * first.share:.1f} % of the slides, all "
        f"{last.readers} on {100 * last.share:.1f} % ({found.unanimous:,} of "
        f"{found.flow.slides_used:,}). The more readers are asked, the fewer slides all of them "
        "agree on: a curve that still falls at its end says that more readers would agree on "
        "fewer still. The band holds 95 % of random orders of the readers. Hold the program's "
        "agreement with single readers against the first point: that is how often two readers "
        "agree."
    )


def read_leave_one_out(evaluation: Evaluation) -> str:
    """Say what leaving each reader out of the panel shows."""
    ahead = behind = 0
    for one in evaluation.leave_one_out:
        low, high = one.difference.low, one.difference.high
        ahead += low is not None and low > 0
        behind += high is not None and high < 0
    n = len(evaluation.leave_one_out)
    values = [one for one in evaluation.leave_one_out if one.difference.value is not None]
    text = (
        "Each reader is compared with the majority of the other readers, and the program with the "
        "same majority on the same slides, so that neither is part of what it is compared with."
    )
    if values:
        theirs = sum(one.reader_overall.value or 0.0 for one in values) / len(values)
        ours = sum(one.program_overall.value or 0.0 for one in values) / len(values)
        text += (
            f" On average a reader agrees on {100 * theirs:.1f} % of the slides, the program on "
            f"{100 * ours:.1f} %. Compared with {n} readers one by one, the program agrees more "
            f"often than {ahead} and less often than {behind}; with the others the interval of "
            "the difference holds zero. These are many comparisons: a few will stand out by "
            "chance."
        )
    return text


def read_sites(evaluation: Evaluation) -> str:
    """Say what the figures by site show."""
    shares = [(site, comparison.share("all")) for site, comparison in evaluation.by_site]
    known = [(site, share) for site, share in shares if share.value is not None]
    if not known:
        return "No site has a slide that both scored."
    least = min(known, key=lambda item: item[1].value or 0.0)
    most = max(known, key=lambda item: item[1].value or 0.0)
    return (
        f"The share of slides with the same score ranges from {share_text(least[1])} at "
        f"{least[0]} to {share_text(most[1])} at {most[0]}. Sites differ in their cases as well "
        "as in stain and scanner; a difference is a reason to look, not an explanation."
    )


def read_continuous(pair: ContinuousPair, unit: str) -> str:
    """Say what the limits of agreement show."""
    limits = pair.limits
    if limits.bias.value is None or limits.lower.value is None or limits.upper.value is None:
        return "Too few slides have both numbers."
    side = "higher" if limits.bias.value > 0 else "lower"
    return (
        f"On {limits.slides:,} slides the program's {unit} is on average "
        f"{abs(limits.bias.value):.2f} {side} than the readers'. If differences are normal, about "
        f"95 % of them lie between {limits.lower.value:.2f} and {limits.upper.value:.2f} (shaded: "
        "95 % intervals of these lines). Points that spread like a funnel mean that the "
        f"disagreement grows with the value. ICC(2,1), absolute agreement: "
        f"{coefficient_text(pair.icc_2_1)}."
    )
