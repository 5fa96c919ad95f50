"""Score one slide: the only room where the stages are put together.

open (``wsi``), find tissue and check the stain (``tissue``), lay the grid and read tiles
(``tiling``), find and measure cells (a ``TileReader``), score (``scoring``), write and draw
(``runs``, ``report``).
"""

from __future__ import annotations

from pathology.pipeline.ahead import SlideAhead
from pathology.pipeline.guided import check_guideline, check_specimens
from pathology.pipeline.request import Progress, SlideRequest, slide_identity
from pathology.pipeline.score import score_slide

__all__ = [
    "Progress",
    "SlideAhead",
    "SlideRequest",
    "check_guideline",
    "check_specimens",
    "score_slide",
    "slide_identity",
]
