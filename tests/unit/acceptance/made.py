"""Slides, comparisons and evidence as a run would give them, without one."""

from __future__ import annotations

from typing import Any

from pathology.acceptance import (
    CellFacts,
    ExpectedOutcome,
    RunComparison,
    SetEvidence,
    SetName,
    SlideFact,
    SlidePair,
)
from pathology.runs import SlideResult, count_columns
from pathology.scoring.counts import PatternCounts
from pathology.scoring.tiers import her2_status, her2_tier


def fact(
    name: str,
    expected: str | None,
    found: str,
    *,
    case: str | None = None,
    cells: CellFacts | None = None,
    seconds: float | None = None,
    **other: Any,
) -> SlideFact:
    """Make a slide; ``found`` is a score, or ``status:reason``."""
    known: dict[str, Any] = {"slide_id": name, "path": f"{name}.tif", "case_id": case}
    if ":" in found:
        status, reason = found.split(":")
        known |= {"status": status, "reasons": (reason,)}
    else:
        known |= {
            "status": "scored",
            "ihc_score": found,
            "her2_status": her2_status(found),
            "her2_tier": her2_tier(found, below_one="ultralow" if found == "0" else None),
            "ish_reflex": found == "2+",
            "tissue_mm2": 2.0,
            **count_columns(PatternCounts(unstained=100)),
        }
    return SlideFact(
        result=SlideResult(**known),
        expected=None if expected is None else ExpectedOutcome.parse(expected),
        cells=cells,
        seconds=seconds,
        **other,
    )


def pair(name: str, first: str, second: str, **other: Any) -> SlidePair:
    known: dict[str, Any] = {"same_tier": True, "h_score_difference": 0.0, "cells": 100}
    known |= {"paired": 100, **other}
    return SlidePair(slide_id=name, first=first, second=second, **known)


def compared(*pairs: SlidePair, second: str = "repeat", **other: Any) -> RunComparison:
    known: dict[str, Any] = {"files": ("results.csv", "cases.csv"), "different_files": ()}
    return RunComparison(first="cpu", second=second, pairs=pairs, **(known | other))


def evidence(*facts: SlideFact, name: SetName = "site", **other: Any) -> SetEvidence:
    known: dict[str, Any] = {"device": "cpu"}
    return SetEvidence(name=name, facts=facts, **(known | other))
