"""A small network that works without training, and pictures with cells to run it on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pathology.config import load_config
from pathology.geometry import Box0, Spacing
from pathology.inference.manifest import ModelInput, ModelManifest, NetworkSpec, StainVectors
from pathology.nn.cellnet import CellHeads, CellPlaces
from pathology.stain import StainMatrix
from pathology.tiling import InputSpec, TileBatch, TileGrid, TileRef, lay_grid

WHITE = (243.0, 243.0, 243.0)


class Maps(NamedTuple):
    centre: Tensor
    features: Tensor
    context: Tensor


class BlurNet(nn.Module):
    """Finds dark nuclei by blurring, with weights set by hand."""

    stride = 2
    halo_px = 64
    context_halo_px = 64
    context_factor = 4

    def __init__(self, offset_um: float = 0.0) -> None:
        super().__init__()
        position = torch.arange(-4, 5).float()
        bell = torch.exp(-(position**2) / (2 * 1.5**2))
        kernel = bell[:, None] * bell[None, :]
        self.kernel = nn.Parameter((kernel / kernel.sum())[None, None])
        self.offset_um = offset_um

    def forward(self, detail: Tensor, context: Tensor) -> Maps:
        half = functional.avg_pool2d(detail, 2)
        blurred = functional.conv2d(half[:, :1], self.kernel.to(half.dtype), padding=4)
        return Maps((blurred - 0.2) * 40, half, context)

    def describe(self, maps: Maps, places: CellPlaces) -> CellHeads:
        image, row, column, context_row, context_column = places
        n = len(image)
        dark = maps.features[image, :1, row, column].float()
        logits = dark.new_zeros((n, 6))
        logits[:, 0] = 8 * (dark[:, 0] - 0.3)
        logits[:, 3] = maps.context[image, 0, context_row, context_column].float()
        rays_um = 6.0 + 0.0 * dark.expand(n, 32)
        return CellHeads(rays_um, dark.new_full((n, 2), self.offset_um), logits, rays_um)


def draw_cells(
    height: int,
    width: int,
    *,
    od: float = 0.5,
    pitch_um: float = 14.0,
    phase_um: float = 0.0,
    noise: int = 0,
) -> np.ndarray:
    """(H, W, 3) uint8 at 0.5 µm/px: purple nuclei in brown rings of 6 µm, on a square lattice."""
    y, x = (np.mgrid[:height, :width] + 0.5) * 0.5 + phase_um
    dx = x - (np.floor(x / pitch_um) + 0.5) * pitch_um
    dy = y - (np.floor(y / pitch_um) + 0.5) * pitch_um
    radius = np.hypot(dx, dy)
    haematoxylin = 0.5 / (1 + np.exp((radius - 3.5) / 0.25)) + 0.05
    dab = od * np.exp(-((radius - 6) ** 2) / 0.5)
    stain = load_config().stain
    mixed = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab).mix(
        np.stack([haematoxylin, dab], axis=-1)
    )
    rgb = np.round(WHITE[0] * 10.0**-mixed)
    if noise:
        rgb = rgb + np.random.default_rng(0).integers(-noise, noise + 1, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8)


class Field:
    """A picture around which the tiles of a grid can be cut; level 0 is 0.5 µm/px."""

    margin = 256

    def __init__(self, side: int, spec: InputSpec, **cells: float) -> None:
        full = side + 2 * self.margin
        self.side = side
        self.spec = spec
        self.detail = draw_cells(full, full, **cells)  # type: ignore[arg-type]
        blocks = self.detail.reshape(full // 4, 4, full // 4, 4, 3)
        self.context = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)

    def grid(self, tile_px: int) -> TileGrid:
        box = Box0(x=self.margin, y=self.margin, width=self.side, height=self.side)
        return lay_grid(box, Spacing(x=0.5, y=0.5), self.spec, tile_px=tile_px)

    def batch(self, grid: TileGrid, tiles: list[TileRef]) -> TileBatch:
        detail, context = [], []
        for tile in tiles:
            box, wide = grid.detail_window(tile), grid.context_window(tile)
            detail.append(self.detail[box.y : box.bottom, box.x : box.right])
            rows, columns = (wide.y // 4, wide.bottom // 4), (wide.x // 4, wide.right // 4)
            context.append(self.context[slice(*rows), slice(*columns)])
        return TileBatch(
            grid=grid,
            tiles=tuple(tiles),
            detail=np.stack(detail),
            context=np.stack(context),
            white=WHITE,
        )


@pytest.fixture
def spec() -> InputSpec:
    return InputSpec(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64)


@pytest.fixture
def manifest() -> ModelManifest:
    stain = load_config().stain
    return ModelManifest(
        name="tiny",
        version="0.0.1",
        network=NetworkSpec(
            name="cellnet",
            args={
                "outline_widths": [8, 8, 8, 8],
                "class_width": 8,
                "context_widths": [8, 8, 8, 8],
            },
        ),
        input=ModelInput(mpp=0.5, halo_px=64, context_factor=4, context_halo_px=64),
        stain=StainVectors(haematoxylin=stain.haematoxylin, dab=stain.dab),
        licence="Apache-2.0",
        intended_use="Tests.",
        weights_sha256="0" * 64,
    )


@pytest.fixture
def make_field(spec: InputSpec) -> Callable[..., Field]:
    return lambda side, **cells: Field(side, spec, **cells)


@pytest.fixture
def blur_net() -> Callable[..., nn.Module]:
    return BlurNet


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small pictures are quickest with one thread, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
