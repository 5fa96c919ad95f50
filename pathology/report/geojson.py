"""Cells as GeoJSON, as QuPath reads it: one gzipped FeatureCollection per slide.

A slide that a tile classifier read has no cells: its tiles are written instead
(:mod:`pathology.report.tile_geojson`).

Coordinates are level-0 pixels (x to the right, y down) from the top left of level 0, because that
is what QuPath draws in. Where a header names scanned bounds (MIRAX, some Hamamatsu and Leica
files), QuPath shows only these and counts from their corner: give that corner as ``offset_px``.

======================  =================================  ======================
cell                    QuPath class                       colour
======================  =================================  ======================
tumour, by pattern      ``Tumor: 0 unstained``             of the pattern
                        ``Tumor: 1+ incomplete faint``
                        ``Tumor: 2+ incomplete moderate-intense``
                        ``Tumor: 2+ complete``
                        ``Tumor: 3+ complete intense``
in situ                 ``In situ``                        of the class
normal epithelium       ``Normal epithelium``              of the class
lymphoid                ``Immune cells``                   of the class
stroma                  ``Stroma``                         of the class
other                   ``Other``                          of the class
======================  =================================  ======================

The number before a tumour cell's pattern is the score that the pattern speaks for, not a score of
the cell or the slide.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, cast

import numpy as np
import orjson
import shapely

from pathology import __version__
from pathology.cells.table import CELL_CLASSES, PATTERNS, CellTable
from pathology.errors import UsageError
from pathology.geometry import Spacing
from pathology.report.field import cell_polygons_um
from pathology.report.folders import export_folder
from pathology.report.job import ExportJob, ExportSlide, gather_job
from pathology.report.palette import CLASS_COLOURS, PATTERN_COLOURS, PATTERN_SHORT, RGB
from pathology.report.tile_geojson import tile_features
from pathology.report.words import RESEARCH_USE_ONLY
from pathology.runs.atomic import AtomicFile, disk_errors
from pathology.runs.cells import read_cells
from pathology.runs.layout import CELLS, TILES
from pathology.runs.result import SlideResult
from pathology.runs.tiles import read_tiles
from pathology.scoring import TILE_FLAG
from pathology.types import AnyArray

__all__ = ["MEASUREMENTS", "GeoJsonOptions", "class_name", "export_geojson"]

#: QuPath's names of classes; ``Stroma``, ``Immune cells`` and ``Other`` are in its default list.
_CLASS_NAMES: Final = {
    "in_situ": "In situ",
    "normal_epithelium": "Normal epithelium",
    "lymphoid": "Immune cells",
    "stroma": "Stroma",
    "other": "Other",
}
#: Names of the measurements, and the columns of ``cells.parquet`` that they repeat unchanged.
MEASUREMENTS: Final[tuple[tuple[str, str], ...]] = (
    ("Membrane OD", "membrane_od"),
    ("Membrane OD, stained part", "membrane_od_stained"),
    ("Membrane completeness", "membrane_completeness"),
    ("Cytoplasm OD", "cytoplasm_od"),
    ("Area um^2", "area_um2"),
    ("Tumour probability", "tumour_probability"),
)
#: Coordinates keep one decimal: 0.1 px is 0.025 µm at 40x, an eighth of a step of the outline.
_DECIMALS = 1
#: Cells whose outlines are worked out at once: some 15 MB.
_CHUNK = 8192
#: Fast, and within a tenth of the smallest size on such text.
_GZIP_LEVEL = 4
_NOTE = (
    "Coordinates are level-0 pixels, x to the right and y down, from the top left of level 0, "
    "less offset_px. QuPath counts from the corner of the scanned bounds where the slide's header "
    "names them: export with that corner as the offset."
)


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


def class_name(cell_class: int, pattern: int) -> str:
    """Return QuPath's class of a cell.

    Parameters
    ----------
    cell_class
        Index into ``CELL_CLASSES``.
    pattern
        Index into ``PATTERNS``; plays no part unless the cell is tumour.

    Examples
    --------
    >>> class_name(0, 3), class_name(3, 0)
    ('Tumor: 2+ complete', 'Immune cells')
    """
    name = CELL_CLASSES[cell_class]
    return f"Tumor: {PATTERN_SHORT[pattern]}" if name == "tumour" else _CLASS_NAMES[name]


def export_geojson(
    run_dir: Path | str,
    out: Path | str | None = None,
    *,
    options: GeoJsonOptions | None = None,
    slides: Sequence[str] | None = None,
) -> list[Path]:
    """Write ``<slide_id>.geojson.gz`` for every slide of a run that has cells, or classified tiles.

    Memory does not grow with the number of cells, and the same run gives the same bytes.

    Parameters
    ----------
    run_dir
        The folder given as ``--out`` to ``her2 score``.
    out
        Folder for the files; default ``run_dir/exports/geojson``.
    options
        What to write; default: all cells, as outlines.
    slides
        Only these slide ids.

    Returns
    -------
    list of pathlib.Path
        The files, in the order of ``results.csv``. Slides without cells have none.

    Raises
    ------
    UsageError
        If there is no run, a slide id is not in it, or the folder cannot be made.
    SlideError
        If a table of cells is damaged, or the disk is full.
    """
    job = gather_job(run_dir, slides=slides)
    folder = export_folder(job.root, out, "geojson")
    written = [path for path, _ in _write_cells(job, folder, options or GeoJsonOptions())]
    if slides is not None and not written:
        raise UsageError(f"{job.root}: none of these slides has cells: {', '.join(slides)}")
    return written


def write_geojson(job: ExportJob, folder: Path) -> list[Path]:
    """Write the cells of every slide that has some, as QuPath counts their coordinates.

    Parameters
    ----------
    job
        The slides.
    folder
        Where to write; exists.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    written = []
    for path, slide in _write_cells(job, folder, None):
        written.append(path)
        job.step(slide.result.slide_id)
    return written


def _write_cells(
    job: ExportJob, folder: Path, options: GeoJsonOptions | None
) -> Iterator[tuple[Path, ExportSlide]]:
    for slide in job.slides:
        cells = slide.folder / CELLS
        if slide.spacing is None or not cells.is_file():
            continue
        path = folder / f"{slide.result.slide_id}.geojson.gz"
        with AtomicFile(path) as file, disk_errors(path):
            _write(file.stream, slide.result, cells, options or GeoJsonOptions())
        yield path, slide


def _write(stream: BinaryIO, result: SlideResult, cells: Path, options: GeoJsonOptions) -> None:
    """Write one slide; no name and no time go into the gzip header."""
    with gzip.GzipFile(
        filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0
    ) as packed:
        head = orjson.dumps({"type": "FeatureCollection", "properties": _about(result, options)})
        packed.write(head[:-1] + b',"features":[')
        before = b"\n"
        for feature in _all_features(result, cells, options):
            packed.write(before + feature)
            before = b",\n"
        packed.write(b"\n]}\n")


def _all_features(result: SlideResult, cells: Path, options: GeoJsonOptions) -> Iterator[bytes]:
    """Yield one JSON object per cell; of a tile classifier's slide, one per tile."""
    if TILE_FLAG in result.flags:
        yield from tile_features(
            read_tiles(cells.with_name(TILES)),
            uuid_head=_uuid_head(result.slide_id),
            offset_px=options.offset_px,
            tumour_only=options.tumour_only,
        )
        return
    first_id = 0
    for table in read_cells(cells):
        for start in range(0, table.n, _CHUNK):
            part = table.take(np.arange(start, min(start + _CHUNK, table.n)))
            yield from _features(part, result, options, first_id=first_id)
            first_id += part.n


def _about(result: SlideResult, options: GeoJsonOptions) -> dict[str, Any]:
    spacing = _spacing(result)
    return {
        "slide_id": result.slide_id,
        "status": result.status,
        "ihc_score": result.ihc_score,
        "her2_tier": result.her2_tier,
        "frame": "level-0 pixels",
        "origin": "top left of level 0",
        "offset_px": list(options.offset_px),
        "note": _NOTE,
        "um_per_px": [spacing.x, spacing.y],
        "model": result.model,
        "model_sha256": result.model_sha256,
        "config_hash": result.config_hash,
        "writer": f"her2-ihc {__version__}",
        "use": RESEARCH_USE_ONLY,
    }


def _spacing(result: SlideResult) -> Spacing:
    if result.spacing is None:  # pragma: no cover - slides without a spacing are left out before
        raise UsageError(f"{result.slide_id}: the pixel size is not known")
    return Spacing(x=result.spacing.x, y=result.spacing.y)


def _features(
    table: CellTable, result: SlideResult, options: GeoJsonOptions, *, first_id: int
) -> Iterator[bytes]:
    """Yield one JSON object per cell."""
    rows = np.flatnonzero(table.is_tumour) if options.tumour_only else np.arange(table.n)
    cells = table.take(rows)
    geometries = _geometries(cells, _spacing(result), options)
    classes = _classifications()
    uuid_head = _uuid_head(result.slide_id)
    columns = [(name, getattr(cells, column)) for name, column in MEASUREMENTS]
    tiles = cells.tile_id
    for index, geometry in enumerate(geometries):
        cell_id = first_id + int(rows[index])
        measurements: dict[str, Any] = {
            name: values[index] for name, values in columns if values[index] == values[index]
        }
        measurements["Cell id"] = cell_id
        measurements["Tile id"] = tiles[index]
        feature = {
            "type": "Feature",
            "id": f"{uuid_head}{cell_id:012x}",
            "geometry": geometry,
            "properties": {
                "objectType": options.kind,
                "classification": classes[cells.cell_class[index], cells.pattern[index]],
                "measurements": measurements,
            },
        }
        yield orjson.dumps(feature, option=orjson.OPT_SERIALIZE_NUMPY)


def _classifications() -> dict[tuple[int, int], dict[str, Any]]:
    """Return QuPath's class and colour for each class and pattern."""
    table = {}
    for code, name in enumerate(CELL_CLASSES):
        for pattern in range(len(PATTERNS)):
            tumour = name == "tumour"
            colour: RGB = PATTERN_COLOURS[pattern] if tumour else CLASS_COLOURS[name]
            table[code, pattern] = {"name": class_name(code, pattern), "color": list(colour)}
    return table


def _uuid_head(slide_id: str) -> str:
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
    centres = np.stack([cells.x_um, cells.y_um], axis=1).astype(np.float64) / scale - offset
    centres = np.round(centres, _DECIMALS)
    if options.points:
        for centre in centres:
            yield {"type": "Point", "coordinates": centre}
        return
    rings = _rings(cell_polygons_um(cells), options.simplify_um)
    for row, ring_um in enumerate(rings):
        ring = np.round(ring_um / scale - offset, _DECIMALS)
        # An outline without an area is no polygon; its cell is still written, as its centre.
        if cells.outline_r[row].any():
            yield {"type": "Polygon", "coordinates": [ring]}
        else:
            yield {"type": "Point", "coordinates": centres[row]}


def _rings(polygons: AnyArray, simplify_um: float) -> Iterator[AnyArray]:
    """Yield closed rings, simplified where asked for."""
    closed = np.concatenate([polygons, polygons[:, :1]], axis=1)
    if simplify_um <= 0 or not len(closed):
        yield from closed
        return
    simple = shapely.simplify(shapely.polygons(closed), simplify_um, preserve_topology=True)
    for number, shape in enumerate(cast("Sequence[shapely.Polygon]", simple)):
        points = shapely.get_coordinates(shape)
        yield points if len(points) >= 4 else closed[number]
