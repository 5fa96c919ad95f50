"""Cells and regions that people drew, checked against the slide that they are drawn on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import box as shapely_box
from shapely.geometry.base import BaseGeometry

from pathology.cells import N_RAYS
from pathology.errors import RegionsError
from pathology.tissue.geojson import Drawing, DrawnObject, read_objects
from pathology.training.classnames import (
    CELL_NAMES,
    IGNORE,
    REGION_NAMES,
    cell_code,
    lookup,
    region_code,
)
from pathology.training.data.outlines import cast_rays_to, centres_of, main_polygons, ring_area
from pathology.training.data.slides import is_name_of, stated_image
from pathology.training.problems import Problems
from pathology.training.specs import QuPathCellsSpec, RegionsSpec
from pathology.types import AnyArray, BoolArray, FloatArray, IntArray
from pathology.wsi import SlideInfo

__all__ = ["MAX_CELL_UM2", "DrawnAreas", "DrawnCells", "read_drawings"]

_LOG = logging.getLogger(__name__)
#: Annotated cells of a whole slide: about 200,000 of 40 corners.
MAX_BYTES = 512 * 1024 * 1024
MAX_VERTICES = 10_000_000
#: A larger outline is no cell: the area of a circle of 51 µm, the longest ray that can be stored.
MAX_CELL_UM2 = 8000.0
#: A larger annotation that was drawn by hand is an area, not a cell: a circle of 50 µm.
MAX_DRAWN_CELL_UM2 = 2000.0


@dataclass(frozen=True, kw_only=True)
class DrawnCells:
    """Hold the annotated cells of a slide, as arrays of one length n.

    Parameters
    ----------
    centres_px
        (n, 2) float64 x, y in level-0 pixels.
    rays_um
        (n, 32) float32, µm; NaN for cells that are marked by a point.
    classes
        (n,) int64: index into ``CELL_CLASSES``; -1 where it is not known.
    usable
        (n,) bool: False for cells that are to be ignored.
    """

    centres_px: AnyArray
    rays_um: FloatArray
    classes: IntArray
    usable: BoolArray

    @classmethod
    def none(cls) -> DrawnCells:
        """Return a table without cells."""
        return cls(
            centres_px=np.zeros((0, 2)),
            rays_um=np.zeros((0, N_RAYS), dtype=np.float32),
            classes=np.zeros(0, dtype=np.int64),
            usable=np.zeros(0, dtype=np.bool_),
        )


@dataclass(frozen=True, kw_only=True)
class DrawnAreas:
    """Hold the annotated areas of a slide, in level-0 pixels.

    Parameters
    ----------
    complete
        Where every cell is annotated; possibly empty.
    ignored
        Where nothing may be learnt; possibly empty.
    regions
        Region code and shape, in the order in which they are painted: the largest first, so that a
        small region inside a larger one is seen.
    """

    complete: BaseGeometry
    ignored: BaseGeometry
    regions: tuple[tuple[int, BaseGeometry], ...]


def read_drawings(
    path: Path, spec: QuPathCellsSpec | RegionsSpec, info: SlideInfo, problems: Problems
) -> tuple[DrawnCells, DrawnAreas]:
    """Read and check the annotations of one slide.

    Parameters
    ----------
    path
        The GeoJSON file.
    spec
        What its classes mean.
    info
        The slide.
    problems
        Takes everything that is wrong.

    Returns
    -------
    tuple
        Cells and areas: those that can be used, where there are problems.
    """
    nothing = DrawnAreas(complete=shapely.Polygon(), ignored=shapely.Polygon(), regions=())
    try:
        drawing = read_objects(path, max_bytes=MAX_BYTES, max_vertices=MAX_VERTICES)
    except RegionsError as error:
        problems.add_error(path, error)
        return DrawnCells.none(), nothing
    named = stated_image(drawing.about)
    if named and not is_name_of(named, info.path):
        problems.add(
            path,
            f"belongs to the image {named[:80]!r}, not to {info.path.name}",
            "Put each GeoJSON file beside its own slide, under the same name.",
        )
        return DrawnCells.none(), nothing
    parts = _Parts(path, spec, info, problems)
    parts.sort(drawing)
    cells, areas = parts.cells(), parts.areas()
    if isinstance(spec, QuPathCellsSpec) and not (
        parts.cell_objects or shapely.area(areas.complete)
    ):
        problems.add(
            path,
            "holds no cell",
            "Export detections as well (File > Export objects as GeoJSON), or use kind: regions.",
        )
    if isinstance(spec, RegionsSpec) and not parts.region_objects:
        problems.add(
            path,
            "holds no region",
            "Draw regions and export annotations; cells are read by kind: qupath_cells.",
        )
    x, y = cells.centres_px[:, 0], cells.centres_px[:, 1]
    ignored = shapely.contains_xy(areas.ignored, x, y)
    return replace(cells, usable=cells.usable & ~ignored), areas


class _Parts:
    """Sort the objects of one file into cells and areas, and check them."""

    def __init__(
        self, path: Path, spec: QuPathCellsSpec | RegionsSpec, info: SlideInfo, problems: Problems
    ) -> None:
        self._path, self._spec, self._info, self._problems = path, spec, info, problems
        self._scale = np.array([info.spacing.x, info.spacing.y])
        self._offset = np.zeros(2)
        self._meanings: dict[tuple[str, bool], str | None] = {}
        self.cell_objects: list[DrawnObject] = []
        self.region_objects: list[DrawnObject] = []
        self._complete: list[DrawnObject] = []
        self._ignored: list[DrawnObject] = []
        self._unused: list[DrawnObject] = []

    def sort(self, drawing: Drawing) -> None:
        """Tell what each object is."""
        self._offset = _offset(drawing.about, self._spec.origin, self._info)
        for item in drawing.objects:
            target = self._place(item)
            if target is not None:
                target.append(item)
        if self._unused:
            names = sorted({item.name or "no class" for item in self._unused})
            _LOG.warning(
                "%s: %d annotations larger than a cell are not used (%s); see annotated_class and "
                "regions of the source",
                self._path,
                len(self._unused),
                ", ".join(names)[:200],
            )

    def _place(self, item: DrawnObject) -> list[DrawnObject] | None:
        if item.object_type == "tile":
            return None
        detected = item.object_type in {"cell", "detection"}
        if isinstance(self._spec, RegionsSpec):
            return self.region_objects if item.polygons and not detected else None
        if detected or not item.polygons:
            return self.cell_objects
        if _matches(item.name, self._spec.annotated_class):
            return self._complete
        area_um2 = max(ring_area(rings[0]) for rings in item.polygons) * self._scale.prod()
        if area_um2 <= MAX_DRAWN_CELL_UM2:
            return self.cell_objects
        if lookup(item.name, CELL_NAMES, self._spec.classes) == IGNORE:
            return self._ignored
        # Parents of detected cells ("Tumor") come along in every export: only on demand are they
        # regions.
        return self.region_objects if self._spec.regions else self._unused

    def _wrong(self, item: DrawnObject, cause: str, fix: str) -> None:
        name = f" ({item.name[:40]})" if item.name else ""
        self._problems.add(self._path, f"object {item.number}{name} {cause}", fix)

    def _meaning(self, items: Sequence[DrawnObject], *, cells: bool) -> list[str | None]:
        """Look up what the classes of objects mean; report each unknown name once."""
        spec, table = self._spec, CELL_NAMES if cells else REGION_NAMES
        plain = isinstance(spec, RegionsSpec) or cells
        own = spec.classes if plain else getattr(spec, "regions", {})
        counts = Counter(item.name for item in items)
        found: dict[str, str | None] = {}
        for name, count in counts.items():
            # An unclassified cell is a cell; an unclassified region says nothing.
            found[name] = "unknown" if cells and not name else lookup(name, table, own)
            if found[name] is None:
                what = "cell" if cells else "region"
                self._problems.add(
                    self._path,
                    f"unknown class {name[:60]!r} of {count:,} {what}{'s' if count > 1 else ''}"
                    if name
                    else f"{count:,} {what}{'s' if count > 1 else ''} without a class",
                    f"Add it to {'classes' if plain else 'regions'} of the source, "
                    f"such as {name[:60] or 'Stroma'}: {'other' if cells else 'stroma'}.",
                )
        return [found[item.name] for item in items]

    def cells(self) -> DrawnCells:
        """Return the cells that can be used."""
        meanings = self._meaning(self.cell_objects, cells=True)
        known = [
            (item, meaning)
            for item, meaning in zip(self.cell_objects, meanings, strict=True)
            if meaning is not None
        ]
        drawn = [pair for pair in known if pair[0].polygons]
        dots = [(point, meaning) for item, meaning in known for point in self._dots(item)]
        places, rays, kept = self._outlines([item for item, _ in drawn])
        names = [drawn[index][1] for index in kept] + [meaning for _, meaning in dots]
        points = np.array([point for point, _ in dots], dtype=np.float64).reshape(-1, 2)
        centres = np.concatenate([places, points])
        inside = self._inside(centres)
        blank = np.full((len(points), N_RAYS), np.nan, dtype=np.float32)
        codes = np.array([cell_code(name) for name in names], dtype=np.int64)
        usable = np.array([name != IGNORE for name in names], dtype=np.bool_)
        return DrawnCells(
            centres_px=centres[inside],
            rays_um=np.concatenate([rays, blank])[inside],
            classes=codes[inside],
            usable=usable[inside],
        )

    def _dots(self, item: DrawnObject) -> AnyArray:
        return np.zeros((0, 2)) if item.polygons else item.points + self._offset

    def _outlines(self, items: list[DrawnObject]) -> tuple[AnyArray, FloatArray, list[int]]:
        """Return centres (level-0 pixels), rays (µm), and which objects they belong to."""
        rings = [self._outer_um(item.polygons) for item in items]
        shapes, crossing = main_polygons(rings)
        areas = shapely.area(shapes)
        for index in np.flatnonzero(crossing | (areas <= 0) | (areas > MAX_CELL_UM2)).tolist():
            self._say_outline(items[index], float(areas[index]), crossing=bool(crossing[index]))
        good = np.flatnonzero(~crossing & (areas > 0) & (areas <= MAX_CELL_UM2))
        if not len(good):
            return np.zeros((0, 2)), np.zeros((0, N_RAYS), dtype=np.float32), []
        centres = centres_of(shapes[good])
        with_nucleus = [place for place, index in enumerate(good) if items[index].nucleus]
        lost = np.zeros(len(good), dtype=np.bool_)
        if with_nucleus:
            cores = [self._outer_um(items[good[place]].nucleus) for place in with_nucleus]
            middle = shapely.centroid(main_polygons(cores)[0])
            x, y = shapely.get_x(middle), shapely.get_y(middle)
            centres[with_nucleus] = np.stack([x, y], axis=1)
            lost[with_nucleus] = ~shapely.contains_xy(shapes[good][with_nucleus], x, y)
        for place in np.flatnonzero(lost).tolist():
            self._wrong(
                items[good[place]],
                "has its nucleus outside its outline",
                "Draw the cell again, or remove it.",
            )
        good, centres = good[~lost], centres[~lost]
        outer = [shapely.get_coordinates(shapes[index].exterior)[:-1] for index in good]
        return centres / self._scale, cast_rays_to(outer, centres), good.tolist()

    def _outer_um(self, polygons: Sequence[Sequence[AnyArray]]) -> AnyArray:
        """Return the outline of the largest polygon in µm; holes of a cell are of no account."""
        outer = max((rings[0] for rings in polygons), key=ring_area)
        return np.asarray((outer + self._offset) * self._scale)

    def _say_outline(self, item: DrawnObject, area_um2: float, *, crossing: bool) -> None:
        if crossing:
            self._wrong(item, "has an outline that crosses itself", "Draw it again.")
        elif area_um2 <= 0:
            self._wrong(item, "has no area", "Remove it, or draw its outline.")
        else:
            self._wrong(
                item,
                f"covers {area_um2:,.0f} µm², more than a cell (at most {MAX_CELL_UM2:,.0f})",
                "Check the pixel size; export regions as annotations, not as detections.",
            )

    def _inside(self, centres: AnyArray) -> BoolArray:
        size = self._info.size
        fits = (centres >= 0) & (centres < (size.width, size.height))
        inside: BoolArray = np.asarray(fits.all(axis=1), dtype=np.bool_)
        self._say_outside("cell", len(inside), int(np.count_nonzero(~inside)))
        return inside

    def _say_outside(self, what: str, count: int, outside: int) -> None:
        if outside:
            share = f"all {count:,}" if outside == count else f"{outside:,} of {count:,}"
            size = self._info.size
            self._problems.add(
                self._path,
                f"{share} {what}s lie outside the slide {self._info.path.name} "
                f"({size.width} × {size.height} px): the file is of another slide, or not in "
                "level-0 pixels",
                "Put the right file beside the slide; export in pixels; for files that count from "
                "the scanned part set origin: bounds.",
            )

    def areas(self) -> DrawnAreas:
        """Return the areas that can be used."""
        meanings = self._meaning(self.region_objects, cells=False)
        pairs = [
            (meaning, self._shape(item))
            for item, meaning in zip(self.region_objects, meanings, strict=True)
            if meaning is not None
        ]
        others = [self._shape(item) for item in self._complete]
        ignored = [self._shape(item) for item in self._ignored]
        frame = shapely_box(0, 0, self._info.size.width, self._info.size.height)
        shapes = [shape for _, shape in pairs] + others + ignored
        outside = sum(not shapely.intersects(shape, frame) for shape in shapes)
        self._say_outside("region", len(shapes), outside)
        pairs.sort(key=lambda pair: -shapely.area(pair[1]))
        ignored += [shape for meaning, shape in pairs if meaning == IGNORE]
        return DrawnAreas(
            complete=shapely.intersection(shapely.union_all(others), frame),
            ignored=shapely.intersection(shapely.union_all(ignored), frame),
            regions=tuple(
                (region_code(meaning), shapely.intersection(shape, frame))
                for meaning, shape in pairs
                if meaning != IGNORE
            ),
        )

    def _shape(self, item: DrawnObject) -> BaseGeometry:
        """Return the shape of an area in level-0 pixels; report one that crosses itself."""
        parts = []
        for rings in item.polygons:
            outer = rings[0] + self._offset
            _, crossing = main_polygons([outer])
            if crossing.any():
                self._wrong(item, "has an outline that crosses itself", "Draw it again.")
            holes = [ring + self._offset for ring in rings[1:]]
            parts.append(shapely.make_valid(shapely.Polygon(outer, holes)))
        whole = shapely.union_all(parts)
        if shapely.area(whole) <= 0:
            self._wrong(item, "has no area", "Remove it, or draw its outline.")
        return whole


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a class is one of those that ``*`` may shorten, whatever the case."""
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in patterns)


def _offset(about: dict[str, Any], origin: str, info: SlideInfo) -> AnyArray:
    """Return what is to be added to coordinates so that they count from level 0, in pixels."""
    offset = np.zeros(2)
    if origin == "bounds":
        offset += (info.bounds.x, info.bounds.y)
    stated = about.get("offset_px")  # written by this program's own export
    if isinstance(stated, list) and len(stated) == 2 and origin == "level0":
        offset += [float(value) if isinstance(value, int | float) else 0.0 for value in stated]
    return offset
