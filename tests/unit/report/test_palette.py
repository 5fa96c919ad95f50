"""The colours stay apart for readers with colour blindness, and on a grey print."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from pathology.cells.table import CELL_CLASSES, PATTERNS
from pathology.report.palette import (
    AREA_COLOURS,
    AREA_LABELS,
    CLASS_COLOURS,
    CLASS_LABELS,
    PATTERN_COLOURS,
    PATTERN_LABELS,
    PATTERN_SHORT,
)

# Simulation of dichromats at full severity in linear RGB (Machado, Oliveira, Fernandes 2009).
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(colour: tuple[int, int, int], vision: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* (D65) of an sRGB colour as seen."""
    value = np.asarray(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(vision @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    ratio = (to_xyz @ seen) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_pattern_colours_differ_for_every_kind_of_vision(vision: str) -> None:
    for (a, first), (b, second) in combinations(enumerate(PATTERN_COLOURS), 2):
        distance = np.linalg.norm(lab(first, VISION[vision]) - lab(second, VISION[vision]))
        assert distance > 18, (vision, a, b, distance)


def test_stronger_patterns_are_darker_also_on_a_grey_print() -> None:
    lightness = [lab(colour, VISION["normal"])[0] for colour in PATTERN_COLOURS[1:]]
    assert all(a - b > 12 for a, b in pairwise(lightness)), lightness


def test_every_code_has_a_colour_and_words() -> None:
    assert len(PATTERN_COLOURS) == len(PATTERN_LABELS) == len(PATTERN_SHORT) == len(PATTERNS)
    assert set(CLASS_COLOURS) == set(CLASS_LABELS) == set(CELL_CLASSES)
    assert set(AREA_COLOURS) == {*AREA_LABELS, "other"} == set(AREA_LABELS)
