"""A cell as a GeoJSON feature: its outline, its class and its measurements, in QuPath's words."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np
import orjson
import shapely

from pathology.cells.table import CELL_CLASSES, PATTERNS, CellTable
from pathology.errors import UsageError
from pathology.geometry import Spacing
from pathology.report.field import cell_polygons_um
from pathology.report.palette import CLASS_COLOURS, PATTERN_COLOURS, PATTERN_SHORT, RGB
from pathology.runs.result import SlideResult
from pathology.types import AnyArray

__all__ = [
    "MEASUREMENTS",
    "GeoJsonOptions",
    "cell_features",
    "class_name",
    "spacing_of",
    "uuid_head",
]

#: QuPath's names of classes; ``Stroma``, ``Immune cells`` and ``Other`` are in its default list.
_CLASS_NAMES: Final = {
    "in_situ": "In situ",
    "normal_epithelium": "Normal epithelium",
    "lymphoid": "Immune cells",
    "stroma": "Stroma",
    "other": "Other",
}
#: A tumour cell that entered no denominator: outside the annotated tumour, on an artefact.
_NOT_COUNTED: Final = "Tumor: not counted"
#: Names of the measurements, and the columns of ``cells.parquet`` that they repeat unchanged. The
#: form ``<part>: <stain> OD <statistic>`` and ``Cell: Area µm^2`` are QuPath's own (its cell and
#: membrane detection, WatershedCellMembraneDetection.java, and its shape features), so that its
#: scripts and maps of measurements work as they do on its own cells.
MEASUREMENTS: Final[tuple[tuple[str, str], ...]] = (
    ("Cell: Area µm^2", "area_um2"),
    ("Membrane: DAB OD mean", "membrane_od"),
    ("Membrane: DAB OD mean of stained part", "membrane_od_stained"),
    ("Membrane: Completeness", "membrane_completeness"),
    ("Cytoplasm: DAB OD median", "cytoplasm_od"),
    ("Tumor probability", "tumour_probability"),
)
#: Coordinates are within half of this of the table's, in µm.
_STEP_UM: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class GeoJsonOptions:
    """Say what the export holds.

    Parameters
    ----------
    tumour_only
        Leave out cells that do not count.
    points
        Write the centre instead of the outline; the objects are then detections.
    object_type
        What QuPath makes of an outline.
    simplify_um
        Drop points of an outline that lie within this distance of the simpler one, in µm; 0 keeps
        all 32.
    offset_px
        Level-0 pixels (x, y) that are subtracted from every coordinate.

    Raises
    ------
    ValueError
        If ``simplify_um`` is negative.

    Examples
    --------
    >>> GeoJsonOptions(points=True).kind
    'detection'
    """

    tumour_only: bool = False
    points: bool = False
    object_type: Literal["cell", "detection"] = "cell"
    simplify_um: float = 0.0
    offset_px: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not self.simplify_um >= 0:
            raise ValueError(f"simplify_um must be 0 or more, not {self.simplify_um!r}")

    @property
    def kind(self) -> str:
        """QuPath's type of the objects."""
        return "detection" if self.points else self.object_type


def class_name(cell_class: int, pattern: int, *, counted: bool = True) -> str:
    """Return QuPath's class of a cell.

    Parameters
    ----------
    cell_class
        Index into ``CELL_CLASSES``.
    pattern
        Index into ``PATTERNS``; plays no part unless the cell is tumour.
    counted
        Whether a tumour cell entered the score.

    Examples
    --------
    >>> class_name(0, 3), class_name(3, 0), class_name(0, 3, counted=False)
    ('Tumor: 2+ complete', 'Immune cells', 'Tumor: not counted')
    """
    name = CELL_CLASSES[cell_class]
    if name == "tumour" and not counted:
        return _NOT_COUNTED
    return f"Tumor: {PATTERN_SHORT[pattern]}" if name == "tumour" else _CLASS_NAMES[name]


def cell_features(
    table: CellTable,
    counted: AnyArray | None,
    result: SlideResult,
    options: GeoJsonOptions,
    *,
    first_id: int,
) -> Iterator[bytes]:
    """Yield one JSON object per cell."""
    counts = np.asarray(table.is_tumour if counted is None else counted)
    rows = np.flatnonzero(counts) if options.tumour_only else np.arange(table.n)
    cells, counts = table.take(rows), counts[rows]
    geometries = _geometries(cells, spacing_of(result), options)
    classes = _classifications()
    head = uuid_head(result.slide_id)
    columns = [(name, getattr(cells, column)) for name, column in MEASUREMENTS]
    tiles = cells.tile_id.tolist()
    kinds = zip(cells.cell_class.tolist(), cells.pattern.tolist(), counts.tolist(), strict=True)
    for index, (geometry, kind) in enumerate(zip(geometries, kinds, strict=True)):
        cell_id = first_id + int(rows[index])
        measurements: dict[str, Any] = {
            name: values[index] for name, values in columns if values[index] == values[index]
        }
        measurements["Cell id"] = cell_id
        measurements["Tile id"] = tiles[index]
        feature = {
            "type": "Feature",
            "id": f"{head}{cell_id:012x}",
            "geometry": geometry,
            "properties": {
                "objectType": options.kind,
                "classification": classes[kind],
                "measurements": measurements,
            },
        }
        yield orjson.dumps(feature, option=orjson.OPT_SERIALIZE_NUMPY)


def _classifications() -> dict[tuple[int, int, bool], dict[str, Any]]:
    """Return QuPath's class and colour for each class, pattern, and whether the cell counted."""
    table = {}
    for code, name in enumerate(CELL_CLASSES):
        for pattern in range(len(PATTERNS)):
            for counted in (False, True):
                shown = name == "tumour" and counted
                colour: RGB = PATTERN_COLOURS[pattern] if shown else CLASS_COLOURS[name]
                text = class_name(code, pattern, counted=counted)
                table[code, pattern, counted] = {"name": text, "color": list(colour)}
    return table


def uuid_head(slide_id: str) -> str:
    """Return all of a UUID but its last group: the same for the same slide, in any run.

    It is of version 8 (made by the application's own rule) and of the usual variant.
    """
    digest = hashlib.sha256(slide_id.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[12:15]}-8{digest[15:18]}-"


def _geometries(
    cells: CellTable, spacing: Spacing, options: GeoJsonOptions
) -> Iterator[dict[str, Any]]:
    """Yield the geometry of each cell, in level-0 pixels less the offset."""
    scale = np.array([spacing.x, spacing.y])
    offset = np.array(options.offset_px, dtype=np.float64)
    decimals = _decimals(spacing)
    centres = np.stack([cells.x_um, cells.y_um], axis=1).astype(np.float64) / scale - offset
    centres = np.round(centres, decimals)
    if options.points:
        for centre in centres:
            yield {"type": "Point", "coordinates": centre}
        return
    polygons = cell_polygons_um(cells)
    if options.simplify_um > 0:
        rings = (np.round(r / scale - offset, decimals) for r in _simple(polygons, options))
    else:
        closed = np.concatenate([polygons, polygons[:, :1]], axis=1)
        rings = iter(np.round(closed / scale - offset, decimals))
    # An outline without an area is no polygon; its cell is still written, as its centre.
    has_area = np.any(cells.outline_r, axis=1)
    for row, ring in enumerate(rings):
        if has_area[row]:
            yield {"type": "Polygon", "coordinates": [ring]}
        else:
            yield {"type": "Point", "coordinates": centres[row]}


def _decimals(spacing: Spacing) -> int:
    """Return how many decimals of a pixel keep a coordinate within half a step of 0.01 µm."""
    return max(1, math.ceil(math.log10(max(spacing.x, spacing.y) / _STEP_UM) - 1e-9))


def _simple(polygons: AnyArray, options: GeoJsonOptions) -> Iterator[AnyArray]:
    """Yield closed rings with fewer points."""
    closed = np.concatenate([polygons, polygons[:, :1]], axis=1)
    if not len(closed):
        return
    simple = shapely.simplify(shapely.polygons(closed), options.simplify_um, preserve_topology=True)
    for number, shape in enumerate(cast("Sequence[shapely.Polygon]", simple)):
        points = shapely.get_coordinates(shape)
        yield points if len(points) >= 4 else closed[number]


def spacing_of(result: SlideResult) -> Spacing:
    """Return the size of a level-0 pixel in µm."""
    if result.spacing is None:  # pragma: no cover - slides without a spacing are left out before
        raise UsageError(f"{result.slide_id}: the pixel size is not known")
    return Spacing(x=result.spacing.x, y=result.spacing.y)
