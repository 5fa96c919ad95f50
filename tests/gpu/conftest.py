"""What the checks on a GPU share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from pathology.config import Config, load_config
from pathology.geometry import Box0, Spacing
from pathology.inference import Engine, load_model
from pathology.synthesis import random_field_spec, render_field
from pathology.tiling import TileBatch, TileSource, batches, lay_grid
from pathology.types import U8Array
from pathology.wsi.array import ArraySlide
from tests.needs_gpu import find_gpu, find_real_gpu

#: Side of a synthetic field, pixels of 0.5 µm: some 650 cells.
SIDE_PX = 768
WHITE = (240.0, 240.0, 240.0)

MakeEngine = Callable[..., Engine]
Cut = Callable[..., list[TileBatch]]


@pytest.fixture(scope="session")
def device() -> str:
    return find_gpu()


@pytest.fixture
def cuda() -> torch.device:
    """A real GPU, for what the processor cannot stand in for."""
    return torch.device(find_real_gpu())


@pytest.fixture(autouse=True)
def _give_memory_back() -> Iterator[None]:
    yield
    if torch.cuda.is_initialized():
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.fixture
def settings(device: str) -> Callable[..., Config]:
    """Make the configuration of a precision; the processor stands in with float32."""

    def make(precision: str = "fp16", *overrides: str) -> Config:
        first = f"inference.cuda_precision={precision}"
        return load_config(overrides=[first, "inference.cpu_precision=fp32", *overrides])

    return make


@pytest.fixture
def make_engine(device: str, settings: Callable[..., Config]) -> MakeEngine:
    """Load the bundled model on the GPU, or on another device."""

    def make(precision: str = "fp16", *overrides: str, on: str = device) -> Engine:
        engine = load_model(device=on, config=settings(precision, *overrides))
        assert isinstance(engine, Engine)
        return engine

    return make


def draw_picture(rows: int, columns: int) -> U8Array:
    """Draw synthetic fields side by side and below each other."""
    drawn = [
        render_field(random_field_spec(np.random.default_rng(n), size_px=SIDE_PX, mpp=0.5), n).rgb
        for n in range(11, 11 + rows * columns)
    ]
    across = [np.concatenate(drawn[k * columns : (k + 1) * columns], axis=1) for k in range(rows)]
    return np.concatenate(across, axis=0)


@pytest.fixture(scope="session")
def picture() -> U8Array:
    """Six fields, six windows."""
    return draw_picture(2, 3)


@pytest.fixture(scope="session")
def large_picture() -> U8Array:
    """Twenty fields: enough cells to tell 99.9 % from 99.8 %."""
    return draw_picture(4, 5)


def cut_windows(engine: Engine, pixels: U8Array, size: int = 1) -> list[TileBatch]:
    """Cut a picture into batches of windows, as an engine wants them."""
    height, width = pixels.shape[:2]
    box, spacing = Box0(x=0, y=0, width=width, height=height), Spacing(x=0.5, y=0.5)
    grid = lay_grid(box, spacing, engine.spec, tile_px=512)
    source = TileSource(
        ArraySlide(pixels, mpp=0.5), grid, list(grid), workers=1, queue_tiles=2, want_context=True,
        plan=engine.windows,
    )  # fmt: skip
    return list(batches(source, size, WHITE, grid))


@pytest.fixture
def cut(picture: U8Array) -> Cut:
    """Cut the small picture."""
    return lambda engine, size=1: cut_windows(engine, picture, size)
