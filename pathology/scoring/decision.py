"""What a rule set is given beside the counts, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pathology.scoring.counts import PatternCounts
from pathology.scoring.tiers import BelowOne

__all__ = ["SCORES", "ClusterSizes", "Decision", "format_pct", "pattern_total"]

#: IHC scores, lowest first.
SCORES: Final[tuple[str, ...]] = ("0", "1+", "2+", "3+")


@dataclass(frozen=True, kw_only=True)
class ClusterSizes:
    """Hold the size of the largest contiguous cluster of each pattern that can have a floor.

    Parameters
    ----------
    complete_intense
        Cells in the largest cluster of complete intense cells.
    complete_weak_moderate
        Cells in the largest cluster of completely stained cells of any intensity: where the intense
        ones are too few to count, they count here. Never taken as less than ``complete_intense``.
    incomplete_moderate_intense
        Cells in the largest cluster of incomplete, moderate or intense cells.
    level_1, level_2, level_3
        For rules that go by intensity alone: cells in the largest cluster of cells that speak for
        at least 1+, at least 2+, and 3+.

    Raises
    ------
    ValueError
        If a size is negative.

    Examples
    --------
    >>> ClusterSizes(complete_intense=40).complete
    40
    """

    complete_intense: int = 0
    complete_weak_moderate: int = 0
    incomplete_moderate_intense: int = 0
    level_1: int = 0
    level_2: int = 0
    level_3: int = 0

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0:
            raise ValueError("the size of a cluster cannot be negative")

    @property
    def complete(self) -> int:
        """Cells in the largest cluster of complete cells of any intensity."""
        return max(self.complete_weak_moderate, self.complete_intense)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Hold the answer of a rule set for one set of counts.

    Parameters
    ----------
    score
        ``0``, ``1+``, ``2+``, ``3+``; None where the gap policy leaves it unresolved.
    below_one
        ``null`` or ``ultralow`` for a score of 0, else None.
    rule
        Name of the rule that decided, such as ``4_complete_weak_moderate``. A suffix
        ``/floor=CI+CW`` names patterns that were moved to the next weaker one.
    clause
        The rule in words, with figures.
    patterns
        The patterns (names of ``PatternCounts`` properties) whose cells make the deciding fraction.
    n, total
        Cells of the deciding fraction, and all evaluable tumour cells.
    cutoff_pct
        The cut-off that the deciding fraction was compared with, in per cent.
    distance_pp
        Percentage points to the nearest other score, at least 0. It is the smallest change of a
        share of cells that the rule compared, the other shares following as they must, after which
        the score is another one: to a cut-off, or down to the floor where the presence of a pattern
        decided. The floor of a pattern that did not decide is not counted (each score would be
        within the floor of another); the bootstrap covers it.
    nearest_score
        The score on the other side (``unresolved`` where the gap policy says so).
    flags
        Doubts, sorted.
    close
        Whether the decision is close to another one, where the rules do not measure that in
        percentage points; None where ``distance_pp`` says it.

    Raises
    ------
    ValueError
        If the parts contradict each other.
    """

    score: str | None
    below_one: BelowOne | None
    rule: str
    clause: str
    patterns: tuple[str, ...]
    n: int
    total: int
    cutoff_pct: float
    distance_pp: float
    nearest_score: str
    flags: tuple[str, ...]
    close: bool | None = None

    def __post_init__(self) -> None:
        if self.score is not None and self.score not in SCORES:
            raise ValueError(f"not an IHC score: {self.score!r}")
        if (self.score == "0") != (self.below_one is not None):
            raise ValueError("below_one goes with the score 0, and only with it")
        if not 0 <= self.n <= self.total or self.total < 1:
            raise ValueError(f"not a fraction: {self.n} of {self.total}")
        if not self.distance_pp >= 0:
            raise ValueError("the distance to a cut-off cannot be negative")
        if self.flags != tuple(sorted(set(self.flags))):
            raise ValueError("flags must be sorted and unique")

    @property
    def pct(self) -> float:
        """The deciding fraction in per cent."""
        return 100 * self.n / self.total


def pattern_total(counts: PatternCounts, patterns: tuple[str, ...]) -> int:
    """Add up the cells of some patterns.

    Examples
    --------
    >>> counts = PatternCounts(unstained=5, weak_incomplete=2, intense_complete=1)
    >>> pattern_total(counts, ("incomplete_faint", "complete_intense"))
    3
    """
    return sum(int(getattr(counts, name)) for name in patterns)


def format_pct(n: int, total: int, *, cutoff: float = 10.0) -> str:
    """Write a share so that it never reads as the cut-off, or as zero, unless it is just that.

    Parameters
    ----------
    n, total
        ``n`` of ``total`` cells; total at least 1.
    cutoff
        Per cent.

    Examples
    --------
    >>> format_pct(1000, 10_000), format_pct(1001, 10_000), format_pct(1, 30_000)
    ('10.0 %', '10.01 %', '0.003 %')
    """
    pct = 100 * n / total
    digits = 1
    # Nine digits tell one cell in a thousand million.
    while digits < 9 and any(
        round(pct, digits) == mark and pct != mark for mark in (0.0, cutoff, 100.0)
    ):
        digits += 1
    return f"{pct:.{digits}f} %"
