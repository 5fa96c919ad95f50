"""The parts of a printed report that are read first: the scores, why, and who signed."""

from __future__ import annotations

from typing import Any, Final

from reportlab.lib.units import mm
from reportlab.platypus import KeepTogether, Spacer, Table, TableStyle

from pathology.report.decision import Decision
from pathology.report.facts import Facts
from pathology.report.palette import MUTED, RGB, STATE_COLOURS, STATUS_COLOURS
from pathology.report.pdf_parts import CONTENT_MM, TIGHT, colour, heading, paragraph
from pathology.report.words import STATUS_WORDS, reason_words
from pathology.runs.result import SlideResult

__all__ = ["reading_card", "signature_block", "verdict_card"]

_STATES: Final = {"open": "not signed", "signed": "signed", "superseded": "superseded"}


def reading_card(decision: Decision) -> Any:
    """Set the reviewer's score in large type, and whose it is beside it.

    Parameters
    ----------
    decision
        What the reviewer decided. A score that was signed and is void is set in grey.
    """
    accent = STATE_COLOURS[decision.state]
    said = decision.said[0].upper() + decision.said[1:]
    left = [
        paragraph("Reviewer's HER2 IHC score", 8, rgb=MUTED),
        paragraph(
            said,
            40 if decision.ihc_score else 17,
            bold=True,
            rgb=MUTED if decision.state == "superseded" else accent,
        ),
    ]
    if decision.tier:
        left.append(paragraph(decision.tier, 11, bold=True))
    left.append(paragraph(_STATES[decision.state], 9, bold=True, rgb=accent))
    right = [paragraph(decision.headline, 11, bold=True), Spacer(1, 1.5 * mm)]
    if decision.agrees:
        then = " of that time" if decision.state == "superseded" else ""
        right.append(paragraph(f"The reviewer agreed with the program's score{then}."))
    else:
        right.append(paragraph(f"The program's score was overridden: {decision.reason}."))
    if decision.comment:
        right.append(paragraph(decision.comment))
    return _card(left, right, accent)


def verdict_card(result: SlideResult, facts: Facts, decision: Decision | None) -> Any:
    """Set the program's score in large type, and why beside it.

    Parameters
    ----------
    result, facts
        The slide.
    decision
        What a reviewer decided: beside a reviewer's score the program's is set smaller.
    """
    big = (22 if decision else 40) if result.ihc_score else 18
    accent = STATUS_COLOURS[result.status]
    left = [
        paragraph("Program's HER2 IHC score" if decision else "HER2 IHC score", 8, rgb=MUTED),
        paragraph(facts.headline, big, bold=True, rgb=accent),
        paragraph(facts.tier or STATUS_WORDS[result.status], 11, bold=True),
    ]
    tags = [
        word
        for word, on in (("ISH reflex", result.ish_reflex), ("Borderline", result.borderline))
        if on
    ]
    if tags:
        left.append(paragraph(" · ".join(tags), 9, bold=True, rgb=(150, 90, 0)))
    if decision and decision.run_score:
        left.append(paragraph("in the reviewer's regions", 8, rgb=MUTED))
        left.append(paragraph(f"{decision.run_score} in the run's own", 8, rgb=MUTED))
    return _card(left, _why(result, facts), accent)


def _card(left: list[Any], right: list[Any], accent: RGB) -> Any:
    table = Table([[left, right]], colWidths=[48 * mm, (CONTENT_MM - 48) * mm])
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BACKGROUND", (0, 0), (0, 0), colour((244, 246, 249))),
                ("LINEBEFORE", (0, 0), (0, 0), 4, colour(accent)),
                ("LEFTPADDING", (0, 0), (0, 0), 10),
                ("LEFTPADDING", (1, 0), (1, 0), 14),
                ("TOPPADDING", (0, 0), (-1, -1), 6),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
            ]
        )
    )
    return table


def _why(result: SlideResult, facts: Facts) -> list[Any]:
    if result.status != "scored":
        parts: list[Any] = []
        for code in result.reasons:
            words = reason_words(code)
            parts += [
                paragraph(words.title, 11, bold=True),
                paragraph(words.sentence),
                paragraph(words.fix, rgb=MUTED),
            ]
        if result.error is not None:
            parts.append(paragraph(result.error.message, 8, rgb=MUTED))
        return parts
    lines = list(facts.measure_lines)
    if result.ish_reflex:
        lines.append(
            "An equivocal score calls for in situ hybridisation (ISH) on the same specimen."
        )
    counted = f"{result.n_tumour_cells or 0:,} {facts.counted}"
    if result.tumour_mm2 is not None:
        counted += f" on {result.tumour_mm2:.2f} mm² of tumour"
    if result.h_score is not None:
        counted += f"; H-score {result.h_score:.0f}"
    if result.mean_membrane_od is not None:
        counted += f"; mean membrane OD {result.mean_membrane_od:.3f}"
    parts = [paragraph(facts.clause, 11, bold=True), Spacer(1, 1.5 * mm)]
    return parts + [paragraph(line) for line in (*lines, f"{counted}.")]


def signature_block(decision: Decision | None) -> list[Any]:
    """Set who signed; where nobody has, lines to sign on by hand.

    Parameters
    ----------
    decision
        What a reviewer decided; None where nobody has looked.
    """
    if decision is not None and decision.state != "open":
        lines: list[Any] = [paragraph(decision.signature, 8.5, bold=True)]
    else:
        names = [paragraph(name, 8, rgb=MUTED) for name in ("Name", "Date", "Signature")]
        widths = (60 * mm, 6 * mm, 34 * mm, 6 * mm, (CONTENT_MM - 106) * mm)
        line = [names[0], "", names[1], "", names[2]]
        table = Table([line], rowHeights=[14 * mm], colWidths=widths)
        rules = [
            ("LINEBELOW", (column, 0), (column, 0), 0.6, colour(MUTED)) for column in (0, 2, 4)
        ]
        table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "BOTTOM"), *TIGHT, *rules]))
        lines = [paragraph("Not signed.", 9, bold=True), table]
    return [KeepTogether([heading("Signature"), *lines])]
