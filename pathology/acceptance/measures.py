"""From slides and comparisons to one figure per criterion; nothing is read here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from pathology.acceptance.compare import RunComparison, SlidePair
from pathology.acceptance.facts import SlideFact
from pathology.acceptance.verdicts import Measure
from pathology.agreement import Bootstrap, patient_codes, resample
from pathology.agreement.shares import pair_terms, share_estimates
from pathology.scoring.decision import SCORES

__all__ = [
    "cell_measures",
    "comparison_measures",
    "score_measures",
    "share_measure",
    "time_measure",
]

#: What an interval of :class:`~pathology.agreement.Share` is called on the page.
_METHODS: Final = {
    "patient_bootstrap": "bootstrap over patients",
    "clopper_pearson_patients": "exact, over patients",
}


def share_measure(
    right: Sequence[bool],
    patients: Sequence[str | None],
    *,
    confidence: float,
    detail: str = "",
    untested: str = "there is no such slide",
) -> Measure:
    """Return a share in per cent with its interval.

    Parameters
    ----------
    right
        Whether each slide is as asked.
    patients
        Case of each slide, None for one of its own: slides of one patient are not independent.
    confidence
        Of the interval: Clopper-Pearson where each patient has one slide, else over patients.
    detail
        More about the figure.
    untested
        What to say where there is no slide.

    Examples
    --------
    >>> found = share_measure([True, True, False], [None] * 3, confidence=0.95)
    >>> round(found.value, 1), found.n, found.interval, round(found.low, 1), round(found.high, 1)
    (66.7, 3, 'exact', 9.4, 99.2)
    """
    if not right:
        return Measure(value=None, n=0, untested=untested)
    codes = np.asarray(right, dtype=np.int8)
    terms = pair_terms(np.ones_like(codes), codes, np.zeros(len(codes), dtype=bool))
    drawn = resample(terms, patient_codes(patients), Bootstrap(confidence=confidence))
    share = next(
        item
        for item in share_estimates(drawn, slides=len(codes))
        if (item.cut, item.kind, item.unscored) == ("all", "overall", "left_out")
    )
    exact = share.exact_low is not None
    low, high = (share.exact_low, share.exact_high) if exact else (share.low, share.high)
    return Measure(
        value=100 * share.agreeing / share.total,
        n=share.total,
        low=None if low is None else 100 * low,
        high=None if high is None else 100 * high,
        interval="exact" if exact else _METHODS.get(share.method or "", ""),
        detail=detail,
    )


def score_measures(facts: Sequence[SlideFact], *, confidence: float) -> dict[str, Measure]:
    """Return every measure of scores and refusals, by criterion."""

    def share(chosen: Iterable[SlideFact], right: Iterable[bool], detail: str = "") -> Measure:
        return share_measure(
            list(right),
            [fact.result.case_id for fact in chosen],
            confidence=confidence,
            detail=detail,
        )

    known = [fact for fact in facts if fact.truth is not None]
    scorable = [fact for fact in known if fact.truth and fact.truth.scorable]
    scored = [fact for fact in scorable if fact.result.status == "scored"]
    barred = [fact for fact in known if fact.truth and not fact.truth.scorable]
    refused = [fact for fact in barred if fact.result.status != "scored"]
    measures = {
        "slides_end": share(facts, (_ended(fact) for fact in facts), _names(facts, _ended)),
        "scores_given": share(scorable, (fact in scored for fact in scorable)),
        "refusals": share(barred, (fact in refused for fact in barred)),
        "refusal_reasons": share(
            refused, (bool(fact.right) for fact in refused), _names(refused, _right)
        ),
    }
    for name, near in (("score_agreement", False), ("score_agreement_near", True)):
        # A slide without a distance (the gap policy left it open) is not near.
        mine = [fact for fact in scored if bool(fact.near) == near]
        measures[name] = share(mine, (_right(fact) for fact in mine), _names(mine, _right))
    for rank in range(1, len(SCORES)):
        for word, side in (("positive", True), ("negative", False)):
            mine = [fact for fact in scorable if fact.truth and fact.truth.side(rank) is side]
            open_ = sum(fact.truth is not None and fact.truth.side(rank) is None
                        for fact in scorable)  # fmt: skip
            detail = f"{open_} slides may be on either side and are left out" if open_ else ""
            measures[f"{word}_agreement_{rank}"] = share(
                mine, (_called(fact, rank) is side for fact in mine), detail
            )
    return measures


def _ended(fact: SlideFact) -> bool:
    """Tell whether a slide did not fail, or was expected to."""
    return fact.result.status != "failed" or bool(fact.right)


def _right(fact: SlideFact) -> bool:
    return bool(fact.right)


def _called(fact: SlideFact, rank: int) -> bool | None:
    """Tell on which side the program puts a slide; None without a score, which is neither."""
    score = fact.result.ihc_score
    return None if score is None else SCORES.index(score) >= rank


def _names(facts: Iterable[SlideFact], good: Callable[[SlideFact], bool]) -> str:
    """Name the first slides that are not as asked."""
    bad = [fact for fact in facts if not good(fact)]
    texts = [f"{fact.result.slide_id}: {fact.found_text}" for fact in bad[:3]]
    more = f", and {len(bad) - 3} more" if len(bad) > 3 else ""
    return "; ".join(texts) + more


def cell_measures(facts: Sequence[SlideFact]) -> dict[str, Measure]:
    """Return the measures against the truth of every cell; the worst slide is judged."""
    mine = [(fact, fact.cells) for fact in facts if fact.cells is not None]
    if not mine:
        nothing = Measure(value=None, n=0, untested="there is no slide with known cells")
        return dict.fromkeys(("tumour_cells_found", "tumour_cells_right", "pattern_error"), nothing)
    true = sum(cells.true for _, cells in mine)
    found = sum(cells.found for _, cells in mine)
    paired = sum(cells.paired for _, cells in mine)
    errors = {fact.result.slide_id: cells.worst_pattern for fact, cells in mine}
    worst = max(errors, key=lambda name: abs(errors[name][1]))
    pattern = errors[worst][0].replace("_", " ")
    return {
        "tumour_cells_found": _worst(
            [cells.found_pct for _, cells in mine], f"{paired:,} of {true:,} true cells in all"
        ),
        "tumour_cells_right": _worst(
            [cells.right_pct for _, cells in mine], f"{paired:,} of {found:,} found cells in all"
        ),
        "pattern_error": _worst(
            [abs(error) for _, error in errors.values()],
            f"{worst}: {pattern} {errors[worst][1]:+.1f} pp",
            largest=True,
        ),
    }


def _worst(values: Sequence[float], detail: str, *, largest: bool = False) -> Measure:
    low, high = min(values), max(values)
    return Measure(
        value=high if largest else low,
        n=len(values),
        low=low,
        high=high,
        interval="range over slides",
        detail=detail,
    )


def comparison_measures(
    compared: RunComparison, patients: Sequence[str | None], *, confidence: float
) -> dict[str, Measure]:
    """Return the measures of two runs: the same bytes, scores, H-scores and cells.

    Parameters
    ----------
    compared
        The comparison.
    patients
        Case of each of its comparable slides.
    confidence
        Of the intervals.

    Returns
    -------
    dict
        ``identical``, ``scores``, ``h_score`` and ``cells``.
    """
    pairs = compared.comparable
    left_out = len(compared.pairs) - len(pairs)
    why = "the runs share no slide"
    if left_out:
        why = "the runs read other files under the same names"
    right = [pair.same_score for pair in pairs]
    n, same = len(compared.files), len(compared.files) - len(compared.different_files)
    return {
        "identical": Measure(
            value=100 * same / n if n else None,
            n=n,
            detail=_first(compared.different_files),
            untested="" if n else why,
        ),
        "scores": share_measure(
            # A slide that one run lacks has not been given the same score.
            right + [False] * len(compared.only_in_one),
            [*patients, *([None] * len(compared.only_in_one))],
            confidence=confidence,
            detail=_differing(pairs, compared, left_out),
            untested=why,
        )
        if pairs
        else Measure(value=None, n=0, untested=why),
        "h_score": _of_pairs([pair.h_score_difference for pair in pairs], largest=True),
        "cells": _of_pairs([pair.paired_pct for pair in pairs], largest=False),
    }


def _of_pairs(values: Sequence[float | None], *, largest: bool) -> Measure:
    known = [value for value in values if value is not None]
    if not known:
        return Measure(value=None, n=0, untested="no slide was read to the end by both runs")
    return _worst(known, "", largest=largest)


def _differing(pairs: Sequence[SlidePair], compared: RunComparison, left_out: int) -> str:
    texts = [
        f"{pair.slide_id}: {pair.first}, then {pair.second}"
        for pair in pairs
        if not pair.same_score
    ]
    words = [_first(texts)] if texts else []
    tiers = sum(pair.same_score and not pair.same_tier for pair in pairs)
    if tiers:
        words.append(f"{tiers} with the same score and another tier")
    if compared.only_in_one:
        words.append(f"only in one run: {_first(compared.only_in_one)}")
    if left_out:
        words.append(f"left out: {left_out} whose files differ")
    return "; ".join(words)


def _first(names: Sequence[str]) -> str:
    return "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


def time_measure(facts: Sequence[SlideFact]) -> Measure:
    """Return seconds per mm² of tissue, over the slides that were timed and have tissue."""
    timed = [
        (fact.seconds, fact.result.tissue_mm2)
        for fact in facts
        if fact.seconds is not None and fact.result.tissue_mm2
    ]
    if not timed:
        return Measure(value=None, n=0, untested="no slide with tissue was timed")
    seconds, area = (sum(column) for column in zip(*timed, strict=True))
    each = [one / mm2 for one, mm2 in timed]
    return Measure(
        value=seconds / area,
        n=len(timed),
        low=min(each),
        high=max(each),
        interval="range over slides",
        detail=f"{area:,.1f} mm² in {seconds:,.0f} s",
    )
