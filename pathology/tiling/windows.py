"""Join neighbouring tiles into windows that are read and worked on as one picture.

Every picture needs a halo around it. Two by two tiles of 512 pixels in one window share theirs: the
network then works on a quarter less, and the reader reads a fifth less. Which tiles are read,
and which fail, stays a matter of single tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pathology.geometry import Box0
from pathology.tiling.grid import TileGrid, TileRef

__all__ = ["SINGLE_TILES", "TileWindow", "WindowPlan", "join_tiles"]


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """Say how a reader wants tiles to be joined.

    Parameters
    ----------
    side
        Tiles along the side of a window, at least 1; 1: every tile alone.
    whole
        Windows are ``side`` by ``side`` tiles also where fewer are wanted, so that all pictures
        have one shape; else they end with the outermost tiles that are wanted.

    Raises
    ------
    ValueError
        If ``side`` is below 1.
    """

    side: int = 1
    whole: bool = False

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ValueError("a window holds at least one tile")


#: Every tile alone.
SINGLE_TILES = WindowPlan()


@dataclass(frozen=True, kw_only=True)
class TileWindow:
    """Name a rectangle of tiles, and those among them that are wanted.

    Parameters
    ----------
    col, row
        Column and row in the grid of the top-left tile.
    core
        The part of level 0 that the rectangle covers.
    tiles
        The tiles that are wanted, by row and then column.
    """

    col: int
    row: int
    core: Box0
    tiles: tuple[TileRef, ...]

    @classmethod
    def of(cls, tile: TileRef) -> TileWindow:
        """Return the window of a single tile."""
        return cls(col=tile.col, row=tile.row, core=tile.core, tiles=(tile,))

    def corner_px(self, grid: TileGrid, tile: TileRef) -> tuple[int, int]:
        """Return x and y of a tile's core in the window's detail image, in pixels."""
        return (
            grid.spec.halo_px + (tile.col - self.col) * grid.tile_px,
            grid.spec.halo_px + (tile.row - self.row) * grid.tile_px,
        )


def join_tiles(
    grid: TileGrid, tiles: Sequence[TileRef], plan: WindowPlan = SINGLE_TILES
) -> list[TileWindow]:
    """Join tiles into windows; the same tiles always make the same windows.

    Parameters
    ----------
    grid
        The grid that the tiles belong to.
    tiles
        The tiles that are wanted, in grid order.
    plan
        How large the windows are. They lie in blocks of ``side`` by ``side`` tiles from the grid's
        first tile on.

    Returns
    -------
    list of TileWindow
        By the row and then the column of their blocks; every tile is in one of them. With a
        ``side`` of 1 they are the tiles in the order given.

    Examples
    --------
    >>> from pathology.geometry import Spacing
    >>> from pathology.tiling.grid import InputSpec, lay_grid
    >>> spec = InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64)
    >>> grid = lay_grid(Box0(x=0, y=0, width=1024, height=1024), Spacing(x=0.5, y=0.5), spec,
    ...                 tile_px=256)
    >>> windows = join_tiles(grid, list(grid)[1:], WindowPlan(side=2))
    >>> [[tile.tile_id for tile in window.tiles] for window in windows[:2]]
    [[1, 4, 5], [2, 3, 6, 7]]
    """
    if plan.side == 1:
        return [TileWindow.of(tile) for tile in tiles]
    blocks: dict[tuple[int, int], list[TileRef]] = {}
    for tile in tiles:
        blocks.setdefault((tile.row // plan.side, tile.col // plan.side), []).append(tile)
    return [_window(grid, blocks[place], place, plan) for place in sorted(blocks)]


def _window(
    grid: TileGrid, tiles: list[TileRef], place: tuple[int, int], plan: WindowPlan
) -> TileWindow:
    rows, cols = [tile.row for tile in tiles], [tile.col for tile in tiles]
    row, below, col, right = min(rows), max(rows) + 1, min(cols), max(cols) + 1
    if plan.whole:
        row, col = place[0] * plan.side, place[1] * plan.side
        below, right = row + plan.side, col + plan.side
    core = Box0(
        x=grid.box.x + col * grid.core_width,
        y=grid.box.y + row * grid.core_height,
        width=(right - col) * grid.core_width,
        height=(below - row) * grid.core_height,
    )
    return TileWindow(col=col, row=row, core=core, tiles=tuple(tiles))
