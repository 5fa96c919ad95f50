"""Regions that a reviewer draws: checked, put into one form, and read back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import shapely
from shapely.geometry import Polygon
from shapely.geometry import box as shapely_box
from shapely.validation import explain_validity

from pathology.geometry import Size0, Spacing
from pathology.review.events import canonical
from pathology.review.problems import Refused
from pathology.runs import SlideFolder
from pathology.runs.ground import CLASS_NAMES
from pathology.tissue import region_kind

__all__ = ["EMPTY", "DrawnRegions", "check_drawing", "regions_of_run"]

#: More regions or corners than a person draws on one slide.
MAX_REGIONS: Final = 500
MAX_CORNERS: Final = 50_000
#: A region without any area to speak of, in square µm: less than one cell.
MIN_AREA_UM2: Final = 25.0
#: Decimals of a coordinate in level-0 pixels: 2.5 nm at 0.25 µm per pixel.
_DECIMALS: Final = 2
_MAX_ID: Final = 40
_FIX: Final = "Draw it again."
EMPTY: Final = canonical({"type": "FeatureCollection", "features": []})


@dataclass(frozen=True, kw_only=True)
class DrawnRegions:
    """Hold checked regions.

    Parameters
    ----------
    document
        GeoJSON in canonical form, level-0 pixels, class names as QuPath writes them.
    count
        Number of polygons.
    """

    document: bytes
    count: int


def check_drawing(
    features: Sequence[Any], *, size: Size0, spacing: Spacing, unit: str = "px"
) -> DrawnRegions:
    """Check what a reviewer drew; nothing is repaired behind the reviewer's back.

    Parameters
    ----------
    features
        GeoJSON features with one polygon each and a class in ``properties.classification.name``.
        The part of a region beyond the slide's edge is cut off when cells are counted.
    size, spacing
        Of level 0.
    unit
        Of the coordinates: ``px`` (level 0) or ``um`` from the top left of level 0.

    Returns
    -------
    DrawnRegions
        In level-0 pixels.

    Raises
    ------
    Refused
        Names the region by its number, what is wrong with it and where.

    Examples
    --------
    >>> square = [[10, 10], [90, 10], [90, 90], [10, 90], [10, 10]]
    >>> feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square]},
    ...            "properties": {"classification": {"name": "exclude"}}}
    >>> check_drawing([feature], size=Size0(width=100, height=100),
    ...               spacing=Spacing(x=0.5, y=0.5)).count
    1
    """
    if unit not in ("px", "um"):
        raise Refused(f"{unit[:20]!r} is no unit of coordinates", fix="Give px or um.")
    if len(features) > MAX_REGIONS:
        raise Refused(
            f"{len(features)} regions: more than {MAX_REGIONS}",
            fix="Draw fewer and larger ones, or give a file to `her2 rescore --regions`.",
        )
    scale = (1.0, 1.0) if unit == "px" else (1 / spacing.x, 1 / spacing.y)
    frame = shapely_box(0, 0, size.width, size.height)
    clean, corners = [], 0
    for number, feature in enumerate(features, start=1):
        kind, rings = _parts(feature, number, scale)
        corners += sum(map(len, rings))
        if corners > MAX_CORNERS:
            raise Refused(f"more than {MAX_CORNERS:,} corners", fix="Draw coarser outlines.")
        _check_shape(f"region {number} ({kind})", rings, frame, spacing)
        clean.append(_feature(kind, rings, feature.get("id")))
    document = canonical({"type": "FeatureCollection", "features": clean})
    return DrawnRegions(document=document, count=len(clean))


def regions_of_run(folder: SlideFolder) -> bytes:
    """Return the regions that the run used for a slide, as GeoJSON; empty where there were none."""
    try:
        return folder.regions.read_bytes()
    except FileNotFoundError:
        return EMPTY


def parse_document(document: bytes) -> dict[str, Any]:
    """Return stored regions as JSON."""
    tree: dict[str, Any] = orjson.loads(document)
    return tree


def _parts(
    feature: Any, number: int, scale: tuple[float, float]
) -> tuple[str, list[list[tuple[float, float]]]]:
    """Return the class and the rings of a feature."""
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") != "Polygon":
        raise Refused(f"region {number}: is no polygon", fix=_FIX)
    name = _class_name(feature)
    kind = region_kind(name)
    if kind is None:
        raise Refused(
            f"region {number}: {name[:40]!r} is no kind of region",
            fix=f"Give one of {', '.join(CLASS_NAMES.values())}.",
        )
    rings = geometry.get("coordinates")
    if not isinstance(rings, list) or not rings:
        raise Refused(f"region {number}: has no outline", fix=_FIX)
    return CLASS_NAMES[kind], [list(_ring(ring, number, scale)) for ring in rings]


def _class_name(feature: Mapping[str, Any]) -> str:
    properties = feature.get("properties")
    found = properties.get("classification") if isinstance(properties, dict) else None
    name = found.get("name") if isinstance(found, dict) else found
    return name if isinstance(name, str) else ""


def _ring(ring: Any, number: int, scale: tuple[float, float]) -> Iterator[tuple[float, float]]:
    if not isinstance(ring, list) or len(ring) < 4 or ring[0] != ring[-1]:
        raise Refused(
            f"region {number}: the outline is not closed", fix="Finish the drawing, then save it."
        )
    for point in ring:
        pair = point[:2] if isinstance(point, list) else []
        if len(pair) != 2 or not all(map(_is_coordinate, pair)):
            raise Refused(f"region {number}: a corner is not two numbers", fix=_FIX)
        yield round(pair[0] * scale[0], _DECIMALS), round(pair[1] * scale[1], _DECIMALS)


def _is_coordinate(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and abs(value) < 1e9


def _check_shape(
    name: str, rings: list[list[tuple[float, float]]], frame: Polygon, spacing: Spacing
) -> None:
    polygon = Polygon(rings[0], rings[1:])
    if not shapely.is_valid(polygon):
        # Shapely says for instance "Self-intersection[12 34]".
        what, _, where = explain_validity(polygon).rstrip("]").partition("[")
        at = f" at {', '.join(where.split()[:2])} px" if where else ""
        raise Refused(
            f"{name}: the outline crosses or touches itself ({what.casefold()}{at})",
            fix="Draw it again without crossing lines; two areas are two regions.",
        )
    if polygon.area * spacing.area_um2 < MIN_AREA_UM2:
        raise Refused(f"{name}: is smaller than a cell", fix="Draw it larger, or delete it.")
    if shapely.intersection(polygon, frame).area <= 0:
        raise Refused(f"{name}: lies outside the slide", fix="Draw it on the slide, or delete it.")


def _feature(kind: str, rings: list[list[tuple[float, float]]], name: Any) -> dict[str, Any]:
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {"classification": {"name": kind}, "objectType": "annotation"},
    }
    if isinstance(name, str) and 0 < len(name) <= _MAX_ID and name.isprintable():
        feature["id"] = name
    return feature
