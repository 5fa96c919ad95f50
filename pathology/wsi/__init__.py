"""Slides: open any of them, and read any box at any pixel size.

This is the only room that knows OpenSlide, pyramid levels, and where a pixel size comes from.
Pixels outside a slide or without data are white and flagged, never black.
"""

from __future__ import annotations

from pathology.wsi.array import ArraySlide
from pathology.wsi.discover import Discovery, FoundSlide, SkippedFile, find_slides
from pathology.wsi.opening import open_slide
from pathology.wsi.slide import MppSource, Region, Slide, SlideInfo

__all__ = [
    "ArraySlide",
    "Discovery",
    "FoundSlide",
    "MppSource",
    "Region",
    "SkippedFile",
    "Slide",
    "SlideInfo",
    "find_slides",
    "open_slide",
]
