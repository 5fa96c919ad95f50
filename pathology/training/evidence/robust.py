"""Evidence of robustness: real slides changed in ways that must not change their score."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from pathology.cells.reader import TileReader
from pathology.config import load_config
from pathology.pipeline import score_slide
from pathology.runs.result import SlideResult
from pathology.stain import StainMatrix
from pathology.synthesis import write_pyramid
from pathology.synthesis.optics import jpeg_round_trip
from pathology.tissue import find_tissue
from pathology.training.evidence.real import RealRow, as_expected, read_labels
from pathology.types import U8Array
from pathology.wsi import open_slide

__all__ = ["CHANGES", "Picture", "is_stable", "measure_robustness", "scale_haematoxylin"]

#: The H-score may move by this share of itself, or by so many points.
H_SHARE, H_POINTS = 0.10, 5.0
#: Rows of pixels that are worked on at once: 64 MB of floats for 5,000 columns.
_STRIP = 512
_DEFOCUS_UM = 0.5
_COARSE_UM_PER_PX = 0.5


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Hold a whole slide in memory.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8, level 0.
    mpp
        Pixel size, µm.
    white
        Colour of its glass.
    """

    rgb: U8Array
    mpp: float
    white: tuple[float, float, float]


def _strips(rgb: U8Array) -> Iterator[slice]:
    for start in range(0, rgb.shape[0], _STRIP):
        yield slice(start, min(start + _STRIP, rgb.shape[0]))


def _brightness(factor: float) -> Callable[[Picture], Picture]:
    table = np.clip(np.rint(np.arange(256) * factor), 0, 255).astype(np.uint8)

    def change(picture: Picture) -> Picture:
        return Picture(rgb=table[picture.rgb], mpp=picture.mpp, white=picture.white)

    return change


def _defocus(picture: Picture) -> Picture:
    sigma = _DEFOCUS_UM / picture.mpp
    rgb = np.empty_like(picture.rgb)
    for channel in range(3):
        # Rounded, not cut: cutting would darken by half a grey level.
        plane = ndimage.gaussian_filter(picture.rgb[..., channel].astype(np.float32), sigma)
        rgb[..., channel] = np.rint(plane).astype(np.uint8)
    return Picture(rgb=rgb, mpp=picture.mpp, white=picture.white)


def scale_haematoxylin(picture: Picture, factor: float) -> Picture:
    """Return a picture with another amount of haematoxylin; DAB and the rest stay as they are.

    Parameters
    ----------
    picture
        The slide.
    factor
        Factor on haematoxylin's optical density.
    """
    stain = load_config().stain
    matrix = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab).matrix
    inverse, white = np.linalg.inv(matrix), np.asarray(picture.white, dtype=np.float32)
    gain = np.diag([factor, 1.0, 1.0])
    # From density to density: take apart, scale, put together.
    mixer = (inverse @ gain @ matrix).astype(np.float32)
    rgb = np.empty_like(picture.rgb)
    for rows in _strips(picture.rgb):
        light = np.maximum(picture.rgb[rows].astype(np.float32), 1.0)
        density = -np.log10(light / white) @ mixer
        rgb[rows] = np.clip(np.rint(white * 10.0**-density), 0, 255).astype(np.uint8)
    return Picture(rgb=rgb, mpp=picture.mpp, white=picture.white)


def _coarser(picture: Picture) -> Picture:
    """Return the picture at half the resolution, as a scan at 20× has it."""
    factor = round(_COARSE_UM_PER_PX / picture.mpp)
    if factor < 2:
        return picture
    height, width = (side // factor * factor for side in picture.rgb.shape[:2])
    rgb = np.empty((height // factor, width // factor, 3), dtype=np.uint8)
    for channel in range(3):
        plane = picture.rgb[:height, :width, channel]
        blocks = plane.reshape(height // factor, factor, width // factor, factor)
        rgb[..., channel] = np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
    return Picture(rgb=rgb, mpp=picture.mpp * factor, white=picture.white)


def _with_rgb(change: Callable[[U8Array], U8Array]) -> Callable[[Picture], Picture]:
    return lambda picture: Picture(
        rgb=np.ascontiguousarray(change(picture.rgb)), mpp=picture.mpp, white=picture.white
    )


#: Name to change, in the order of the tables.
CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "jpeg_70": _with_rgb(lambda rgb: jpeg_round_trip(rgb, 70)),
    "brightness_0.9": _brightness(0.9),
    "brightness_1.1": _brightness(1.1),
    "defocus_0.5_um": _defocus,
    "haematoxylin_0.7": lambda picture: scale_haematoxylin(picture, 0.7),
    "haematoxylin_1.3": lambda picture: scale_haematoxylin(picture, 1.3),
    "rotated_90": _with_rgb(lambda rgb: np.rot90(rgb)),
    "mirrored": _with_rgb(lambda rgb: rgb[:, ::-1]),
    "0.5_um_per_px": _coarser,
}


def is_stable(row: RealRow, before: SlideResult, after: SlideResult) -> bool:
    """Say whether a change of the picture left the score and the H-score alone.

    The score has to stay; where several are allowed, it has to stay among them. The H-score may
    move by 10 % or by 5 points, whichever is more.

    Parameters
    ----------
    row
        What is expected of the slide.
    before, after
        Results of the slide as it is, and changed.
    """
    kept = after.ihc_score == before.ihc_score
    if len(row.expect) > 1:
        kept = as_expected(row, after)
    if not kept or before.h_score is None or after.h_score is None:
        return False
    return abs(after.h_score - before.h_score) <= max(H_SHARE * before.h_score, H_POINTS)


def measure_robustness(
    readers: Mapping[str, TileReader],
    data: Path,
    *,
    changes: Mapping[str, Callable[[Picture], Picture]] = CHANGES,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score each slide that is to be scored as it is and changed, with several readers.

    Parameters
    ----------
    readers
        Name in the report to reader.
    data
        Folder of the real slides.
    changes
        Name to change.
    tell
        Called with the number of pictures scored, and in all.

    Returns
    -------
    dict
        Per reader ``stable`` and ``n`` (pairs of slide and change) and ``slides``: file to change
        to ``ihc_score``, ``h_score`` and ``ok``; the change ``none`` is the slide as it is.
    """
    rows = [row for row in read_labels(data) if row.scored]
    variants = {"none": lambda picture: picture, **changes}
    report: dict[str, Any] = {
        name: {"name": reader.name, "sha256": reader.sha256, "slides": {}}
        for name, reader in readers.items()
    }
    done, total = 0, len(rows) * len(variants)
    for row in rows:
        picture = _load(data / row.file)
        for key in readers:
            report[key]["slides"][row.file] = {}
        before: dict[str, SlideResult] = {}
        for change, apply in variants.items():
            if tell is not None:
                tell(done, total)
            for key, result in _score_all(apply(picture), readers).items():
                before.setdefault(key, result)
                report[key]["slides"][row.file][change] = {
                    "ihc_score": result.ihc_score,
                    "h_score": result.h_score,
                    "n_tumour_cells": result.n_tumour_cells,
                    "ok": is_stable(row, before[key], result),
                }
            done += 1
    if tell is not None:
        tell(total, total)
    for part in report.values():
        pairs = [
            one["ok"]
            for slide in part["slides"].values()
            for change, one in slide.items()
            if change != "none"
        ]
        part["stable"], part["n"] = sum(pairs), len(pairs)
    return {"h_share": H_SHARE, "h_points": H_POINTS, "readers": report}


def _load(path: Path) -> Picture:
    with open_slide(path) as slide:
        white = find_tissue(slide, load_config()).white_point
        spacing = slide.info.spacing
        rgb = slide.read(slide.info.bounds, mpp=spacing)
    return Picture(rgb=rgb, mpp=spacing.mean, white=white)


def _score_all(picture: Picture, readers: Mapping[str, TileReader]) -> dict[str, SlideResult]:
    """Write a picture as a slide without loss, and score it through the whole program."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        write_pyramid(path, picture.rgb, mpp=picture.mpp, levels=5, compression="none")
        return {
            key: score_slide(path, out_dir=Path(folder) / key, slide_id="slide", reader=reader)
            for key, reader in readers.items()
        }
