"""The breast rules on many sets of counts at once, for the bootstrap."""

from __future__ import annotations

import numpy as np

from pathology.config import ScoringConfig
from pathology.scoring.breast_steps import GAP_RULES, RULE_SCORES
from pathology.scoring.effective import floor_limit
from pathology.scoring.guidelines import Guideline
from pathology.types import BoolArray, IntArray, U8Array

__all__ = ["OUTCOMES", "classify_breast"]

#: Outcomes by code: the two kinds of 0, the other scores, and the unresolved gap.
OUTCOMES: tuple[str, ...] = ("null", "ultralow", "1+", "2+", "3+", "unresolved")
_UNRESOLVED = OUTCOMES.index("unresolved")


def classify_breast(
    cells: IntArray, clustered: BoolArray, *, guideline: Guideline, params: ScoringConfig
) -> U8Array:
    """Score r sets of counts by the breast rules.

    Parameters
    ----------
    cells
        (r, 5) int64: unstained, incomplete faint, incomplete moderate-intense, complete
        weak-moderate, complete intense; each row with at least one cell.
    clustered
        (r, 3) bool: whether the complete intense cells, the complete cells of any intensity, and
        the incomplete moderate-intense cells hold a contiguous cluster.
    guideline, params
        As in :func:`~pathology.scoring.rules.apply_rules`.

    Returns
    -------
    numpy.ndarray
        (r,) uint8: index into :data:`OUTCOMES`.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> cells = np.array([[100, 0, 0, 0, 0], [89, 0, 0, 0, 11], [89, 11, 0, 0, 0]])
    >>> found = classify_breast(cells, np.zeros((3, 3), dtype=bool), params=load_config().scoring,
    ...                         guideline=load_guideline("asco-cap-breast-2018"))
    >>> [OUTCOMES[code] for code in found]
    ['null', '3+', '1+']
    """
    limit = floor_limit(params, guideline)
    faint, incomplete, complete, intense = (cells[:, k].astype(np.int64) for k in (1, 2, 3, 4))
    total = cells.sum(axis=1, dtype=np.int64)

    def too_few(n: IntArray, cluster: BoolArray) -> BoolArray:
        return np.asarray((n * limit.denominator < limit.numerator * total) & ~cluster)

    down = np.where(too_few(intense, clustered[:, 0]), intense, 0)
    intense, complete = intense - down, complete + down
    down = np.where(too_few(complete, clustered[:, 1]), complete, 0)
    complete, faint = complete - down, faint + down
    down = np.where(too_few(incomplete, clustered[:, 2]), incomplete, 0)
    incomplete, faint = incomplete - down, faint + down

    strong = complete + incomplete
    two = strong if guideline.applies("sum_towards_2") else np.maximum(complete, incomplete)
    one = strong + faint if guideline.applies("sum_towards_1") else faint
    cutoffs = guideline.cutoffs
    gap_score = RULE_SCORES[GAP_RULES[params.gap_policy]][0]
    gap = _UNRESOLVED if gap_score is None else OUTCOMES.index(gap_score)
    return np.select(
        [
            cutoffs["score_3"].passed(intense, total),
            (intense > 0) | cutoffs["score_2"].passed(two, total),
            cutoffs["score_1"].passed(one, total),
            strong > 0,
            faint > 0,
        ],
        [4, 3, 2, gap, 1],
        default=0,
    ).astype(np.uint8)
