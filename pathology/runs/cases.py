"""``cases.csv``: one row per case, by its highest slide; cells of different blocks never meet.

The columns from ``case_rule`` on are the final status, ISH included; those before are IHC alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pathology.runs.atomic import atomic_write_bytes, output_errors
from pathology.runs.csvfile import render_csv
from pathology.runs.final import (
    FinalCase,
    IshByBlock,
    could_be_higher,
    finish_case,
    group_cases,
    tier_rank,
)
from pathology.runs.ish_join import block_key
from pathology.runs.ish_store import IshStore, read_ish
from pathology.runs.ish_table import write_ish_table
from pathology.runs.layout import CASES_CSV
from pathology.runs.result import SlideResult
from pathology.runs.results import sort_results
from pathology.runs.row import IhcScore
from pathology.scoring.tiers import TIER_ORDER, Her2Status, Her2Tier

__all__ = ["CASE_COLUMNS", "CaseRow", "summarise_cases", "write_cases"]


class CaseRow(BaseModel):
    """Hold one row of ``cases.csv``: its fields are the columns, in their order.

    Parameters
    ----------
    case_id
        As given in the manifest, or the slide's id where none was given.
    case_id_given
        Whether the manifest named the case.
    status
        ``scored`` where a slide is and no other could be higher; else ``not_scorable``, or
        ``failed`` where every slide failed.
    n_slides, n_scored, n_not_scorable, n_failed
        Slides of the case; control slides are left out.
    n_blocks
        Different block ids.
    ihc_score, her2_status, her2_tier, ish_reflex
        Of the deciding slide, by IHC alone; empty (``indeterminate``) where evidence of another
        slide is missing and the deciding one is not positive.
    deciding_slide_id, deciding_block_id
        The scored slide with the highest tier, the first by path among equals; of the index block
        where one is declared.
    discordant
        Whether scored slides differ in ``ihc_score``: the case needs a look.
    incomplete
        Whether a slide has no score. What is missing could be higher than what was seen.
    slide_ids
        All slides of the case, joined by ``;``.
    case_rule, index_block_id
        ``highest_tier``, or ``index_block`` and its id where the manifest declares one.
    ish_category
        ISH category of the block that decides the final status; empty without ISH.
    final_her2_status, final_her2_tier
        With ISH. A 2+ without ISH of its own block stays equivocal.
    final_block_id, final_rule, final_clause
        The block that decides, and why.
    final_discordant
        Whether the case needs a look: ISH against IHC, one probe or block against another.
    final_flags
        Keys of :data:`~pathology.scoring.ish_rules.ISH_FLAGS`, joined by ``;``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    case_id: str
    case_id_given: bool
    status: str
    n_slides: int
    n_scored: int
    n_not_scorable: int
    n_failed: int
    n_blocks: int
    ihc_score: IhcScore | None
    her2_status: Her2Status | None
    her2_tier: Her2Tier | None
    ish_reflex: bool | None
    deciding_slide_id: str | None
    deciding_block_id: str | None
    discordant: bool
    incomplete: bool
    slide_ids: str
    case_rule: Literal["highest_tier", "index_block"]
    index_block_id: str | None
    ish_category: str | None
    final_her2_status: Her2Status
    final_her2_tier: Her2Tier | None
    final_block_id: str | None
    final_rule: str
    final_clause: str
    final_discordant: bool
    final_flags: str | None


#: Columns of ``cases.csv``, in their order.
CASE_COLUMNS: tuple[str, ...] = tuple(CaseRow.model_fields)


def summarise_cases(results: Iterable[SlideResult], ish: IshStore | None = None) -> list[CaseRow]:
    """Gather slides into cases.

    A slide without ``case_id`` is a case of its own; control slides belong to none. The case takes
    the score of its highest slide, or of its declared index block; counts of cells are never added
    up.

    Parameters
    ----------
    results
        Slides, in any order.
    ish
        ISH results of the run; None where there are none.

    Returns
    -------
    list of CaseRow
        Sorted by ``case_id``, named cases before unnamed ones of the same id.

    Raises
    ------
    OutputError
        If a slide id occurs twice.

    Examples
    --------
    >>> slide = SlideResult(slide_id="a", path="a", status="failed", reasons=("unreadable",))
    >>> case, = summarise_cases([slide])
    >>> case.case_id, case.status, case.incomplete
    ('a', 'failed', True)
    """
    readings = IshByBlock.of(ish)
    cases = group_cases(sort_results(results))
    return [
        _case_row(case_id, slides, finish_case(slides, readings), given=not unnamed)
        for (case_id, unnamed), slides in sorted(cases.items(), key=lambda item: item[0])
    ]


def write_cases(folder: Path, results: Iterable[SlideResult]) -> list[CaseRow]:
    """Write ``cases.csv``, and ``ish.csv`` where the run has ISH results.

    ISH results that :file:`ish.json` holds are applied, so that a run that goes on keeps them.

    Parameters
    ----------
    folder
        The run folder.
    results
        All slides of the run, in any order.

    Returns
    -------
    list of CaseRow
        What was written.

    Raises
    ------
    OutputError
        If the disk is full, the folder cannot be written, or ``ish.json`` is damaged.
    """
    ish = read_ish(folder)
    slides = sort_results(results)
    rows = summarise_cases(slides, ish)
    if ish is not None:
        write_ish_table(folder, slides, ish)
    with output_errors():
        atomic_write_bytes(
            folder / CASES_CSV, render_csv(CASE_COLUMNS, [row.model_dump() for row in rows])
        )
    return rows


def _case_row(case_id: str, slides: list[SlideResult], final: FinalCase, *, given: bool) -> CaseRow:
    scored = [slide for slide in slides if slide.status == "scored"]
    failed = [slide for slide in slides if slide.status == "failed"]
    index = [key for key, block in zip(final.keys, final.evidence, strict=True) if block.index]
    counted = [slide for slide in slides if not index or block_key(slide) in index]
    # max keeps the first of equals, and slides are sorted by path.
    top = max((slide for slide in counted if slide.status == "scored"), key=tier_rank, default=None)
    incomplete = any(slide.ihc_score is None for slide in slides)
    # A slide whose evidence is missing could hold the tier that decides: short of the highest one,
    # nothing may be concluded for the case. The slide that leads so far is named all the same.
    open_ended = any(could_be_higher(slide) for slide in counted) or len(index) > 1
    highest = top is not None and tier_rank(top) == len(TIER_ORDER) - 1
    decided = top is not None and (not open_ended or (highest and len(index) < 2))
    without = "failed" if all(slide.status == "failed" for slide in counted) else "not_scorable"
    return CaseRow(
        case_id=case_id,
        case_id_given=given,
        status="scored" if decided else without,
        n_slides=len(slides),
        n_scored=len(scored),
        n_not_scorable=len(slides) - len(scored) - len(failed),
        n_failed=len(failed),
        n_blocks=len({slide.block_id for slide in slides if slide.block_id is not None}),
        ihc_score=top.ihc_score if top and decided else None,
        her2_status=(top.her2_status if decided else "indeterminate") if top else None,
        her2_tier=top.her2_tier if top and decided else None,
        ish_reflex=top.ish_reflex if top and decided else None,
        deciding_slide_id=top.slide_id if top else None,
        deciding_block_id=top.block_id if top else None,
        discordant=len({slide.ihc_score for slide in scored}) > 1,
        incomplete=incomplete,
        slide_ids=";".join(slide.slide_id for slide in slides),
        case_rule="index_block" if index else "highest_tier",
        index_block_id=";".join(str(key.block_id) for key in index) or None,
        **_final_columns(final),
    )


def _final_columns(final: FinalCase) -> dict[str, Any]:
    decision = final.decision
    return {
        "ish_category": decision.category,
        "final_her2_status": decision.status,
        "final_her2_tier": decision.tier,
        "final_block_id": final.block_id,
        "final_rule": decision.rule,
        "final_clause": decision.clause,
        "final_discordant": decision.discordant,
        "final_flags": ";".join(decision.flags) or None,
    }
