"""Strata of randomisation: HER2 status, chemotherapy lines, hormone receptor and CDK4/6.

The factors and their twelve combinations are those of DESTINY-Breast04 (N Engl J Med
2022;387:9-20). A patient has a stratum as randomised and a corrected one, by the data; where the
two differ the patient was mis-stratified, and the matrix says how.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Final

__all__ = [
    "HER2_GROUPS",
    "HER2_LOW",
    "STRATA",
    "Stratum",
    "cross_classify",
    "her2_group",
]

#: Groups by IHC and ISH, lowest first.
HER2_GROUPS: Final = (
    "IHC 0",
    "IHC 1+",
    "IHC 1+/ISH-positive",
    "IHC 2+/ISH-negative",
    "IHC 2+/ISH not done",
    "IHC 2+/ISH-positive",
    "IHC 3+",
)
#: Groups that are HER2-low, with the word that the strata have for them.
HER2_LOW: Final = {"IHC 1+": "1+", "IHC 2+/ISH-negative": "2+"}
_LINES: Final = (1, 2)
_HR: Final = {
    "positive_cdk46": "HR-positive with CDK4/6",
    "positive_no_cdk46": "HR-positive without CDK4/6",
    "negative": "HR-negative",
}


def her2_group(ihc: str, ish: str) -> str:
    """Name the group of a score and its in situ hybridisation.

    IHC 1+ without ISH is HER2-low, as in the trial; 2+ without ISH stays open, never low.

    Parameters
    ----------
    ihc
        ``0``, ``1+``, ``2+`` or ``3+``.
    ish
        ``negative``, ``positive`` or ``not_done``.

    Returns
    -------
    str
        One of :data:`HER2_GROUPS`.

    Examples
    --------
    >>> her2_group("1+", "not_done"), her2_group("2+", "not_done")
    ('IHC 1+', 'IHC 2+/ISH not done')
    """
    if ihc == "2+":
        words = {"negative": "ISH-negative", "positive": "ISH-positive", "not_done": "ISH not done"}
        return f"IHC 2+/{words[ish]}"
    if ihc == "1+" and ish == "positive":
        return "IHC 1+/ISH-positive"
    return f"IHC {ihc}"


@dataclass(frozen=True, kw_only=True, order=True)
class Stratum:
    """Name one of the twelve strata.

    Parameters
    ----------
    her2
        ``1+`` or ``2+`` (ISH-negative).
    lines
        1 or 2 lines of chemotherapy.
    hr
        ``positive_cdk46``, ``positive_no_cdk46`` or ``negative``.

    Raises
    ------
    ValueError
        If it is none of the twelve.

    Examples
    --------
    >>> str(Stratum(her2="1+", lines=2, hr="negative"))
    'IHC 1+, 2 lines, HR-negative'
    """

    her2: str
    lines: int
    hr: str

    def __post_init__(self) -> None:
        known = self.her2 in HER2_LOW.values() and self.lines in _LINES and self.hr in _HR
        if not known:
            raise ValueError(f"no such stratum: {self.her2}, {self.lines} lines, {self.hr}")

    def __str__(self) -> str:
        lines = f"{self.lines} line" + ("" if self.lines == 1 else "s")
        return f"IHC {self.her2}, {lines}, {_HR[self.hr]}"

    @property
    def hr_positive(self) -> bool:
        """Whether the stratum belongs to the hormone-receptor-positive cohort."""
        return self.hr != "negative"

    @classmethod
    def of(
        cls, *, her2: str | None, lines: int | None, hr: str | None, cdk46: bool | None
    ) -> Stratum | None:
        """Find the stratum that the data give.

        Parameters
        ----------
        her2
            One of :data:`HER2_GROUPS`.
        lines
            Lines of chemotherapy.
        hr
            ``positive`` or ``negative``.
        cdk46
            Whether a CDK4/6 inhibitor was given; plays no part in HR-negative disease.

        Returns
        -------
        Stratum or None
            None where a factor is unknown or outside the strata.

        Examples
        --------
        >>> found = Stratum.of(her2="IHC 1+", lines=1, hr="negative", cdk46=None)
        >>> found.hr_positive
        False
        """
        low = HER2_LOW.get(her2 or "")
        if low is None or lines not in _LINES or hr is None:
            return None
        if hr == "negative":
            return cls(her2=low, lines=lines, hr="negative")
        if cdk46 is None:
            return None
        return cls(her2=low, lines=lines, hr="positive_cdk46" if cdk46 else "positive_no_cdk46")


#: The twelve strata, in the order of their factors.
STRATA: Final = tuple(
    Stratum(her2=her2, lines=lines, hr=hr)
    for her2, lines, hr in product(HER2_LOW.values(), _LINES, _HR)
)


def cross_classify(
    pairs: Iterable[tuple[str, str, str]],
) -> list[tuple[str, str, str, int]]:
    """Count patients by arm, class as randomised and corrected class.

    Parameters
    ----------
    pairs
        Arm, class as randomised, corrected class of each patient.

    Returns
    -------
    list of tuple
        Arm, class as randomised, corrected class and count; sorted, empty cells left out.

    Examples
    --------
    >>> cross_classify([("A", "pos", "neg"), ("A", "pos", "pos"), ("A", "pos", "pos")])
    [('A', 'pos', 'neg', 1), ('A', 'pos', 'pos', 2)]
    """
    counts = Counter(pairs)
    return [(*key, n) for key, n in sorted(counts.items())]
