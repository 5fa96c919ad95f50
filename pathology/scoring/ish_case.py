"""The final status of a case: of its highest block, or of the index block that was declared.

Cells of different blocks never meet, and the ISH of one block says nothing about another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pathology.scoring.ish_block import BlockReading, decide_block
from pathology.scoring.ish_guideline import IshGuideline
from pathology.scoring.ish_rules import IshDecision, tier_with_ish
from pathology.scoring.tiers import TIER_ORDER, BelowOne, Her2Status, Her2Tier

__all__ = ["BlockEvidence", "BlockStatus", "CaseDecision", "OtherBlock", "decide_case"]


@dataclass(frozen=True, kw_only=True)
class BlockEvidence:
    """Hold what is known of one block of the run.

    Parameters
    ----------
    name
        For people: ``block B1``, or ``slide a`` where the manifest names no block.
    ihc_score, below_one
        Of the block's highest slide; None where it has no score.
    open_ended
        Whether a slide of the block has no score and could be higher than what was seen.
    readings
        Its ISH, if any.
    index
        Whether it was declared the index block of its case.
    low_tiers
        Whether the IHC guideline has null, ultralow and low; breast terms, empty elsewhere.
    organ
        Organ of the IHC guideline; None where there is no score. Readings decide only beside a
        guideline of the ISH guideline's own organ.

    Raises
    ------
    ValueError
        If ``below_one`` is missing for a score of 0 of a guideline with low tiers, or given for
        another score.
    """

    name: str
    ihc_score: str | None = None
    below_one: BelowOne | None = None
    open_ended: bool = False
    readings: tuple[BlockReading, ...] = ()
    index: bool = False
    low_tiers: bool = True
    organ: str | None = None

    def __post_init__(self) -> None:
        null = self.ihc_score == "0" and self.low_tiers
        if null != (self.below_one is not None):
            raise ValueError("below_one goes with the score 0, and only with it")

    @property
    def empty(self) -> bool:
        """Whether the block says nothing and leaves nothing open: no score, no ISH, no tumour."""
        return self.ihc_score is None and not self.open_ended and not self.readings


@dataclass(frozen=True, kw_only=True)
class OtherBlock:
    """Hold the ISH of a block of the case that the run holds no slide of.

    Parameters
    ----------
    name
        For people: ``block B9``.
    readings
        Its ISH; at least one.
    """

    name: str
    readings: tuple[BlockReading, ...]


@dataclass(frozen=True, kw_only=True)
class BlockStatus:
    """Hold the final status of one block.

    Parameters
    ----------
    decision
        Status, rule, clause, category and flags.
    tier
        None where the status is indeterminate.
    """

    decision: IshDecision
    tier: Her2Tier | None


@dataclass(frozen=True, kw_only=True)
class CaseDecision:
    """Hold the final status of a case.

    Parameters
    ----------
    status, tier
        Final; the tier is None where the status is indeterminate.
    rule, clause, flags
        Of the deciding block, with what concerns the whole case.
    category
        ISH category of the deciding block; None without ISH.
    deciding
        Place of the deciding block among those given; None where there is none.
    blocks
        Status of each block, in the order given; None for an empty one.
    discordant
        Whether the case belongs on the list of discordant ones.
    """

    status: Her2Status
    tier: Her2Tier | None
    rule: str
    clause: str
    flags: tuple[str, ...]
    category: str | None
    deciding: int | None
    blocks: tuple[BlockStatus | None, ...]
    discordant: bool


def decide_case(
    blocks: Sequence[BlockEvidence],
    *,
    guideline: IshGuideline,
    others: Sequence[OtherBlock] = (),
) -> CaseDecision:
    """Give the final status of a case.

    Parameters
    ----------
    blocks
        Blocks of the run, in the order of their slides; at least one.
    guideline
        For ISH.
    others
        ISH of blocks that are not in the run: reported, never deciding.

    Returns
    -------
    CaseDecision
        Of the block with the highest tier, the first among equals; of the index block where one
        was declared. Indeterminate where a block is, unless another one is positive.

    Raises
    ------
    ValueError
        If there is no block.

    Examples
    --------
    >>> from pathology.scoring.ish_guideline import load_ish_guideline
    >>> found = decide_case([BlockEvidence(name="block B1", ihc_score="2+")],
    ...                     guideline=load_ish_guideline("asco-cap-2018"))
    >>> found.tier, found.clause
    ('her2_equivocal', 'block B1: IHC 2+ without ISH of this block: equivocal')
    """
    if not blocks:
        raise ValueError("a case has at least one block")
    found = tuple(None if block.empty else _block_status(block, guideline) for block in blocks)
    declared = [place for place, block in enumerate(blocks) if block.index]
    counted = declared or list(range(len(blocks)))
    case_flags = _case_flags(found, others, guideline)
    if len(declared) > 1:
        case_flags.add("index_block_ambiguous")
        clause = f"{len(declared)} index blocks are declared, and a case has one: indeterminate"
        return _case(None, clause, "index_block_ambiguous", found, case_flags)
    judged = [(place, status) for place in counted if (status := found[place]) is not None]
    if not judged:
        word = "the index block has neither" if declared else "no block has"
        clause = f"{word} a score {'nor' if declared else 'or'} an ISH result: indeterminate"
        return _case(None, clause, "nothing", found, case_flags)
    place, status = max(judged, key=lambda item: _rank(item[1]))
    lacking = [item for item in judged if item[1].tier is None]
    if lacking and status.tier != "her2_positive":
        place, status = lacking[0]
    clause = f"{'index ' if declared else ''}{blocks[place].name}: {status.decision.clause}"
    if status.decision.rule == "no_ish.ihc_2":
        clause += _elsewhere(blocks, others, place)
        if _elsewhere(blocks, others, place):
            case_flags.add("ish_of_other_block")
    return _case(place, clause, status.decision.rule, found, case_flags)


def _block_status(block: BlockEvidence, guideline: IshGuideline) -> BlockStatus:
    decision = _decision(block, guideline)
    if block.open_ended and decision.status != "positive":
        # What could not be scored might be higher, and ISH is read beside the highest score.
        decision = IshDecision(
            status="indeterminate",
            rule="ihc_incomplete",
            clause=f"a slide without a score could be higher ({decision.clause}): indeterminate",
            category=decision.category,
            flags=decision.flagged("ihc_incomplete"),
        )
    tier = tier_with_ish(
        decision.status, ihc_score=block.ihc_score, below_one=block.below_one,
        low_tiers=block.low_tiers,
    )  # fmt: skip
    return BlockStatus(decision=decision, tier=tier)


def _decision(block: BlockEvidence, guideline: IshGuideline) -> IshDecision:
    """Read ISH beside IHC, unless its rules are of another organ: then IHC stands alone."""
    if not block.readings or block.organ in (None, guideline.organ):
        return decide_block(block.readings, ihc_score=block.ihc_score, guideline=guideline)
    alone = decide_block((), ihc_score=block.ihc_score, guideline=guideline)
    clause = f"{alone.clause} (its ISH is not applied: the rules are of {guideline.organ})"
    return replace(alone, clause=clause, flags=alone.flagged("ish_other_organ"))


def _rank(status: BlockStatus) -> int:
    return -1 if status.tier is None else TIER_ORDER.index(status.tier)


def _case_flags(
    found: Sequence[BlockStatus | None], others: Sequence[OtherBlock], guideline: IshGuideline
) -> set[str]:
    """Flag what concerns the case as a whole, index block or not."""
    flags: set[str] = set()
    known = {status.decision.status for status in found if status is not None}
    if len(known - {"indeterminate"}) > 1:
        flags.add("blocks_discordant")
    if others:
        flags.add("ish_of_other_block")
    for other in others:
        alone = decide_block(other.readings, ihc_score=None, guideline=guideline)
        if alone.status == "positive":
            flags.add("other_block_positive")
    return flags


def _elsewhere(blocks: Sequence[BlockEvidence], others: Sequence[OtherBlock], place: int) -> str:
    """Say that a 2+ stays equivocal although there is ISH of another block."""
    names = [block.name for n, block in enumerate(blocks) if block.readings and n != place]
    names += [other.name for other in others]
    if not names:
        return ""
    return f" (there is ISH of {', '.join(names)}, which says nothing about this one)"


def _case(
    place: int | None,
    clause: str,
    rule: str,
    found: tuple[BlockStatus | None, ...],
    case_flags: set[str],
) -> CaseDecision:
    status = None if place is None else found[place]
    decision = None if status is None else status.decision
    # A contradiction in a block that does not decide puts the case on the list all the same.
    anywhere = any(item is not None and item.decision.discordant for item in found)
    own = set(decision.flags) if decision else set()
    listed = bool({"blocks_discordant", "other_block_positive"} & case_flags)
    return CaseDecision(
        status="indeterminate" if decision is None else decision.status,
        tier=None if status is None else status.tier,
        rule=rule,
        clause=clause,
        flags=tuple(sorted(own | case_flags)),
        category=None if decision is None else decision.category,
        deciding=place,
        blocks=found,
        discordant=anywhere or listed,
    )
