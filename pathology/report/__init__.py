"""Pictures, pages and exports made from a finished slide or run; no score is made here.

``pictures`` draws ``overview.png`` and ``heatmap.png``, ``field`` draws cells over pixels,
``geojson`` writes cells for QuPath, ``html`` writes pages, and ``export`` finds the writer of a
kind. Colours live in ``palette`` and sentences in ``words``, so that all of them agree.
"""

from __future__ import annotations

from pathology.report.decision import Decision
from pathology.report.export import EXPORT_KINDS, check_kinds, export
from pathology.report.field import draw_field
from pathology.report.geojson import GeoJsonOptions, export_geojson
from pathology.report.guidelines import guideline_label, guideline_notes
from pathology.report.html import export_html
from pathology.report.job import ExportOptions
from pathology.report.pictures import draw_heatmap, draw_overview
from pathology.report.scene import Backdrop, Outline, TileMarks
from pathology.report.words import RESEARCH_USE_ONLY, flag_words, reason_words

__all__ = [
    "EXPORT_KINDS",
    "RESEARCH_USE_ONLY",
    "Backdrop",
    "Decision",
    "ExportOptions",
    "GeoJsonOptions",
    "Outline",
    "TileMarks",
    "check_kinds",
    "draw_field",
    "draw_heatmap",
    "draw_overview",
    "export",
    "export_geojson",
    "export_html",
    "flag_words",
    "guideline_label",
    "guideline_notes",
    "reason_words",
]
