"""How far a breast score is from the nearest other one."""

from __future__ import annotations

import math

from pathology.scoring.breast_steps import (
    GAP_RULES,
    RULE_SCORES,
    Case,
    one_plus,
    rule_of,
    two_plus,
)
from pathology.scoring.effective import floor_limit, move_down

__all__ = ["nearest_score"]

#: A score (None: unresolved) and its distance in percentage points.
_Margin = tuple[float, str | None]


def nearest_score(rule: str, case: Case) -> tuple[float, str]:
    """Return the distance to the nearest other score, and that score.

    Parameters
    ----------
    rule
        The rule that decided, without suffix.
    case
        What it decided on.

    Returns
    -------
    tuple of float and str
        Percentage points, and the score; see :class:`~pathology.scoring.decision.Decision`.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.breast_steps import make_case
    >>> from pathology.scoring.counts import PatternCounts
    >>> from pathology.scoring.decision import ClusterSizes
    >>> from pathology.scoring.guidelines import load_guideline
    >>> case = make_case(PatternCounts(unstained=93, weak_incomplete=7), clusters=ClusterSizes(),
    ...                  guideline=load_guideline("asco-cap-breast-2018"),
    ...                  params=load_config().scoring)
    >>> nearest_score("8_incomplete_faint", case)
    (3.0, '1+')
    """
    score = RULE_SCORES[rule][0]
    others = [margin for margin in _margins(rule, case) if margin[1] != score]
    distance, other = min(others, key=lambda margin: margin[0])
    # A share exactly at its floor can be a rounding error below it.
    return max(0.0, distance), other or "unresolved"


def _margins(rule: str, case: Case) -> list[_Margin]:
    """List the changes of score that lie next to a rule."""
    cells, guideline = case.cells, case.guideline
    total = cells.total
    to_3, to_2, to_1 = (guideline.cutoffs[f"score_{k}"].pct for k in (3, 2, 1))
    # Measured, not effective: intense cells below the floor are on the way to 3+, too.
    intense = 100 * case.counts.complete_intense / total
    two, one = 100 * two_plus(cells, guideline) / total, 100 * one_plus(cells, guideline) / total
    step = rule[0]
    if step == "2":
        return [(intense - to_3, "2+")]
    if step == "3":
        return [(to_3 - intense, "3+"), _loss(case, "CI")]
    if step == "4":
        return [(two - to_2, "1+"), (to_3 - intense, "3+")]
    if step == "5":
        return [(two - to_2, "1+"), (to_3 - intense, "3+"), _loss(case, "IM")]
    if step == "6":
        return [(to_2 - two, "2+"), *_down_from_one_plus(one - to_1, case)]
    if step == "7":
        return [(to_2 - two, "2+"), (to_1 - one, "1+"), _loss(case, "CW", "IM")]
    return [(to_1 - one, "1+")]


def _down_from_one_plus(above: float, case: Case) -> list[_Margin]:
    """List the ways down from a 1+ whose share is ``above`` percentage points over its cut-off."""
    if not (case.cells.cw or case.cells.im):
        return [(above, "0")]
    # With a strong pattern present the gap policy decides below the cut-off; a 0 also needs that
    # pattern to go.
    gap = RULE_SCORES[GAP_RULES[case.params.gap_policy]][0]
    return [(above, gap), (max(above, _loss(case, "CW", "IM")[0]), "0")]


def _loss(case: Case, *shorts: str) -> _Margin:
    """Return how far patterns are above the floor (all have to go), and the score without them."""
    cells, clusters = case.cells, case.clusters
    held = {
        "CI": (cells.ci, clusters.complete_intense),
        "CW": (cells.cw, clusters.complete),
        "IM": (cells.im, clusters.incomplete_moderate_intense),
    }
    present = [short for short in shorts if held[short][0]]
    floor = float(100 * floor_limit(case.params, case.guideline))
    slack = [
        # A cluster keeps its pattern present, whatever its share.
        math.inf if cluster >= case.params.cluster_min_cells else 100 * n / cells.total - floor
        for n, cluster in (held[short] for short in present)
    ]
    # Intense cells that drop just below the floor lift the weaker complete pattern to it.
    moved = [short for short in cells.moved if not (short == "CW" and "CI" in present)]
    without = move_down(case.counts, (*moved, *present))
    rule = rule_of(without, case.guideline, case.params.gap_policy)
    return max(slack, default=math.inf), RULE_SCORES[rule][0]
