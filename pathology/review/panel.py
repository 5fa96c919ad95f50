"""The panel beside a slide: the score, why, how sure, and where to look."""

from __future__ import annotations

from typing import Any, Final

from pathology.cells.table import PATTERNS
from pathology.report.examples import choose_fields
from pathology.report.facts import CUTOFF_PCT, Facts, percent
from pathology.report.palette import PATTERN_COLOURS, PATTERN_LABELS, css
from pathology.report.provenance import provenance_rows, quality_rows
from pathology.report.words import STATUS_WORDS, flag_words, reason_words
from pathology.review.cellindex import HISTOGRAM_STEP, CellIndex
from pathology.review.run import ReviewRun
from pathology.runs import SlideResult, read_tiles
from pathology.scoring import TILE_FLAG

__all__ = ["example_places", "od_histogram", "panel"]

#: Fields to jump to.
_FIELDS: Final = 6


def panel(result: SlideResult) -> dict[str, Any]:
    """Return what the panel says of a result.

    Parameters
    ----------
    result
        Of the run, or of a review that scored the slide anew.

    Examples
    --------
    >>> page = panel(SlideResult(slide_id="a", path="a.svs", status="failed",
    ...                          reasons=("unreadable",)))
    >>> page["headline"], page["reasons"][0]["title"]
    ('No score', 'File cannot be read')
    """
    facts = Facts(result=result)
    reasons = [reason_words(code) for code in result.reasons]
    return {
        "slide_id": result.slide_id,
        "status": result.status,
        "status_words": STATUS_WORDS[result.status],
        "headline": facts.headline,
        "tier": facts.tier,
        "ish_reflex": result.ish_reflex,
        "borderline": result.borderline,
        "clause": facts.clause,
        "lines": list(facts.measure_lines),
        "counted": facts.counted,
        "n_tumour_cells": result.n_tumour_cells,
        "patterns": _patterns(facts),
        "interval": _interval(result),
        "cutoff_pct": CUTOFF_PCT,
        "boot_shares": [{"name": name, "share": share} for name, share in facts.boot_shares],
        "reasons": [
            {"title": why.title, "sentence": why.sentence, "fix": why.fix} for why in reasons
        ],
        "error": None
        if result.error is None
        else {"message": result.error.message, "fix": result.error.fix},
        "flags": [
            {"code": flag, "title": flag_words(flag).title, "sentence": flag_words(flag).sentence}
            for flag in result.flags
        ],
        "warnings": list(result.warnings),
        "quality": quality_rows(result),
        "provenance": provenance_rows(result),
        "region_source": result.region_source,
        "mean_membrane_od": result.mean_membrane_od,
        "h_score": result.h_score,
    }


def od_histogram(index: CellIndex) -> dict[str, Any]:
    """Return how many cells that count have which membrane OD, by pattern.

    Returns
    -------
    dict
        ``step``: width of a bar in OD; ``bars``: the five counts of each bar, from 0 on; the last
        one is open to the right.
    """
    return {"step": HISTOGRAM_STEP, "bars": index.meta["histogram"]}


def example_places(run: ReviewRun, slide_id: str) -> list[dict[str, Any]]:
    """Return the fields that show each pattern best, in µm; see :mod:`pathology.report.examples`.

    Returns
    -------
    list of dict
        Strongest pattern first; none of a slide without tumour cells, or of classified tiles.
    """
    result, spacing, folder = run.result(slide_id), run.spacing(slide_id), run.folder(slide_id)
    if spacing is None or not result.n_tumour_cells or TILE_FLAG in result.flags:
        return []
    if not folder.cells.is_file() or not folder.tiles.is_file():
        return []
    return [
        {
            "pattern": PATTERNS[choice.pattern],
            "label": PATTERN_LABELS[choice.pattern],
            "colour": css(PATTERN_COLOURS[choice.pattern]),
            "count": choice.count,
            "box_um": [
                choice.box.x * spacing.x,
                choice.box.y * spacing.y,
                choice.box.width * spacing.x,
                choice.box.height * spacing.y,
            ],
        }
        for choice in choose_fields(folder.cells, read_tiles(folder.tiles), spacing, limit=_FIELDS)
    ]


def _patterns(facts: Facts) -> list[dict[str, Any]]:
    return [
        {
            "code": PATTERNS[row.code],
            "label": PATTERN_LABELS[row.code],
            "colour": css(PATTERN_COLOURS[row.code]),
            "count": row.count,
            "pct": row.pct,
            "text": percent(row.pct),
        }
        for row in facts.patterns
    ]


def _interval(result: SlideResult) -> dict[str, Any] | None:
    low, high = result.deciding_lo, result.deciding_hi
    if low is None or high is None:
        return None
    return {"low": low, "high": high, "text": f"{percent(low)} to {percent(high)}"}
