"""Patterns follow from ray ODs as the default measurement defines them."""

from __future__ import annotations

import numpy as np
import pytest

from pathology.cells import N_RAYS, PATTERNS
from pathology.config import load_config
from pathology.synthesis.paint import before_blur
from pathology.synthesis.staining import LEVELS, Membranes, classify_rays, line_od


def rays(level: float, stained: int) -> np.ndarray:
    values = np.zeros((1, N_RAYS), np.float32)
    values[0, :stained] = level
    return values


@pytest.mark.parametrize(
    ("level", "stained", "pattern"),
    [
        (0.0, 0, "unstained"),
        (0.11, 32, "unstained"),
        (0.9, 3, "unstained"),  # 3/32 is below the least stained share of 1/8
        (0.9, 4, "incomplete_moderate_intense"),
        (0.15, 16, "incomplete_faint"),
        (0.27, 25, "incomplete_faint"),
        (0.29, 25, "incomplete_moderate_intense"),
        (0.13, 26, "complete_weak_moderate"),  # 26/32 = 0.8125 is complete, 25/32 is not
        (0.59, 32, "complete_weak_moderate"),
        (0.61, 32, "complete_intense"),
        (0.61, 25, "incomplete_moderate_intense"),
    ],
)
def test_pattern_of_rays(level: float, stained: int, pattern: str) -> None:
    share, mean, code = classify_rays(rays(level, stained))
    assert PATTERNS[int(code[0])] == pattern
    seen = stained if level >= 0.12 else 0
    assert float(share[0]) == pytest.approx(seen / N_RAYS)
    assert float(mean[0]) == pytest.approx(level if seen else 0.0)


def test_levels_keep_clear_of_the_cut_offs() -> None:
    rules = load_config().measurement
    bare, faint, partial, complete, intense = LEVELS
    assert bare[1] < rules.stained_od < faint[0] <= faint[1] < rules.moderate_od < partial[0]
    assert rules.stained_od < complete[0] < complete[1] < rules.intense_od < intense[0]


def test_neighbours_share_a_border() -> None:
    membranes = Membranes(
        level=np.array([0.8, 0.0, 0.4], np.float32),
        threshold=np.full(3, -9, np.float32),
        width=np.ones(3, np.float32),
    )
    gate = np.zeros(3, np.float32)
    od = line_od(membranes, gate, np.array([0, 0, 0]), np.array([1, 2, 0]))
    assert od.tolist() == pytest.approx([0.4, 0.6, 0.8])
    free = line_od(membranes, gate, np.array([0, 1, 2]), np.array([-1, -1, -1]))
    assert free.tolist() == pytest.approx([0.64, 0.0, 0.32])


def test_a_closed_gate_stops_the_stain() -> None:
    membranes = Membranes(
        level=np.array([0.8], np.float32),
        threshold=np.array([0.5], np.float32),
        width=np.ones(1, np.float32),
    )
    mine = np.zeros(3, int)
    od = line_od(membranes, np.array([-1.0, 0.5, 2.0], np.float32), mine, mine)
    assert od.tolist() == pytest.approx([0.0, 0.4, 0.8])


@pytest.mark.parametrize("blur_um", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("width_um", [0.64, 1.0, 2.1])
def test_blur_turns_the_painted_line_into_the_wanted_one(blur_um: float, width_um: float) -> None:
    from scipy import ndimage

    mpp, wanted = 0.05, 0.5
    od, width = before_blur(
        np.array([wanted], np.float32), np.array([width_um], np.float32), blur_um, mpp
    )
    x = (np.arange(801) - 400) * mpp
    line = od[0] * np.exp(-4 * np.log(2) * (x / width[0]) ** 2)
    seen = ndimage.gaussian_filter1d(line, blur_um / mpp)
    assert seen.max() == pytest.approx(wanted, rel=0.02)
    fwhm = (seen > 0.5 * seen.max()).sum() * mpp
    assert fwhm == pytest.approx(max(width_um, 2.3548 * blur_um), rel=0.1)
