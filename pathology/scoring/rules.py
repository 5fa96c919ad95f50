"""One entrance to the rules of every guideline: the guideline names its rule set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np

from pathology.config import ScoringConfig
from pathology.scoring.breast import decide_breast, rederive_breast
from pathology.scoring.breast_many import OUTCOMES, classify_breast
from pathology.scoring.codes import N_PATTERNS, PATTERN_OF_KIND, kind_counts
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes, Decision
from pathology.scoring.gastric import classify_gastric, decide_gastric, rederive_gastric
from pathology.scoring.gastric_steps import gastric_codes
from pathology.scoring.guidelines import Guideline
from pathology.scoring.wording import CELL_WORDING, Wording
from pathology.types import BoolArray, IntArray, U8Array

__all__ = [
    "OUTCOMES",
    "RULE_SETS",
    "RuleSet",
    "apply_rules",
    "classify_many",
    "deciding_columns",
    "rederive_score",
]


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


class _Codes(Protocol):
    def __call__(self, kinds: U8Array, guideline: Guideline) -> U8Array: ...


@dataclass(frozen=True, kw_only=True)
class RuleSet:
    """Hold the faces of one set of rules.

    Parameters
    ----------
    decide
        Counts to a decision with its clause.
    classify
        Many counts to codes of :data:`OUTCOMES`; agrees with ``decide``.
    rederive
        Counts and the name of a rule to the score.
    codes
        Kinds of cells (intensity code twice, plus 1 where complete) to the columns that
        ``classify`` counts them in.
    clustered
        Three groups of those columns: what a contiguous cluster is made of.
    sizes
        The fields of :class:`~pathology.scoring.decision.ClusterSizes` that the groups fill.
    least
        Cells of the smallest cluster that counts; None where clusters are not asked about.
    """

    decide: _Decide
    classify: _Classify
    rederive: _Rederive
    codes: _Codes
    clustered: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    sizes: tuple[str, str, str]
    least: Callable[[Guideline, ScoringConfig], int | None]


def _breast_codes(kinds: U8Array, guideline: Guideline) -> U8Array:
    del guideline
    return np.asarray(PATTERN_OF_KIND[kinds])


def _gastric_least(guideline: Guideline, params: ScoringConfig) -> int | None:
    del params
    return guideline.clusters["biopsy"].least if guideline.specimen == "biopsy" else None


#: Rule sets by the name that a guideline's file gives as ``rules``.
RULE_SETS: Final[Mapping[str, RuleSet]] = MappingProxyType(
    {
        "breast_asco_cap": RuleSet(
            decide=decide_breast,
            classify=classify_breast,
            rederive=rederive_breast,
            codes=_breast_codes,
            # Complete intense; complete of any intensity; incomplete moderate-intense.
            clustered=((4,), (3, 4), (2,)),
            sizes=("complete_intense", "complete_weak_moderate", "incomplete_moderate_intense"),
            least=lambda _, params: params.cluster_min_cells,
        ),
        "gastric": RuleSet(
            decide=decide_gastric,
            classify=classify_gastric,
            rederive=rederive_gastric,
            codes=gastric_codes,
            clustered=((3,), (2, 3), (1, 2, 3)),
            sizes=("level_3", "level_2", "level_1"),
            least=_gastric_least,
        ),
    }
)


def deciding_columns(patterns: Iterable[str], guideline: Guideline) -> tuple[int, ...]:
    """Return the columns of a rule set's counts whose cells make a deciding fraction.

    Parameters
    ----------
    patterns
        ``patterns`` of a decision: names of properties of the counts.
    guideline
        With its rule set.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> deciding_columns(("complete_weak_moderate",), load_guideline("asco-cap-breast-2018"))
    (3,)
    """
    kinds = np.arange(2 * N_PATTERNS, dtype=np.uint8)
    codes = RULE_SETS[guideline.rules].codes(kinds, guideline)
    held = {
        int(code)
        for kind, code in zip(kinds.tolist(), codes.tolist(), strict=True)
        if (counts := kind_counts(kind)) is not None
        for name in patterns
        if getattr(counts, name)
    }
    return tuple(sorted(held))


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
        Cut-offs, interpretations and the rule set; with the specimen type where it has several.
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
        (r, 5) int64: cells of each column of the rule set (:class:`RuleSet`, ``codes``), weakest
        first; for breast the ``pattern`` codes.
    clustered
        (r, 3) bool: whether each group of the rule set's ``clustered`` holds a contiguous cluster;
        for breast complete intense, complete, and incomplete moderate-intense cells.
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
