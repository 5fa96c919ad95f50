"""Regions that people drew on a slide: where tumour is, and what must not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry import box as shapely_box

from pathology.errors import RegionsError
from pathology.geometry import Size0
from pathology.tissue.geojson import read_polygons
from pathology.tissue.mask import TissueMask
from pathology.types import AnyArray, BoolArray
from pathology.wsi.slide import SlideInfo

__all__ = [
    "REGION_FLAGS",
    "RegionKind",
    "Regions",
    "find_regions_file",
    "load_regions",
    "read_regions",
    "region_kind",
]

#: Flags that a region file may bring, without the name behind ``unknown_region_class:``.
REGION_FLAGS: frozenset[str] = frozenset(
    {"regions_partly_outside", "regions_repaired", "unknown_region_class"}
)


class RegionKind(IntEnum):
    """Name what a drawn region means; the value is the code of a point inside it.

    ``OUTSIDE`` is the code of points in no region. Where regions overlap, the highest code wins:
    what must not count wins over tumour.
    """

    OUTSIDE = 0
    TUMOUR = 1
    IGNORE = 2
    EXCLUDE = 3
    IN_SITU = 4
    CONTROL = 5


#: Class names as they are written, in lower case, without blanks, hyphens and underscores.
_NAMES: Mapping[str, RegionKind] = {
    "tumor": RegionKind.TUMOUR,
    "tumour": RegionKind.TUMOUR,
    "invasive": RegionKind.TUMOUR,
    "invasivetumor": RegionKind.TUMOUR,
    "invasivetumour": RegionKind.TUMOUR,
    "invasivecarcinoma": RegionKind.TUMOUR,
    "exclude": RegionKind.EXCLUDE,
    "excluded": RegionKind.EXCLUDE,
    "exclusion": RegionKind.EXCLUDE,
    "insitu": RegionKind.IN_SITU,
    "carcinomainsitu": RegionKind.IN_SITU,
    "insitucarcinoma": RegionKind.IN_SITU,
    "dcis": RegionKind.IN_SITU,
    "lcis": RegionKind.IN_SITU,
    "control": RegionKind.CONTROL,
    "controltissue": RegionKind.CONTROL,
}


def region_kind(name: str) -> RegionKind | None:
    """Read a class name; None where it is not known.

    Parameters
    ----------
    name
        Class as QuPath writes it. Case, blanks, hyphens and underscores do not matter; every name
        that begins with "ignore" is ``IGNORE`` (QuPath's ``Ignore*``). Of a derived class
        ("Tumor: Positive") the base counts.

    Examples
    --------
    >>> region_kind("In situ").name, region_kind("Ignore*").name, region_kind("Stroma")
    ('IN_SITU', 'IGNORE', None)
    """
    key = "".join(part for part in name.split(":")[0].casefold() if part not in " -_*\t")
    if key.startswith("ignore"):
        return RegionKind.IGNORE
    return _NAMES.get(key)


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Hold the regions of one slide.

    Parameters
    ----------
    shapes
        One valid shape per kind that the file has, level-0 pixels.
    flags
        ``regions_repaired`` (an outline crossed itself), ``regions_partly_outside`` and
        ``unknown_region_class:NAME``; sorted.

    Examples
    --------
    >>> square = shapely_box(0, 0, 10, 10)
    >>> hole = shapely_box(4, 4, 6, 6)
    >>> regions = Regions(shapes={RegionKind.TUMOUR: square, RegionKind.IGNORE: hole})
    >>> regions.classify_points([1.0, 5.0, 20.0], [1.0, 5.0, 5.0]).tolist()
    [1, 2, 0]
    >>> regions.counts_as_tumour([1.0, 5.0, 20.0], [1.0, 5.0, 5.0]).tolist()
    [True, False, False]
    """

    shapes: Mapping[RegionKind, Polygon | MultiPolygon]
    flags: tuple[str, ...] = field(default=())

    @property
    def has_tumour(self) -> bool:
        """True where tumour was drawn: then only cells inside it count."""
        return RegionKind.TUMOUR in self.shapes

    def classify_points(
        self, x_px: Sequence[float] | AnyArray, y_px: Sequence[float] | AnyArray
    ) -> NDArray[np.uint8]:
        """Say which region each point lies in.

        Parameters
        ----------
        x_px, y_px
            (n,) float, level-0 pixels.

        Returns
        -------
        numpy.ndarray
            (n,) uint8, values of :class:`RegionKind`; 0 outside all regions. A point on an outline
            is outside.
        """
        x, y = np.asarray(x_px, dtype=np.float64), np.asarray(y_px, dtype=np.float64)
        codes = np.zeros(x.shape, dtype=np.uint8)
        for kind in sorted(self.shapes):
            shape = self.shapes[kind]
            left, top, right, bottom = shape.bounds
            near = np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))
            if near.size == 0:
                continue
            shapely.prepare(shape)
            inside = shapely.contains_xy(shape, x[near], y[near])
            codes[near[inside]] = int(kind)
        return codes

    def counts_as_tumour(
        self, x_px: Sequence[float] | AnyArray, y_px: Sequence[float] | AnyArray
    ) -> BoolArray:
        """Say at which points a tumour cell counts.

        Where tumour was drawn, inside it only; else everywhere but in regions that never count.

        Parameters
        ----------
        x_px, y_px
            (n,) float, level-0 pixels.

        Returns
        -------
        numpy.ndarray
            (n,) bool.
        """
        codes = self.classify_points(x_px, y_px)
        wanted = codes == RegionKind.TUMOUR
        if not self.has_tumour:
            wanted = codes == RegionKind.OUTSIDE
        return np.asarray(wanted, dtype=np.bool_)

    def rasterize(self, mask_like: TissueMask) -> dict[RegionKind, BoolArray]:
        """Draw each kind of region on the pixels of a mask.

        Parameters
        ----------
        mask_like
            Gives the box and the number of pixels.

        Returns
        -------
        dict of RegionKind to numpy.ndarray
            (H, W) bool per kind: True where the pixel's centre lies in a region of that kind. Kinds
            may overlap.
        """
        height, width = mask_like.mask.shape
        frame = mask_like.box
        x = frame.x + (np.arange(width) + 0.5) * frame.width / width
        y = frame.y + (np.arange(height) + 0.5) * frame.height / height
        drawn: dict[RegionKind, BoolArray] = {}
        for kind, shape in self.shapes.items():
            out = np.zeros((height, width), dtype=np.bool_)
            shapely.prepare(shape)
            left, top, right, bottom = shape.bounds
            rows = np.flatnonzero((y >= top) & (y <= bottom))
            columns = np.flatnonzero((x >= left) & (x <= right))
            for row in rows:  # a row at a time: memory stays that of one row
                out[row, columns] = shapely.contains_xy(shape, x[columns], y[row])
            drawn[kind] = out
        return drawn


def load_regions(path: Path, info: SlideInfo) -> Regions:
    """Read the regions of a slide from a GeoJSON file as QuPath exports it.

    Classes: Tumor (also Tumour, Invasive), Ignore*, Exclude, In situ (DCIS), Control, in any case.
    Polygons of other classes are not used, and named in a flag.

    Parameters
    ----------
    path
        The file; coordinates in level-0 pixels from the top left.
    info
        The slide that the regions belong to.

    Returns
    -------
    Regions
        Shapes per kind, cut to the slide.

    Raises
    ------
    RegionsError
        If the file is not valid GeoJSON, too large, holds no polygon of a known class, or every
        polygon lies outside the slide.
    """
    return read_regions(path, size=info.size, slide_name=info.path.name)


def read_regions(path: Path, *, size: Size0, slide_name: str) -> Regions:
    """Read regions where the slide itself need not be open; as :func:`load_regions`.

    Parameters
    ----------
    path
        The file.
    size
        Width and height of level 0.
    slide_name
        File name of the slide, for messages.
    """
    frame = shapely_box(0, 0, size.width, size.height)
    flags: set[str] = set()
    parts: dict[RegionKind, list[Polygon]] = {}
    polygons = read_polygons(path)
    inside = [item for item in polygons if item.polygon.intersects(frame)]
    if not inside:
        raise RegionsError(
            f"{path}: every region lies outside the slide {slide_name} "
            f"({size.width} × {size.height} px)",
            fix="Check that the file belongs to this slide and is in level-0 pixels, not µm.",
        )
    for item in polygons:
        kind = region_kind(item.name)
        if kind is None:
            flags.add(f"unknown_region_class:{_clean(item.name) or 'none'}")
            continue
        if item.repaired:
            flags.add("regions_repaired")
        if not frame.contains(item.polygon):
            flags.add("regions_partly_outside")
        parts.setdefault(kind, []).append(item.polygon)
    shapes = {kind: _union(items, frame) for kind, items in sorted(parts.items())}
    known = {kind: shape for kind, shape in shapes.items() if not shape.is_empty}
    if not known:
        names = ", ".join(sorted({_clean(item.name) or "none" for item in polygons})[:10])
        raise RegionsError(
            f"{path}: no region of a known class on the slide (classes found: {names})",
            fix="Use the classes Tumor, Ignore*, Exclude, In situ or Control.",
        )
    return Regions(shapes=known, flags=tuple(sorted(flags)))


def find_regions_file(folder: Path, slide_path: Path) -> Path | None:
    """Find the region file of a slide in a folder.

    Parameters
    ----------
    folder
        Where region files lie.
    slide_path
        The slide; ``<name without suffix>`` or ``<whole file name>`` with ``.geojson``,
        ``.geojson.gz`` or ``.json`` is looked for, the whole file name first, so that two slides
        that differ in their suffix only can have a file each.

    Returns
    -------
    pathlib.Path or None
        The file, or None.
    """
    for stem in (slide_path.name, slide_path.stem):
        for suffix in (".geojson", ".geojson.gz", ".json"):
            candidate = folder / f"{stem}{suffix}"
            if candidate.is_file():
                return candidate
    return None


def _union(polygons: list[Polygon], frame: Polygon) -> Polygon | MultiPolygon:
    """Join polygons and cut them to the slide; lines and points that cutting leaves are dropped."""
    joined = shapely.intersection(shapely.union_all(polygons), frame)
    parts = [part for part in shapely.get_parts(joined) if isinstance(part, Polygon)]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _clean(name: str) -> str:
    """Make a class name safe for a column of flags joined by semicolons."""
    return "".join(c if c.isprintable() and c not in ";,:" else " " for c in name).strip()[:40]
