"""The pictures of a finished slide, drawn again from what lies beside its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pathology.cells.table import CellTable
from pathology.errors import SlideError
from pathology.geometry import Box0
from pathology.report.job import ExportSlide
from pathology.report.pictures import (
    Figure,
    heatmap_figure,
    overview_figure,
)
from pathology.report.scene import Backdrop, Outline, TileMarks
from pathology.runs.cells import read_cells
from pathology.runs.ground import read_ground
from pathology.runs.slide_folder import SlideFolder
from pathology.runs.tiles import read_tiles
from pathology.scoring import TILE_FLAG
from pathology.types import BoolArray

__all__ = ["StoredScene", "read_scene_or_reason"]


@dataclass(frozen=True, kw_only=True)
class StoredScene:
    """Hold what the pictures of a slide are made from.

    Parameters
    ----------
    slide
        The slide, under the name that the pictures say.
    backdrop
        The slide from afar.
    tissue
        (H, W) bool over the backdrop's box.
    areas
        What was left out, by kind, over the same box.
    regions
        Annotated outlines.
    tiles
        Tiles; None where the slide has none.
    """

    slide: ExportSlide
    backdrop: Backdrop
    tissue: BoolArray
    areas: Mapping[str, BoolArray]
    regions: tuple[Outline, ...]
    tiles: TileMarks | None

    @classmethod
    def read(cls, slide: ExportSlide) -> StoredScene | None:
        """Read the scene of a slide.

        Returns
        -------
        StoredScene or None
            None where the run did not store one: the slide was never opened, or an older version
            of the program scored it.

        Raises
        ------
        SlideError
            If a file is damaged.
        """
        folder = SlideFolder(root=slide.folder.parent.parent, slide_id=slide.source.slide_id)
        spacing, grid = slide.spacing, slide.source.grid
        stored = folder.tissue.is_file() and folder.backdrop.is_file()
        if spacing is None or grid is None or not stored:
            return None
        box = Box0(x=grid.box.x, y=grid.box.y, width=grid.box.width, height=grid.box.height)
        ground = read_ground(folder, box=box, spacing=spacing)
        marks = TileMarks.from_rows(read_tiles(folder.tiles)) if folder.tiles.is_file() else None
        return cls(
            slide=slide,
            backdrop=Backdrop(rgb=ground.backdrop, box=box, spacing=spacing),
            tissue=ground.tissue.mask,
            areas={kind: mask.mask for kind, mask in ground.excluded.items()},
            regions=() if ground.regions is None else Outline.from_regions(ground.regions),
            tiles=marks if marks is not None and marks.n else None,
        )

    def overview(self, room: tuple[int, int]) -> Figure:
        """Draw the overview alone; ``room`` is the width and height that it may take, in px."""
        return overview_figure(
            self.backdrop,
            tissue=self.tissue,
            areas=self.areas,
            regions=self.regions,
            tiles=self.tiles,
            room=room,
        )

    def heatmap(self, room: tuple[int, int]) -> Figure | None:
        """Draw the heat map alone; None where there are no tiles."""
        if self.tiles is None:
            return None
        whole = TILE_FLAG in self.slide.result.flags
        return heatmap_figure(
            self.backdrop, self.tiles, cells=self._cells(), whole=whole, room=room
        )

    def _cells(self) -> Iterator[CellTable] | None:
        path = self.slide.folder / "cells.parquet"
        if TILE_FLAG in self.slide.result.flags or not path.is_file():
            return None
        return read_cells(path)


def read_scene_or_reason(slide: ExportSlide) -> tuple[StoredScene | None, str]:
    """Read the scene of a slide; where it cannot be, say why in a sentence for a page.

    Returns
    -------
    tuple
        The scene and an empty text, or None and the sentence.
    """
    try:
        scene = StoredScene.read(slide)
    except SlideError:
        return None, (
            "No pictures: tissue.png, backdrop.jpg or tiles.parquet of this slide is damaged. "
            "Score the slide again."
        )
    if scene is None:
        return None, (
            "No pictures: the slide could not be opened, or was scored by a version of the "
            "program that did not store what they are drawn from."
        )
    return scene, ""
