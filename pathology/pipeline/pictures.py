"""The two pictures of a slide, drawn from what is stored of it: now or when it is scored again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pathology.cells.table import CellTable
from pathology.geometry import Spacing
from pathology.report import Backdrop, Outline, TileMarks, draw_heatmap, draw_overview
from pathology.runs import (
    OutputFile,
    SlideFolder,
    SlideResult,
    TileRow,
)
from pathology.scoring import TILE_FLAG
from pathology.tissue import Regions, TissueFinding
from pathology.types import U8Array

__all__ = ["write_pictures"]


def write_pictures(
    folder: SlideFolder,
    result: SlideResult,
    *,
    finding: TissueFinding,
    backdrop: U8Array,
    spacing: Spacing,
    regions: Regions | None,
    rows: Sequence[TileRow],
    cells: Iterable[CellTable],
    size_px: int,
) -> SlideResult:
    """Draw ``overview.png`` and, where there are tiles, ``heatmap.png``.

    Parameters
    ----------
    folder
        The slide's folder.
    result
        What the pictures say.
    finding
        Tissue and what was left out.
    backdrop
        (H, W, 3) uint8: the slide from afar, as ``backdrop.jpg`` holds it.
    spacing
        Size of a level-0 pixel in µm.
    regions
        Annotated regions, or None.
    rows
        The tiles.
    cells
        The cells that count, in pieces; only looked at where single cells can be seen.
    size_px
        Longest side of a picture.

    Returns
    -------
    SlideResult
        The result with the pictures among its files.
    """
    view = Backdrop(rgb=backdrop, box=finding.box, spacing=spacing)
    marks = TileMarks.from_rows(rows)
    overview = draw_overview(
        result,
        view,
        tissue=finding.tissue.mask,
        areas={kind: mask.mask for kind, mask in finding.excluded.items()},
        regions=Outline.from_regions(regions) if regions is not None else (),
        tiles=marks,
        size_px=size_px,
    )
    folder.write(folder.overview, overview)
    names = [folder.overview.name]
    if marks.n:
        dots = None if TILE_FLAG in result.flags else cells
        heatmap = draw_heatmap(result, view, marks, cells=dots, size_px=size_px)
        folder.write(folder.heatmap, heatmap)
        names.append(folder.heatmap.name)
    files = (*result.outputs, *(OutputFile(name=name) for name in names))
    return result.model_copy(update={"outputs": files})
