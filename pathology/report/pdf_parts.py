"""Parts of a printed report: type, tables, charts and pictures, set with reportlab."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from PIL import Image as Pillow
from reportlab.lib.colors import Color
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Image, Paragraph, Table, TableStyle

from pathology.report.distribution import Distribution
from pathology.report.facts import CUTOFF_PCT, PatternRow, percent
from pathology.report.palette import INK, MUTED, PATTERN_COLOURS, PATTERN_LABELS, RGB
from pathology.report.pdf_text import load_fonts, marked_up

__all__ = [
    "ALARM",
    "CONTENT_MM",
    "MARGIN_MM",
    "TIGHT",
    "PatternChart",
    "SpreadChart",
    "colour",
    "heading",
    "key_table",
    "legend",
    "paragraph",
    "picture",
    "style",
]

ALARM: Final[RGB] = (176, 0, 40)
#: Style of a table without room around its cells.
TIGHT: Final = (
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 0),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
)
RULE: Final[RGB] = (214, 218, 224)
MARGIN_MM: Final = 15
#: Width of the text in mm.
CONTENT_MM: Final = A4[0] / mm - 2 * MARGIN_MM
#: Pictures are photographs: this is the quality from which no artefact is seen in print.
_JPEG_QUALITY: Final = 90


def colour(rgb: RGB) -> Any:
    """Return a colour of the palette for reportlab."""
    return Color(rgb[0] / 255, rgb[1] / 255, rgb[2] / 255)


@cache
def style(
    size: float = 9, *, bold: bool = False, rgb: RGB = INK, mono: bool = False, right: bool = False
) -> Any:
    """Return a style of text."""
    load_fonts()
    return ParagraphStyle(
        name=f"s{size}{bold}{rgb}{mono}{right}",
        fontName="Her2Bold" if bold else "Her2Mono" if mono else "Her2Text",
        fontSize=size,
        leading=size * 1.35,
        textColor=colour(rgb),
        alignment=TA_RIGHT if right else 0,
        # Long names without a blank break anywhere instead of leaving the page.
        splitLongWords=1,
        wordWrap="CJK" if mono else None,
    )


def paragraph(text: str, size: float = 9, **kind: Any) -> Any:
    """Set plain text: what looks like markup in it is printed as it is."""
    kept = style(size, **kind)
    return Paragraph(marked_up(text.replace("`", ""), kept.fontName), kept)


def heading(text: str, width_mm: float = CONTENT_MM) -> Any:
    """Set the heading of a section, with a rule below."""
    table = Table([[paragraph(text.upper(), 8, bold=True, rgb=MUTED)]], colWidths=[width_mm * mm])
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.6, colour(RULE)),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 9),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
            ]
        )
    )
    table.keepWithNext = True
    return table


def key_table(rows: Sequence[tuple[str, str]], *, columns: int = 1, key_mm: float = 38) -> Any:
    """Set names and values; in two columns, the second goes on where the first ends."""
    half = -(-len(rows) // columns)
    parts = [rows[k * half : (k + 1) * half] for k in range(columns)]
    wide = CONTENT_MM / columns
    data = []
    for line in range(half):
        cells: list[Any] = []
        for part in parts:
            name, value = part[line] if line < len(part) else ("", "")
            # Hashes are the only values without a blank that need to break anywhere.
            hash_like = len(value) == 64 and " " not in value
            cells.append(paragraph(name, 8, rgb=MUTED))
            cells.append(paragraph(value, 7 if hash_like else 8.5, mono=hash_like))
        data.append(cells)
    table = Table(data, colWidths=[key_mm * mm, (wide - key_mm) * mm] * columns)
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 1.4),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.4),
            ]
        )
    )
    return table


def picture(image: Pillow.Image, *, width_mm: float, height_mm: float) -> Any:
    """Place a picture as large as it fits, in true proportion, with a thin frame."""
    stream = io.BytesIO()
    image.convert("RGB").save(stream, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    stream.seek(0)
    scale = min(width_mm * mm / image.width, height_mm * mm / image.height)
    placed = Image(stream, width=image.width * scale, height=image.height * scale)
    placed.hAlign = "LEFT"
    return placed


def legend(rows: Sequence[tuple[str, RGB, bool]], width_mm: float = CONTENT_MM) -> Any:
    """Set the names of the marks of a picture, with a square of each colour, three in a line."""
    columns = max(1, round(width_mm / 58))
    cells: list[Any] = [_Key(label, rgb, width_mm / columns) for label, rgb, _hatched in rows]
    cells += [""] * (-len(cells) % columns)
    lines = [cells[k : k + columns] for k in range(0, len(cells), columns)]
    table = Table(lines, colWidths=[width_mm / columns * mm] * columns)
    table.setStyle(
        TableStyle(
            [
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 0.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 0.5),
            ]
        )
    )
    table.hAlign = "LEFT"
    return table


class _Chart(Flowable):  # type: ignore[misc]
    """Draw something of a fixed size."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        load_fonts()
        self.width, self.height = width, height

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        return self.width, self.height

    def _text(self, x: float, y: float, text: str, size: float, **kind: Any) -> None:
        bold, rgb = kind.get("bold", False), kind.get("rgb", INK)
        self.canv.setFont("Her2Bold" if bold else "Her2Text", size)
        self.canv.setFillColor(colour(rgb))
        draw = {"right": self.canv.drawRightString, "mid": self.canv.drawCentredString}
        draw.get(kind.get("at", ""), self.canv.drawString)(x, y, text)


class _Key(_Chart):
    """Draw a square of a colour and what it stands for."""

    def __init__(self, label: str, rgb: RGB, width_mm: float) -> None:
        super().__init__(width_mm * mm, 10)
        self.label, self.rgb = label, rgb

    def draw(self) -> None:
        """Draw the square with a frame: pale colours would be lost on paper."""
        self.canv.setFillColor(colour(self.rgb))
        self.canv.setStrokeColor(colour(MUTED))
        self.canv.setLineWidth(0.4)
        self.canv.rect(0, 1, 7, 7, fill=1)
        size = 7.5
        while size > 5 and self.canv.stringWidth(self.label, "Her2Text", size) > self.width - 14:
            size -= 0.5
        self._text(11, 2, self.label, size)


class PatternChart(_Chart):
    """Draw the five patterns as a table with bars, and the 10 % line of the guideline over them.

    Parameters
    ----------
    rows
        Strongest pattern first.
    total
        Cells or tiles that were counted.
    unit
        What was counted.
    """

    ROW = 6.2 * mm

    def __init__(self, rows: Sequence[PatternRow], *, total: int, unit: str) -> None:
        super().__init__(CONTENT_MM * mm, (len(rows) + 2) * self.ROW + 3 * mm)
        self.rows, self.total, self.unit = rows, total, unit

    def draw(self) -> None:
        """Draw the chart."""
        canvas, row = self.canv, self.ROW
        left, wide = 104 * mm, (CONTENT_MM - 104) * mm
        top = self.height - row
        self._text(0, top + 2, "Pattern", 8, bold=True, rgb=MUTED)
        self._text(
            82 * mm, top + 2, f"{self.unit.capitalize()}s", 8, bold=True, rgb=MUTED, at="right"
        )
        self._text(100 * mm, top + 2, "Share", 8, bold=True, rgb=MUTED, at="right")
        for number, line in enumerate(self.rows):
            y = top - (number + 1) * row + 4
            canvas.setFillColor(colour(PATTERN_COLOURS[line.code]))
            canvas.setStrokeColor(colour(MUTED))
            canvas.setLineWidth(0.4)
            canvas.rect(0, y - 0.5, 8, 8, fill=1)
            self._text(13, y + 1, PATTERN_LABELS[line.code], 9)
            self._text(82 * mm, y + 1, f"{line.count:,}", 9, at="right")
            self._text(100 * mm, y + 1, percent(line.pct), 9, bold=True, at="right")
            canvas.setFillColor(colour((238, 240, 243)))
            canvas.rect(left, y - 1, wide, 9, fill=1, stroke=0)
            if line.count:
                canvas.setFillColor(colour(PATTERN_COLOURS[line.code]))
                # One cell in a thousand is still a visible sliver.
                canvas.rect(left, y - 1, max(wide * line.pct / 100, 1.2), 9, fill=1, stroke=0)
            canvas.setStrokeColor(colour((190, 196, 204)))
            canvas.rect(left, y - 1, wide, 9, fill=0)
        bottom = top - len(self.rows) * row
        self._text(0, bottom - row + 5, "All", 9, bold=True)
        self._text(82 * mm, bottom - row + 5, f"{self.total:,}", 9, bold=True, at="right")
        self._line(left + wide * CUTOFF_PCT / 100, bottom - 1, top)
        for share in (0, 50, 100):
            at = {0: "", 100: "right"}.get(share, "mid")
            self._text(
                left + wide * share / 100, bottom - row + 5, f"{share} %", 7, rgb=MUTED, at=at
            )

    def _line(self, x: float, low: float, high: float) -> None:
        canvas = self.canv
        canvas.setStrokeColor(colour(ALARM))
        canvas.setLineWidth(1)
        canvas.setDash(3, 2)
        canvas.line(x, low, x, high)
        canvas.setDash()
        self._text(x, high + 2, f"{CUTOFF_PCT:.0f} % cut-off", 7, bold=True, rgb=ALARM)


class SpreadChart(_Chart):
    """Draw the histogram of membrane OD.

    Parameters
    ----------
    spread
        The bars.
    marks
        Label and OD of lines to draw, such as percentiles.
    """

    def __init__(self, spread: Distribution, marks: Sequence[tuple[str, float]]) -> None:
        super().__init__(CONTENT_MM * mm, 43 * mm)
        self.spread, self.marks = spread, marks

    def draw(self) -> None:
        """Draw the chart."""
        canvas, counts = self.canv, self.spread.counts
        left, low, wide, high = 14 * mm, 9 * mm, (CONTENT_MM - 18) * mm, 24 * mm
        step = wide / len(counts)
        most = max(int(counts.max()), 1)
        canvas.setFillColor(colour((69, 106, 140)))
        for number, count in enumerate(counts.tolist()):
            if count:
                canvas.rect(
                    left + number * step, low, step * 0.86, high * count / most, fill=1, stroke=0
                )
        canvas.setStrokeColor(colour(MUTED))
        canvas.setLineWidth(0.5)
        canvas.line(left, low, left + wide, low)
        self._text(
            left - 4,
            low + high - 6,
            percent(100 * most / max(self.spread.total, 1)),
            7,
            rgb=MUTED,
            at="right",
        )
        self._text(left - 4, low - 2, "0 %", 7, rgb=MUTED, at="right")
        top_od = len(counts) * self.spread.bin_od
        for tick in range(round(top_od / 0.2) + 1):
            x = left + wide * tick * 0.2 / top_od
            canvas.line(x, low, x, low - 3)
            more = "≥ " if tick == round(top_od / 0.2) else ""
            self._text(x, low - 10, f"{more}{tick * 0.2:.1f}", 7, rgb=MUTED, at="mid")
        self._text(
            left + wide / 2, 1, "Mean OD along the membrane of a cell", 7.5, rgb=MUTED, at="mid"
        )
        for number, (label, value) in enumerate(self.marks):
            x = left + wide * min(value / top_od, 1.0)
            canvas.setStrokeColor(colour(INK))
            canvas.setDash(2, 2)
            canvas.line(x, low, x, low + high + (3 + 7 * (number % 3)))
            canvas.setDash()
            self._text(x + 2, low + high + (1 + 7 * (number % 3)), f"{label} {value:.2f}", 7)
