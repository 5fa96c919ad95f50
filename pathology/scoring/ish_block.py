"""The status of a block: its populations of cells, its probes, and the IHC score beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

from pathology.scoring.ish_counts import IshReading, Probe
from pathology.scoring.ish_guideline import IshGuideline
from pathology.scoring.ish_rules import (
    IshDecision,
    Readings,
    decide_readings,
    decide_without_ish,
)
from pathology.scoring.tiers import Her2Status

__all__ = ["BlockReading", "Stage", "decide_block"]

Stage = Literal["first", "recount", "adjudication"]
#: Which of two populations decides: what is open is above negative and below positive.
_RANK: Final[dict[Her2Status, int]] = {
    "negative": 0,
    "indeterminate": 1,
    "equivocal": 2,
    "positive": 3,
}


@dataclass(frozen=True, kw_only=True)
class BlockReading:
    """Hold a reading and its place among those of its block.

    Parameters
    ----------
    reading
        The count or call.
    stage
        ``first``, ``recount`` or ``adjudication``.
    population
        1 for the main population of tumour cells, 2 and on for further ones.
    population_pct
        Share of the tumour cells that a further population makes up, per cent, exact; None for the
        main one.

    Raises
    ------
    ValueError
        If the share is missing for a further population, given for the main one, or no percentage.
    """

    reading: IshReading
    stage: Stage = "first"
    population: int = 1
    population_pct: Fraction | None = None

    def __post_init__(self) -> None:
        if self.population < 1:
            raise ValueError("populations are numbered from 1")
        if (self.population == 1) != (self.population_pct is None):
            raise ValueError("a share goes with every population but the main one")
        if self.population_pct is not None and not 0 <= self.population_pct <= 100:
            raise ValueError(f"not a percentage: {self.population_pct}")

    @property
    def place(self) -> tuple[Probe, int, Stage]:
        """What no two readings of a block share."""
        return self.reading.probe, self.population, self.stage


def decide_block(
    readings: Sequence[BlockReading], *, ihc_score: str | None, guideline: IshGuideline
) -> IshDecision:
    """Give the status of a block.

    Parameters
    ----------
    readings
        All of the block, in any order; none where ISH was not done.
    ihc_score
        ``0``, ``1+``, ``2+``, ``3+``; None where the block has no score.
    guideline
        Cut-offs and outcomes.

    Returns
    -------
    IshDecision
        Exactly one for every input. The dual probe comes before the single one; of two populations
        that count, the one with the higher status decides.

    Raises
    ------
    ValueError
        If two readings claim the same place.

    Examples
    --------
    >>> from pathology.scoring.ish_counts import IshCount
    >>> from pathology.scoring.ish_guideline import load_ish_guideline
    >>> reading = IshReading(probe="dual", count=IshCount(cells=20, her2=60, cep17=40))
    >>> found = decide_block([BlockReading(reading=reading)], ihc_score="2+",
    ...                      guideline=load_ish_guideline("asco-cap-2018"))
    >>> found.status, found.rule
    ('negative', 'group_5.ihc_2')
    """
    places = [item.place for item in readings]
    if len(set(places)) != len(places):
        raise ValueError("two readings of a block claim the same place")
    if not readings:
        return decide_without_ish(ihc_score)
    decisions = {
        probe: _decide_probe(
            [item for item in readings if item.reading.probe == probe], ihc_score, guideline
        )
        for probe in sorted({item.reading.probe for item in readings})
    }
    if len(decisions) == 1:
        return next(iter(decisions.values()))
    dual, single = decisions["dual"], decisions["single"]
    if dual.category is None and single.category is not None:
        clause = f"{single.clause} (dual probe: {dual.clause})"
        return replace(single, clause=clause, flags=single.flagged("dual_probe_indeterminate"))
    if {single.status, dual.status} != {"negative", "positive"}:
        return dual
    clause = f"{dual.clause} (single probe: {single.clause})"
    return replace(dual, clause=clause, flags=dual.flagged("single_probe_disagrees"))


def _decide_probe(
    readings: Sequence[BlockReading], ihc_score: str | None, guideline: IshGuideline
) -> IshDecision:
    """Decide by one probe: the main population, and each further one that is large enough."""
    cutoff = guideline.cutoffs.second_population_pct
    minor = False
    found: list[tuple[int, IshDecision]] = []
    for population in sorted({1, *(item.population for item in readings)}):
        own = [item for item in readings if item.population == population]
        share = max((item.population_pct for item in own if item.population_pct), default=None)
        if population > 1 and not cutoff.reached(share or 0):
            minor = True
            continue
        stages = {item.stage: item.reading for item in own}
        decision = decide_readings(
            Readings(
                first=stages.get("first"),
                recount=stages.get("recount"),
                adjudication=stages.get("adjudication"),
            ),
            ihc_score=ihc_score,
            guideline=guideline,
        )
        found.append((population, _with_share(decision, population, share)))
    # max keeps the first of equals: the main population.
    decided = max((decision for _, decision in found), key=lambda item: _RANK[item.status])
    flags = decided.flags if not minor else decided.flagged("second_population_minor")
    if len(found) == 1:
        return replace(decided, flags=flags)
    others = [decision for _, decision in found if decision is not decided]
    clause = f"{decided.clause} ({'; '.join(other.clause for other in others)})"
    flags = tuple(
        sorted({*flags, "second_population", *(f for item in others for f in item.flags)})
    )
    return replace(decided, clause=clause, flags=flags)


def _with_share(decision: IshDecision, population: int, share: Fraction | None) -> IshDecision:
    if population == 1:
        return decision
    words = f"population {population} ({float(share or 0):g} % of the tumour cells)"
    return replace(decision, clause=f"{words}: {decision.clause}")
