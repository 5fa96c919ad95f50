"""``her2 accept``: the page and the figures of an acceptance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pathology import __version__
from pathology.acceptance import (
    DEFINITIONS,
    Acceptance,
    RunComparison,
    SetEvidence,
    SlideFact,
    Verdict,
)
from pathology.report.html import page_environment
from pathology.runs.atomic import output_errors
from pathology.runs.outputs import OutputFolder
from pathology.runs.reference import REFUSALS

__all__ = [
    "ACCEPTANCE_VERSION",
    "JSON_NAME",
    "PAGE_NAME",
    "acceptance_json",
    "check_acceptance",
    "render_acceptance",
    "summary_lines",
    "write_acceptance",
]

#: Version of the form of ``acceptance.json``.
ACCEPTANCE_VERSION: Final = 1
JSON_NAME: Final = "acceptance.json"
PAGE_NAME: Final = "acceptance.html"
_SETS: Final = {"synthetic": "Synthetic slides", "site": "Slides of the site"}
_OUTCOMES: Final = {
    "pass": ("pass", "#1b7a3d"),
    "fail": ("fail", "#b00028"),
    "not_tested": ("not tested", "#965a00"),
    "reported": ("reported", "#68707a"),
}
_OVERALL: Final = {
    "pass": ("Passed", "Every criterion that could be tested is met."),
    "fail": ("Failed", "At least one criterion is not met."),
    "incomplete": ("Incomplete", "No criterion failed, but one that is required was not tested."),
}


def check_acceptance(out: Path) -> None:
    """Refuse, before any slide is read, a folder in which other files have the names of these.

    Raises
    ------
    OutputError
        If one is there that no acceptance wrote; names it.
    """
    _folder(out).check((JSON_NAME, PAGE_NAME))


def write_acceptance(out: Path, accepted: Acceptance) -> None:
    """Write ``acceptance.html`` and ``acceptance.json``; those of before are replaced.

    Raises
    ------
    OutputError
        If the folder cannot be written, or a file is there that no acceptance wrote.
    """
    folder = _folder(out)
    with output_errors():
        folder.write(JSON_NAME, acceptance_json(accepted))
        folder.write(PAGE_NAME, render_acceptance(accepted).encode())


def _folder(out: Path) -> OutputFolder:
    return OutputFolder(out, command="her2 accept")


def render_acceptance(accepted: Acceptance) -> str:
    """Return the page of an acceptance: HTML that stands alone."""
    label, text = _OVERALL[accepted.overall]
    return (
        page_environment()
        .get_template("acceptance.html.j2")
        .render(
            accepted=accepted,
            overall=label,
            overall_text=_overall_text(accepted, text),
            overall_colour=_OUTCOMES.get(accepted.overall, _OUTCOMES["not_tested"])[1],
            counts=[(word, accepted.count(key)) for key, (word, _) in _OUTCOMES.items()],
            sets=[_set_rows(accepted, evidence) for evidence in accepted.evidence],
            comparisons=[
                row for evidence in accepted.evidence for row in _comparison_rows(evidence)
            ],
        )
    )


def _overall_text(accepted: Acceptance, text: str) -> str:
    n = accepted.count("not_tested")
    if not n or accepted.overall == "incomplete":
        return text
    return f"{text} {n} {'was' if n == 1 else 'were'} not tested."


def _plain_outcome(text: str) -> str:
    """Write ``not_scorable:no_tissue;...`` in words.

    Examples
    --------
    >>> _plain_outcome("not_scorable:no_tumour;not_scorable:too_few_cells"), _plain_outcome("0;1+")
    ('not scorable: no tumour or too few cells', '0 or 1+')
    """
    status, colon, _ = text.partition(":")
    names = [part.rpartition(":")[2] for part in text.split(";")]
    words = " or ".join(names).replace("_", " ")
    return f"{status.replace('_', ' ')}: {words}" if colon else words


def _set_rows(accepted: Acceptance, evidence: SetEvidence) -> dict[str, Any]:
    refused = [fact for fact in evidence.facts if fact.refused]
    return {
        "title": _SETS[evidence.name],
        "device": evidence.device,
        "verdicts": [
            verdict_row(verdict) for verdict in accepted.verdicts if verdict.slides == evidence.name
        ],
        "slides": [_slide_row(fact) for fact in evidence.facts],
        "with_cells": any(fact.cells for fact in evidence.facts),
        "n": len(evidence.facts),
        "with_truth": sum(fact.truth is not None for fact in evidence.facts),
        "unstated": sum(fact.expected is None and not fact.refused for fact in evidence.facts),
        "refused": [
            (word, sum(fact.refused == reason for fact in refused))
            for reason, word in REFUSALS.items()
            if any(fact.refused == reason for fact in refused)
        ],
    }


def verdict_row(verdict: Verdict) -> dict[str, str]:
    """Return one verdict as texts, for the page."""
    measure, unit = verdict.measure, verdict.definition.unit
    word, colour = _OUTCOMES[verdict.outcome]
    interval = ""
    if measure.low is not None and measure.high is not None:
        interval = f"{_number(measure.low)} to {_number(measure.high)} ({measure.interval})"
    note = measure.detail
    if verdict.outcome == "not_tested":
        why = measure.untested
        if measure.value is not None and measure.judged:
            why = f"fewer than {verdict.min_n} {verdict.definition.of}"
        note = f"{why}; {note}" if note else why
    return {
        "title": verdict.definition.title + (f": {verdict.against}" if verdict.against else ""),
        "limit": verdict.limit_text or "none",
        "measured": "–" if measure.value is None else f"{_number(measure.value)} {unit}",
        "n": f"{measure.n:,} {verdict.definition.of}" if measure.n else "0",
        "interval": interval,
        "outcome": word,
        "colour": colour,
        "note": note,
        "required": "required" if verdict.required else "",
    }


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 10 or value == 0 else f"{value:.2f}"


def _slide_row(fact: SlideFact) -> dict[str, Any]:
    result, cells = fact.result, fact.cells
    right = fact.right
    word = {True: "as expected", False: "differs", None: "–"}[right]
    return {
        "slide_id": result.slide_id,
        "expected": _plain_outcome(fact.expected.text) if fact.expected else "–",
        "found": _plain_outcome(fact.found_text),
        "word": REFUSALS[fact.refused] if fact.refused else word,
        "colour": _OUTCOMES[{True: "pass", False: "fail", None: "reported"}[right]][1],
        "distance": "–" if fact.distance_pp is None else f"{fact.distance_pp:.1f}",
        "near": bool(fact.near),
        "h_score": "–" if result.h_score is None else f"{result.h_score:.1f}",
        "cells": "–" if result.n_tumour_cells is None else f"{result.n_tumour_cells:,}",
        "found_pct": "–" if cells is None else f"{cells.found_pct:.1f}",
        "right_pct": "–" if cells is None else f"{cells.right_pct:.1f}",
        "error": "–" if cells is None else f"{cells.worst_pattern[1]:+.1f}",
        "mm2": "–" if result.tissue_mm2 is None else f"{result.tissue_mm2:.2f}",
        "seconds": "–" if fact.seconds is None else f"{fact.seconds:.1f}",
    }


def _comparison_rows(evidence: SetEvidence) -> list[dict[str, Any]]:
    runs = [*((evidence.repeat,) if evidence.repeat else ()), *evidence.others]
    return [
        {
            "title": f"{_SETS[evidence.name]}: {run.first} and {run.second}",
            "slides": len(run.pairs),
            "scores": sum(pair.same_score for pair in run.comparable),
            "tiers": sum(pair.same_score and pair.same_tier for pair in run.comparable),
            "files": f"{len(run.files) - len(run.different_files):,} of {len(run.files):,}",
            "cells": f"{sum(p.paired for p in run.comparable):,} of "
            f"{sum(p.cells for p in run.comparable):,}",
            "left_out": len(run.pairs) - len(run.comparable),
            "only": len(run.only_in_one),
        }
        for run in runs
    ]


def acceptance_json(accepted: Acceptance) -> bytes:
    """Return the content of ``acceptance.json``: every figure in full."""
    content = {
        "acceptance_version": ACCEPTANCE_VERSION,
        "program": f"her2-ihc {__version__}",
        "research_use_only": True,
        "overall": accepted.overall,
        "time": accepted.time,
        "host": accepted.host,
        "devices": list(accepted.devices),
        "versions": dict(accepted.versions),
        "model": accepted.model,
        "model_sha256": accepted.model_sha256,
        "configurations": dict(accepted.configurations),
        "guideline": accepted.guideline,
        "calibration": accepted.calibration,
        "criteria": accepted.criteria.model_dump(mode="json"),
        "criteria_sha256": accepted.criteria.sha256,
        "verdicts": [_verdict(verdict) for verdict in accepted.verdicts],
        "sets": [_set(evidence) for evidence in accepted.evidence],
    }
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _verdict(verdict: Verdict) -> dict[str, Any]:
    definition = DEFINITIONS[verdict.criterion]
    found = asdict(verdict)
    measure = found.pop("measure")
    return {**found, "title": definition.title, "unit": definition.unit, **measure}


def _set(evidence: SetEvidence) -> dict[str, Any]:
    return {
        "slides": evidence.name,
        "device": evidence.device,
        "devices_missing": dict(evidence.missing),
        "memory_mib": evidence.memory_mib,
        "results": [_fact(fact) for fact in evidence.facts],
        "repeat": None if evidence.repeat is None else _comparison(evidence.repeat),
        "others": [_comparison(run) for run in evidence.others],
    }


def _fact(fact: SlideFact) -> dict[str, Any]:
    result = fact.result
    return {
        "slide_id": result.slide_id,
        "path": result.path,
        "expected": fact.expected.text if fact.expected else None,
        "refused_as_truth": fact.refused,
        "found": fact.found_text,
        "right": fact.right,
        "her2_tier": result.her2_tier,
        "h_score": result.h_score,
        "distance_pp": fact.distance_pp,
        "near_cutoff": fact.near,
        "tissue_mm2": result.tissue_mm2,
        "seconds": fact.seconds,
        "cells": None if fact.cells is None else _plain(asdict(fact.cells)),
    }


def _comparison(run: RunComparison) -> dict[str, Any]:
    return _plain(asdict(run))


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    return dict(found)


def summary_lines(accepted: Acceptance) -> list[str]:
    """Say in a few lines what came out: one for each verdict, then the whole."""
    lines = []
    for verdict in accepted.verdicts:
        row = verdict_row(verdict)
        note = f" ({row['note']})" if row["note"] and verdict.outcome != "pass" else ""
        limit = f", limit {row['limit']}" if verdict.limit is not None else ""
        title = f"{verdict.slides}: {row['title']}"
        if verdict.outcome == "not_tested" and verdict.measure.value is None:
            lines.append(f"{row['outcome']:<10}  {title}{note}")
        else:
            lines.append(f"{row['outcome']:<10}  {title}: {row['measured']}{limit}{note}")
    counts = ", ".join(f"{accepted.count(key)} {word}" for key, (word, _) in _OUTCOMES.items())
    lines.append(f"{_OVERALL[accepted.overall][0].lower()}: {counts}")
    return lines
