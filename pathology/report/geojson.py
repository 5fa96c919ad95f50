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
tumour, not counted     ``Tumor: not counted``             of the class
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
import pyarrow as pa

from pathology import __version__
from pathology.errors import UsageError
from pathology.report.folders import export_folder
from pathology.report.geojson_cells import (
    MEASUREMENTS,
    GeoJsonOptions,
    cell_features,
    class_name,
    spacing_of,
    uuid_head,
)
from pathology.report.geojson_script import import_script
from pathology.report.job import ExportJob, ExportOptions, ExportSlide, gather_job
from pathology.report.tile_geojson import tile_features
from pathology.report.tile_summary import summary_collection
from pathology.report.words import RESEARCH_USE_ONLY
from pathology.runs.atomic import disk_errors
from pathology.runs.cells import read_cell_columns, read_cells, read_schema_names
from pathology.runs.layout import CELLS, TILES
from pathology.runs.outputs import OutputFolder
from pathology.runs.result import SlideResult
from pathology.runs.tiles import read_tiles
from pathology.scoring import TILE_FLAG
from pathology.types import AnyArray

__all__ = ["MEASUREMENTS", "GeoJsonOptions", "class_name", "export_geojson"]

#: Cells whose outlines are worked out at once: some 4 MB.
_CHUNK = 2048
_MICRO: Final = "µ".encode()
#: Fast, and within a tenth of the smallest size on such text.
_GZIP_LEVEL = 4
_NOTE = (
    "Coordinates are level-0 pixels, x to the right and y down, from the top left of level 0, "
    "less offset_px: the corner of the scanned bounds where the slide's header names them (MIRAX "
    "and others), because QuPath counts from there."
)


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
    job = gather_job(run_dir, ExportOptions(slides=slides))
    folder = export_folder(job.root, out, "geojson")
    written = _write_cells(job, folder, options or GeoJsonOptions())
    if slides is not None and not written:
        raise UsageError(f"{job.root}: none of these slides has cells: {', '.join(slides)}")
    return written


def write_geojson(job: ExportJob, folder: OutputFolder) -> list[Path]:
    """Write cells and summary of every slide that has cells, and a script that imports them.

    Parameters
    ----------
    job
        The slides.
    folder
        Where to write.

    Returns
    -------
    list of pathlib.Path
        The files.
    """
    written = []
    for slide in job.slides:
        offset = job.offset_px(slide)
        choice = GeoJsonOptions(offset_px=offset)
        for path in _write_cells(job, folder, choice, slide):
            about = _about(slide, choice)
            summary = summary_collection(slide, about, offset_px=offset)
            name = f"{slide.result.slide_id}.summary.geojson"
            written += [path, folder.write(name, summary)]
        job.step(slide.result.slide_id)
    if written:
        written.append(folder.write("import_her2.groovy", import_script(job).encode()))
    return written


def _write_cells(
    job: ExportJob, folder: OutputFolder, options: GeoJsonOptions, only: ExportSlide | None = None
) -> list[Path]:
    written = []
    for slide in job.slides if only is None else (only,):
        cells = slide.tables / CELLS
        if slide.spacing is None or not cells.is_file():
            continue
        with folder.open(f"{slide.result.slide_id}.geojson.gz") as file, disk_errors(file.path):
            _write(file.stream, slide, cells, options)
        written.append(file.path)
    return written


def _write(stream: BinaryIO, slide: ExportSlide, cells: Path, options: GeoJsonOptions) -> None:
    """Write one slide; no name and no time go into the gzip header."""
    with gzip.GzipFile(
        filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=stream, mtime=0
    ) as packed:
        head = orjson.dumps({"type": "FeatureCollection", "properties": _about(slide, options)})
        packed.write(head[:-1] + b',"features":[')
        before = b"\n"
        for feature in _all_features(slide.result, cells, options):
            # The micro sign as an escape: QuPath on an old Java reads with the system's encoding.
            packed.write(before + feature.replace(_MICRO, b"\\u00b5"))
            before = b",\n"
        packed.write(b"\n]}\n")


def _all_features(result: SlideResult, cells: Path, options: GeoJsonOptions) -> Iterator[bytes]:
    """Yield one JSON object per cell; of a tile classifier's slide, one per tile."""
    if TILE_FLAG in result.flags:
        yield from tile_features(
            read_tiles(cells.with_name(TILES)),
            uuid_head=uuid_head(result.slide_id),
            offset_px=options.offset_px,
            tumour_only=options.tumour_only,
        )
        return
    first_id = 0
    for table, counted in zip(read_cells(cells), _counted(cells), strict=True):
        for start in range(0, table.n, _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, table.n))
            part, mask = table.take(rows), None if counted is None else counted[rows]
            yield from cell_features(part, mask, result, options, first_id=first_id)
            first_id += part.n
        # Arrow keeps what it has freed; a slide of millions of cells would let that pile up.
        pa.default_memory_pool().release_unused()


def _counted(cells: Path) -> Iterator[AnyArray | None]:
    """Yield which cells of each piece entered the score; None where an old table does not say."""
    if "evaluable" in read_schema_names(cells):
        for part in read_cell_columns(cells, ["evaluable"]):
            yield part["evaluable"]
        return
    for _ in read_cells(cells):
        yield None


def _about(slide: ExportSlide, options: GeoJsonOptions) -> dict[str, Any]:
    result = slide.result
    spacing = spacing_of(result)
    return {
        "slide_id": result.slide_id,
        "status": result.status,
        "ihc_score": result.ihc_score,
        "her2_tier": result.her2_tier,
        # Whether cells count as the run counted them, or in the regions that a reviewer signed.
        "counted_in": "run" if slide.counted is None else "review",
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
