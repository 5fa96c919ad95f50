"""``cases.csv``: one row per case, by its highest slide; cells of different blocks never meet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pathology.errors import OutputError, ReasonCode, SlideError
from pathology.runs.atomic import atomic_write_bytes
from pathology.runs.csvfile import render_csv
from pathology.runs.layout import CASES_CSV
from pathology.runs.result import SlideResult
from pathology.runs.results import sort_results
from pathology.runs.row import TIER_ORDER, Her2Status, Her2Tier, IhcScore

__all__ = ["CASE_COLUMNS", "CaseRow", "summarise_cases", "write_cases"]


#: Reasons that leave nothing open: such a slide was seen, and holds no tumour to be scored.
_NOTHING_THERE = frozenset(
    {
        ReasonCode.NO_TISSUE,
        ReasonCode.NO_TUMOUR,
        ReasonCode.NOT_IHC,
        ReasonCode.TOO_FEW_CELLS,
    }
)
#: Ranks of scores that have no tier: as those that have one.
_UNTIERED = {"0": TIER_ORDER.index("her2_null"), "1+": TIER_ORDER.index("her2_low")}


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
        Of the deciding slide; empty (``indeterminate``) where evidence of another slide is missing
        and the deciding one is not positive.
    deciding_slide_id, deciding_block_id
        The scored slide with the highest tier, the first by path among equals.
    discordant
        Whether scored slides differ in ``ihc_score``: the case needs a look.
    incomplete
        Whether a slide has no score. What is missing could be higher than what was seen.
    slide_ids
        All slides of the case, joined by ``;``.
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


#: Columns of ``cases.csv``, in their order.
CASE_COLUMNS: tuple[str, ...] = tuple(CaseRow.model_fields)


def summarise_cases(results: Iterable[SlideResult]) -> list[CaseRow]:
    """Gather slides into cases.

    A slide without ``case_id`` is a case of its own; control slides belong to none. The case takes
    the score of its highest slide; counts of cells are never added up.

    Parameters
    ----------
    results
        Slides, in any order.

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
    cases: dict[tuple[str, bool], list[SlideResult]] = {}
    for result in sort_results(results):
        if result.role == "control":
            continue
        given = result.case_id is not None
        cases.setdefault((result.case_id or result.slide_id, not given), []).append(result)
    return [
        _case_row(case_id, slides, given=not unnamed)
        for (case_id, unnamed), slides in sorted(cases.items(), key=lambda item: item[0])
    ]


def write_cases(folder: Path, results: Iterable[SlideResult]) -> list[CaseRow]:
    """Write ``cases.csv``.

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
        If the disk is full or the folder cannot be written.
    """
    rows = summarise_cases(results)
    try:
        atomic_write_bytes(
            folder / CASES_CSV, render_csv(CASE_COLUMNS, [row.model_dump() for row in rows])
        )
    except SlideError as error:
        raise OutputError(error.message, fix=error.fix) from error
    return rows


def _rank(result: SlideResult) -> int:
    if result.her2_tier is not None:
        return TIER_ORDER.index(result.her2_tier)
    # Guidelines without low tiers leave them empty; the score still ranks.
    return _UNTIERED.get(result.ihc_score or "", -1)


def _could_be_higher(slide: SlideResult) -> bool:
    """Tell whether what a slide could not say might have raised its case."""
    return slide.ihc_score is None and not (slide.reasons and set(slide.reasons) <= _NOTHING_THERE)


def _case_row(case_id: str, slides: list[SlideResult], *, given: bool) -> CaseRow:
    scored = [slide for slide in slides if slide.status == "scored"]
    failed = [slide for slide in slides if slide.status == "failed"]
    # max keeps the first of equals, and slides are sorted by path.
    top = max(scored, key=_rank, default=None)
    incomplete = any(slide.ihc_score is None for slide in slides)
    # A slide whose evidence is missing could hold the tier that decides: short of the highest one,
    # nothing may be concluded for the case. The slide that leads so far is named all the same.
    open_ended = any(_could_be_higher(slide) for slide in slides)
    decided = top is not None and (not open_ended or _rank(top) == len(TIER_ORDER) - 1)
    without = "failed" if len(failed) == len(slides) else "not_scorable"
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
    )
