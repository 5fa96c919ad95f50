"""Integer counts of evaluable tumour cells: all that the guideline rules may look at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PatternCounts"]


@dataclass(frozen=True, kw_only=True)
class PatternCounts:
    """Count the evaluable invasive tumour cells of a slide by intensity and completeness.

    Parameters
    ----------
    unstained
        Cells without membrane staining.
    faint_incomplete, weak_incomplete, moderate_incomplete, intense_incomplete
        Cells with an incompletely stained membrane.
    faint_complete, weak_complete, moderate_complete, intense_complete
        Cells with a completely stained membrane.

    Raises
    ------
    ValueError
        If a count is negative or not an integer.

    Examples
    --------
    >>> counts = PatternCounts(unstained=80, weak_incomplete=15, intense_complete=5)
    >>> counts.total, counts.incomplete_faint, counts.complete_intense
    (100, 15, 5)
    """

    unstained: int = 0
    faint_incomplete: int = 0
    weak_incomplete: int = 0
    moderate_incomplete: int = 0
    intense_incomplete: int = 0
    faint_complete: int = 0
    weak_complete: int = 0
    moderate_complete: int = 0
    intense_complete: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"count {name!r} must be a non-negative integer, not {value!r}")

    @property
    def total(self) -> int:
        """All evaluable tumour cells: the denominator N."""
        return sum(vars(self).values())

    @property
    def incomplete_faint(self) -> int:
        """Pattern IF: incomplete, faint or weak."""
        return self.faint_incomplete + self.weak_incomplete

    @property
    def incomplete_moderate_intense(self) -> int:
        """Pattern IM: incomplete, moderate or intense."""
        return self.moderate_incomplete + self.intense_incomplete

    @property
    def complete_weak_moderate(self) -> int:
        """Pattern CW: complete, faint to moderate."""
        return self.faint_complete + self.weak_complete + self.moderate_complete

    @property
    def complete_intense(self) -> int:
        """Pattern CI: complete and intense."""
        return self.intense_complete
