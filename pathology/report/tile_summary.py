"""The small file for QuPath: one rectangle per tile with its counts, never larger than 5 MB."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from pathology.cells.table import PATTERNS
from pathology.report.job import ExportSlide
from pathology.report.palette import FAILED_TILE, PATTERN_COLOURS, PATTERN_SHORT
from pathology.report.scene import TileMarks
from pathology.runs.layout import TILES
from pathology.runs.tiles import TileRow, read_tiles
from pathology.types import AnyArray

__all__ = ["SUMMARY_BYTES", "summary_collection"]

#: A file of this size opens in QuPath at once, and can be sent by mail.
SUMMARY_BYTES: Final = 5_000_000


def summary_collection(
    slide: ExportSlide, about: Mapping[str, Any], *, offset_px: tuple[int, int] = (0, 0)
) -> bytes:
    """Return the summary of a slide as a FeatureCollection.

    Parameters
    ----------
    slide
        The slide.
    about
        What the collection says of itself.
    offset_px
        Level-0 pixels (x, y) that are subtracted from every coordinate.

    Returns
    -------
    bytes
        GeoJSON below :data:`SUMMARY_BYTES`: of a very large slide, 2 × 2 tiles (4 × 4, ...) are
        one rectangle, and ``tiles_joined`` says so.
    """
    path = slide.tables / TILES
    rows = read_tiles(path) if path.is_file() else []
    joined = 1
    while True:
        features = [
            _feature(block, slide.result.slide_id, number, offset_px)
            for number, block in enumerate(_blocks(rows, joined))
        ]
        head = {"type": "FeatureCollection", "properties": {**about, "tiles_joined": joined}}
        content = orjson.dumps({**head, "features": features}, option=orjson.OPT_APPEND_NEWLINE)
        if len(content) < SUMMARY_BYTES or len(features) <= 1:
            return content
        joined *= 2


def _blocks(rows: Sequence[TileRow], joined: int) -> list[list[TileRow]]:
    """Put neighbouring tiles together, ``joined`` in each direction."""
    if not rows:
        return []
    x0, y0 = min(row.x_px for row in rows), min(row.y_px for row in rows)
    wide = max(row.width_px for row in rows) * joined
    high = max(row.height_px for row in rows) * joined
    blocks: dict[tuple[int, int], list[TileRow]] = {}
    for row in rows:
        blocks.setdefault(((row.y_px - y0) // high, (row.x_px - x0) // wide), []).append(row)
    return [blocks[key] for key in sorted(blocks)]


def _feature(
    block: list[TileRow], slide_id: str, number: int, offset_px: tuple[int, int]
) -> dict[str, Any]:
    marks = TileMarks.from_rows(block)
    counts = marks.counts[~np.asarray(marks.failed, dtype=np.bool_)].sum(axis=0)
    left, top = (int(marks.boxes[:, k].min()) - offset_px[k] for k in (0, 1))
    right = int((marks.boxes[:, 0] + marks.boxes[:, 2]).max()) - offset_px[0]
    bottom = int((marks.boxes[:, 1] + marks.boxes[:, 3]).max()) - offset_px[1]
    properties: dict[str, Any] = {"objectType": "tile", "measurements": _numbers(block, counts)}
    classification = _classification(marks, counts)
    if classification is not None:
        properties["classification"] = classification
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    digest = hashlib.sha256(f"tile\0{slide_id}".encode()).hexdigest()
    return {
        "type": "Feature",
        "id": f"{digest[:8]}-{digest[8:12]}-8{digest[12:15]}-8{digest[15:18]}-{number:012x}",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


def _classification(marks: TileMarks, counts: AnyArray) -> dict[str, Any] | None:
    """Return the class by the rule of the heat map; none where no tumour cell was counted."""
    if bool(np.all(marks.failed)):
        return {"name": "Unread", "color": list(FAILED_TILE)}
    whole = TileMarks(
        tile_id=marks.tile_id[:1],
        boxes=marks.boxes[:1],
        failed=np.zeros(1, dtype=np.bool_),
        counts=np.asarray(counts, dtype=np.int64)[None],
    )
    code = int(whole.leading_pattern()[0])
    if code < 0:
        return None
    return {"name": f"Tumor: {PATTERN_SHORT[code]}", "color": list(PATTERN_COLOURS[code])}


def _numbers(block: list[TileRow], counts: AnyArray) -> dict[str, Any]:
    """Return measurements in the form of QuPath's own summaries: ``Num <class>``, ``<class> %``."""
    total = int(counts.sum())
    found: dict[str, Any] = {
        "Num Detections": sum(row.n_cells for row in block),
        "Num Tumor": total,
    }
    for code in range(len(PATTERNS) - 1, -1, -1):
        found[f"Num Tumor: {PATTERN_SHORT[code]}"] = int(counts[code])
        if total:
            share = 100 * int(counts[code]) / total
            found[f"Tumor: {PATTERN_SHORT[code]} %"] = round(share, 4)
    densities = [
        (row.mean_membrane_od, row.n_tumour_cells)
        for row in block
        if row.mean_membrane_od is not None
    ]
    weight = sum(n for _, n in densities)
    if weight:
        found["Membrane: DAB OD mean"] = round(sum(od * n for od, n in densities) / weight, 4)
    found["Tissue fraction"] = round(sum(row.tissue_fraction for row in block) / len(block), 4)
    return found
