"""The heat map as OME-TIFF, aligned to the slide: numbers per square, not a picture.

One image of float32 with a channel for the density of tumour cells, for the share of each pattern
and for the mean membrane OD; coarser levels as sub-images. Readers take the size of a square from
``PhysicalSizeX`` and its place on the slide from ``PositionX`` (the left edge of the first square,
in µm from the top left of level 0).
"""

from __future__ import annotations

import hashlib
import io
import uuid
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile

from pathology import __version__
from pathology.report.heat_grid import HeatGrid, heat_grid
from pathology.report.job import ExportJob, ExportSlide
from pathology.report.palette import PATTERN_COLOURS, RGB
from pathology.report.words import RESEARCH_USE_ONLY
from pathology.runs.outputs import OutputFolder

__all__ = ["export_ome_tiff", "render_ome_tiff"]

_TILE_PX: Final = 128
_COLOURS: Final[tuple[RGB, ...]] = ((255, 255, 255), *reversed(PATTERN_COLOURS), (160, 90, 40))


def export_ome_tiff(job: ExportJob, folder: OutputFolder) -> list[Path]:
    """Write ``<slide_id>.ome.tiff`` for every slide that has cells, or classified tiles.

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

    Raises
    ------
    SlideError
        If a table is damaged, or a file cannot be written.
    """

    def make(slide: ExportSlide) -> bytes | None:
        grid = heat_grid(slide)
        return None if grid is None else render_ome_tiff(grid, name=slide.result.slide_id)

    return job.write_each(folder, ".ome.tiff", make)


def render_ome_tiff(grid: HeatGrid, *, name: str) -> bytes:
    """Return the file of a grid; the same grid gives the same bytes.

    Parameters
    ----------
    grid
        The counts.
    name
        What the image is called in the file.
    """
    levels = [grid]
    while max(levels[-1].counts.shape[1:]) > _TILE_PX:
        levels.append(levels[-1].coarser())
    names, values = grid.channels()
    stream = io.BytesIO()
    common: dict[str, Any] = {
        "photometric": "minisblack",
        "tile": (_TILE_PX, _TILE_PX),
        "compression": "zlib",
        "software": f"her2-ihc {__version__}",
    }
    with tifffile.TiffWriter(stream, ome=True) as file:
        file.write(
            values,
            subifds=len(levels) - 1,
            metadata=_metadata(grid, names, values, name),
            resolution=_resolution(grid),
            resolutionunit="CENTIMETER",
            **common,
        )
        for level in levels[1:]:
            file.write(
                level.channels()[1],
                subfiletype=1,
                resolution=_resolution(level),
                resolutionunit="CENTIMETER",
                **common,
            )
    return stream.getvalue()


def _resolution(grid: HeatGrid) -> tuple[float, float]:
    """Return squares per cm."""
    return 1e4 / (grid.side_px * grid.spacing.x), 1e4 / (grid.side_px * grid.spacing.y)


def _metadata(grid: HeatGrid, names: tuple[str, ...], values: Any, name: str) -> dict[str, Any]:
    n = len(names)
    digest = hashlib.sha256(name.encode() + np.ascontiguousarray(values).tobytes()).digest()
    return {
        "axes": "CYX",
        "Name": name,
        "Description": (
            f"HER2 heat map, {RESEARCH_USE_ONLY.lower()}. A pixel is {grid.side_px} level-0 pixels "
            f"wide; the first begins at level-0 pixel {grid.box.x}, {grid.box.y}."
        ),
        # From the content (version 5: named by a hash) in place of a random number.
        "UUID": str(uuid.UUID(bytes=digest[:16], version=5)),
        "PhysicalSizeX": grid.side_px * grid.spacing.x,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": grid.side_px * grid.spacing.y,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": list(names), "Color": [_signed(rgb) for rgb in _COLOURS]},
        "Plane": {
            "PositionX": [grid.box.x * grid.spacing.x] * n,
            "PositionXUnit": ["µm"] * n,
            "PositionY": [grid.box.y * grid.spacing.y] * n,
            "PositionYUnit": ["µm"] * n,
        },
    }


def _signed(rgb: RGB) -> int:
    """Return a colour as OME writes it: RGBA in a signed number of 32 bits."""
    red, green, blue = rgb
    value = red << 24 | green << 16 | blue << 8 | 255
    return value - (1 << 32) if value >= 1 << 31 else value
