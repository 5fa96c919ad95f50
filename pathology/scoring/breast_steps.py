"""The steps of the rules for invasive breast cancer (ASCO/CAP), on integer counts of cells.

The steps are taken in order; the first that holds decides. CI is complete intense, CW complete and
faint to moderate, IM incomplete and moderate or intense, IF incomplete and faint or weak, each
after the floor; "cut-off" is 10 %, strictly above, in the guideline of 2018.

=====================================  ==========================================================
``2_complete_intense``                 CI above the cut-off: 3+
``3_intense_present``                  CI present, not above the cut-off: 2+
``4_complete_weak_moderate``           CW above the cut-off: 2+
``5_basolateral``                      IM present, CW + IM above the cut-off: 2+
``6_stained``                          CW + IM + IF above the cut-off: 1+
``7_gap_score_1``, ``7_gap_score_2``,  CW or IM present, all not above the cut-off: a gap that no
``7_gap_unresolved``                   category describes, resolved by policy
``8_incomplete_faint``                 only IF, not above the cut-off: 0, ultralow
``9_unstained``                        nothing stained: 0, null
=====================================  ==========================================================

A stronger or more complete cell never lowers the score under the gap policy ``score_1_borderline``,
with one exception that the floor brings: where an incomplete moderate or intense cell becomes
complete, the incomplete pattern can fall below the floor, and its cells then count as faint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pathology.config import ScoringConfig
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes
from pathology.scoring.effective import Effective, below_floor, move_down
from pathology.scoring.guidelines import Guideline
from pathology.scoring.tiers import BelowOne
from pathology.scoring.wording import CELL_WORDING, Wording

__all__ = ["GAP_RULES", "RULE_SCORES", "Case", "make_case", "one_plus", "rule_of", "two_plus"]

#: The rule that each gap policy stands for.
GAP_RULES: Final[dict[str, str]] = {
    "score_1_borderline": "7_gap_score_1",
    "score_2": "7_gap_score_2",
    "unresolved": "7_gap_unresolved",
}
#: The score and what lies below 1+ for each rule.
RULE_SCORES: Final[dict[str, tuple[str | None, BelowOne | None]]] = {
    "2_complete_intense": ("3+", None),
    "3_intense_present": ("2+", None),
    "4_complete_weak_moderate": ("2+", None),
    "5_basolateral": ("2+", None),
    "6_stained": ("1+", None),
    "7_gap_score_1": ("1+", None),
    "7_gap_score_2": ("2+", None),
    "7_gap_unresolved": (None, None),
    "8_incomplete_faint": ("0", "ultralow"),
    "9_unstained": ("0", "null"),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Hold all that the rules look at.

    Parameters
    ----------
    counts
        Cells as measured, at least 1.
    cells
        Cells after the floor.
    guideline, params, clusters, wording
        As in :func:`~pathology.scoring.rules.apply_rules`.
    """

    counts: PatternCounts
    cells: Effective
    guideline: Guideline
    params: ScoringConfig
    clusters: ClusterSizes
    wording: Wording = CELL_WORDING


def make_case(
    counts: PatternCounts,
    *,
    guideline: Guideline,
    params: ScoringConfig,
    clusters: ClusterSizes,
    wording: Wording = CELL_WORDING,
) -> Case:
    """Apply the floor and put everything together.

    Raises
    ------
    ValueError
        If there is no cell to score.
    """
    if counts.total == 0:
        raise ValueError("there is no evaluable tumour cell to score")
    moved = below_floor(counts, params=params, guideline=guideline, clusters=clusters)
    return Case(
        counts=counts,
        cells=move_down(counts, moved),
        guideline=guideline,
        params=params,
        clusters=clusters,
        wording=wording,
    )


def two_plus(cells: Effective, guideline: Guideline) -> int:
    """Return the cells that are held against the cut-off of 2+.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> two_plus(move_down(PatternCounts(moderate_complete=8, moderate_incomplete=3), ()),
    ...          load_guideline("asco-cap-breast-2018"))
    11
    """
    if guideline.applies("sum_towards_2"):
        return cells.cw + cells.im
    return max(cells.cw, cells.im)


def one_plus(cells: Effective, guideline: Guideline) -> int:
    """Return the cells that are held against the cut-off of 1+ (complete intense ones apart).

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> one_plus(move_down(PatternCounts(moderate_complete=8, weak_incomplete=3), ()),
    ...          load_guideline("asco-cap-breast-2018"))
    11
    """
    if guideline.applies("sum_towards_1"):
        return cells.cw + cells.im + cells.if_
    return cells.if_


def rule_of(cells: Effective, guideline: Guideline, gap_policy: str) -> str:
    """Take the steps in order and name the rule that decides.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> rule_of(move_down(PatternCounts(unstained=95, weak_incomplete=5), ()),
    ...         load_guideline("asco-cap-breast-2018"), "score_1_borderline")
    '8_incomplete_faint'
    """
    cutoffs, total = guideline.cutoffs, cells.total
    if cells.ci:
        above = cutoffs["score_3"].passed(cells.ci, total)
        return "2_complete_intense" if above else "3_intense_present"
    if cutoffs["score_2"].passed(cells.cw, total):
        return "4_complete_weak_moderate"
    if cells.im and cutoffs["score_2"].passed(two_plus(cells, guideline), total):
        return "5_basolateral"
    if cutoffs["score_1"].passed(one_plus(cells, guideline), total):
        return "6_stained"
    if cells.cw or cells.im:
        return GAP_RULES[gap_policy]
    return "8_incomplete_faint" if cells.if_ else "9_unstained"
