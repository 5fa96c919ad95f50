"""The final status of the cases of a run: slides gathered into blocks, joined with their ISH."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pathology.errors import ReasonCode
from pathology.runs.ish_join import block_key
from pathology.runs.ish_record import BlockKey, IshRecord
from pathology.runs.ish_store import IshStore
from pathology.runs.result import SlideResult
from pathology.scoring.guidelines import guideline_names, load_guideline
from pathology.scoring.ish_block import BlockReading
from pathology.scoring.ish_case import BlockEvidence, CaseDecision, OtherBlock, decide_case
from pathology.scoring.ish_guideline import (
    DEFAULT_ISH_GUIDELINE,
    IshGuideline,
    load_ish_guideline,
)
from pathology.scoring.tiers import TIER_ORDER, BelowOne

__all__ = [
    "FinalCase",
    "IshByBlock",
    "could_be_higher",
    "finish_case",
    "group_cases",
    "low_tiers_of",
    "tier_rank",
]

#: Reasons that leave nothing open: such a slide was seen, and holds no tumour to be scored.
_NOTHING_THERE = frozenset({ReasonCode.NO_TISSUE, ReasonCode.NO_TUMOUR, ReasonCode.NOT_IHC})


@dataclass(frozen=True, kw_only=True)
class IshByBlock:
    """Hold the stored ISH readings by block, and the guideline that judges them.

    Parameters
    ----------
    guideline
        Cut-offs and outcomes.
    records
        Readings of each block.
    of_case
        Blocks with readings of each case that has an id.
    """

    guideline: IshGuideline
    records: Mapping[BlockKey, tuple[IshRecord, ...]]
    of_case: Mapping[str, tuple[BlockKey, ...]]

    @classmethod
    def of(cls, store: IshStore | None) -> IshByBlock:
        """Sort the readings of a store by block; None for a run without ISH."""
        found: dict[BlockKey, list[IshRecord]] = {}
        for record in store.readings if store else ():
            found.setdefault(record.key, []).append(record)
        cases: dict[str, list[BlockKey]] = {}
        for key in found:
            if key.case_id is not None:
                cases.setdefault(key.case_id, []).append(key)
        name = store.guideline if store else DEFAULT_ISH_GUIDELINE
        return cls(
            guideline=load_ish_guideline(name),
            records={key: tuple(records) for key, records in found.items()},
            of_case={case: tuple(keys) for case, keys in cases.items()},
        )


@dataclass(frozen=True, kw_only=True)
class FinalCase:
    """Hold the final status of a case and of its blocks.

    Parameters
    ----------
    decision
        See :func:`~pathology.scoring.ish_case.decide_case`.
    keys
        Its blocks of the run, in the order of ``decision.blocks``.
    evidence
        What is known of each.
    """

    decision: CaseDecision
    keys: tuple[BlockKey, ...]
    evidence: tuple[BlockEvidence, ...]

    @property
    def block_id(self) -> str | None:
        """Id of the deciding block; None where there is none, or the manifest does not name it."""
        place = self.decision.deciding
        return None if place is None else self.keys[place].block_id


#: Ranks of scores that have no tier: as those that have one.
_UNTIERED = {"0": TIER_ORDER.index("her2_null"), "1+": TIER_ORDER.index("her2_low")}


def group_cases(ordered: Iterable[SlideResult]) -> dict[tuple[str, bool], list[SlideResult]]:
    """Gather slides into cases.

    Parameters
    ----------
    ordered
        Slides in the order of the tables.

    Returns
    -------
    dict
        Slides by case id and by whether the id is a slide's own because the manifest gave none.
        Control slides belong to no case.
    """
    cases: dict[tuple[str, bool], list[SlideResult]] = {}
    for slide in ordered:
        if slide.role != "control":
            key = (slide.case_id or slide.slide_id, slide.case_id is None)
            cases.setdefault(key, []).append(slide)
    return cases


def could_be_higher(slide: SlideResult) -> bool:
    """Tell whether what a slide could not say might have raised its block.

    Too few cells for a score leave nothing open where none of them is stained; a single stained one
    is evidence that no other slide can take back.
    """
    if slide.ihc_score is not None:
        return False
    settled = set(_NOTHING_THERE)
    if slide.counts is not None and slide.counts.unstained == slide.counts.total:
        settled.add(ReasonCode.TOO_FEW_CELLS)
    return not (slide.reasons and set(slide.reasons) <= settled)


def tier_rank(slide: SlideResult) -> int:
    """Return the place of a slide's tier, lowest 0; -1 where it has neither tier nor score."""
    if slide.her2_tier is not None:
        return TIER_ORDER.index(slide.her2_tier)
    # Guidelines without low tiers leave them empty; the score still ranks.
    return _UNTIERED.get(slide.ihc_score or "", -1)


def finish_case(slides: Sequence[SlideResult], ish: IshByBlock) -> FinalCase:
    """Give the final status of a case.

    Parameters
    ----------
    slides
        Of one case, in the order of the tables; at least one.
    ish
        Readings of the run.

    Returns
    -------
    FinalCase
        By the highest block, or the declared index block.
    """
    blocks: dict[BlockKey, list[SlideResult]] = {}
    for slide in slides:
        blocks.setdefault(block_key(slide), []).append(slide)
    others = [
        OtherBlock(name=key.name, readings=_readings(ish.records[key]))
        for key in ish.of_case.get(slides[0].case_id or "", ())
        if key not in blocks
    ]
    evidence = tuple(_evidence(key, own, ish) for key, own in blocks.items())
    return FinalCase(
        decision=decide_case(evidence, guideline=ish.guideline, others=others),
        keys=tuple(blocks),
        evidence=evidence,
    )


def _evidence(key: BlockKey, slides: Sequence[SlideResult], ish: IshByBlock) -> BlockEvidence:
    top = max((slide for slide in slides if slide.ihc_score), key=tier_rank, default=None)
    below: dict[str, BelowOne] = {"her2_null": "null", "her2_ultralow": "ultralow"}
    return BlockEvidence(
        name=key.name,
        ihc_score=top.ihc_score if top else None,
        below_one=below.get(str(top.her2_tier)) if top else None,
        open_ended=any(map(could_be_higher, slides)),
        readings=_readings(ish.records.get(key, ())),
        index=any(slide.index_block is True for slide in slides),
        low_tiers=top is None or _has_low_tiers(top),
        organ=None if top is None else _organ_of(top.guideline),
    )


def _has_low_tiers(slide: SlideResult) -> bool:
    """Tell whether the guideline of a scored slide has null, ultralow and low."""
    if slide.her2_tier is None and slide.ihc_score in _UNTIERED:
        return False
    return low_tiers_of(slide.guideline)


@lru_cache(maxsize=32)
def _organ_of(guideline: str | None) -> str | None:
    known = guideline in guideline_names()
    return load_guideline(str(guideline)).organ if known else None


@lru_cache(maxsize=32)
def low_tiers_of(guideline: str | None) -> bool:
    """Tell whether a guideline has null, ultralow and low; one that is not known has."""
    known = guideline in guideline_names()
    return load_guideline(str(guideline)).low_tiers if known else True


def _readings(records: Sequence[IshRecord]) -> tuple[BlockReading, ...]:
    return tuple(record.block_reading() for record in records)
