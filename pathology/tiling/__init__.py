"""Tiles: an integer grid over the slide, which tiles to read, and reading them ahead in batches."""

from __future__ import annotations

from pathology.tiling.ahead import map_ahead
from pathology.tiling.batch import TileBatch, TileImage
from pathology.tiling.grid import BLOCK_PX, InputSpec, TileGrid, TileRef, lay_grid
from pathology.tiling.selection import select_tiles, tissue_fractions
from pathology.tiling.source import MAX_MISSING_SHARE, TileSource, batches
from pathology.tiling.windows import SINGLE_TILES, TileWindow, WindowPlan, join_tiles

__all__ = [
    "BLOCK_PX",
    "MAX_MISSING_SHARE",
    "SINGLE_TILES",
    "InputSpec",
    "TileBatch",
    "TileGrid",
    "TileImage",
    "TileRef",
    "TileSource",
    "TileWindow",
    "WindowPlan",
    "batches",
    "join_tiles",
    "lay_grid",
    "map_ahead",
    "select_tiles",
    "tissue_fractions",
]
