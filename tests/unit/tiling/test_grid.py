"""The tile grid at its limits."""

from __future__ import annotations

import numpy as np
import pytest

from pathology.geometry import Box0, Spacing
from pathology.tiling import InputSpec, TileBatch, TileGrid, lay_grid

SPEC = InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64)
BOX = Box0(x=-3, y=5, width=1000, height=700)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mpp": 0.0}, "not plausible"),
        ({"mpp": 11.0}, "not plausible"),
        ({"context_factor": 3}, "context_factor"),
        ({"halo_px": 63}, "halo_px must be"),
        ({"halo_px": -64}, "halo_px must be"),
        ({"context_halo_px": 15}, "context_halo_px"),
        ({"context_halo_px": -16}, "context_halo_px"),
    ],
)
def test_specifications_that_do_not_fit(changes: dict[str, float], words: str) -> None:
    good = {"mpp": 0.5, "halo_px": 64, "context_factor": 4, "context_halo_px": 64}
    with pytest.raises(ValueError, match=words):
        InputSpec(**(good | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("tile_px", [0, 63, 100])
def test_tiles_are_whole_blocks(tile_px: int) -> None:
    with pytest.raises(ValueError, match="multiple of 64"):
        lay_grid(BOX, Spacing(x=0.5, y=0.5), SPEC, tile_px=tile_px)


def test_blocks_have_pixels() -> None:
    with pytest.raises(ValueError, match="at least one level-0 pixel"):
        TileGrid(box=BOX, spacing=Spacing(x=1, y=1), spec=SPEC, tile_px=64, block_x=0, block_y=1)


@pytest.mark.parametrize(("col", "row"), [(-1, 0), (0, -1), (2, 0), (0, 2)])
def test_no_such_tile(col: int, row: int) -> None:
    grid = lay_grid(BOX, Spacing(x=0.5, y=0.5), SPEC, tile_px=512)
    with pytest.raises(IndexError, match="no tile"):
        grid.tile(col=col, row=row)


def test_batches_check_themselves() -> None:
    grid = lay_grid(BOX, Spacing(x=0.5, y=0.5), SPEC, tile_px=512)
    image, white = np.zeros((1, 4, 4, 3), dtype=np.uint8), (240.0, 240.0, 240.0)
    with pytest.raises(ValueError, match=r"one .* image for each"):
        TileBatch(grid=grid, tiles=(), detail=image, context=None, white=white)
    with pytest.raises(ValueError, match="one context image"):
        TileBatch(
            grid=grid, tiles=(grid.tile(col=0, row=0),), detail=image, context=image[:0],
            white=white,
        )  # fmt: skip
