from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.config import ScoringConfig, load_config
from pathology.scoring import (
    ClusterSizes,
    PatternCounts,
    apply_rules,
    load_guideline,
    rederive_score,
)
from pathology.scoring.breast_steps import RULE_SCORES
from pathology.scoring.rules import OUTCOMES, classify_many

GUIDELINE = load_guideline("asco-cap-breast-2018")
PARAMS = load_config().scoring
POLICIES = ("score_1_borderline", "score_2", "unresolved")
FIELDS = tuple(PatternCounts.__dataclass_fields__)
RANK = {"0": 0, "1+": 1, "2+": 2, "3+": 3}


def with_params(**changes: object) -> ScoringConfig:
    return PARAMS.model_copy(update=changes)


def slow_outcome(counts: PatternCounts, clusters: ClusterSizes, policy: str) -> str:
    """The rules once more, in fractions, straight from their text."""
    total = counts.total
    ci = Fraction(counts.intense_complete, total)
    cw = Fraction(counts.faint_complete + counts.weak_complete + counts.moderate_complete, total)
    im = Fraction(counts.moderate_incomplete + counts.intense_incomplete, total)
    if_ = Fraction(counts.faint_incomplete + counts.weak_incomplete, total)
    floor, cutoff = Fraction(1, 100), Fraction(10, 100)
    if ci < floor and clusters.complete_intense < 20:
        cw, ci = cw + ci, Fraction(0)
    both = max(clusters.complete_weak_moderate, clusters.complete_intense)
    if cw < floor and both < 20:
        if_, cw = if_ + cw, Fraction(0)
    if im < floor and clusters.incomplete_moderate_intense < 20:
        if_, im = if_ + im, Fraction(0)
    if ci > cutoff:
        return "3+"
    if ci > 0 or cw > cutoff or (im > 0 and cw + im > cutoff):
        return "2+"
    if cw + im + if_ > cutoff:
        return "1+"
    if cw > 0 or im > 0:
        return {"score_1_borderline": "1+", "score_2": "2+", "unresolved": "unresolved"}[policy]
    return "ultralow" if if_ > 0 else "null"


def check(counts: PatternCounts, clusters: ClusterSizes, policy: str) -> str:
    """Hold the rules, their vectorised twin, the audit and the reference against each other."""
    params = with_params(gap_policy=policy)
    found = apply_rules(counts, guideline=GUIDELINE, params=params, clusters=clusters)
    outcome = found.below_one or found.score or "unresolved"
    assert outcome == slow_outcome(counts, clusters, policy)
    assert rederive_score(found.rule, counts, guideline=GUIDELINE) == found.score
    assert found.clause.startswith(found.score or "unresolved")
    assert found.nearest_score != found.score
    assert found.nearest_score in (*RANK, "unresolved")
    assert 0 <= found.distance_pp <= 100
    cells = np.array(
        [
            [
                counts.unstained,
                counts.incomplete_faint,
                counts.incomplete_moderate_intense,
                counts.complete_weak_moderate,
                counts.complete_intense,
            ]
        ]
    )
    clustered = np.array(
        [
            [
                clusters.complete_intense >= 20,
                clusters.complete >= 20,
                clusters.incomplete_moderate_intense >= 20,
            ]
        ]
    )
    code = classify_many(cells, clustered, guideline=GUIDELINE, params=params)[0]
    assert OUTCOMES[code] == outcome
    return found.rule


def test_every_input_has_one_result_and_every_clause_is_reached() -> None:
    """All shares around the floor and the cut-off, in all combinations, under all policies."""
    total, marks = 300, (0, 1, 2, 3, 29, 30, 31)
    rules = set()
    for ci, cw, im, if_ in itertools.product(marks, repeat=4):
        if ci + cw + im + if_ > total:
            continue
        counts = PatternCounts(
            unstained=total - ci - cw - im - if_,
            weak_incomplete=if_,
            intense_incomplete=im,
            faint_complete=cw,
            intense_complete=ci,
        )
        policy = POLICIES[(ci + cw + im + if_) % 3] if ci else None
        for name in (policy,) if policy else POLICIES:
            rules.add(check(counts, ClusterSizes(), name))
    assert {rule.partition("/")[0] for rule in rules} == set(RULE_SCORES)
    suffixes = {rule.partition("/floor=")[2] for rule in rules}
    # Intense cells below the floor either lift the weaker complete ones or sink with them.
    assert suffixes == {"", "CI", "CW", "IM", "CI+CW", "CI+IM", "CW+IM", "CI+CW+IM"}


#: Small shares are as likely as large ones, so that floor and cut-off are met.
CELLS = st.one_of(st.integers(0, 12), st.integers(90, 110), st.integers(0, 1000))
SIZES = st.builds(
    ClusterSizes,
    complete_intense=st.integers(0, 40),
    complete_weak_moderate=st.integers(0, 40),
    incomplete_moderate_intense=st.integers(0, 40),
)


@st.composite
def any_counts(draw: st.DrawFn) -> PatternCounts:
    cells = {name: draw(CELLS) for name in FIELDS[1:]}
    keep = draw(st.sets(st.sampled_from(FIELDS[1:])))
    stained = {name: n for name, n in cells.items() if name in keep}
    # Mostly around a thousand cells in all, where the marks of CELLS are 1 % and 10 %.
    rest = draw(st.one_of(st.just(max(0, 1000 - sum(stained.values()))), st.integers(0, 2000)))
    return PatternCounts(unstained=max(rest, 0 if sum(stained.values()) else 1), **stained)


def test_cells_below_the_floor_still_count_towards_the_cut_off() -> None:
    """0.9 % that are moved down, and 9.2 % faint ones: together above 10 %, whatever they were."""
    for name in ("intense_complete", "weak_complete", "intense_incomplete"):
        counts = PatternCounts(unstained=899, faint_incomplete=92, **{name: 9})
        assert check(counts, ClusterSizes(), "score_1_borderline").startswith("6_stained/floor=")


@settings(max_examples=60, deadline=None)
@given(counts=any_counts(), clusters=SIZES, policy=st.sampled_from(POLICIES))
def test_rules_agree_with_a_reference(counts, clusters, policy) -> None:
    check(counts, clusters, policy)


@settings(max_examples=60, deadline=None)
@given(total=st.integers(1, 10**7), kind=st.sampled_from(["ci", "cw", "im", "if"]))
def test_the_cut_off_is_exact_for_any_number_of_cells(total: int, kind: str) -> None:
    """The last count that is not above 10 %, and the next one."""
    name = {
        "ci": "intense_complete",
        "cw": "weak_complete",
        "im": "intense_incomplete",
        "if": "faint_incomplete",
    }[kind]
    last = total // 10
    scores = [
        apply_rules(
            PatternCounts(**{name: n, "unstained": total - n}),
            guideline=GUIDELINE,
            params=with_params(pattern_floor_pct=0.0),
            clusters=ClusterSizes(),
        ).score
        for n in (last, last + 1)
    ]
    below, above = {
        "ci": ("2+", "3+"),
        "cw": ("1+", "2+"),
        "im": ("1+", "2+"),
        "if": ("0", "1+"),
    }[kind]
    assert scores == [below if last else "0", above]


#: Each kind of cell, and what it becomes with stronger or with more complete staining.
LADDER = {
    "unstained": ("faint_incomplete",),
    "faint_incomplete": ("weak_incomplete", "faint_complete"),
    "weak_incomplete": ("moderate_incomplete", "weak_complete"),
    "moderate_incomplete": ("intense_incomplete", "moderate_complete"),
    "intense_incomplete": ("intense_complete",),
    "faint_complete": ("weak_complete",),
    "weak_complete": ("moderate_complete",),
    "moderate_complete": ("intense_complete",),
}


@st.composite
def upgrades(draw: st.DrawFn) -> tuple[PatternCounts, PatternCounts, bool]:
    """Counts, the same with some cells one rung up, and whether incomplete ones got complete."""
    counts = draw(any_counts())
    weaker = draw(st.sampled_from([name for name in LADDER if getattr(counts, name)] or [""]))
    if not weaker:
        return counts, counts, False
    stronger = draw(st.sampled_from(LADDER[weaker]))
    held = getattr(counts, weaker)
    n = draw(st.one_of(st.just(1), st.integers(1, held)))
    cells = {name: getattr(counts, name) for name in FIELDS}
    cells[weaker] -= n
    cells[stronger] += n
    closed = weaker in ("moderate_incomplete", "intense_incomplete") and "incomplete" not in (
        stronger.split("_")
    )
    return counts, PatternCounts(**cells), closed


def rank(counts: PatternCounts, params: ScoringConfig, clusters: ClusterSizes) -> tuple[int, str]:
    found = apply_rules(counts, guideline=GUIDELINE, params=params, clusters=clusters)
    return RANK[found.score or "0"] * 2 + (found.below_one == "ultralow"), found.rule


@settings(max_examples=60, deadline=None)
@given(pair=upgrades(), clusters=SIZES)
def test_a_stronger_or_more_complete_cell_never_lowers_the_score(pair, clusters) -> None:
    """One exception, listed below: incomplete cells that close, and leave too few behind them."""
    before, after, closed = pair
    if closed:
        # A cluster of incomplete cells would go along with those of its cells that close.
        clusters = replace(clusters, incomplete_moderate_intense=0)
    lower, _ = rank(before, PARAMS, clusters)
    upper, rule = rank(after, PARAMS, clusters)
    # The floor takes the incomplete cells left behind, or the first few that have closed.
    assert upper >= lower or (closed and ("IM" in rule or "floor=CW" in rule))


@settings(max_examples=60, deadline=None)
@given(pair=upgrades())
def test_without_a_floor_there_is_no_exception(pair) -> None:
    before, after, _ = pair
    params = with_params(pattern_floor_pct=0.0)
    assert rank(after, params, ClusterSizes())[0] >= rank(before, params, ClusterSizes())[0]


@pytest.mark.parametrize(
    ("before", "after", "policy", "scores"),
    [
        # The floor: the incomplete pattern falls below 1 % and counts as faint.
        ((0, 91, 10, 0), (0, 92, 9, 0), "score_1_borderline", ("2+", "1+")),
        ((0, 0, 10, 0), (0, 1, 9, 0), "score_1_borderline", ("1+", "0")),
        # The floor: the first cell that closes counts as faint, and leaves exactly 10 % behind.
        ((0, 0, 101, 0), (0, 1, 100, 0), "score_1_borderline", ("2+", "1+")),
        # The gap policy 2+: one more faint cell makes it a category of its own, 1+.
        ((0, 50, 0, 50), (0, 50, 0, 51), "score_2", ("2+", "1+")),
    ],
)
def test_the_listed_exceptions(before, after, policy, scores) -> None:
    found = []
    for ci, cw, im, if_ in (before, after):
        counts = PatternCounts(
            unstained=1000 - ci - cw - im - if_,
            intense_complete=ci,
            moderate_complete=cw,
            moderate_incomplete=im,
            weak_incomplete=if_,
        )
        decision = apply_rules(
            counts,
            guideline=GUIDELINE,
            params=with_params(gap_policy=policy),
            clusters=ClusterSizes(),
        )
        found.append(decision.score)
    assert tuple(found) == scores
