"""What travels from the readers to the engine, and the interface of whoever reads tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pathology.tiling.grid import TileGrid, TileRef
from pathology.tiling.windows import TileWindow
from pathology.types import U8Array

__all__ = ["TileBatch", "TileImage"]


@dataclass(frozen=True, kw_only=True)
class TileImage:
    """Hold the pixels of one window, or the reason why there are none.

    Parameters
    ----------
    window
        The window; where reading failed, that of a single tile.
    detail
        (H, W, 3) uint8 at the model's pixel size: the window and its halo; None where reading
        failed.
    context
        (h, w, 3) uint8 at the context pixel size: the window and its wider halo; None where reading
        failed or the reader wants no context.
    error
        Why reading failed; empty where it did not.
    """

    window: TileWindow
    detail: U8Array | None
    context: U8Array | None
    error: str = ""

    @property
    def tile(self) -> TileRef:
        """The first tile; of a window of one, the tile."""
        return self.window.tiles[0]


@dataclass(frozen=True, kw_only=True)
class TileBatch:
    """Hold tiles that were all read, to be worked on together.

    There is one image for each window; without windows, one for each tile.

    Parameters
    ----------
    grid
        The grid that the tiles belong to.
    tiles
        At least one tile.
    detail
        (B, H, W, 3) uint8.
    context
        (B, h, w, 3) uint8, or None where the reader wants no context.
    white
        Colour of the slide's glass: three values 1 to 255.
    windows
        The windows that the images show, if they hold more than one tile each; ``tiles`` are then
        theirs, in the same order.
    """

    grid: TileGrid
    tiles: tuple[TileRef, ...]
    detail: U8Array
    context: U8Array | None
    white: tuple[float, float, float]
    windows: tuple[TileWindow, ...] = ()

    def __post_init__(self) -> None:
        images = len(self.windows) or len(self.tiles)
        if not self.tiles or self.detail.ndim != 4 or len(self.detail) != images:
            raise ValueError("a batch needs one (H, W, 3) image for each of its tiles")
        if self.context is not None and len(self.context) != images:
            raise ValueError("a batch needs one context image for each of its tiles")
        if self.windows and self.tiles != tuple(t for w in self.windows for t in w.tiles):
            raise ValueError("the tiles of a batch must be those of its windows")

    @property
    def shown(self) -> tuple[TileWindow, ...]:
        """What each image shows."""
        return self.windows or tuple(TileWindow.of(tile) for tile in self.tiles)

    def part(self, first: int, last: int) -> TileBatch:
        """Return the batch of the images ``first`` to ``last - 1``."""
        shown = self.shown[first:last]
        return replace(
            self,
            tiles=tuple(tile for window in shown for tile in window.tiles),
            detail=self.detail[first:last],
            context=None if self.context is None else self.context[first:last],
            windows=self.windows[first:last],
        )

    def core_pixels(self) -> Iterator[U8Array]:
        """Yield the (tile_px, tile_px, 3) detail pixels of each tile's core, in order."""
        side = self.grid.tile_px
        for window, image in zip(self.shown, self.detail, strict=True):
            for tile in window.tiles:
                x, y = window.corner_px(self.grid, tile)
                yield image[y : y + side, x : x + side]
