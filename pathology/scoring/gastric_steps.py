"""The steps of the rules for gastric cancer: resections by share, biopsies by cluster.

A cell speaks for a level: 3 where its membrane is intense, 2 where it is weak or moderate, 1 where
it is faint, 0 where it is unstained. Completeness is not asked: basolateral or lateral staining is
enough. A weakly stained part of a membrane is level 2 by interpretation (``weak_partial_is_2``).

============================  =====================================================================
``resection_3_intense``       cells of level 3 pass the cut-off: 3+
``resection_2_weak``          cells of level 2 (and 3) pass it: 2+
``resection_1_faint``         cells of level 1 (and 2 and 3) pass it: 1+
``resection_0_some``          stained cells, but not enough: 0
``resection_0_unstained``     nothing stained: 0
``biopsy_3_intense``          a cluster of enough cells of level 3: 3+
``biopsy_2_weak``             a cluster of enough cells of level 2 or 3: 2+
``biopsy_1_faint``            a cluster of enough stained cells: 1+
``biopsy_0_some``             stained cells, but no such cluster: 0
``biopsy_0_unstained``        nothing stained: 0
============================  =====================================================================

A stronger cell never lowers the score while the sums ``sum_towards_2`` and ``sum_towards_1`` are
applied; completeness never matters but for weak cells without ``weak_partial_is_2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes
from pathology.scoring.guidelines import SPECIMENS, Guideline, Specimen
from pathology.scoring.tiers import BelowOne
from pathology.types import U8Array

__all__ = [
    "LEVEL_KINDS",
    "RULE_SCORES",
    "Case",
    "counted",
    "gastric_codes",
    "level_kinds",
    "make_case",
    "rule_of",
]

_OUTCOMES: Final[dict[str, tuple[str, BelowOne | None]]] = {
    "3_intense": ("3+", None),
    "2_weak": ("2+", None),
    "1_faint": ("1+", None),
    "0_some": ("0", "ultralow"),
    "0_unstained": ("0", "null"),
}
#: Score and what lies below 1+ for each rule.
RULE_SCORES: Final[dict[str, tuple[str, BelowOne | None]]] = {
    f"{specimen}_{step}": outcome for specimen in SPECIMENS for step, outcome in _OUTCOMES.items()
}
_STEPS: Final = {3: "3_intense", 2: "2_weak", 1: "1_faint"}
#: Level of each kind of cell (intensity twice, plus 1 where complete), with weak parts as 2.
LEVEL_KINDS: Final = (0, 0, 1, 1, 2, 2, 2, 2, 3, 3)
_WEAK_INCOMPLETE: Final = 4
_KINDS: Final = (
    "unstained",
    "",
    "faint_incomplete",
    "faint_complete",
    "weak_incomplete",
    "weak_complete",
    "moderate_incomplete",
    "moderate_complete",
    "intense_incomplete",
    "intense_complete",
)


def gastric_codes(kinds: U8Array, guideline: Guideline) -> U8Array:
    """Return the level that each cell speaks for.

    Parameters
    ----------
    kinds
        (n,) uint8: intensity code twice, plus 1 where complete.
    guideline
        Whether weak parts of membranes are level 2.

    Returns
    -------
    numpy.ndarray
        (n,) uint8, 0 to 3.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> gastric_codes(np.array([0, 2, 4, 8], dtype=np.uint8),
    ...               load_guideline("gastric-inclusive")).tolist()
    [0, 1, 2, 3]
    """
    return np.asarray(_levels(guideline)[kinds], dtype=np.uint8)


def _levels(guideline: Guideline) -> U8Array:
    levels = np.array(LEVEL_KINDS, dtype=np.uint8)
    if not guideline.applies("weak_partial_is_2"):
        levels[_WEAK_INCOMPLETE] = 1
    return levels


def level_kinds(guideline: Guideline, levels: tuple[int, ...]) -> tuple[str, ...]:
    """Name the kinds of cells (fields of the counts) that speak for some levels.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> level_kinds(load_guideline("gastric-inclusive"), (3,))
    ('intense_incomplete', 'intense_complete')
    """
    held = _levels(guideline).tolist()
    return tuple(name for name, level in zip(_KINDS, held, strict=True) if name and level in levels)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Hold all that the rules look at.

    Parameters
    ----------
    counts
        Cells as measured, at least 1.
    at_level
        Cells of level 0, 1, 2 and 3.
    largest
        Largest cluster of cells of at least level 0 (unused), 1, 2 and 3.
    guideline
        With its specimen.
    """

    counts: PatternCounts
    at_level: tuple[int, int, int, int]
    largest: tuple[int, int, int, int]
    guideline: Guideline

    @property
    def specimen(self) -> Specimen:
        """The specimen type, which is known here."""
        if self.guideline.specimen is None:
            raise ValueError("gastric rules need the specimen type")
        return self.guideline.specimen

    @property
    def total(self) -> int:
        """All evaluable tumour cells."""
        return self.counts.total

    def levels_towards(self, level: int) -> tuple[int, ...]:
        """Return the levels whose cells are held against the limit of a level."""
        summed = level < 3 and self.guideline.applies(f"sum_towards_{level}")
        return tuple(range(level, 4)) if summed else (level,)


def make_case(counts: PatternCounts, *, guideline: Guideline, clusters: ClusterSizes) -> Case:
    """Sort the cells by level and put everything together.

    Raises
    ------
    ValueError
        If there is no cell to score, or the specimen type is not stated.
    """
    if counts.total == 0:
        raise ValueError("there is no evaluable tumour cell to score")
    held = [0, 0, 0, 0]
    for name, level in zip(_KINDS, _levels(guideline).tolist(), strict=True):
        held[level] += int(getattr(counts, name)) if name else 0
    # A cluster of stronger cells is one of weaker cells, too.
    largest = (
        0,
        max(clusters.level_1, clusters.level_2, clusters.level_3),
        max(clusters.level_2, clusters.level_3),
        clusters.level_3,
    )
    case = Case(
        counts=counts,
        at_level=(held[0], held[1], held[2], held[3]),
        largest=largest,
        guideline=guideline,
    )
    _ = case.specimen
    return case


def counted(case: Case, level: int) -> int:
    """Return the cells that are held against the cut-off of a level of a resection."""
    return sum(case.at_level[k] for k in case.levels_towards(level))


def rule_of(case: Case) -> str:
    """Take the steps in order and name the rule that decides.

    Examples
    --------
    >>> from pathology.scoring.guidelines import load_guideline
    >>> case = make_case(PatternCounts(unstained=90, moderate_incomplete=10),
    ...                  guideline=load_guideline("gastric-inclusive").for_specimen("resection"),
    ...                  clusters=ClusterSizes())
    >>> rule_of(case)
    'resection_2_weak'
    """
    return f"{case.specimen}_{_step(case)}"


def _step(case: Case) -> str:
    for level, step in _STEPS.items():
        if case.specimen == "biopsy":
            passed = case.largest[level] >= case.guideline.clusters["biopsy"].least
        else:
            cutoff = case.guideline.cutoffs[f"score_{level}"]
            passed = bool(cutoff.passed(counted(case, level), case.total))
        if passed:
            return step
    return "0_some" if case.at_level[0] < case.total else "0_unstained"
