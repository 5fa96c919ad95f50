"""What travels from the readers to the engine, and the interface of whoever reads tiles."""

from __future__ import annotations

from dataclasses import dataclass

from pathology.tiling.grid import TileGrid, TileRef
from pathology.types import U8Array

__all__ = ["TileBatch", "TileImage"]


@dataclass(frozen=True, kw_only=True)
class TileImage:
    """Hold the pixels of one tile, or the reason why there are none.

    Parameters
    ----------
    tile
        The tile.
    detail
        (tile_px + 2 halo, same, 3) uint8 at the model's pixel size; None where reading failed.
    context
        (tile_px / factor + 2 context_halo, same, 3) uint8 at the context pixel size; None where
        reading failed or the reader wants no context.
    error
        Why reading failed; empty where it did not.
    """

    tile: TileRef
    detail: U8Array | None
    context: U8Array | None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class TileBatch:
    """Hold tiles that were all read, to be worked on together.

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
    """

    grid: TileGrid
    tiles: tuple[TileRef, ...]
    detail: U8Array
    context: U8Array | None
    white: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not self.tiles or self.detail.ndim != 4 or len(self.detail) != len(self.tiles):
            raise ValueError("a batch needs one (H, W, 3) image for each of its tiles")
        if self.context is not None and len(self.context) != len(self.tiles):
            raise ValueError("a batch needs one context image for each of its tiles")
