"""Head and foot of every page of a printed report: whose, what for, and which of how many."""

from __future__ import annotations

from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from pathology import __version__
from pathology.report.palette import INK, MUTED
from pathology.report.pdf_parts import ALARM, MARGIN_MM, colour, style
from pathology.report.words import RESEARCH_USE_ONLY, RESEARCH_USE_ONLY_LONG

__all__ = ["NumberedPages"]


class NumberedPages(Canvas):  # type: ignore[misc]
    """Put head and foot on every page once it is known how many there are."""

    def __init__(self, *words: Any, slide_id: str, **named: Any) -> None:
        super().__init__(*words, **named)
        self._slide_id = slide_id
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - the library's name
        """Keep the page for later."""
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write all pages."""
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self._frame(number, len(self._pages))
            super().showPage()
        super().save()

    def _frame(self, number: int, total: int) -> None:
        style()
        left, right = MARGIN_MM * mm, A4[0] - MARGIN_MM * mm
        top = A4[1] - 14 * mm
        self.setFillColor(colour(INK))
        self.setFont("Her2Bold", 10)
        self.drawString(left, top, "HER2 IHC report")
        self._fit("Her2Text", 8, self._slide_id, 98 * mm)
        self.drawCentredString((left + right) / 2 - 4 * mm, top, self._slide_id)
        self.setFillColor(colour(ALARM))
        self.setFont("Her2Bold", 9)
        self.drawRightString(right, top, RESEARCH_USE_ONLY.upper())
        self.setStrokeColor(colour(INK))
        self.setLineWidth(1.6)
        self.line(left, top - 2.2 * mm, right, top - 2.2 * mm)
        self.setLineWidth(0.6)
        low = 16 * mm
        self.line(left, low, right, low)
        self._fit("Her2Bold", 7, RESEARCH_USE_ONLY_LONG, right - left)
        self.drawString(left, low - 9, RESEARCH_USE_ONLY_LONG)
        self.setFillColor(colour(MUTED))
        self.setFont("Her2Text", 7.5)
        self.drawString(
            left, low - 19, f"Written by her2-ihc {__version__}. Slide {self._slide_id}"
        )
        self.drawRightString(right, low - 19, f"Page {number} of {total}")

    def _fit(self, font: str, size: float, text: str, width: float) -> None:
        """Take the largest size up to one at which a text fits."""
        self.setFont(font, min(size, size * width / self.stringWidth(text, font, size)))
