"""The floor: which patterns count as present, and where the cells of the others go.

A few cells of a strong pattern among thousands are as likely errors of measurement as tumour, so a
pattern below the floor counts as the next weaker one, unless its cells form a contiguous cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from pathology.config import ScoringConfig
from pathology.scoring.counts import PatternCounts
from pathology.scoring.decision import ClusterSizes
from pathology.scoring.guidelines import Guideline

__all__ = ["PATTERN_NAMES", "SHORT_NAMES", "Effective", "below_floor", "floor_limit", "move_down"]

#: Short names of the stained patterns, strongest first, and the properties of the counts.
PATTERN_NAMES: Final[dict[str, str]] = {
    "CI": "complete_intense",
    "CW": "complete_weak_moderate",
    "IM": "incomplete_moderate_intense",
    "IF": "incomplete_faint",
}
SHORT_NAMES: Final[tuple[str, ...]] = tuple(PATTERN_NAMES)
#: Where the cells of a pattern below the floor go, in the order in which this is done.
_NEXT_WEAKER: Final[dict[str, str]] = {"CI": "CW", "CW": "IF", "IM": "IF"}


@dataclass(frozen=True, kw_only=True)
class Effective:
    """Hold the counts after the floor.

    Parameters
    ----------
    ci, cw, im, if_, un
        Cells that count as complete intense, complete weak-moderate, incomplete moderate-intense,
        incomplete faint and unstained.
    moved
        Short names of the patterns whose cells were moved down, strongest first.
    sources
        For each short name, the measured patterns that now count as it.
    """

    ci: int
    cw: int
    im: int
    if_: int
    un: int
    moved: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All evaluable tumour cells."""
        return self.ci + self.cw + self.im + self.if_ + self.un


def floor_limit(params: ScoringConfig, guideline: Guideline) -> Fraction:
    """Return the floor as a share of all cells, exactly; 0 where the guideline does not apply it.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> floor_limit(load_config().scoring, load_guideline("asco-cap-breast-2018"))
    Fraction(1, 100)
    """
    if not guideline.applies("pattern_floor"):
        return Fraction(0)
    return Fraction(repr(params.pattern_floor_pct)) / 100


def below_floor(
    counts: PatternCounts,
    *,
    params: ScoringConfig,
    guideline: Guideline,
    clusters: ClusterSizes,
) -> tuple[str, ...]:
    """Name the patterns that are neither at the floor nor in a cluster, strongest first.

    Examples
    --------
    >>> from pathology.config import load_config
    >>> from pathology.scoring.guidelines import load_guideline
    >>> below_floor(PatternCounts(unstained=995, intense_complete=5), clusters=ClusterSizes(),
    ...             params=load_config().scoring, guideline=load_guideline("asco-cap-breast-2018"))
    ('CI', 'CW')
    """
    limit, total = floor_limit(params, guideline), counts.total

    def too_few(n: int, cluster: int) -> bool:
        below = n * limit.denominator < limit.numerator * total
        return n > 0 and below and cluster < params.cluster_min_cells

    moved = []
    complete = counts.complete_weak_moderate
    if too_few(counts.complete_intense, clusters.complete_intense):
        moved.append("CI")
        complete += counts.complete_intense
    if too_few(complete, clusters.complete):
        moved.append("CW")
    if too_few(counts.incomplete_moderate_intense, clusters.incomplete_moderate_intense):
        moved.append("IM")
    return tuple(moved)


def move_down(counts: PatternCounts, moved: tuple[str, ...]) -> Effective:
    """Move the cells of some patterns to the next weaker one, strongest first.

    Examples
    --------
    >>> counts = PatternCounts(unstained=9, moderate_complete=2, intense_complete=1)
    >>> found = move_down(counts, ("CI",))
    >>> found.ci, found.cw, found.sources["CW"]
    (0, 3, ('complete_intense', 'complete_weak_moderate'))
    """
    cells = {short: int(getattr(counts, name)) for short, name in PATTERN_NAMES.items()}
    sources: dict[str, tuple[str, ...]] = {short: (name,) for short, name in PATTERN_NAMES.items()}
    for short, weaker in _NEXT_WEAKER.items():
        if short in moved:
            cells[weaker] += cells[short]
            sources[weaker] = tuple(
                name for name in PATTERN_NAMES.values() if name in sources[short] + sources[weaker]
            )
            cells[short], sources[short] = 0, ()
    return Effective(
        ci=cells["CI"],
        cw=cells["CW"],
        im=cells["IM"],
        if_=cells["IF"],
        un=counts.unstained,
        moved=tuple(short for short in _NEXT_WEAKER if short in moved),
        sources=sources,
    )
