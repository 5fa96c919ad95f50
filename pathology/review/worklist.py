"""The list of the morning: which slide needs a human first, and what is shown of it.

The order is a plain rule on a result's own columns. It differs from the order of the HTML report's
index (:func:`pathology.report.facts.attention_rank`), which puts the defects of a run first: a
reader's time goes first to the slides whose score a reader can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import PurePath
from typing import Any, Final

from pathology.report.palette import TIER_LABELS
from pathology.report.words import flag_words, reason_words
from pathology.runs import ResultRow

__all__ = ["DONE_STATES", "Attention", "attention", "worklist", "worklist_row"]

#: States of the review after which a slide waits for nobody.
DONE_STATES: Final = frozenset({"signed"})
#: Flags of a laboratory's whole run, or of every slide before its review: they tell slides apart no
#: more. The slide's own page names them all.
_COMMON_FLAGS: Final = frozenset(
    {"invasive_region_unverified", "few_blocks", "limit_of_blank_unset", "coarse_resolution"}
)


class Attention(IntEnum):
    """Rank why a slide needs a human; the lowest comes first."""

    BORDERLINE = 0
    EQUIVOCAL = 1
    NOT_SCORABLE = 2
    HETEROGENEOUS = 3
    FAILED = 4
    FLAGGED = 5
    ROUTINE = 6
    CONTROL = 7


#: What the list calls each rank.
ATTENTION_WORDS: Final = {
    Attention.BORDERLINE: "Close to a cut-off",
    Attention.EQUIVOCAL: "2+: ISH needed",
    Attention.NOT_SCORABLE: "Not scorable",
    Attention.HETEROGENEOUS: "Heterogeneous",
    Attention.FAILED: "Failed",
    Attention.FLAGGED: "Flagged",
    Attention.ROUTINE: "Routine",
    Attention.CONTROL: "Control slide",
}


def attention(row: ResultRow) -> Attention:
    """Say why a slide needs a human, by its most pressing reason.

    Parameters
    ----------
    row
        The slide.

    Returns
    -------
    Attention
        ``BORDERLINE`` also where the guideline leaves the score open.

    Examples
    --------
    >>> attention(ResultRow(slide_id="a", path="a", status="failed", reasons=("unreadable",))).name
    'FAILED'
    """
    if row.role == "control":
        return Attention.CONTROL
    if row.status == "failed":
        return Attention.FAILED
    if row.status == "not_scorable":
        return Attention.NOT_SCORABLE
    if row.borderline or row.ihc_score is None:
        return Attention.BORDERLINE
    if row.ihc_score == "2+":
        return Attention.EQUIVOCAL
    if "heterogeneous" in row.flags:
        return Attention.HETEROGENEOUS
    return Attention.FLAGGED if set(row.flags) - _COMMON_FLAGS else Attention.ROUTINE


def worklist_row(
    row: ResultRow, *, state: str, withheld: bool, signed: str | None = None
) -> dict[str, Any]:
    """Return what the list shows of a slide.

    Parameters
    ----------
    row
        The slide.
    state
        State of its review.
    withheld
        Keep the program's reading back: only what names the slide is returned.
    signed
        The score that was signed; None where none was.

    Examples
    --------
    >>> row = ResultRow(slide_id="a", path="x/a.svs", status="failed", reasons=("unreadable",))
    >>> worklist_row(row, state="unread", withheld=False)["why"]
    'File cannot be read'
    >>> sorted(worklist_row(row, state="unread", withheld=True))
    ['block', 'case', 'name', 'slide_id', 'state', 'withheld']
    """
    shown: dict[str, Any] = {
        "slide_id": row.slide_id,
        # Files are named after scores more often than one thinks.
        "name": "" if withheld else PurePath(row.path).name,
        "case": row.case_id or "",
        "block": row.block_id or "",
        "state": state,
        "withheld": withheld,
    }
    if withheld:
        return shown
    rank = attention(row)
    shown |= {
        "status": row.status,
        "score": row.ihc_score,
        "signed_score": signed,
        "tier": TIER_LABELS.get(row.her2_tier or "", ""),
        "distance_pp": row.margin_pp,
        "nearest_score": row.nearest_score or "",
        "cells": row.n_tumour_cells,
        "attention": int(rank),
        "attention_words": ATTENTION_WORDS[rank],
        "why": "; ".join(reason_words(code).title for code in row.reasons),
        "flags": [
            {"code": flag, "title": flag_words(flag).title}
            for flag in row.flags
            if flag not in _COMMON_FLAGS
        ],
        "region_source": row.region_source,
        "assay": row.assay or "",
    }
    return shown


def worklist(
    rows: Iterable[ResultRow],
    states: Mapping[str, str],
    *,
    withheld: frozenset[str] = frozenset(),
    signed: Mapping[str, str] | None = None,
    order: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the list, case by case, the case that most needs a human first.

    Slides of a case stay together. A case ranks as its most pressing slide that is not signed;
    among equals the smaller distance to a cut-off comes first, then the name. Cases that are signed
    in full come last.

    Parameters
    ----------
    rows
        All slides of the run.
    states
        State of the review by slide id; ``unread`` where there is none.
    withheld
        Slides whose reading is kept back.
    signed
        Scores that were signed, by slide id.
    order
        Slide ids in the order of a blinded study, others are left out; None: by need.

    Returns
    -------
    list of dict
        As of :func:`worklist_row`, in order.
    """
    if order is None:
        slides = _by_need(list(rows), states)
    else:
        known = {row.slide_id: row for row in rows}
        slides = [known[slide_id] for slide_id in order if slide_id in known]
    return [
        worklist_row(
            row,
            state=states.get(row.slide_id, "unread"),
            withheld=row.slide_id in withheld,
            signed=(signed or {}).get(row.slide_id),
        )
        for row in slides
    ]


def _by_need(slides: list[ResultRow], states: Mapping[str, str]) -> list[ResultRow]:
    cases: dict[tuple[bool, str], list[ResultRow]] = {}
    for row in slides:
        # A slide without a case is a case of its own.
        key = (row.case_id is None, row.case_id or row.slide_id)
        cases.setdefault(key, []).append(row)
    keys = {row.slide_id: _need(row, states) for row in slides}
    for members in cases.values():
        members.sort(key=lambda row: (row.block_id or "", keys[row.slide_id]))
    order = sorted(cases.values(), key=lambda members: min(keys[row.slide_id] for row in members))
    return [row for members in order for row in members]


def _need(row: ResultRow, states: Mapping[str, str]) -> tuple[bool, int, float, str, str]:
    distance = row.margin_pp
    return (
        states.get(row.slide_id, "unread") in DONE_STATES,
        int(attention(row)),
        abs(distance) if distance is not None else float("inf"),
        row.case_id or "",
        row.path,
    )
