"""In-situ hybridisation that a reviewer enters, read and judged as files of ISH results are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pathology.review.events import sha256_hex
from pathology.review.state import SlideReview
from pathology.runs import NOT_SCORABLE, SlideResult
from pathology.runs.final import low_tiers_of
from pathology.runs.ish_input import CALLS, READING_COLUMNS, parse_ish
from pathology.runs.ish_join import BlockIndex, block_key, gather_records
from pathology.runs.ish_record import IshRecord
from pathology.runs.ish_store import IshStore, read_ish
from pathology.scoring.ish_case import BlockEvidence, decide_case
from pathology.scoring.ish_guideline import DEFAULT_ISH_GUIDELINE, load_ish_guideline
from pathology.scoring.tiers import BelowOne

__all__ = ["EnteredIsh", "enter_readings", "render_ish"]

#: How an entry is called in messages.
_ENTRY: Final = Path("entry.json")
_BELOW: Final[dict[str | None, BelowOne]] = {"her2_null": "null", "her2_ultralow": "ultralow"}


@dataclass(frozen=True, kw_only=True)
class EnteredIsh:
    """Hold what an entry makes of the slide's readings.

    Parameters
    ----------
    readings
        All that the review knows of the slide's block, as stored records.
    decision
        What follows by the guideline, with the IHC score that is in force.
    """

    readings: tuple[dict[str, Any], ...]
    decision: dict[str, Any]


def enter_readings(
    run: Path, result: SlideResult, review: SlideReview, entries: Sequence[Mapping[str, Any]]
) -> EnteredIsh:
    """Take in what a reviewer entered; a reading of the same place is replaced.

    Parameters
    ----------
    run
        The run folder; what ``her2 ish`` stored there counts as well, and is not changed.
    result, review
        The slide: the result in force, and its review.
    entries
        Objects with the columns of a file of ISH results, without the ids of case and block.

    Returns
    -------
    EnteredIsh
        With the decision by the rules of :mod:`pathology.scoring.ish_rules`.

    Raises
    ------
    UsageError
        If a column is unknown or a value wrong; names the entry and the column.
    OutputError
        If ``ish.json`` of the run is damaged.
    """
    rows = [{**entry, "slide_id": result.slide_id} for entry in entries]
    content = json.dumps({"results": rows}).encode()
    given = parse_ish(content, path=_ENTRY)
    source = sha256_hex(content)
    fresh = gather_records(given, BlockIndex.of([result]), source=source)
    own = {x.place: x for x in map(IshRecord.model_validate, review.ish)}
    own |= {record.place: record for record in fresh}
    there = read_ish(run)
    return EnteredIsh(
        readings=tuple(record.model_dump(mode="json") for record in own.values()),
        decision=_decide(result, review, list(own.values()), there),
    )


def _decide(
    result: SlideResult, review: SlideReview, own: list[IshRecord], there: IshStore | None
) -> dict[str, Any]:
    key = block_key(result)
    known = {x.place: x for x in (there.readings if there else ()) if x.key == key}
    known |= {record.place: record for record in own}
    score, tier = _score(result, review)
    low_tiers = low_tiers_of(result.guideline)
    evidence = BlockEvidence(
        name=key.name,
        ihc_score=score,
        # Of a 0 that was decided without saying which, the tier is left open below.
        below_one=_BELOW.get(tier, "null") if score == "0" and low_tiers else None,
        readings=tuple(record.block_reading() for record in known.values()),
        low_tiers=low_tiers,
    )
    guideline = there.guideline if there else DEFAULT_ISH_GUIDELINE
    found = decide_case([evidence], guideline=load_ish_guideline(guideline))
    return {
        "status": found.status,
        "tier": None if score == "0" and tier is None else found.tier,
        "rule": found.rule,
        "clause": found.clause,
        "flags": list(found.flags),
        "category": found.category,
        "guideline": guideline,
    }


def _score(result: SlideResult, review: SlideReview) -> tuple[str | None, str | None]:
    """Return the score and tier that are in force: signed, decided, or the program's."""
    if review.closed and review.signature is not None:
        score = review.final_score
        same = score == review.signature.ihc_score
        tier = review.signature.tier if same else None
    elif review.decision is not None:
        score, tier = review.decision.ihc_score, review.decision.tier
    else:
        score, tier = result.ihc_score, result.her2_tier
    return (None, None) if score == NOT_SCORABLE else (score, tier)


def render_ish(reviews: Iterable[SlideReview]) -> bytes:
    """Write what was entered as a file that ``her2 ish DIR --results FILE`` reads.

    Parameters
    ----------
    reviews
        Of the slides of a run.

    Returns
    -------
    bytes
        JSON.
    """
    rows = [
        _row(review.slide_id, IshRecord.model_validate(reading))
        for review in reviews
        for reading in review.ish
    ]
    return (json.dumps({"results": rows}, indent=2, ensure_ascii=False) + "\n").encode()


def _row(slide_id: str, record: IshRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        "slide_id": slide_id,
        "probe": record.probe,
        "reading": record.stage,
        "population": record.population,
        **{name: getattr(record, name) for name in READING_COLUMNS},
    }
    if record.call is not None:
        words = {code: text for text, code in CALLS.items()}
        row |= {"call": words[record.call], "cells": record.cells}
    elif record.her2_per_cell is not None:
        per_cell = {"her2": record.her2_per_cell, "cep17": record.cep17_per_cell}
        row |= {name: list(value) for name, value in per_cell.items() if value is not None}
    else:
        row |= {
            "cells": record.cells,
            "her2_total": record.her2,
            "cep17_total": record.cep17,
        }
    return {name: value for name, value in row.items() if value is not None}
