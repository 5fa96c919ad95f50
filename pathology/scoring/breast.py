"""The rule set for invasive breast cancer: counts in, decision out.

The steps themselves are in :mod:`pathology.scoring.breast_steps`.
"""

from __future__ import annotations

from pathology.config import ScoringConfig
from pathology.scoring.breast_margins import nearest_score
from pathology.scoring.breast_steps import GAP_RULES, RULE_SCORES, Case, make_case, rule_of
from pathology.scoring.breast_words import clause_of
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes, Decision, pattern_total
from pathology.scoring.effective import PATTERN_NAMES, move_down
from pathology.scoring.guidelines import Guideline
from pathology.scoring.wording import CELL_WORDING, Wording

__all__ = ["decide_breast", "rederive_breast"]

#: The cut-off whose share each step is about, by the step's number.
_CUTOFF_OF_STEP: dict[str, str] = {
    "2": "score_3",
    "3": "score_3",
    "4": "score_2",
    "5": "score_2",
    "6": "score_1",
    "7": "score_2",
    "8": "score_1",
    "9": "score_1",
}


def decide_breast(
    counts: PatternCounts,
    *,
    guideline: Guideline,
    params: ScoringConfig,
    clusters: ClusterSizes,
    wording: Wording = CELL_WORDING,
) -> Decision:
    """Score counts by the breast rules.

    Parameters
    ----------
    counts
        Evaluable invasive tumour cells, at least 1.
    guideline
        Cut-offs and interpretations.
    params
        Floor, clusters and gap policy.
    clusters
        Largest contiguous clusters of the strong patterns.
    wording
        What the clause calls the things that were counted.

    Returns
    -------
    Decision
        Score, rule, clause, distance and flags.

    Raises
    ------
    ValueError
        If there is no cell to score.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> found = decide_breast(
    ...     PatternCounts(unstained=766, moderate_complete=234), clusters=ClusterSizes(),
    ...     params=load_config().scoring, guideline=load_guideline("asco-cap-breast-2018"))
    >>> found.score, found.rule, round(found.distance_pp, 6)
    ('2+', '4_complete_weak_moderate', 10.0)
    >>> found.clause
    '2+: 23.4 % complete weak-moderate > 10 % (234 of 1,000 cells)'
    """
    case = make_case(counts, guideline=guideline, params=params, clusters=clusters, wording=wording)
    rule = rule_of(case.cells, guideline, params.gap_policy)
    score, below_one = RULE_SCORES[rule]
    distance, nearest = nearest_score(rule, case)
    patterns = _deciding_patterns(rule, case)
    moved = case.cells.moved
    return Decision(
        score=score,
        below_one=below_one,
        rule=f"{rule}/floor={'+'.join(moved)}" if moved else rule,
        clause=clause_of(rule, case),
        patterns=patterns,
        n=pattern_total(counts, patterns),
        total=counts.total,
        cutoff_pct=guideline.cutoffs[_CUTOFF_OF_STEP[rule[0]]].pct,
        distance_pp=distance,
        nearest_score=nearest,
        flags=_flags(rule, case),
    )


def rederive_breast(rule: str, counts: PatternCounts, *, guideline: Guideline) -> str | None:
    """Derive a score again from the counts and the name of the rule alone.

    Parameters
    ----------
    rule
        The rule that decided, with its suffix.
    counts
        Evaluable invasive tumour cells, at least 1.
    guideline
        Cut-offs and interpretations.

    Returns
    -------
    str or None
        The score; None for an unresolved gap.

    Raises
    ------
    ValueError
        If there is no such rule, or it does not hold for these counts.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> rederive_breast("9_unstained", PatternCounts(unstained=200),
    ...                 guideline=load_guideline("asco-cap-breast-2018"))
    '0'
    """
    name, _, suffix = rule.partition("/floor=")
    if name not in RULE_SCORES:
        raise ValueError(f"there is no rule {rule!r}")
    policies = {text: policy for policy, text in GAP_RULES.items()}
    cells = move_down(counts, tuple(suffix.split("+")) if suffix else ())
    if rule_of(cells, guideline, policies.get(name, "score_1_borderline")) != name:
        raise ValueError(f"rule {rule!r} does not hold for {counts}")
    return RULE_SCORES[name][0]


def _deciding_patterns(rule: str, case: Case) -> tuple[str, ...]:
    """Name the measured patterns whose cells make the deciding fraction of a rule."""
    by_step = {"2": ("CI",), "3": ("CI",), "4": ("CW",), "5": ("CW", "IM"), "7": ("CW", "IM")}
    shorts: tuple[str, ...] = by_step.get(rule[0], ("CI", "CW", "IM", "IF"))
    if rule[0] == "5" and not case.guideline.applies("sum_towards_2"):
        shorts = ("IM",)
    if rule[0] == "6" and not case.guideline.applies("sum_towards_1"):
        shorts = ("IF",)
    found = {name for short in shorts for name in case.cells.sources[short]}
    return tuple(name for name in PATTERN_NAMES.values() if name in found)


def _flags(rule: str, case: Case) -> tuple[str, ...]:
    cells, counts = case.cells, case.counts
    apart = case.clusters.complete_intense < case.params.cluster_min_cells
    tests = {
        "below_floor": any(getattr(counts, PATTERN_NAMES[short]) for short in cells.moved),
        "intense_not_contiguous": rule == "2_complete_intense" and apart,
        "heterogeneous": rule == "3_intense_present",
        "atypical_basolateral": rule == "5_basolateral",
        "mixed_pattern": rule == "6_stained" and bool(cells.cw or cells.im),
        "gap_pattern": rule.startswith("7_"),
    }
    return tuple(sorted(name for name, holds in tests.items() if holds))
