"""The tiles of a tile classifier as GeoJSON, as QuPath reads it: one rectangle per tile.

======================  =================================  ======================
tile                    QuPath class                       colour
======================  =================================  ======================
tumour, by pattern      ``Tumor: 0 unstained``             of the pattern
                        ``Tumor: 1+ incomplete faint``
                        ``Tumor: 2+ incomplete moderate-intense``
                        ``Tumor: 2+ complete``
                        ``Tumor: 3+ complete intense``
not counted             ``Other``                          of other cells
could not be read       ``Unread``                         of failed tiles
======================  =================================  ======================

The classes are those of tumour cells, so that both kinds of export look alike. A tile that was
called by its score has the class of the pattern that the score stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pathology.cells.table import PATTERNS
from pathology.report.palette import CLASS_COLOURS, FAILED_TILE, PATTERN_COLOURS, PATTERN_SHORT, RGB
from pathology.runs.tiles import TileRow

__all__ = ["tile_class", "tile_features"]


def tile_class(row: TileRow) -> tuple[str, RGB]:
    """Return QuPath's class of a tile, and its colour.

    Parameters
    ----------
    row
        A row of a run of a tile classifier.

    Examples
    --------
    >>> row = TileRow(tile_id=0, x_px=0, y_px=0, width_px=9, height_px=9, status="ok",
    ...               tissue_fraction=1.0, n_cells=1, n_tumour_cells=1, n_complete_intense=1)
    >>> tile_class(row)[0]
    'Tumor: 3+ complete intense'
    """
    if row.status == "failed":
        return "Unread", FAILED_TILE
    for code, name in enumerate(PATTERNS):
        if getattr(row, f"n_{name}"):
            return f"Tumor: {PATTERN_SHORT[code]}", PATTERN_COLOURS[code]
    return "Other", CLASS_COLOURS["other"]


def tile_features(
    rows: Iterable[TileRow],
    *,
    uuid_head: str,
    offset_px: tuple[int, int] = (0, 0),
    tumour_only: bool = False,
) -> Iterator[bytes]:
    """Yield one JSON object per tile.

    Parameters
    ----------
    rows
        Tiles of a run of a tile classifier.
    uuid_head
        All of the objects' UUIDs but the last group, which is the tile's number.
    offset_px
        Level-0 pixels (x, y) that are subtracted from every coordinate.
    tumour_only
        Leave out tiles that do not count.

    Examples
    --------
    >>> row = TileRow(tile_id=7, x_px=64, y_px=0, width_px=64, height_px=64, status="failed",
    ...               tissue_fraction=1.0)
    >>> feature = orjson.loads(next(tile_features([row], uuid_head="0-")))
    >>> feature["geometry"]["coordinates"][0][2], feature["properties"]["classification"]["name"]
    ([128, 64], 'Unread')
    """
    for row in rows:
        if tumour_only and not row.n_tumour_cells:
            continue
        name, colour = tile_class(row)
        feature = {
            "type": "Feature",
            "id": f"{uuid_head}{row.tile_id:012x}",
            "geometry": {"type": "Polygon", "coordinates": [_ring(row, offset_px)]},
            "properties": {
                "objectType": "tile",
                "classification": {"name": name, "color": list(colour)},
                "measurements": _measurements(row),
            },
        }
        yield orjson.dumps(feature)


def _ring(row: TileRow, offset_px: tuple[int, int]) -> list[list[int]]:
    left, top = row.x_px - offset_px[0], row.y_px - offset_px[1]
    right, bottom = left + row.width_px, top + row.height_px
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def _measurements(row: TileRow) -> dict[str, Any]:
    found: dict[str, Any] = {"Tile id": row.tile_id, "Tissue fraction": row.tissue_fraction}
    if row.focus is not None:
        found["Focus"] = row.focus
    return found
