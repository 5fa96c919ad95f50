"""Read polygons and their class names from a GeoJSON file, as QuPath writes it."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import shapely
from shapely.geometry import MultiPolygon, Polygon

from pathology.errors import ReasonCode, RegionsError

__all__ = ["MAX_BYTES", "NamedPolygon", "read_polygons"]

#: A hand-drawn region file has kilobytes; a whole export of cells has gigabytes and is not regions.
MAX_BYTES = 100 * 1024 * 1024
#: A polygon with more corners than this in a region file is a mistake, and slow.
MAX_VERTICES = 5_000_000
#: GeoJSON collections may be nested; deeper than this is not made by any program.
MAX_DEPTH = 20

_FIX_EXPORT = "Export the annotations again from QuPath (File > Export objects as GeoJSON)."


@dataclass(frozen=True, kw_only=True)
class NamedPolygon:
    """Hold one polygon (with holes) and its class name.

    Parameters
    ----------
    name
        Class name as written in the file; empty where there is none.
    polygon
        Valid shapely polygon, level-0 pixels.
    repaired
        True where the outline crossed itself and had to be made valid.
    """

    name: str
    polygon: Polygon
    repaired: bool


def read_polygons(path: Path) -> list[NamedPolygon]:
    """Read all polygons of a GeoJSON file, plain or gzipped.

    Parameters
    ----------
    path
        ``.geojson``, ``.json`` or either with ``.gz``.

    Returns
    -------
    list of NamedPolygon
        At least one. Points and lines are passed over.

    Raises
    ------
    RegionsError
        If the file cannot be read, is too large, is not GeoJSON, has coordinates that are not
        finite numbers, or holds no polygon.
    """
    tree = _load(path)
    found: list[NamedPolygon] = []
    vertices = 0
    for name, coordinates in _walk(tree, "", path, 0):
        rings = _rings(coordinates, path)
        vertices += sum(len(ring) for ring in rings)
        if vertices > MAX_VERTICES:
            raise RegionsError(
                f"{path}: more than {MAX_VERTICES:,} corners", fix="Keep the drawn regions only."
            )
        found.extend(_valid(name, rings))
    if not found:
        raise RegionsError(
            f"{path}: holds no polygon",
            fix="Draw at least one closed annotation, and export annotations, not detections.",
        )
    return found


def _load(path: Path) -> Any:
    try:
        data = _bytes(path)
    except FileNotFoundError as error:
        raise RegionsError(
            f"{path}: no such file", reason=ReasonCode.FILE_MISSING, fix="Check the path."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise RegionsError(f"{path}: cannot be read ({error})", fix="Check the file.") from error
    if len(data) > MAX_BYTES:
        raise RegionsError(
            f"{path}: larger than {MAX_BYTES // 2**20} MiB",
            fix="Keep the drawn regions only, without detections and cells.",
        )
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RegionsError(f"{path}: not valid JSON ({error})", fix=_FIX_EXPORT) from error


def _bytes(path: Path) -> bytes:
    """Read at most one byte more than is allowed; also of a gzip bomb."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as stream:
            return stream.read(MAX_BYTES + 1)
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _walk(node: Any, name: str, path: Path, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield (class name, polygon coordinates) of everything below a node."""
    if depth > MAX_DEPTH:
        raise RegionsError(f"{path}: nested more than {MAX_DEPTH} deep", fix=_FIX_EXPORT)
    if isinstance(node, list) and depth == 0:  # QuPath's scripts write a bare list of features
        node = {"type": "FeatureCollection", "features": node}
    if not isinstance(node, dict) or not isinstance(node.get("type"), str):
        raise RegionsError(f"{path}: not GeoJSON (an object without a type)", fix=_FIX_EXPORT)
    kind = node["type"]
    if kind == "FeatureCollection":
        for feature in _children(node, "features", path):
            yield from _walk(feature, name, path, depth + 1)
    elif kind == "Feature":
        if node.get("geometry") is not None:
            yield from _walk(node["geometry"], _class_name(node), path, depth + 1)
    elif kind == "GeometryCollection":
        for geometry in _children(node, "geometries", path):
            yield from _walk(geometry, name, path, depth + 1)
    elif kind == "Polygon":
        yield name, _children(node, "coordinates", path)
    elif kind == "MultiPolygon":
        for polygon in _children(node, "coordinates", path):
            yield name, polygon
    elif kind not in {"Point", "MultiPoint", "LineString", "MultiLineString"}:
        raise RegionsError(f"{path}: unknown GeoJSON type {kind[:40]!r}", fix=_FIX_EXPORT)


def _children(node: dict[str, Any], key: str, path: Path) -> list[Any]:
    value = node.get(key)
    if not isinstance(value, list):
        raise RegionsError(f"{path}: {node['type']} without {key}", fix=_FIX_EXPORT)
    return value


def _class_name(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        return ""
    classification = properties.get("classification")
    if isinstance(classification, dict):
        name = classification.get("name")
        if isinstance(name, str):
            return name
        names = classification.get("names")  # QuPath 0.5 and later: a list for derived classes
        if isinstance(names, list) and names and all(isinstance(item, str) for item in names):
            return ": ".join(names)
    for key in ("classification", "name"):
        value = properties.get(key)
        if isinstance(value, str):
            return value
    return ""


def _rings(coordinates: Any, path: Path) -> list[list[tuple[float, float]]]:
    if not isinstance(coordinates, list) or not coordinates:
        raise RegionsError(f"{path}: a polygon without coordinates", fix=_FIX_EXPORT)
    return [[_point(point, path) for point in _ring(ring, path)] for ring in coordinates]


def _ring(ring: Any, path: Path) -> list[Any]:
    if not isinstance(ring, list) or len(ring) < 3:
        raise RegionsError(f"{path}: a polygon with fewer than three corners", fix=_FIX_EXPORT)
    return ring


def _point(point: Any, path: Path) -> tuple[float, float]:
    values = point[:2] if isinstance(point, list) else []
    numbers = [
        float(value)
        for value in values
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]
    # Beyond 1e9 px nothing is a slide, and areas of such polygons lose all precision.
    if len(numbers) != 2 or max(abs(number) for number in numbers) > 1e9:
        raise RegionsError(
            f"{path}: the coordinates {str(point)[:60]} are not two finite numbers in pixels",
            fix=_FIX_EXPORT,
        )
    return numbers[0], numbers[1]


def _valid(name: str, rings: list[list[tuple[float, float]]]) -> Iterator[NamedPolygon]:
    """Yield the valid polygons of one outline with holes; none where it has no area."""
    polygon = Polygon(rings[0], [ring for ring in rings[1:] if len(ring) >= 3])
    repaired = not polygon.is_valid
    geometry = shapely.make_valid(polygon) if repaired else polygon
    parts = geometry.geoms if hasattr(geometry, "geoms") else [geometry]
    for part in parts:
        pieces = part.geoms if isinstance(part, MultiPolygon) else [part]
        for piece in pieces:
            if isinstance(piece, Polygon) and piece.area > 0:
                yield NamedPolygon(name=name, polygon=piece, repaired=repaired)
