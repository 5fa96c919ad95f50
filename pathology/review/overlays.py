"""What is laid over a slide: tiles by pattern, tissue and what was left out, regions, one cell."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry import mapping
from skimage.measure import approximate_polygon, find_contours

from pathology.cells.table import CELL_CLASSES, INTENSITIES, OD_STEP, PATTERNS, CellTable
from pathology.errors import PathologyError
from pathology.geometry import Box0
from pathology.report.palette import (
    AREA_COLOURS,
    CLASS_COLOURS,
    CLASS_LABELS,
    FAILED_TILE,
    PATTERN_COLOURS,
    PATTERN_LABELS,
    TISSUE_OUTLINE,
    area_colour,
    area_label,
    css,
)
from pathology.report.scene import TileMarks
from pathology.review.run import ReviewRun
from pathology.runs import Ground, read_cell, read_ground, read_tiles
from pathology.tissue import RegionKind

__all__ = ["area_rings", "areas", "cell_facts", "ground", "legend", "region_features", "tile_marks"]

#: How far an outline may be drawn beside the border of its mask, in px of the mask (about 8 µm).
_SMOOTH_PX: Final = 0.7
_REGION_NAMES: Final = {
    RegionKind.TUMOUR: "tumour",
    RegionKind.IN_SITU: "in_situ",
    RegionKind.EXCLUDE: "exclude",
    RegionKind.CONTROL: "control",
    RegionKind.IGNORE: "ignore",
}


def legend() -> dict[str, Any]:
    """Return names and colours of all that is drawn; :mod:`pathology.report.palette` owns them.

    Examples
    --------
    >>> [item["label"] for item in legend()["patterns"]][-1]
    'Complete, intense'
    """
    return {
        "patterns": [
            {"code": name, "label": PATTERN_LABELS[code], "colour": css(PATTERN_COLOURS[code])}
            for code, name in enumerate(PATTERNS)
        ],
        "classes": [
            {"code": name, "label": CLASS_LABELS[name], "colour": css(CLASS_COLOURS[name])}
            for name in CELL_CLASSES
        ],
        "regions": {
            kind: {"label": area_label(kind), "colour": css(AREA_COLOURS[kind])}
            for kind in ("tumour", "in_situ", "exclude", "control")
        },
        "failed_tile": css(FAILED_TILE),
        "tissue": css(TISSUE_OUTLINE),
    }


def tile_marks(run: ReviewRun, slide_id: str) -> dict[str, Any]:
    """Return the tiles of a slide, coloured as in the run's heat map.

    Parameters
    ----------
    run, slide_id
        The slide.

    Returns
    -------
    dict
        ``tiles``: rows of left, top, width and height in µm, leading pattern (-1: no tumour), 1
        where the tile failed, tumour cells, and the five counts. ``mm2_failed``: area of those
        that failed.
    """
    spacing, path = run.spacing(slide_id), run.folder(slide_id).tiles
    if spacing is None or not path.is_file():
        return {"tiles": [], "mm2_failed": 0.0}
    marks = TileMarks.from_rows(read_tiles(path))
    scale = np.array([spacing.x, spacing.y, spacing.x, spacing.y])
    boxes = np.round(marks.boxes * scale, 2)
    rows = [
        [*box, code, int(failed), n, *counts]
        for box, code, failed, n, counts in zip(
            boxes.tolist(),
            marks.leading_pattern().tolist(),
            marks.failed.tolist(),
            marks.n_tumour.tolist(),
            marks.counts.tolist(),
            strict=True,
        )
    ]
    lost = boxes[np.asarray(marks.failed, dtype=np.bool_)]
    return {"tiles": rows, "mm2_failed": float((lost[:, 2] * lost[:, 3]).sum() / 1e6)}


def ground(run: ReviewRun, slide_id: str) -> Ground | None:
    """Return what the run stored of tissue and regions, None where it stored none (older runs)."""
    result, spacing = run.result(slide_id), run.spacing(slide_id)
    folder = run.folder(slide_id)
    if result.grid is None or spacing is None or not folder.tissue.is_file():
        return None
    box = result.grid.box
    return read_ground(
        folder, box=Box0(x=box.x, y=box.y, width=box.width, height=box.height), spacing=spacing
    )


def areas(run: ReviewRun, slide_id: str) -> list[dict[str, Any]]:
    """Return which areas a slide has: kind, words and colour.

    ``tissue`` is first; the others were left out.
    """
    try:
        found = ground(run, slide_id)
    except PathologyError:
        return []
    if found is None:
        return []
    kinds = [("tissue", "Tissue found", TISSUE_OUTLINE)]
    kinds += [(str(kind), area_label(kind), area_colour(kind)) for kind in found.excluded]
    return [{"kind": kind, "label": label, "colour": css(colour)} for kind, label, colour in kinds]


def area_rings(found: Ground, kind: str) -> list[list[float]]:
    """Return the outlines of an area, as x, y, x, y, ... in µm; holes are rings of their own.

    Parameters
    ----------
    found
        What the run stored of the slide.
    kind
        ``tissue``, or why a place was left out.

    Raises
    ------
    KeyError
        If the slide has no such area.
    """
    masks = {str(name): part for name, part in found.excluded.items()} | {"tissue": found.tissue}
    mask, box, spacing = masks[kind].mask, found.tissue.box, found.tissue.spacing
    step_x, step_y = box.width / mask.shape[1], box.height / mask.shape[0]
    rings = []
    # A rim of nothing closes the outlines of what touches the border.
    for ring in find_contours(  # type: ignore[no-untyped-call]
        np.pad(mask, 1).astype(np.float32), 0.5
    ):
        points = approximate_polygon(ring, tolerance=_SMOOTH_PX)  # type: ignore[no-untyped-call]
        points = points - 0.5
        x = (box.x + points[:, 1] * step_x) * spacing.x
        y = (box.y + points[:, 0] * step_y) * spacing.y
        rings.append(np.round(np.stack([x, y], axis=1), 1).reshape(-1).tolist())
    return rings


def region_features(found: Ground | None) -> dict[str, Any]:
    """Return the regions of a run, as GeoJSON in µm from the top left of level 0."""
    features = []
    if found is not None and found.regions is not None:
        spacing = found.tissue.spacing
        for kind, shape in found.regions.shapes.items():
            scaled = shapely.transform(
                shape, lambda points: points * np.array([spacing.x, spacing.y])
            )
            features.append(
                {
                    "type": "Feature",
                    "geometry": mapping(scaled),
                    "properties": {"kind": _REGION_NAMES[kind]},
                }
            )
    return {"type": "FeatureCollection", "features": features}


def cell_facts(run: ReviewRun, slide_id: str, cell_id: int) -> dict[str, Any]:
    """Return everything that was measured of one cell.

    Raises
    ------
    KeyError
        If there is no such cell.
    SlideError
        If the table of cells is missing or damaged.
    """
    cell = read_cell(run.folder(slide_id).cells, cell_id)
    return {"cell_id": cell_id} | _facts(cell)


def _facts(cell: CellTable) -> dict[str, Any]:
    word = CELL_CLASSES[int(cell.cell_class[0])]
    pattern = int(cell.pattern[0])
    return {
        "x_um": float(cell.x_um[0]),
        "y_um": float(cell.y_um[0]),
        "area_um2": float(cell.area_um2[0]),
        "class": CLASS_LABELS[word],
        "is_tumour": word == "tumour",
        "pattern": pattern,
        "pattern_label": PATTERN_LABELS[pattern],
        "intensity": INTENSITIES[int(cell.intensity[0])],
        "tumour_probability": float(cell.tumour_probability[0]),
        "membrane_od": float(cell.membrane_od[0]),
        "membrane_od_stained": float(cell.membrane_od_stained[0]),
        "completeness": float(cell.membrane_completeness[0]),
        "complete": bool(cell.complete[0]),
        "cytoplasm_od": float(cell.cytoplasm_od[0]),
        "sectors_od": np.round(cell.ray_od[0] * OD_STEP, 2).tolist(),
    }
