"""The questions that acceptance asks, and one verdict on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["DEFINITIONS", "Definition", "Measure", "Outcome", "SetName", "Verdict"]

#: The slides that a verdict is about: made by this program, or the site's own.
SetName = Literal["synthetic", "site"]
Outcome = Literal["pass", "fail", "not_tested", "reported"]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """Say what a criterion measures.

    Parameters
    ----------
    title
        The question in words.
    unit
        Of the figure and its limit.
    at_least
        Whether the figure must reach the limit, or else stay within it.
    of
        What n counts.
    """

    title: str
    unit: str
    at_least: bool
    of: str = "slides"


def _share(title: str, of: str = "slides") -> Definition:
    return Definition(title=title, unit="%", at_least=True, of=of)


#: Every criterion by its name in the criteria file.
DEFINITIONS: Final[Mapping[str, Definition]] = {
    "slides_end": _share("Every slide ends as scored or not scorable; none fails"),
    "scores_given": _share("Slides that have a score are given one"),
    "score_agreement": _share("Right score, slides away from a cut-off"),
    "score_agreement_near": _share("Right score, slides near a cut-off"),
    "refusals": _share("Slides that must not be scored are refused"),
    "refusal_reasons": _share("Refused slides are refused for the right reason"),
    "positive_agreement_1": _share("Positive agreement at 1+ or more"),
    "negative_agreement_1": _share("Negative agreement at 1+ or more"),
    "positive_agreement_2": _share("Positive agreement at 2+ or more"),
    "negative_agreement_2": _share("Negative agreement at 2+ or more"),
    "positive_agreement_3": _share("Positive agreement at 3+"),
    "negative_agreement_3": _share("Negative agreement at 3+"),
    "tumour_cells_found": _share("True tumour cells that were found, worst slide"),
    "tumour_cells_right": _share("Found tumour cells that are true, worst slide"),
    "pattern_error": Definition(
        title="Share of a membrane pattern off the truth, worst slide", unit="pp", at_least=False
    ),
    "repeat_identical": _share("A repeat run writes the same bytes", "tables"),
    "repeat_scores": _share("A repeat run gives the same score"),
    "device_scores": _share("The other device gives the same score"),
    "device_h_score": Definition(
        title="H-score differs between devices, worst slide", unit="points", at_least=False
    ),
    "device_cells": _share("Cells that both devices found, worst slide"),
    "seconds_per_mm2": Definition(title="Time per mm² of tissue", unit="s/mm²", at_least=False),
    "memory": Definition(
        title="Largest memory of a worker process", unit="MiB", at_least=False, of="runs"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Hold what was found for one criterion.

    Parameters
    ----------
    value
        In the criterion's unit; None where there is nothing to measure.
    n
        Slides (or what the definition says) that the figure is of.
    low, high
        Ends of the interval or range, in the same unit; None for none.
    interval
        What the interval is: ``exact``, ``bootstrap over patients``, ``range over slides``.
    detail
        More about the figure, in words.
    untested
        Why it could not be measured; empty where it was.
    judged
        False where the figure can be given but may not be judged here.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    interval: str = ""
    detail: str = ""
    untested: str = ""
    judged: bool = True


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Hold the verdict on one criterion.

    Parameters
    ----------
    slides
        Which slides it is about.
    criterion
        Its name in the criteria file, a key of :data:`DEFINITIONS`.
    against
        The other run, where it compares two; empty otherwise.
    limit, lower_judged, min_n, required
        As in the criteria file.
    measure
        What was found.
    outcome
        ``reported`` has no limit; ``not_tested`` is never a pass.

    Examples
    --------
    >>> verdict = Verdict(slides="site", criterion="slides_end", limit=100.0, required=True,
    ...                   measure=Measure(value=100.0, n=3), outcome="pass")
    >>> verdict.limit_text
    'at least 100 %'
    """

    slides: SetName
    criterion: str
    measure: Measure
    outcome: Outcome
    limit: float | None
    against: str = ""
    lower_judged: bool = False
    min_n: int = 1
    required: bool = False

    @property
    def definition(self) -> Definition:
        """What the criterion measures."""
        return DEFINITIONS[self.criterion]

    @property
    def limit_text(self) -> str:
        """The limit in words; empty where nothing is judged."""
        if self.limit is None:
            return ""
        word = "at least" if self.definition.at_least else "at most"
        end = ", lower end" if self.lower_judged else ""
        n = f", n at least {self.min_n}" if self.min_n > 1 else ""
        return f"{word} {self.limit:g} {self.definition.unit}{end}{n}"
