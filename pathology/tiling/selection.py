"""Choose the tiles that are worth reading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pathology.tiling.grid import TileGrid, TileRef
from pathology.tissue.mask import TissueMask
from pathology.types import AnyArray

__all__ = ["select_tiles", "tissue_fractions"]


def tissue_fractions(tiles: Sequence[TileRef], tissue: TissueMask) -> AnyArray:
    """Return the share of each tile's core that is tissue.

    Parameters
    ----------
    tiles
        The tiles.
    tissue
        Where tissue is.

    Returns
    -------
    numpy.ndarray
        (n,) float64, 0 to 1.
    """
    return np.array([tissue.fraction(tile.core) for tile in tiles], dtype=np.float64)


def select_tiles(grid: TileGrid, tissue: TissueMask, *, min_fraction: float) -> list[TileRef]:
    """Choose the tiles with enough tissue.

    Parameters
    ----------
    grid
        All tiles.
    tissue
        Where tissue is.
    min_fraction
        Smallest share (0 to 1) of a core that must be tissue. Tiles without any are never chosen.

    Returns
    -------
    list of TileRef
        In row-major order.

    Examples
    --------
    >>> from pathology.geometry import Box0, Spacing
    >>> from pathology.tiling import InputSpec, lay_grid
    >>> box, spacing = Box0(x=0, y=0, width=1024, height=512), Spacing(x=0.5, y=0.5)
    >>> spec = InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64)
    >>> mask = TissueMask(mask=np.array([[True, False]]), box=box, spacing=spacing)
    >>> grid = lay_grid(box, spacing, spec, tile_px=512)
    >>> [tile.tile_id for tile in select_tiles(grid, mask, min_fraction=0.02)]
    [0]
    """
    chosen = []
    for tile in grid:
        fraction = tissue.fraction(tile.core)
        if fraction > 0 and fraction >= min_fraction:
            chosen.append(tile)
    return chosen
