"""Which tiles are worth reading."""

from __future__ import annotations

import numpy as np

from pathology.geometry import Box0, Spacing
from pathology.tiling import InputSpec, lay_grid, select_tiles, tissue_fractions
from pathology.tissue.mask import TissueMask

SPEC = InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64)
SPACING = Spacing(x=0.5, y=0.5)
BOX = Box0(x=0, y=0, width=1024, height=1024)


def mask_of(pixels: np.ndarray) -> TissueMask:
    return TissueMask(mask=pixels, box=BOX, spacing=SPACING)


def test_a_tile_needs_enough_tissue() -> None:
    pixels = np.zeros((80, 80), dtype=np.bool_)  # a tile of 512 px covers 40 × 40 of them
    pixels[:5, :8] = True  # 40 of 1,600: 2.5 %
    pixels[45:50, 40:44] = True  # 20 of 1,600: 1.25 %
    grid = lay_grid(BOX, SPACING, SPEC, tile_px=512)
    mask = mask_of(pixels)
    np.testing.assert_allclose(tissue_fractions(list(grid), mask), [0.025, 0, 0, 0.0125])
    assert [tile.tile_id for tile in select_tiles(grid, mask, min_fraction=0.02)] == [0]
    assert [tile.tile_id for tile in select_tiles(grid, mask, min_fraction=0.0125)] == [0, 3]
    assert [tile.tile_id for tile in select_tiles(grid, mask, min_fraction=0.0)] == [0, 3]


def test_no_tissue_no_tiles() -> None:
    grid = lay_grid(BOX, SPACING, SPEC, tile_px=512)
    assert select_tiles(grid, mask_of(np.zeros((8, 8), dtype=np.bool_)), min_fraction=0.0) == []
    assert tissue_fractions([], mask_of(np.ones((8, 8), dtype=np.bool_))).shape == (0,)
