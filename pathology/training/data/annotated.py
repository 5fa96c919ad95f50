"""Annotated slides: crops with the cells and regions that people drew on them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from pathology.config import load_config
from pathology.errors import PathologyError, RegionReadError
from pathology.geometry import Box0, Spacing
from pathology.tissue import find_tissue
from pathology.training.data.drawings import DrawnAreas, DrawnCells, read_drawings
from pathology.training.data.outlines import star_polygons
from pathology.training.data.samples import CONTEXT_FACTOR, UNKNOWN_REGION, Sample
from pathology.training.data.slides import open_annotated, opened
from pathology.training.problems import Problems
from pathology.training.specs import MODEL_MPP, QuPathCellsSpec, RegionsSpec
from pathology.types import AnyArray, BoolArray, FloatArray, U8Array
from pathology.wsi import Slide

__all__ = ["PLACE_UM", "AnnotatedSlide", "load_annotated"]

_LOG = logging.getLogger(__name__)
#: Side of the squares in which annotations are looked for: one example each.
PLACE_UM = 128.0
#: No other cell is looked for within this distance of a marked one: where two centres compete.
POINT_REACH_UM = 3.0


@dataclass(frozen=True, kw_only=True)
class AnnotatedSlide:
    """Hold a slide's annotations and say how to read it; holds no open file, and can be pickled.

    Parameters
    ----------
    image
        The slide.
    given_mpp
        Pixel size where the header states none, µm/px.
    spacing
        Pixel size of level 0.
    bounds
        Scanned part of level 0.
    white
        (3,) float32 colour of the glass.
    cells, areas
        What was drawn, in level-0 pixels.
    places
        (m, 2) float64 x, y in µm: centres of the squares of :data:`PLACE_UM` that hold annotations.
    """

    image: Path
    given_mpp: float | None
    spacing: Spacing
    bounds: Box0
    white: FloatArray
    cells: DrawnCells
    areas: DrawnAreas
    places: AnyArray

    def crop(self, x_um: float, y_um: float, size_px: int) -> Sample:
        """Cut a field out of the slide.

        Parameters
        ----------
        x_um, y_um
            Its centre, in µm from the top left of level 0. It is moved so that the field lies
            inside the scanned part, where that is large enough.
        size_px
            Side in pixels of 0.5 µm, a multiple of 64.

        Returns
        -------
        Sample
            The field. ``annotated`` is True where every cell is known: inside areas drawn for that
            purpose, and on the annotated cells themselves; never outside the slide.

        Raises
        ------
        RegionReadError
            If pixels cannot be decoded.
        """
        box = self._box(x_um, y_um, size_px)
        scale = np.array([self.spacing.x, self.spacing.y])
        pixel = np.array([box.width, box.height]) / size_px  # level-0 pixels per field pixel
        mpp = Spacing(x=pixel[0] * scale[0], y=pixel[1] * scale[1])
        view = opened(self.image, self.given_mpp).read_region(box, mpp=mpp)
        centres = (self.cells.centres_px - (box.x, box.y)) / pixel
        inside = ((centres >= 0) & (centres < size_px)).all(axis=1)
        region, annotated = self._maps(box, size_px, view.data)
        return Sample(
            rgb=view.pixels,
            white=self.white,
            centres_px=centres[inside].astype(np.float32),
            rays_um=self.cells.rays_um[inside],
            classes=self.cells.classes[inside],
            visible=self.cells.usable[inside],
            region=region,
            annotated=annotated,
        )

    def _box(self, x_um: float, y_um: float, size_px: int) -> Box0:
        whole, side = self.bounds, size_px * MODEL_MPP
        width, height = round(side / self.spacing.x), round(side / self.spacing.y)
        return Box0(
            x=_start(x_um / self.spacing.x, width, whole.x, whole.width),
            y=_start(y_um / self.spacing.y, height, whole.y, whole.height),
            width=width,
            height=height,
        )

    def _maps(self, box: Box0, size_px: int, data: BoolArray) -> tuple[U8Array, BoolArray]:
        """Paint what is known of regions, and where every cell is known."""
        side = size_px // CONTEXT_FACTOR
        grid = _Grid.over(box, side)
        region = np.full((side, side), UNKNOWN_REGION, dtype=np.uint8)
        for code, shape in self.areas.regions:
            grid.paint(region, shape, code)
        annotated = np.zeros((side, side), dtype=np.bool_)
        grid.paint(annotated, self.areas.complete, value=True)
        self._paint_cells(grid, annotated)
        known = data.reshape(side, CONTEXT_FACTOR, side, CONTEXT_FACTOR).all(axis=(1, 3))
        ignored = np.zeros((side, side), dtype=np.bool_)
        grid.paint(ignored, self.areas.ignored, value=True)
        region[ignored | ~known] = UNKNOWN_REGION
        return region, annotated & known & ~ignored

    def _paint_cells(self, grid: _Grid, annotated: BoolArray) -> None:
        """Mark the places of annotated cells as known, those of ignored cells as not known."""
        cells, scale = self.cells, np.array([self.spacing.x, self.spacing.y])
        near = grid.near(cells.centres_px, reach=60.0 / scale)
        near = near[np.argsort(~cells.usable[near], kind="stable")]  # ignored cells last
        rays = np.where(np.isnan(cells.rays_um[near]), POINT_REACH_UM, cells.rays_um[near])
        shapes = star_polygons(cells.centres_px[near] * scale, rays)
        for shape, index in zip(shapes, near.tolist(), strict=True):
            shape = shapely.transform(shape, lambda corners: corners / scale)
            known = bool(cells.usable[index])
            grid.paint(annotated, shape, value=known)
            grid.mark(annotated, cells.centres_px[index], value=known)


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Hold the level-0 positions of the middles of a map's pixels."""

    x: AnyArray
    y: AnyArray
    box: Box0

    @classmethod
    def over(cls, box: Box0, side: int) -> _Grid:
        middle = (np.arange(side) + 0.5) / side
        return cls(x=box.x + middle * box.width, y=box.y + middle * box.height, box=box)

    def paint(self, target: AnyArray, shape: BaseGeometry, value: int | bool) -> None:
        """Set the pixels whose middle lies inside a shape."""
        if shape.is_empty:
            return
        left, top, right, bottom = shape.bounds
        columns = slice(*np.searchsorted(self.x, (left, right)).tolist())
        rows = slice(*np.searchsorted(self.y, (top, bottom)).tolist())
        window = target[rows, columns]
        if window.size:
            shapely.prepare(shape)
            x, y = np.meshgrid(self.x[columns], self.y[rows])
            window[shapely.contains_xy(shape, x, y)] = value

    def mark(self, target: AnyArray, point: AnyArray, *, value: bool) -> None:
        """Set the pixel that holds a point: small outlines may hold no middle."""
        column = int((point[0] - self.box.x) * len(self.x) // self.box.width)
        row = int((point[1] - self.box.y) * len(self.y) // self.box.height)
        if 0 <= row < len(self.y) and 0 <= column < len(self.x):
            target[row, column] = value

    def near(self, points: AnyArray, *, reach: AnyArray) -> AnyArray:
        """Return the indices of the points within a reach (level-0 pixels) of the map."""
        low = np.array([self.box.x, self.box.y]) - reach
        high = np.array([self.box.right, self.box.bottom]) + reach
        return np.flatnonzero(((points >= low) & (points < high)).all(axis=1))


def _start(middle: float, length: int, first: int, whole: int) -> int:
    """Return where a stretch begins that lies inside the whole, or around it if it is longer."""
    if length >= whole:
        return first - (length - whole) // 2
    return min(max(round(middle - length / 2), first), first + whole - length)


def load_annotated(
    file: Path, image: Path, spec: QuPathCellsSpec | RegionsSpec, problems: Problems
) -> AnnotatedSlide | None:
    """Open a slide, read and check its annotations.

    The white point is the one of the source where it names one. Else it is measured on the slide's
    own glass by the tissue finder, exactly as scoring does; on a field without glass the brightest
    pixels have to stand in, and a warning is logged.

    Parameters
    ----------
    file
        The GeoJSON file.
    image
        The slide.
    spec
        What classes mean.
    problems
        Takes everything that is wrong.

    Returns
    -------
    AnnotatedSlide or None
        None where the slide or its annotations cannot be used.
    """
    before = len(problems)
    slide, given = open_annotated(image, spec, problems)
    if slide is None:
        return None
    with slide:
        info = slide.info
        cells, areas = read_drawings(file, spec, info, problems)
        places = _places(cells, areas, info.spacing)
        if len(problems) == before and not len(places):
            problems.add(file, "all its objects are to be ignored", "Annotate some cells.")
        if len(problems) > before:
            return None
        _try_places(slide, places, problems)
        white = _white(slide, spec, problems)
    if len(problems) > before:
        return None
    return AnnotatedSlide(
        image=image,
        given_mpp=given,
        spacing=info.spacing,
        bounds=info.bounds,
        white=white,
        cells=cells,
        areas=areas,
        places=places,
    )


def _white(slide: Slide, spec: QuPathCellsSpec | RegionsSpec, problems: Problems) -> FloatArray:
    if spec.white is not None:
        return np.array(spec.white, dtype=np.float32)
    try:
        finding = find_tissue(slide, load_config(overrides=["stain.check=false"]))
    except PathologyError as error:
        problems.add_error(slide.info.path, error)
        return np.full(3, 255, dtype=np.float32)
    if "white_point_uncertain" in finding.flags:
        _LOG.warning(
            "%s: too little glass to measure its colour; the brightest pixels stand in. "
            "Give the source's white if it is known.",
            slide.info.path,
        )
    return np.array(finding.white_point, dtype=np.float32)


def _places(cells: DrawnCells, areas: DrawnAreas, spacing: Spacing) -> AnyArray:
    """Return the centres (µm) of the squares that hold a usable cell or a part of an area."""
    scale = np.array([spacing.x, spacing.y])
    squares = {
        (int(column), int(row))
        for column, row in cells.centres_px[cells.usable] * scale // PLACE_UM
    }
    for shape in [areas.complete, *(shape for _, shape in areas.regions)]:
        squares |= _covered(shape, scale)
    found = np.array(sorted(squares, key=lambda square: square[::-1]), dtype=np.float64)
    return (found.reshape(-1, 2) + 0.5) * PLACE_UM


def _covered(shape: BaseGeometry, scale: AnyArray) -> set[tuple[int, int]]:
    """Return the squares that an area overlaps."""
    if shape.is_empty:
        return set()
    bounds = np.array(shape.bounds).reshape(2, 2) * scale // PLACE_UM
    (left, top), (right, bottom) = bounds.astype(int).tolist()
    x, y = np.meshgrid(np.arange(left, right + 1), np.arange(top, bottom + 1))
    corner = [(number * PLACE_UM / step) for number, step in ((x, scale[0]), (y, scale[1]))]
    tiles = shapely.box(
        corner[0], corner[1], corner[0] + PLACE_UM / scale[0], corner[1] + PLACE_UM / scale[1]
    )
    shapely.prepare(shape)
    hit = shapely.intersects(shape, tiles)
    return set(zip(x[hit].tolist(), y[hit].tolist(), strict=True))


def _try_places(slide: Slide, places: AnyArray, problems: Problems) -> None:
    """Read every place once: a damaged part of a slide is found before the training begins."""
    info, lost, last = slide.info, 0, ""
    width, height = (max(round(PLACE_UM / mpp), 1) for mpp in (info.spacing.x, info.spacing.y))
    for x, y in places.tolist():
        left = round(x / info.spacing.x - width / 2)
        top = round(y / info.spacing.y - height / 2)
        try:
            slide.read_region(Box0(x=left, y=top, width=width, height=height), mpp=info.spacing)
        except RegionReadError as error:
            lost, last = lost + 1, error.message
    if lost:
        problems.add(
            info.path,
            f"{lost:,} of {len(places):,} annotated places cannot be decoded ({last[-120:]})",
            "Copy or export the slide again.",
        )
