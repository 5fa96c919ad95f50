"""Pictures of what was found on real slides: an overview, and the places worth a closer look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pathology.cells.table import CellTable
from pathology.errors import PathologyError
from pathology.geometry import Box0, Spacing
from pathology.runs import SlideFolder, read_cells
from pathology.training.evidence.overlays import Marks, draw_dots, draw_outlines, side_by_side
from pathology.training.evidence.real import read_labels
from pathology.types import AnyArray, U8Array
from pathology.wsi import open_slide
from pathology.wsi.slide import Slide

__all__ = ["busy_places", "draw_overlays"]

#: Side of a crop, µm, and its pixel size.
CROP_UM, CROP_MPP = 160.0, 0.25
#: An overview is at most this large, px.
OVERVIEW_PX = 1400


def draw_overlays(data: Path, results: Path, out: Path) -> list[Path]:
    """Draw every slide of ``labels.csv`` that has cells: ``<name>-overview.jpg``, ``-crops.jpg``.

    Parameters
    ----------
    data
        Folder of the real slides.
    results
        Run folder that :func:`pathology.training.evidence.real.measure_real` filled.
    out
        Folder for the pictures; made if needed.

    Returns
    -------
    list of pathlib.Path
        The pictures.
    """
    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    for row in read_labels(data):
        path = data / row.file
        folder = SlideFolder(root=results, slide_id=path.stem)
        try:
            cells = CellTable.concat(list(read_cells(folder.cells)))
        except PathologyError:  # refused before any cell was looked for
            continue
        with open_slide(path) as slide:
            pictures += [
                _save(_overview(slide, cells), out / f"{path.stem}-overview.jpg"),
                _save(_crops(slide, cells), out / f"{path.stem}-crops.jpg"),
            ]
    return pictures


def _save(picture: U8Array, path: Path) -> Path:
    Image.fromarray(picture).save(path, "JPEG", quality=82)
    return path


def _overview(slide: Slide, cells: CellTable) -> U8Array:
    box, spacing = slide.info.bounds, slide.info.spacing
    longest = max(box.width * spacing.x, box.height * spacing.y)
    mpp = max(longest / OVERVIEW_PX, spacing.x, spacing.y)
    origin = (box.x * spacing.x, box.y * spacing.y)
    marks = Marks.of_table(cells, origin_um=origin)
    return draw_dots(slide.read(box, mpp=mpp), marks, mpp=mpp)


def _crops(slide: Slide, cells: CellTable) -> U8Array:
    rows = []
    for place in busy_places(cells):
        rgb, origin = _read_crop(slide, place)
        marks = Marks.of_table(cells.take(_near(cells, place)), origin_um=origin)
        rows.append([rgb, draw_outlines(rgb, marks, mpp=CROP_MPP, zoom=1)])
    return side_by_side(rows) if rows else np.full((8, 8, 3), 255, dtype=np.uint8)


def busy_places(cells: CellTable) -> list[tuple[float, float]]:
    """Find the squares with the most tumour, the most stained tumour, and the most other cells.

    Parameters
    ----------
    cells
        All cells of a slide.

    Returns
    -------
    list of tuple of float
        Middles (x, y) in µm; a square that is chosen twice counts once.
    """
    column = np.floor(cells.x_um / CROP_UM).astype(np.int64)
    line = np.floor(cells.y_um / CROP_UM).astype(np.int64)
    tumour = np.asarray(cells.is_tumour)
    places: dict[tuple[float, float], None] = {}
    for chosen in (tumour, tumour & (cells.pattern > 0), ~tumour):
        if not chosen.any():
            continue
        squares, counts = np.unique(
            np.stack([column[chosen], line[chosen]], axis=1), axis=0, return_counts=True
        )
        x, y = (squares[counts.argmax()] + 0.5) * CROP_UM
        places[float(x), float(y)] = None
    return list(places)


def _near(cells: CellTable, place: tuple[float, float]) -> AnyArray:
    reach = CROP_UM / 2 + 20.0  # outlines of cells outside reach into the crop
    close_x, close_y = (
        np.abs(at - middle) < reach
        for at, middle in zip((cells.x_um, cells.y_um), place, strict=True)
    )
    return np.asarray(close_x & close_y)


def _read_crop(slide: Slide, place: tuple[float, float]) -> tuple[U8Array, tuple[float, float]]:
    """Return a square of fixed size in pixels, and where it begins in µm."""
    spacing = slide.info.spacing
    side = round(CROP_UM / CROP_MPP)
    box = Box0(
        x=round((place[0] - CROP_UM / 2) / spacing.x),
        y=round((place[1] - CROP_UM / 2) / spacing.y),
        width=round(side * CROP_MPP / spacing.x),
        height=round(side * CROP_MPP / spacing.y),
    )
    rgb = slide.read(box, mpp=Spacing(x=CROP_MPP, y=CROP_MPP))
    full = np.full((side, side, 3), 255, dtype=np.uint8)
    height, width = min(side, rgb.shape[0]), min(side, rgb.shape[1])
    full[:height, :width] = rgb[:height, :width]
    return full, (box.x * spacing.x, box.y * spacing.y)
