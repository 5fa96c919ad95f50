"""One reading of in-situ hybridisation: what was counted or called, and the category it falls in.

Means are never formed to decide: totals are compared as integers (``her2 >= 2 * cep17``), so that
80 signals over 40 are a ratio of exactly 2.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal

from pathology.scoring.ish_guideline import IshCategory, IshCutoff, IshGuideline

__all__ = [
    "CATEGORY_WORDS",
    "REASON_WORDS",
    "CategoryFound",
    "IshCount",
    "IshQuality",
    "IshReading",
    "Probe",
    "category_of",
    "read_category",
]

Probe = Literal["dual", "single"]

#: Categories in words.
CATEGORY_WORDS: Final[dict[str, str]] = {
    "group_1": "group 1",
    "group_2": "group 2",
    "group_3": "group 3",
    "group_4": "group 4",
    "group_5": "group 5",
    "single_high": "single probe, high copy number",
    "single_middle": "single probe, intermediate copy number",
    "single_low": "single probe, low copy number",
    "call_positive": "called positive by the laboratory",
    "call_negative": "called negative by the laboratory",
}
#: Why a reading has no category.
REASON_WORDS: Final[dict[str, str]] = {
    "not_counted": "there is no first count",
    "called_indeterminate": "the laboratory called it indeterminate",
    "controls_failed": "the controls failed",
    "too_few_areas": "too few countable invasive areas",
    "weak_signals": "too many signals too weak to count",
    "cytoplasm_signals": "too many signals over cytoplasm",
    "nuclei_unresolved": "nuclei are poorly resolved",
    "autofluorescence": "autofluorescence",
    "too_few_cells": "too few cells were counted",
    "no_cep17_signal": "no CEP17 signal was counted, so there is no ratio",
}


@dataclass(frozen=True, kw_only=True)
class IshCount:
    """Hold the totals of one count.

    Parameters
    ----------
    cells
        Invasive tumour cells counted.
    her2
        HER2 signals in them, all together.
    cep17
        Signals of the centromere of chromosome 17; None with a single probe.

    Raises
    ------
    ValueError
        If a number is negative or not an integer, or signals are given for no cell.

    Examples
    --------
    >>> count = IshCount(cells=20, her2=80, cep17=40)
    >>> count.copies, count.ratio
    (Fraction(4, 1), Fraction(2, 1))
    """

    cells: int
    her2: int
    cep17: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name == "cep17":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name!r} must be a non-negative integer, not {value!r}")
        if not self.cells and (self.her2 or self.cep17):
            raise ValueError("signals need cells that they were counted in")

    @property
    def probe(self) -> Probe:
        """``dual`` where CEP17 was counted, else ``single``."""
        return "single" if self.cep17 is None else "dual"

    @property
    def copies(self) -> Fraction | None:
        """Mean HER2 signals per cell; None without a cell."""
        return Fraction(self.her2, self.cells) if self.cells else None

    @property
    def ratio(self) -> Fraction | None:
        """Total HER2 over total CEP17; None with a single probe or without CEP17 signal."""
        return Fraction(self.her2, self.cep17) if self.cep17 else None


@dataclass(frozen=True, kw_only=True)
class IshQuality:
    """Hold what was said about the quality of a hybridisation; None where nothing was said.

    Parameters
    ----------
    controls_ok
        Whether the controls stained as they must.
    invasive_areas
        Countable areas of invasive tumour.
    weak_signals_pct, cytoplasm_signals_pct
        Signals too weak to count, and signals over cytoplasm, per cent, exact.
    nuclei_resolved
        Whether single nuclei can be told apart.
    autofluorescence
        Whether it hides signals.

    Raises
    ------
    ValueError
        If a number is negative, or a percentage above 100.
    """

    controls_ok: bool | None = None
    invasive_areas: int | None = None
    weak_signals_pct: Fraction | None = None
    cytoplasm_signals_pct: Fraction | None = None
    nuclei_resolved: bool | None = None
    autofluorescence: bool | None = None

    def __post_init__(self) -> None:
        if self.invasive_areas is not None and self.invasive_areas < 0:
            raise ValueError("'invasive_areas' cannot be negative")
        for pct in (self.weak_signals_pct, self.cytoplasm_signals_pct):
            if pct is not None and not 0 <= pct <= 100:
                raise ValueError(f"not a percentage: {pct}")

    def reasons(self, guideline: IshGuideline) -> tuple[str, ...]:
        """Name the criteria by which the reading is indeterminate, in a fixed order."""
        cutoffs = guideline.cutoffs
        areas, weak, over = self.invasive_areas, self.weak_signals_pct, self.cytoplasm_signals_pct
        tests = {
            "controls_failed": self.controls_ok is False,
            "too_few_areas": areas is not None and not cutoffs.invasive_areas.reached(areas),
            "weak_signals": weak is not None and cutoffs.weak_signals_pct.reached(weak),
            "cytoplasm_signals": over is not None and cutoffs.cytoplasm_signals_pct.reached(over),
            "nuclei_unresolved": self.nuclei_resolved is False,
            "autofluorescence": self.autofluorescence is True,
        }
        return tuple(name for name, holds in tests.items() if holds)


@dataclass(frozen=True, kw_only=True)
class IshReading:
    """Hold one reading of one population of cells by one observer: a count, or a call.

    Parameters
    ----------
    probe
        ``dual`` or ``single``.
    count
        Totals; None where only a call is known.
    call
        A category, ``indeterminate``, or None where there is a count.
    called_cells
        Cells behind a call, where known.
    observer
        Who counted; empty where not said.
    blinded
        Whether a recount was made without knowing the first result.
    includes_2plus_area
        Whether a recount took in the invasive area with IHC 2+ staining.
    quality
        See :class:`IshQuality`.

    Raises
    ------
    ValueError
        If count and call are both given or both missing, or the category does not go with the
        probe.

    Examples
    --------
    >>> IshReading(probe="dual", count=IshCount(cells=20, her2=80, cep17=40)).cells
    20
    """

    probe: Probe
    count: IshCount | None = None
    call: IshCategory | Literal["indeterminate"] | None = None
    called_cells: int | None = None
    observer: str = ""
    blinded: bool | None = None
    includes_2plus_area: bool | None = None
    quality: IshQuality = field(default_factory=IshQuality)

    def __post_init__(self) -> None:
        if (self.count is None) == (self.call is None):
            raise ValueError("a reading holds either a count or a call")
        if self.count is not None and self.count.probe != self.probe:
            raise ValueError(f"a {self.probe}-probe reading with a {self.count.probe}-probe count")
        other = "single_" if self.probe == "dual" else "group_"
        if self.call is not None and self.call.startswith(other):
            raise ValueError(f"{self.call!r} is no call of a {self.probe}-probe reading")
        if self.called_cells is not None and (self.call is None or self.called_cells < 0):
            raise ValueError("'called_cells' goes with a call and is not negative")

    @property
    def cells(self) -> int | None:
        """Cells behind the reading; None where a call does not say."""
        return self.called_cells if self.count is None else self.count.cells


@dataclass(frozen=True, kw_only=True)
class CategoryFound:
    """Hold the category of a reading, or why it has none.

    Parameters
    ----------
    category
        None where the reading is indeterminate.
    reasons
        Keys of :data:`REASON_WORDS`; empty where there is a category.
    words
        Both in words, with figures.
    """

    category: IshCategory | None
    reasons: tuple[str, ...]
    words: str


def category_of(count: IshCount, guideline: IshGuideline) -> IshCategory:
    """Put totals into a dual-probe group or a single-probe range.

    Parameters
    ----------
    count
        At least one cell and, with a dual probe, one CEP17 signal. The minimum of cells is not
        checked here.
    guideline
        Its cut-offs.

    Returns
    -------
    str
        The category.

    Raises
    ------
    ValueError
        If there is no cell or no CEP17 signal.

    Examples
    --------
    >>> from pathology.scoring.ish_guideline import load_ish_guideline
    >>> asco_cap = load_ish_guideline("asco-cap-2018")
    >>> category_of(IshCount(cells=20, her2=80, cep17=40), asco_cap)
    'group_1'
    >>> category_of(IshCount(cells=20, her2=79, cep17=40), asco_cap)
    'group_5'
    """
    cutoffs = guideline.cutoffs
    if not count.cells or count.cep17 == 0:
        raise ValueError("neither a mean nor a ratio can be formed")
    low = cutoffs.copies_low.reached(count.her2, count.cells)
    high = cutoffs.copies_high.reached(count.her2, count.cells)
    if count.cep17 is None:
        if high:
            return "single_high"
        return "single_middle" if low else "single_low"
    if cutoffs.ratio.reached(count.her2, count.cep17):
        return "group_1" if low else "group_2"
    if high:
        return "group_3"
    return "group_4" if low else "group_5"


def read_category(reading: IshReading | None, guideline: IshGuideline) -> CategoryFound:
    """Say which category a reading falls in, or why in none.

    Parameters
    ----------
    reading
        None where there is none.
    guideline
        Cut-offs.

    Returns
    -------
    CategoryFound
        The category, or the reasons, in words.

    Examples
    --------
    >>> from pathology.scoring.ish_guideline import load_ish_guideline
    >>> found = read_category(
    ...     IshReading(probe="dual", count=IshCount(cells=20, her2=88, cep17=48)),
    ...     load_ish_guideline("asco-cap-2018"))
    >>> found.category, found.words
    ('group_4', 'HER2/CEP17 88/48 = 1.83, HER2 88/20 = 4.40 per cell: group 4')
    """
    if reading is None:
        return _without(("not_counted",))
    reasons = reading.quality.reasons(guideline)
    if reading.call == "indeterminate":
        reasons = ("called_indeterminate", *reasons)
    cells = reading.cells
    if cells is not None and not guideline.cutoffs.cells.reached(cells):
        reasons = (*reasons, "too_few_cells")
    count = reading.count
    if count is not None and count.cells and count.cep17 == 0:
        reasons = (*reasons, "no_cep17_signal")
    if reasons or reading.call == "indeterminate":
        return _without(reasons, cells=cells)
    if count is None:
        assert reading.call is not None  # noqa: S101 - by the type's own check
        found = reading.call
        words = CATEGORY_WORDS[found]
        words = words if found.startswith("call_") else f"called {words} by the laboratory"
        return CategoryFound(category=found, reasons=(), words=words)
    category = category_of(count, guideline)
    return CategoryFound(
        category=category, reasons=(), words=f"{_figures(count, guideline)}: {_name(category)}"
    )


def _name(category: IshCategory) -> str:
    return CATEGORY_WORDS[category]


def _without(reasons: tuple[str, ...], *, cells: int | None = None) -> CategoryFound:
    parts = [REASON_WORDS[name] for name in reasons]
    if "too_few_cells" in reasons:
        parts[reasons.index("too_few_cells")] += f" ({cells})"
    return CategoryFound(
        category=None, reasons=reasons, words=f"ISH indeterminate ({'; '.join(parts)})"
    )


def _figures(count: IshCount, guideline: IshGuideline) -> str:
    cutoffs = guideline.cutoffs
    copies = _mean(count.her2, count.cells, cutoffs.copies_low, cutoffs.copies_high)
    words = f"HER2 {count.her2}/{count.cells} = {copies} per cell"
    if count.cep17:
        words = f"HER2/CEP17 {count.her2}/{count.cep17} = " + (
            f"{_mean(count.her2, count.cep17, cutoffs.ratio)}, {words}"
        )
    return words


def _mean(n: int, per: int, *cutoffs: IshCutoff) -> str:
    """Write a mean with so many digits that it reads as a cut-off only if it is just that."""
    exact, digits = Fraction(n, per), 2
    marks = [Fraction(repr(cutoff.value)) for cutoff in cutoffs]
    # Nine digits tell one signal in a thousand million.
    while digits < 9 and any(
        Fraction(f"{n / per:.{digits}f}") == mark and exact != mark for mark in marks
    ):
        digits += 1
    return f"{n / per:.{digits}f}"
