"""The text beside a picture: score, clause, percentages, interval, reasons and flags."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from pathology.report.canvas import Flow
from pathology.report.facts import Facts, percent
from pathology.report.palette import (
    MUTED,
    PATTERN_COLOURS,
    PATTERN_LABELS,
    RGB,
    STATUS_COLOURS,
)
from pathology.report.words import (
    RESEARCH_USE_ONLY,
    RESEARCH_USE_ONLY_LONG,
    STATUS_WORDS,
    flag_words,
    reason_words,
)
from pathology.runs.result import SlideResult

__all__ = [
    "area_block",
    "footer_block",
    "legend_block",
    "patterns_block",
    "score_block",
    "why_block",
]

#: Flags named in a picture; the HTML report has all of them, in full sentences.
MAX_FLAGS = 6


def score_block(result: SlideResult, width: int) -> Image.Image:
    """Draw the headline: slide, score in large type, tier, reflex."""
    facts = Facts(result=result)
    flow = Flow(width)
    flow.text(RESEARCH_USE_ONLY.upper(), size=12, bold=True, colour=(176, 0, 40))
    flow.space(2)
    flow.text(result.slide_id, size=14, bold=True)
    flow.space(6)
    flow.text("HER2 IHC score", size=13, colour=MUTED)
    size = 84 if result.ihc_score else 44
    flow.text(facts.headline, size=size, bold=True, colour=STATUS_COLOURS[result.status])
    flow.text(facts.tier or STATUS_WORDS[result.status], size=17, bold=True)
    flow.space(6)
    if result.ish_reflex:
        flow.badge("ISH reflex", (150, 90, 0))
    if result.borderline:
        flow.badge("Borderline", (150, 90, 0))
    return flow.image()


def why_block(result: SlideResult, width: int) -> Image.Image:
    """Draw why the slide got its score, or why it has none."""
    facts = Facts(result=result)
    flow = Flow(width)
    if result.status == "scored":
        flow.heading("Why this score")
        flow.text(facts.clause, size=15, bold=True)
        for line in facts.measure_lines:
            flow.text(line, size=13)
    else:
        flow.heading("Why there is no score")
        for code in result.reasons:
            words = reason_words(code)
            flow.text(words.title, size=15, bold=True)
            flow.text(words.sentence, size=13)
            flow.text(words.fix, size=13, colour=MUTED)
            flow.space(6)
    if result.flags:
        flow.heading("Flags")
        for flag in result.flags[:MAX_FLAGS]:
            flow.text("• " + flag_words(flag).title, size=13)
        if len(result.flags) > MAX_FLAGS:
            flow.text(f"… and {len(result.flags) - MAX_FLAGS} more in the report", size=13)
    return flow.image()


def patterns_block(result: SlideResult, width: int) -> Image.Image:
    """Draw the shares of the five patterns, strongest first; also the legend of their colours."""
    facts = Facts(result=result)
    flow = Flow(width)
    flow.heading(f"Tumour {facts.unit}s by membrane pattern")
    if not result.n_tumour_cells:
        flow.text(f"No tumour {facts.unit}s were counted.", size=13)
        return flow.image()
    for row in facts.patterns:
        value = f"{percent(row.pct)}  (n = {row.count:,})"
        flow.bar(PATTERN_LABELS[row.code], value, row.pct / 100, PATTERN_COLOURS[row.code])
    flow.text(f"{result.n_tumour_cells:,} {facts.counted}", size=13, colour=MUTED)
    if result.status != "scored":
        flow.text("For information only: this slide has no score.", size=13, colour=MUTED)
    return flow.image()


def area_block(result: SlideResult, width: int) -> Image.Image:
    """Draw how much was looked at."""
    flow = Flow(width)
    lines = []
    if result.tissue_mm2 is not None:
        lines.append(f"Tissue: {result.tissue_mm2:.2f} mm²")
    if result.tumour_mm2 is not None:
        lines.append(f"Tumour: {result.tumour_mm2:.2f} mm²")
    if result.tiles is not None:
        lines.append(f"Tiles: {result.tiles:,}, of which {result.failed_tiles:,} failed")
    if result.n_tumour_cells is not None:
        counted = Facts(result=result).counted.capitalize()
        lines.append(f"{counted}: {result.n_tumour_cells:,}")
    if lines:
        flow.heading("What was read")
    for line in lines:
        flow.text(line, size=13)
    return flow.image()


def legend_block(
    title: str, rows: Sequence[tuple[str, RGB, bool]], notes: Sequence[str], width: int
) -> Image.Image:
    """Draw a legend.

    Parameters
    ----------
    title
        Heading.
    rows
        Label, colour, and whether the area is hatched.
    notes
        Lines below.
    width
        Width in px.
    """
    flow = Flow(width)
    flow.heading(title)
    for label, colour, hatched in rows:
        flow.swatch(label, colour, hatched=hatched)
    for note in notes:
        flow.text(note, size=12, colour=MUTED)
    return flow.image()


def footer_block(result: SlideResult, width: int) -> Image.Image:
    """Draw where the result comes from, and what it may be used for."""
    facts = Facts(result=result)
    flow = Flow(width)
    flow.space(6)
    for line in facts.provenance_lines:
        flow.text(line, size=11, colour=MUTED)
    flow.space(2)
    flow.text(RESEARCH_USE_ONLY_LONG, size=11, bold=True, colour=(176, 0, 40))
    return flow.image()
