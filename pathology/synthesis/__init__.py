"""Procedural HER2 tissue: pictures with the truth of every cell, reproducible from a seed.

:func:`render_field` makes one field of view from a :class:`FieldSpec`; :func:`random_field_spec`
draws specifications from the distribution that the bundled network is trained on;
:func:`render_slide` makes a whole slide with a known score.
"""

from __future__ import annotations

from pathology.synthesis.field import Field, render_field
from pathology.synthesis.layout import REGIONS
from pathology.synthesis.sampling import random_field_spec
from pathology.synthesis.slide import SyntheticSlide, render_slide, write_slide
from pathology.synthesis.slide_spec import SCORES, SLIDE_KINDS, SlideSpec, score_mix
from pathology.synthesis.spec import (
    ARCHITECTURES,
    Appearance,
    Composition,
    FieldSpec,
    Morphology,
    PatternMix,
    Staining,
)
from pathology.synthesis.tiff import write_pyramid
from pathology.synthesis.truth import FieldCells

__all__ = [
    "ARCHITECTURES",
    "REGIONS",
    "SCORES",
    "SLIDE_KINDS",
    "Appearance",
    "Composition",
    "Field",
    "FieldCells",
    "FieldSpec",
    "Morphology",
    "PatternMix",
    "SlideSpec",
    "Staining",
    "SyntheticSlide",
    "random_field_spec",
    "render_field",
    "render_slide",
    "score_mix",
    "write_pyramid",
    "write_slide",
]
