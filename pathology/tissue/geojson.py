"""Read drawn objects and their class names from a GeoJSON file, as QuPath writes it."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import shapely
from shapely.geometry import MultiPolygon, Polygon

from pathology.errors import ReasonCode, RegionsError
from pathology.types import AnyArray

__all__ = ["MAX_BYTES", "Drawing", "DrawnObject", "NamedPolygon", "read_objects", "read_polygons"]

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


@dataclass(frozen=True, kw_only=True)
class DrawnObject:
    """Hold one object as it is drawn: nothing is repaired or dropped.

    Parameters
    ----------
    number
        Place of the object in the file, from 1.
    name
        Class name as written in the file; empty where there is none.
    object_type
        QuPath's kind of object in lower case (``annotation``, ``detection``, ``cell``, ...); empty
        where the file does not say.
    polygons
        One entry per polygon: its rings, outer first, each (n, 2) float64 x, y in pixels.
    points
        (n, 2) float64 x, y in pixels: its single points.
    nucleus
        As ``polygons``, of the nucleus (QuPath's ``nucleusGeometry``); empty where there is none.
    """

    number: int
    name: str
    object_type: str
    polygons: tuple[tuple[AnyArray, ...], ...]
    points: AnyArray
    nucleus: tuple[tuple[AnyArray, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Hold all objects of a file.

    Parameters
    ----------
    about
        What the file says of itself: the properties of its collection.
    objects
        The objects that have a polygon or a point, in the order of the file.
    """

    about: dict[str, Any]
    objects: tuple[DrawnObject, ...]


def read_objects(
    path: Path, *, max_bytes: int = MAX_BYTES, max_vertices: int = MAX_VERTICES
) -> Drawing:
    """Read all objects of a GeoJSON file, plain or gzipped, as they are drawn.

    Parameters
    ----------
    path
        ``.geojson``, ``.json`` or either with ``.gz``.
    max_bytes, max_vertices
        Refuse larger files.

    Returns
    -------
    Drawing
        Objects, possibly none. Lines are passed over.

    Raises
    ------
    RegionsError
        If the file cannot be read, is too large, is not GeoJSON, or has coordinates that are not
        finite numbers.
    """
    tree = _load(path, max_bytes)
    objects: list[DrawnObject] = []
    vertices = 0
    for number, feature in enumerate(_features(tree, path, 0), start=1):
        shapes = list(_walk(feature, {}, path, 0))
        polygons = tuple(_arrays(part, path) for _, kind, part in shapes if kind == "Polygon")
        points = [_point(part, path) for _, kind, part in shapes if kind == "Point"]
        core = feature.get("nucleusGeometry")
        parts = _walk(core, {}, path, 0) if core is not None else ()
        nucleus = tuple(_arrays(part, path) for _, kind, part in parts if kind == "Polygon")
        vertices += sum(len(ring) for rings in polygons + nucleus for ring in rings) + len(points)
        if vertices > max_vertices:
            raise _too_many_corners(path, max_vertices)
        if not polygons and not points:
            continue
        objects.append(
            DrawnObject(
                number=number,
                name=_class_name(feature),
                object_type=_object_type(feature),
                polygons=polygons,
                points=np.asarray(points, dtype=np.float64).reshape(-1, 2),
                nucleus=nucleus,
            )
        )
    about = tree.get("properties") if isinstance(tree, dict) else None
    return Drawing(about=about if isinstance(about, dict) else {}, objects=tuple(objects))


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
    tree = _load(path, MAX_BYTES)
    found: list[NamedPolygon] = []
    vertices = 0
    for feature, kind, coordinates in _walk(tree, {}, path, 0):
        if kind != "Polygon":
            continue
        rings = _rings(coordinates, path)
        vertices += sum(len(ring) for ring in rings)
        if vertices > MAX_VERTICES:
            raise _too_many_corners(path, MAX_VERTICES)
        found.extend(_valid(_class_name(feature), rings))
    if not found:
        raise RegionsError(
            f"{path}: holds no polygon",
            fix="Draw at least one closed annotation, and export annotations, not detections.",
        )
    return found


def _too_many_corners(path: Path, most: int) -> RegionsError:
    return RegionsError(f"{path}: more than {most:,} corners", fix="Keep the drawn regions only.")


def _load(path: Path, max_bytes: int) -> Any:
    try:
        data = _bytes(path, max_bytes)
    except FileNotFoundError as error:
        raise RegionsError(
            f"{path}: no such file", reason=ReasonCode.FILE_MISSING, fix="Check the path."
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise RegionsError(f"{path}: cannot be read ({error})", fix="Check the file.") from error
    if len(data) > max_bytes:
        raise RegionsError(
            f"{path}: larger than {max_bytes // 2**20} MiB",
            fix="Keep the drawn regions only, without detections and cells.",
        )
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RegionsError(f"{path}: not valid JSON ({error})", fix=_FIX_EXPORT) from error


def _bytes(path: Path, max_bytes: int) -> bytes:
    """Read at most one byte more than is allowed; also of a gzip bomb."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as stream:
            return stream.read(max_bytes + 1)
    with path.open("rb") as stream:
        return stream.read(max_bytes + 1)


def _features(node: Any, path: Path, depth: int) -> Iterator[dict[str, Any]]:
    """Yield the features below a node; a bare geometry stands for a feature without a class."""
    if depth > MAX_DEPTH:
        raise RegionsError(f"{path}: nested more than {MAX_DEPTH} deep", fix=_FIX_EXPORT)
    tree = _typed(node, path, depth)
    if tree["type"] == "FeatureCollection":
        for feature in _children(tree, "features", path):
            yield from _features(feature, path, depth + 1)
    else:
        yield tree


def _typed(node: Any, path: Path, depth: int) -> dict[str, Any]:
    if isinstance(node, list) and depth == 0:  # QuPath's scripts write a bare list of features
        return {"type": "FeatureCollection", "features": node}
    if not isinstance(node, dict) or not isinstance(node.get("type"), str):
        raise RegionsError(f"{path}: not GeoJSON (an object without a type)", fix=_FIX_EXPORT)
    return node


def _walk(
    node: Any, feature: dict[str, Any], path: Path, depth: int
) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yield (feature, ``Polygon`` or ``Point``, coordinates) of everything below a node."""
    if depth > MAX_DEPTH:
        raise RegionsError(f"{path}: nested more than {MAX_DEPTH} deep", fix=_FIX_EXPORT)
    node = _typed(node, path, depth)
    kind = node["type"]
    if kind == "FeatureCollection":
        for child in _children(node, "features", path):
            yield from _walk(child, feature, path, depth + 1)
    elif kind == "Feature":
        if node.get("geometry") is not None:
            yield from _walk(node["geometry"], node, path, depth + 1)
    elif kind == "GeometryCollection":
        for geometry in _children(node, "geometries", path):
            yield from _walk(geometry, feature, path, depth + 1)
    elif kind in {"Polygon", "Point"}:
        yield feature, kind, _children(node, "coordinates", path)
    elif kind in {"MultiPolygon", "MultiPoint"}:
        for part in _children(node, "coordinates", path):
            yield feature, kind.removeprefix("Multi"), part
    elif kind not in {"LineString", "MultiLineString"}:
        raise RegionsError(f"{path}: unknown GeoJSON type {kind[:40]!r}", fix=_FIX_EXPORT)


def _children(node: dict[str, Any], key: str, path: Path) -> list[Any]:
    value = node.get(key)
    if not isinstance(value, list):
        raise RegionsError(f"{path}: {node['type']} without {key}", fix=_FIX_EXPORT)
    return value


def _object_type(feature: dict[str, Any]) -> str:
    """Read QuPath's kind of object; before QuPath 0.3 it stood in the feature's id."""
    properties = feature.get("properties")
    where = properties if isinstance(properties, dict) else {}
    value = where.get("objectType", where.get("object_type", feature.get("id")))
    text = value.casefold() if isinstance(value, str) else ""
    text = text.removeprefix("path").removesuffix("object")
    return text if text in {"annotation", "detection", "cell", "tile"} else ""


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


def _arrays(coordinates: Any, path: Path) -> tuple[AnyArray, ...]:
    return tuple(np.asarray(ring, dtype=np.float64) for ring in _rings(coordinates, path))


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
