"""Tiles: an integer grid over the slide, which tiles to read, and reading them ahead in batches."""

from __future__ import annotations

from pathology.tiling.batch import TileBatch, TileImage
from pathology.tiling.grid import BLOCK_PX, InputSpec, TileGrid, TileRef, lay_grid
from pathology.tiling.selection import select_tiles, tissue_fractions
from pathology.tiling.source import MAX_MISSING_SHARE, TileSource, batches

__all__ = [
    "BLOCK_PX",
    "MAX_MISSING_SHARE",
    "InputSpec",
    "TileBatch",
    "TileGrid",
    "TileImage",
    "TileRef",
    "TileSource",
    "batches",
    "lay_grid",
    "select_tiles",
    "tissue_fractions",
]
