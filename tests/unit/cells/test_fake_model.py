"""The reader without a network: good enough for clean cells, and the same whatever the tiles."""

from __future__ import annotations

import numpy as np
import pytest

from pathology.cells import CELL_CLASSES, PATTERNS, CellTable, TileReader
from pathology.config import load_config
from pathology.geometry import Box0, Spacing
from pathology.stain import StainMatrix
from pathology.testing.fake_model import FakeModel
from pathology.tiling import TileBatch, lay_grid

WHITE = (243.0, 243.0, 243.0)
MARGIN = 64


def picture(side: int, od: float, share: float, *, nucleus_um: float = 3.5) -> np.ndarray:
    """(H, W, 3) uint8 at 0.5 µm/px: cells of 6 µm on a lattice, brown along a share of the ring."""
    y, x = (np.mgrid[:side, :side] + 0.5) * 0.5
    dx = x - (np.floor(x / 14) + 0.5) * 14
    dy = y - (np.floor(y / 14) + 0.5) * 14
    radius, turn = np.hypot(dx, dy), (np.arctan2(dy, dx) / (2 * np.pi)) % 1
    haematoxylin = 0.5 / (1 + np.exp((radius - nucleus_um) / 0.25)) + 0.05
    dab = od * np.exp(-((radius - 6) ** 2) / 0.5) * (turn < share)
    stain = load_config().stain
    stains = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab)
    od_rgb = stains.mix(np.stack([haematoxylin, dab], axis=-1))
    return np.clip(np.round(WHITE[0] * 10.0**-od_rgb), 0, 255).astype(np.uint8)


def read(rgb: np.ndarray, tile_px: int) -> CellTable:
    model: TileReader = FakeModel()
    side = len(rgb) - 2 * MARGIN
    box = Box0(x=MARGIN, y=MARGIN, width=side, height=side)
    grid = lay_grid(box, Spacing(x=0.5, y=0.5), model.spec, tile_px=tile_px)
    tables = []
    for tile in grid:
        window = grid.detail_window(tile)
        pixels = rgb[window.y : window.bottom, window.x : window.right]
        batch = TileBatch(grid=grid, tiles=(tile,), detail=pixels[None], context=None, white=WHITE)
        tables += model.read(batch)
    table = CellTable.concat(tables)
    return table.take(np.lexsort((table.x_um, table.y_um)))


@pytest.mark.parametrize(
    ("od", "share", "pattern"),
    [
        (0.0, 1.0, "unstained"),
        (0.2, 0.5, "incomplete_faint"),
        (0.8, 0.5, "incomplete_moderate_intense"),
        (0.4, 1.0, "complete_weak_moderate"),
        (0.9, 1.0, "complete_intense"),
    ],
)
def test_reads_what_was_drawn(od: float, share: float, pattern: str) -> None:
    table = read(picture(384, od, share), 256)
    assert table.n == 81  # 9 × 9 centres between 32 and 160 µm
    assert {PATTERNS[code] for code in table.pattern} == {pattern}
    assert {CELL_CLASSES[code] for code in table.cell_class} == {"tumour"}


def test_small_nuclei_are_lymphoid() -> None:
    table = read(picture(384, 0.0, 1.0, nucleus_um=2.0), 256)
    assert table.n == 81
    assert {CELL_CLASSES[code] for code in table.cell_class} == {"lymphoid"}
    assert table.tumour_probability.max() < 0.5


def test_tiles_change_nothing() -> None:
    rng = np.random.default_rng(0)
    rgb = picture(384, 0.4, 0.7)
    rgb = np.clip(rgb + rng.integers(-12, 13, rgb.shape), 0, 255).astype(np.uint8)
    whole, tiled = read(rgb, 256), read(rgb, 64)
    assert whole.n == tiled.n > 50
    for name in ("x_um", "y_um", "outline_r", "ray_od", "cytoplasm_od", "pattern", "area_um2"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(tiled, name), err_msg=name)


def test_one_cell_and_none() -> None:
    rgb = np.full((192, 192, 3), 243, dtype=np.uint8)
    assert read(rgb, 64).n == 0
    one = picture(192, 0.4, 1.0)
    rgb[84:112, 84:112] = one[84:112, 84:112]
    assert read(rgb, 64).n == 1


def test_identity_is_stable() -> None:
    assert FakeModel().sha256 == FakeModel().sha256
    assert FakeModel().sha256 != FakeModel(min_nucleus_um=4.0).sha256
    assert FakeModel(load_config(overrides=["inference.cpu_batch=3"])).batch_size == 3
