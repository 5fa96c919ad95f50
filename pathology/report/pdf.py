"""A printed report per slide, on A4: what a pathologist puts into the file beside the slide.

The same facts as the page in HTML, in the order of a laboratory report: who, what, why, how sure,
pictures, quality, provenance, and the reviewer's decision. Needs the extra ``pdf`` (reportlab) and
no program of the system. The same run gives the same bytes.
"""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any, Final

from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Frame,
    KeepTogether,
    PageTemplate,
    Spacer,
    Table,
    TableStyle,
)

from pathology import __version__
from pathology.report.distribution import slide_distribution
from pathology.report.examples import ExampleField, example_fields
from pathology.report.facts import Facts, percent
from pathology.report.job import ExportJob, ExportSlide
from pathology.report.palette import (
    CLASS_COLOURS,
    MUTED,
    PATTERN_COLOURS,
    PATTERN_LABELS,
)
from pathology.report.pdf_page import NumberedPages
from pathology.report.pdf_parts import (
    ALARM,
    CONTENT_MM,
    MARGIN_MM,
    TIGHT,
    PatternChart,
    SpreadChart,
    heading,
    key_table,
    legend,
    paragraph,
    picture,
)
from pathology.report.pdf_verdict import reading_card, signature_block, verdict_card
from pathology.report.pictures import Figure
from pathology.report.provenance import limits, provenance_rows, quality_rows
from pathology.report.stored import read_scene_or_reason
from pathology.report.words import (
    RESEARCH_USE_ONLY,
    flag_words,
)
from pathology.runs.outputs import OutputFolder
from pathology.runs.result import SlideResult

__all__ = ["export_pdf", "render_pdf"]

#: Room for pictures in px: 90 mm high at some 150 dots per inch, with a scale bar that can be read.
_PICTURE_PX: Final = (1000, 560)


def export_pdf(job: ExportJob, folder: OutputFolder) -> list[Path]:
    """Write ``<slide_id>.pdf`` for every slide, scored or not.

    Parameters
    ----------
    job
        The slides.
    folder
        Where to write.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    SlideError
        If a file cannot be written.
    """
    return job.write_each(folder, ".pdf", lambda slide: render_pdf(slide, job))


def render_pdf(slide: ExportSlide, job: ExportJob) -> bytes:
    """Return the report of one slide.

    Parameters
    ----------
    slide
        The slide.
    job
        Where its run and its pixels lie.

    Returns
    -------
    bytes
        PDF; the same input gives the same bytes.
    """
    stream = io.BytesIO()
    document = BaseDocTemplate(
        stream,
        pagesize=A4,
        leftMargin=MARGIN_MM * mm,
        rightMargin=MARGIN_MM * mm,
        topMargin=20 * mm,
        bottomMargin=20 * mm,
        title=f"HER2 IHC {Facts(result=slide.result).headline}, {slide.result.slide_id}",
        author=f"her2-ihc {__version__}",
        subject=RESEARCH_USE_ONLY,
        creator=f"her2-ihc {__version__}",
        # No date of making and no random number: the same result is the same file.
        invariant=1,
    )
    frame = Frame(
        document.leftMargin, document.bottomMargin, document.width, document.height,
        leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0,
    )  # fmt: skip
    document.addPageTemplates([PageTemplate(id="page", frames=[frame])])
    maker = partial(NumberedPages, slide_id=slide.result.slide_id)
    document.build(_story(slide, job), canvasmaker=maker)
    return stream.getvalue()


def _story(slide: ExportSlide, job: ExportJob) -> list[Any]:
    result = slide.result
    facts = Facts(result=result)
    story: list[Any] = [*_who(result, job), Spacer(1, 4 * mm)]
    if slide.decision is not None:
        story += [reading_card(slide.decision), Spacer(1, 2 * mm)]
    story.append(verdict_card(result, facts, slide.decision))
    if slide.decision is None:
        note = "Not reviewed: no pathologist has confirmed this result."
        story += [Spacer(1, 2 * mm), paragraph(note, 9, bold=True, rgb=ALARM)]
    else:
        # Reason and comment stand in the card above.
        rows = [row for row in slide.decision.rows() if row[0] not in ("Reason", "Comment")]
        table = key_table(rows, columns=2, key_mm=40)
        story += [KeepTogether([heading("Reviewer's decision"), table])]
    story += _patterns(slide, facts)
    story += _flags(result)
    story += _pictures(slide)
    story += _tables(result)
    story += signature_block(slide.decision)
    story += _fields(slide, job)
    return story


def _who(result: SlideResult, job: ExportJob) -> list[Any]:
    rows = [
        ("Slide", result.slide_id),
        ("File", result.path if result.path != result.slide_id else ""),
        ("Case", result.case_id or "not stated"),
        ("Block", result.block_id or "not stated"),
        ("Specimen", result.specimen_type or "not stated"),
        ("Assay", result.assay or "not stated"),
        ("Site", result.site or ""),
        ("Analysed", (job.made_at or "")[:10]),
    ]
    return [key_table([(name, value) for name, value in rows if value], columns=2, key_mm=22)]


def _patterns(slide: ExportSlide, facts: Facts) -> list[Any]:
    result = slide.result
    if not facts.patterns:
        return []
    total = result.n_tumour_cells or 0
    parts = [
        heading(f"Tumour {facts.unit}s by membrane pattern"),
        Spacer(1, 1 * mm),
        PatternChart(facts.patterns, total=total, unit=facts.unit),
    ]
    if result.status != "scored":
        parts.append(paragraph("For information only: this slide has no score.", 8, rgb=MUTED))
    story: list[Any] = [KeepTogether(parts)]
    if facts.boot_shares:
        shares = " · ".join(f"{name}: {percent(100 * share)}" for name, share in facts.boot_shares)
        story += [
            paragraph(f"Resampled tiles gave {shares}.", 8),
            paragraph(
                "This says how stable the reading is, over the uncertainty of the density scale; "
                "it is not the probability of a diagnosis.",
                7.5,
                rgb=MUTED,
            ),
        ]
    return story + _spread(slide)


def _spread(slide: ExportSlide) -> list[Any]:
    spread, reason = slide_distribution(slide)
    if spread is None:
        return [paragraph(reason, 8, rgb=MUTED)] if reason else []
    result = slide.result
    pairs = (
        ("P5", result.membrane_od_p5),
        ("median", result.membrane_od_p50),
        ("P95", result.membrane_od_p95),
    )
    marks = [(name, value) for name, value in pairs if value is not None]
    return [
        KeepTogether([heading("Membrane density of the tumour cells"), SpreadChart(spread, marks)])
    ]


def _flags(result: SlideResult) -> list[Any]:
    if not result.flags:
        return []
    lines = [paragraph(f"•  {flag_words(name).sentence} ({name})", 8.5) for name in result.flags]
    return [KeepTogether([heading("Flags"), *lines])]


def _pictures(slide: ExportSlide) -> list[Any]:
    scene, reason = read_scene_or_reason(slide)
    if scene is None:
        return [heading("Pictures"), paragraph(reason)]
    figures = [
        ("Tile by tile", scene.heatmap(_PICTURE_PX)),
        ("What was read", scene.overview(_PICTURE_PX)),
    ]
    drawn = [(title, figure) for title, figure in figures if figure is not None]
    # Two pictures that are no wider than high stand side by side, so that both are seen at once.
    beside = len(drawn) > 1 and all(f.image.width <= 1.2 * f.image.height for _, f in drawn)
    wide = (CONTENT_MM - 6) / 2 if beside else CONTENT_MM
    blocks = [_figure(title, figure, wide_mm=wide) for title, figure in drawn]
    if not beside:
        return [KeepTogether(block) for block in blocks]
    table = Table([blocks], colWidths=[(wide + 6) * mm, wide * mm])
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *TIGHT]))
    return [KeepTogether([table])]


def _figure(title: str, figure: Figure, *, wide_mm: float) -> list[Any]:
    parts = [heading(title, wide_mm), Spacer(1, 1.5 * mm)]
    parts.append(picture(figure.image, width_mm=wide_mm, height_mm=84))
    names = zip(PATTERN_LABELS, PATTERN_COLOURS, strict=True)
    rows = [(name, rgb, False) for name, rgb in names] if figure.notes else []
    parts.append(Spacer(1, 1.5 * mm))
    if rows or figure.rows:
        parts.append(legend([*rows, *figure.rows], wide_mm))
    return parts + [paragraph(note, 7.5, rgb=MUTED) for note in figure.notes]


def _fields(slide: ExportSlide, job: ExportJob) -> list[Any]:
    result = slide.source
    if not result.n_tumour_cells or Facts(result=result).counts_tiles:
        return []
    fields = example_fields(job.root, result, job.slide_root)
    if not fields:
        text = "No fields: the slide's file is not where it was when it was read, or has changed."
        return [heading("Representative fields"), paragraph(text)]
    names = zip(PATTERN_LABELS, PATTERN_COLOURS, strict=True)
    rows = [
        *((name, rgb, False) for name, rgb in names),
        ("Not counted", CLASS_COLOURS["other"], False),
    ]
    story = [
        CondPageBreak(80 * mm),
        heading("Representative fields, as scanned and with the cells that were found"),
        legend(rows),
        Spacer(1, 2 * mm),
    ]
    return story + [_pair(field) for field in fields]


def _pair(field: ExampleField) -> Any:
    images = [Image.open(io.BytesIO(png)) for png in (field.plain, field.png)]
    cells: list[Any] = [picture(image, width_mm=66, height_mm=47) for image in images]
    name, _, rest = field.caption.partition(": ")
    cells.append([paragraph(name, 8.5, bold=True), paragraph(rest, 8, rgb=MUTED)])
    table = Table([cells], colWidths=[70 * mm, 70 * mm, (CONTENT_MM - 140) * mm])
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *TIGHT]))
    return KeepTogether([table, Spacer(1, 2.5 * mm)])


def _tables(result: SlideResult) -> list[Any]:
    story: list[Any] = []
    quality = quality_rows(result)
    if quality:
        table = key_table(quality, columns=2, key_mm=40)
        story.append(KeepTogether([heading("Quality control"), table]))
    rows = provenance_rows(result)
    short = [row for row in rows if len(row[1]) < 44]
    parts = [heading("Where this comes from"), key_table(short, columns=2, key_mm=30)]
    if len(short) < len(rows):
        parts.append(key_table([row for row in rows if row not in short], key_mm=30))
    story.append(KeepTogether(parts))
    if limits(result):
        words = paragraph(limits(result), 7.5, rgb=MUTED)
        story.append(KeepTogether([heading("Limits"), words]))
    story += [paragraph(f"Note: {warning}", 8, rgb=MUTED) for warning in result.warnings]
    return story
