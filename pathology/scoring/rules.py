"""One entrance to the rules of every guideline: the guideline names its rule set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from pathology.config import ScoringConfig
from pathology.scoring.breast import decide_breast, rederive_breast
from pathology.scoring.breast_many import OUTCOMES, classify_breast
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes, Decision
from pathology.scoring.guidelines import Guideline
from pathology.scoring.wording import CELL_WORDING, Wording
from pathology.types import BoolArray, IntArray, U8Array

__all__ = ["OUTCOMES", "RULE_SETS", "RuleSet", "apply_rules", "classify_many", "rederive_score"]


class _Decide(Protocol):
    def __call__(
        self,
        counts: PatternCounts,
        *,
        guideline: Guideline,
        params: ScoringConfig,
        clusters: ClusterSizes,
        wording: Wording = CELL_WORDING,
    ) -> Decision: ...


class _Classify(Protocol):
    def __call__(
        self, cells: IntArray, clustered: BoolArray, *, guideline: Guideline, params: ScoringConfig
    ) -> U8Array: ...


class _Rederive(Protocol):
    def __call__(self, rule: str, counts: PatternCounts, *, guideline: Guideline) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class RuleSet:
    """Hold the three faces of one set of rules.

    Parameters
    ----------
    decide
        Counts to a decision with its clause.
    classify
        Many counts to codes of :data:`OUTCOMES`; agrees with ``decide``.
    rederive
        Counts and the name of a rule to the score.
    """

    decide: _Decide
    classify: _Classify
    rederive: _Rederive


#: Rule sets by the name that a guideline's file gives as ``rules``.
RULE_SETS: Final[Mapping[str, RuleSet]] = MappingProxyType(
    {
        "breast_asco_cap": RuleSet(
            decide=decide_breast, classify=classify_breast, rederive=rederive_breast
        ),
    }
)


def apply_rules(
    counts: PatternCounts,
    *,
    guideline: Guideline,
    params: ScoringConfig,
    clusters: ClusterSizes,
    wording: Wording = CELL_WORDING,
) -> Decision:
    """Score counts of evaluable tumour cells by a guideline.

    Every input with at least one cell gets exactly one decision. Shares are compared on integers.

    Parameters
    ----------
    counts
        Evaluable invasive tumour cells, at least 1.
    guideline
        Cut-offs, interpretations and the rule set.
    params
        Floor, clusters and gap policy.
    clusters
        Largest contiguous clusters of the strong patterns; all 0 where none are known.
    wording
        What the clause calls the things that were counted; by default cells.

    Returns
    -------
    Decision
        Score, rule, clause, deciding fraction, distance and flags.

    Raises
    ------
    ValueError
        If there is no cell to score.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> counts = PatternCounts(unstained=95, intense_complete=5)
    >>> found = apply_rules(counts, guideline=load_guideline("asco-cap-breast-2018"),
    ...                     params=load_config().scoring, clusters=ClusterSizes())
    >>> found.score, found.rule, found.flags
    ('2+', '3_intense_present', ('heterogeneous',))
    """
    rules = RULE_SETS[guideline.rules]
    return rules.decide(
        counts, guideline=guideline, params=params, clusters=clusters, wording=wording
    )


def classify_many(
    cells: IntArray, clustered: BoolArray, *, guideline: Guideline, params: ScoringConfig
) -> U8Array:
    """Score many sets of counts by a guideline.

    Parameters
    ----------
    cells
        (r, 5) int64: cells of each pattern, weakest first (order of the ``pattern`` codes).
    clustered
        (r, 3) bool: whether complete intense cells, complete cells of any intensity, and incomplete
        moderate-intense cells hold a contiguous cluster.
    guideline, params
        As in :func:`apply_rules`.

    Returns
    -------
    numpy.ndarray
        (r,) uint8: index into :data:`OUTCOMES`.

    Examples
    --------
    >>> import numpy as np
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> found = classify_many(np.array([[90, 10, 0, 0, 0]]), np.zeros((1, 3), dtype=bool),
    ...                       guideline=load_guideline("asco-cap-breast-2018"),
    ...                       params=load_config().scoring)
    >>> OUTCOMES[found[0]]
    'ultralow'
    """
    rules = RULE_SETS[guideline.rules]
    return rules.classify(cells, clustered, guideline=guideline, params=params)


def rederive_score(rule: str, counts: PatternCounts, *, guideline: Guideline) -> str | None:
    """Derive a score again from the counts and the name of the rule alone: an audit.

    Parameters
    ----------
    rule
        ``deciding_rule`` of a result.
    counts
        Its counts.
    guideline
        Its guideline.

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
    >>> counts = PatternCounts(unstained=80, intense_complete=20)
    >>> rederive_score("2_complete_intense", counts,
    ...                guideline=load_guideline("asco-cap-breast-2018"))
    '3+'
    """
    return RULE_SETS[guideline.rules].rederive(rule, counts, guideline=guideline)
