"""From readings of in-situ hybridisation and the IHC score of the same block to a status.

The outcomes stand in the guideline's file; here is the order of events: a first count, a blinded
recount where the outcome asks for one, adjudication where the recount lands in another category.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pathology.scoring.ish_counts import CategoryFound, IshReading, read_category
from pathology.scoring.ish_guideline import IshCategory, IshGuideline, IshOutcome, ihc_class
from pathology.scoring.tiers import BelowOne, Her2Status, Her2Tier, her2_status, her2_tier

__all__ = [
    "DISCORDANT_FLAGS",
    "ISH_FLAGS",
    "RECOUNT_STATES",
    "IshDecision",
    "Readings",
    "decide_readings",
    "decide_without_ish",
    "tier_with_ish",
]

#: Every flag of a decision, and what it means.
ISH_FLAGS: Final[dict[str, str]] = {
    "adjudication_pending": "The recount fell into another category; the laboratory has to decide.",
    "adjudication_unused": "An adjudication was given where no recount had changed the category.",
    "blocks_discordant": "Blocks of the case differ in their final status.",
    "comment_required": "The report needs the guideline's comment on this ISH group.",
    "controls_not_stated": "Nothing was said about the controls of the hybridisation.",
    "counts_not_given": "Only a call is known, not the counts behind it.",
    "dual_probe_indeterminate": "The dual probe is indeterminate; the single probe decided.",
    "dual_probe_needed": "The single probe is intermediate at IHC 2+; a dual probe has to follow.",
    "ihc_incomplete": "A slide of the block has no score and could be higher.",
    "ihc_missing": "The block has no IHC score to read the ISH result with.",
    "index_block_ambiguous": "More than one index block is declared for the case.",
    "ish_ihc_discordant": "ISH and IHC contradict each other.",
    "ish_indeterminate": "The ISH result is indeterminate and has to be repeated.",
    "ish_of_other_block": "There is ISH of another block, which says nothing about this one.",
    "ish_other_organ": "The ISH rules are of another organ than the IHC guideline; not applied.",
    "other_block_positive": "ISH of a block that is not in this run speaks for positive.",
    "recount_differs": "A recount fell into another category that has the same status.",
    "recount_invalid": "A recount was given that does not count as a blinded one.",
    "recount_needed": "A blinded recount by a second observer has to follow.",
    "second_population": "A second population in more than 10 % of the cells was counted apart.",
    "second_population_minor": "A second population was reported that is too small to decide.",
    "single_probe_disagrees": "The single probe gives another status than the dual probe.",
}
#: Flags that put a case on the list of discordant ones.
DISCORDANT_FLAGS: Final[frozenset[str]] = frozenset(
    {"blocks_discordant", "ish_ihc_discordant", "other_block_positive", "single_probe_disagrees"}
)
#: What may have happened after the first count; the second part of a rule's name.
RECOUNT_STATES: Final[tuple[str, ...]] = (
    "recount_needed",
    "recount_invalid",
    "recount_confirmed",
    "recount_changed",
    "adjudicated",
)


@dataclass(frozen=True, kw_only=True)
class IshDecision:
    """Hold the status of one block, or of one population in it, and why.

    Parameters
    ----------
    status
        ``negative``, ``equivocal``, ``positive`` or ``indeterminate``.
    rule
        ``<category>.<IHC class>``, followed by ``.<state>`` where a recount played a part.
    clause
        The rule in words, with figures.
    category
        Category that decided; None without ISH or where it is indeterminate.
    flags
        Keys of :data:`ISH_FLAGS`, sorted.

    Raises
    ------
    ValueError
        If a flag is unknown, or flags are not sorted.
    """

    status: Her2Status
    rule: str
    clause: str
    category: IshCategory | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if list(self.flags) != sorted(set(self.flags)) or not set(self.flags) <= set(ISH_FLAGS):
            raise ValueError(f"flags must be known, sorted and unique: {self.flags}")

    @property
    def discordant(self) -> bool:
        """Whether the case belongs on the list of discordant ones."""
        return bool(DISCORDANT_FLAGS & set(self.flags))

    def flagged(self, *names: str) -> tuple[str, ...]:
        """Return the flags with some more."""
        return tuple(sorted({*self.flags, *names}))


@dataclass(frozen=True, kw_only=True)
class Readings:
    """Hold all readings of one population of cells.

    Parameters
    ----------
    first
        The first count or call; None where there is none.
    recount
        By a second observer.
    adjudication
        The laboratory's last word after a recount in another category.
    """

    first: IshReading | None = None
    recount: IshReading | None = None
    adjudication: IshReading | None = None


def decide_without_ish(ihc_score: str | None) -> IshDecision:
    """Give the status of a block by its IHC score alone.

    Parameters
    ----------
    ihc_score
        ``0``, ``1+``, ``2+``, ``3+``; None where the block has no score.

    Returns
    -------
    IshDecision
        A 2+ stays equivocal; it is never negative without ISH.

    Examples
    --------
    >>> decide_without_ish("2+").clause
    'IHC 2+ without ISH of this block: equivocal'
    """
    status = her2_status(ihc_score)
    ihc = "no IHC score" if ihc_score is None else f"IHC {ihc_score}"
    tail = " of this block" if ihc_score == "2+" else ""
    flags = ("ihc_missing",) if ihc_score is None else ()
    return IshDecision(
        status=status,
        rule=f"no_ish.{ihc_class(ihc_score)}",
        clause=f"{ihc} without ISH{tail}: {status}",
        flags=flags,
    )


def decide_readings(
    readings: Readings, *, ihc_score: str | None, guideline: IshGuideline
) -> IshDecision:
    """Give the status of one population of cells by its readings and the block's IHC score.

    Parameters
    ----------
    readings
        First count, recount, adjudication.
    ihc_score
        Of the same block; None where it has none.
    guideline
        Cut-offs and outcomes.

    Returns
    -------
    IshDecision
        Exactly one for every input.

    Examples
    --------
    >>> from pathology.scoring.ish_counts import IshCount
    >>> from pathology.scoring.ish_guideline import load_ish_guideline
    >>> first = IshReading(probe="dual", count=IshCount(cells=20, her2=88, cep17=48))
    >>> found = decide_readings(Readings(first=first), ihc_score="2+",
    ...                         guideline=load_ish_guideline("asco-cap-2018"))
    >>> found.status, found.rule
    ('equivocal', 'group_4.ihc_2.recount_needed')
    """
    first = read_category(readings.first, guideline)
    extra = _provenance_flags(readings.first)
    if readings.adjudication is not None and not _changed(readings, first, ihc_score, guideline):
        extra = (*extra, "adjudication_unused")
    if first.category is None:
        unused = () if readings.recount is None else ("recount_invalid",)
        return _indeterminate(first, ihc_score, (*extra, *unused))
    outcome = guideline.outcome(first.category, ihc_score)
    if readings.recount is None:
        state = "recount_needed" if outcome.recount else ""
        return _decision(first, outcome, ihc_score, state=state, extra=extra)
    problems = _recount_problems(readings, ihc_score, guideline)
    if problems:
        state = "recount_invalid" if outcome.recount else ""
        words = f"the recount does not count ({'; '.join(problems)})"
        extra = (*extra, "recount_invalid")
        return _decision(first, outcome, ihc_score, state=state, note=words, extra=extra)
    return _after_recount(readings, first, ihc_score, guideline, extra)


def tier_with_ish(
    status: Her2Status,
    *,
    ihc_score: str | None,
    below_one: BelowOne | None = None,
    low_tiers: bool = True,
) -> Her2Tier | None:
    """Return the HER2 tier of a final status.

    A 2+ is low only where its ISH made it negative; a 1+ is low untested or negative; a 0 keeps its
    null or ultralow.

    Parameters
    ----------
    status
        Final status of the block.
    ihc_score
        Its score; None where it has none.
    below_one
        What a score of 0 holds; None for other scores.
    low_tiers
        Whether the IHC guideline has null, ultralow and low.

    Returns
    -------
    str or None
        None where the status is indeterminate, or negative without low tiers.

    Raises
    ------
    ValueError
        If a missing score or 3+ is negative, which no rule gives.

    Examples
    --------
    >>> tier_with_ish("negative", ihc_score="2+"), tier_with_ish("equivocal", ihc_score="2+")
    ('her2_low', 'her2_equivocal')
    """
    if status == "indeterminate":
        return None
    if status != "negative":
        return "her2_positive" if status == "positive" else "her2_equivocal"
    if ihc_score in (None, "3+"):
        raise ValueError(f"IHC {ihc_score} cannot end negative")
    if not low_tiers:
        return None
    return "her2_low" if ihc_score == "2+" else her2_tier(ihc_score, below_one=below_one)


def _after_recount(
    readings: Readings,
    first: CategoryFound,
    ihc_score: str | None,
    guideline: IshGuideline,
    extra: tuple[str, ...],
) -> IshDecision:
    """Decide where a valid recount is there."""
    second = read_category(readings.recount, guideline)
    assert first.category is not None  # noqa: S101 - checked by the callers
    assert second.category is not None  # noqa: S101
    one = guideline.outcome(first.category, ihc_score)
    two = guideline.outcome(second.category, ihc_score)
    if first.category == second.category:
        state = "recount_confirmed" if one.recount else ""
        note = f"recount of another observer: {second.words}"
        return _decision(first, one, ihc_score, state=state, note=note, extra=extra)
    last = read_category(readings.adjudication, guideline)
    if last.category is not None:
        return _decision(
            last,
            guideline.outcome(last.category, ihc_score),
            ihc_score,
            state="adjudicated",
            note=f"adjudicated after {first.words}, recounted as {second.words}",
            extra=extra,
        )
    note = f"recount in another category ({second.words})"
    if one.status == two.status and not (one.recount or two.recount):
        extra = (*extra, "recount_differs")
        return _decision(first, one, ihc_score, note=note, extra=extra)
    note += "; to be adjudicated"
    return _decision(first, one, ihc_score, state="recount_changed", note=note, extra=extra)


def _changed(
    readings: Readings, first: CategoryFound, ihc_score: str | None, guideline: IshGuideline
) -> bool:
    """Tell whether a valid recount fell into another category."""
    if first.category is None or readings.recount is None:
        return False
    if _recount_problems(readings, ihc_score, guideline):
        return False
    return read_category(readings.recount, guideline).category != first.category


def _recount_problems(
    readings: Readings, ihc_score: str | None, guideline: IshGuideline
) -> list[str]:
    """Say what keeps a recount from being a blinded one by a second observer."""
    first, recount = readings.first, readings.recount
    assert first is not None  # noqa: S101 - a recount is judged only beside a first count
    assert recount is not None  # noqa: S101
    found = read_category(recount, guideline)
    names = [" ".join(reading.observer.split()).casefold() for reading in (first, recount)]
    tests = {
        found.words: found.category is None,
        "it names no category": (found.category or "").startswith("call_"),
        "another probe was used": recount.probe != first.probe,
        "the number of its cells is not known": recount.cells is None,
        "an observer is not named": not all(names),
        "the observer is the same": all(names) and names[0] == names[1],
        "it is not stated to be blinded": recount.blinded is not True,
        # Where the score is another one there is no such area.
        "it is not stated to include the area with IHC 2+": (
            ihc_score == "2+" and recount.includes_2plus_area is not True
        ),
    }
    return [words for words, holds in tests.items() if holds]


def _provenance_flags(reading: IshReading | None) -> tuple[str, ...]:
    if reading is None:
        return ()
    tests = {
        "counts_not_given": reading.count is None,
        "controls_not_stated": reading.quality.controls_ok is None,
    }
    return tuple(name for name, holds in tests.items() if holds)


def _indeterminate(
    found: CategoryFound, ihc_score: str | None, extra: Iterable[str]
) -> IshDecision:
    """Let the IHC score stand where ISH says nothing: a 2+ stays equivocal."""
    status = her2_status(ihc_score)
    missing = ("ihc_missing",) if ihc_score is None else ()
    ihc = "no IHC score" if ihc_score is None else f"IHC {ihc_score} stands"
    return IshDecision(
        status=status,
        rule=f"ish_indeterminate.{ihc_class(ihc_score)}",
        clause=f"{found.words}; {ihc}: {status}",
        flags=tuple(sorted({"ish_indeterminate", *missing, *extra})),
    )


def _decision(
    found: CategoryFound,
    outcome: IshOutcome,
    ihc_score: str | None,
    *,
    state: str = "",
    note: str = "",
    extra: Iterable[str] = (),
) -> IshDecision:
    """Put an outcome into words; while a recount is open, the status is equivocal."""
    is_open = state in ("recount_needed", "recount_invalid", "recount_changed")
    status: Her2Status = "equivocal" if is_open else outcome.status
    closed = not is_open
    flags = {
        "adjudication_pending": state == "recount_changed",
        "comment_required": closed and outcome.comment,
        "dual_probe_needed": found.category == "single_middle" and status == "equivocal",
        "ihc_missing": ihc_score is None,
        "ish_ihc_discordant": closed and outcome.discordant,
        "recount_needed": state in ("recount_needed", "recount_invalid"),
    }
    names = sorted({*(name for name, holds in flags.items() if holds), *extra})
    parts = [found.words, note, "no IHC score" if ihc_score is None else f"IHC {ihc_score}"]
    if state == "recount_needed":
        parts.append("a blinded recount has to follow")
    end = f"{status}, with comment" if "comment_required" in names else status
    end = f"{end}, discordant" if "ish_ihc_discordant" in names else end
    rule = f"{found.category}.{ihc_class(ihc_score)}"
    return IshDecision(
        status=status,
        rule=f"{rule}.{state}" if state else rule,
        clause=f"{'; '.join(part for part in parts if part)}: {end}",
        category=found.category,
        flags=tuple(names),
    )
