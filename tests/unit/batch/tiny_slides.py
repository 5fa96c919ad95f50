"""Slides of a few hundred micrometres, painted cell by cell, and files that are no slides."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pathology.geometry import Spacing
from pathology.synthesis.tiff import write_pyramid
from pathology.types import U8Array

#: Unit OD vectors in R, G, B (those of ``configs/default.yaml``).
_HAEMATOXYLIN = np.array([0.65111, 0.70119, 0.29049])
_DAB = np.array([0.26917, 0.56824, 0.77759])
_MPP = 0.5
_PITCH = 32


def paint(width: int, height: int, *, dab: float) -> U8Array:
    """Paint round tumour cells, 16 µm apart, with a ring of DAB of this OD, on glass."""
    y, x = np.mgrid[:height, :width]
    margin = 64
    radius = np.hypot((x % _PITCH) - _PITCH / 2 + 0.5, (y % _PITCH) - _PITCH / 2 + 0.5) * _MPP
    nucleus = np.clip(4.5 - radius, 0, 1)
    ring = np.clip(1.25 - np.abs(radius - 6.5), 0, 1)
    inside = (x >= margin) & (x < width - margin) & (y >= margin) & (y < height - margin)
    noise = np.random.default_rng(width).normal(0, 0.02, (height, width))
    haematoxylin = np.where(inside, 0.12 + 0.7 * nucleus + noise, 0)
    brown = np.where(inside, dab * ring + 0.03 * min(dab, 1), 0)
    od = haematoxylin[..., None] * _HAEMATOXYLIN + brown[..., None] * _DAB
    glass = np.random.default_rng(height).normal(0, 0.6, (height, width, 1))
    return np.clip(np.round(240 * 10**-od + glass), 0, 255).astype(np.uint8)


def write_slide(
    path: Path,
    *,
    width: int = 576,
    height: int = 512,
    dab: float = 0.9,
    mpp: float | tuple[float, float] | Spacing | None = _MPP,
    pixels: U8Array | None = None,
) -> Path:
    """Write a slide; two levels, lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = paint(width, height, dab=dab) if pixels is None else pixels
    write_pyramid(path, image, mpp=mpp, levels=2, compression="deflate")
    return path
