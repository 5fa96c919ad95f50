"""What must hold for every grid."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.geometry import Box0, Spacing
from pathology.tiling import BLOCK_PX, InputSpec, TileGrid, lay_grid

spacings = st.builds(Spacing, x=st.floats(0.1, 2.0), y=st.floats(0.1, 2.0))
boxes = st.builds(
    Box0,
    x=st.integers(-5000, 5000),
    y=st.integers(-5000, 5000),
    width=st.integers(1, 9000),
    height=st.integers(1, 9000),
)
specs = st.builds(
    InputSpec,
    mpp=st.sampled_from([0.25, 0.5, 1.0]),
    halo_px=st.sampled_from([0, 64, 128]),
    context_factor=st.sampled_from([1, 2, 4, 8]),
    context_halo_px=st.sampled_from([64, 128]),
)
grids = st.builds(
    lay_grid, boxes, spacings, specs, tile_px=st.sampled_from([512, 640, 1024])
).filter(lambda grid: len(grid) <= 2000)


@settings(max_examples=60, deadline=None)
@given(grids)
def test_cores_are_disjoint_and_cover_the_box(grid: TileGrid) -> None:
    tiles = list(grid)
    assert [tile.tile_id for tile in tiles] == list(range(len(grid)))
    columns = [grid.tile(col=col, row=0).core for col in range(grid.columns)]
    rows = [grid.tile(col=0, row=row).core for row in range(grid.rows)]
    for left, right in itertools.pairwise(columns):
        assert left.right == right.x
    for upper, lower in itertools.pairwise(rows):
        assert upper.bottom == lower.y
    assert columns[0].x == grid.box.x
    assert rows[0].y == grid.box.y
    assert columns[-1].x < grid.box.right <= columns[-1].right
    assert rows[-1].y < grid.box.bottom <= rows[-1].bottom
    for tile in tiles:
        assert (tile.core.x, tile.core.y) == (columns[tile.col].x, rows[tile.row].y)


@settings(max_examples=60, deadline=None)
@given(grids)
def test_windows_have_the_size_that_the_network_sees(grid: TileGrid) -> None:
    tile = grid.tile(col=grid.columns - 1, row=grid.rows - 1)
    detail, context = grid.detail_window(tile), grid.context_window(tile)
    side = grid.tile_px + 2 * grid.spec.halo_px
    assert round(detail.width * grid.spacing.x / grid.mpp.x) == side
    assert round(detail.height * grid.spacing.y / grid.mpp.y) == side
    wide = grid.tile_px // grid.spec.context_factor + 2 * grid.spec.context_halo_px
    assert round(context.width * grid.spacing.x / grid.context_mpp.x) == wide
    assert round(context.height * grid.spacing.y / grid.context_mpp.y) == wide
    assert detail.contains(tile.core)
    assert context.contains(tile.core)


@settings(max_examples=60, deadline=None)
@given(grids)
def test_the_pixel_size_is_nearly_the_model_s(grid: TileGrid) -> None:
    # Rounding a block of 64 model pixels to whole level-0 pixels; coarse slides round more.
    for size, spacing in ((grid.mpp.x, grid.spacing.x), (grid.mpp.y, grid.spacing.y)):
        assert abs(size - grid.spec.mpp) <= spacing / (2 * BLOCK_PX) + 1e-12


@pytest.mark.parametrize("spacing", [0.2528, 0.2431, 0.4991, 0.1718])
def test_model_pixels_line_up_across_tiles(spacing: float) -> None:
    spec = InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64)
    box = Box0(x=17, y=-5, width=9000, height=5000)
    grid = lay_grid(box, Spacing(x=spacing, y=spacing), spec, tile_px=512)
    pixel = grid.mpp.x / spacing  # level-0 pixels per model pixel
    for tile in grid:
        window = grid.detail_window(tile)
        blocks = (window.x - box.x) / pixel / BLOCK_PX
        assert blocks == pytest.approx(round(blocks), abs=1e-9)
