"""The work that compare_peers.py gives to all pipelines, our way of doing it, and what is equal."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree

from pathology.config import Config, load_config
from pathology.geometry import Box0
from pathology.inference import Engine
from pathology.inference.bundle import load_model
from pathology.pipeline.reading import reader_threads, windows_ahead
from pathology.synthesis.tiff import TileSource as Pixels
from pathology.synthesis.tiff import write_pyramid
from pathology.tiling import (
    TileGrid,
    TileRef,
    TileSource,
    batches,
    lay_grid,
    map_ahead,
    select_tiles,
)
from pathology.tiling.grid import BLOCK_PX
from pathology.tissue import TissueFinding, find_tissue
from pathology.wsi import open_slide

EQUAL_UM = 0.5
#: Levels and JPEG quality of the copy at the model's own pixel size.
_COPY_LEVELS, _COPY_QUALITY = 4, 90


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all have to do."""

    path: Path
    config: Config
    grid: TileGrid
    tiles: list[TileRef]
    finding: TissueFinding
    device: torch.device

    @property
    def mm2(self) -> float:
        """Area of the tiles."""
        pixels = len(self.tiles) * self.grid.core_width * self.grid.core_height
        return pixels * self.grid.spacing.area_um2 / 1e6


def run_ours(work: Work, engine: Engine) -> tuple[float, np.ndarray]:
    """Return seconds, and (n, 2) centres in µm."""
    config = work.config
    begin = time.perf_counter()
    with open_slide(work.path, reading=config.reading, cache_mb=config.runtime.cache_mb) as slide:
        source = TileSource(
            slide, work.grid, work.tiles, workers=reader_threads(config, engine.device),
            queue_tiles=windows_ahead(engine, config), want_context=True,
            tissue=work.finding.tissue, plan=engine.windows,
        )  # fmt: skip
        groups = batches(source, engine.batch_size, work.finding.white_point, work.grid)
        streams = engine.streams
        tables = [
            table
            for found in map_ahead(
                engine.read, groups, threads=streams, ahead=streams + 1, name="engine"
            )
            for table in found
        ]
    seconds = time.perf_counter() - begin
    return seconds, np.concatenate([np.stack([t.x_um, t.y_um], axis=1) for t in tables])


def least_logit(config: Config) -> float:
    """Return the lowest logit of a cell's centre."""
    return float(np.log(config.cells.peak_min / (1 - config.cells.peak_min)))


def load_engine(args: argparse.Namespace) -> tuple[Config, Engine]:
    """Return the configuration of our side, and our engine."""
    kind = args.device.partition(":")[0]
    overrides = [f"inference.{kind}_precision={args.precision}", *args.set]
    config = load_config(overrides=overrides)
    engine = load_model(device=args.device, config=config)
    if not isinstance(engine, Engine):
        raise TypeError("a model of cells is compared here")
    return config, engine


def prepare(path: Path, config: Config, engine: Engine, *, most_tiles: int = 0) -> Work:
    """Find a slide's tiles; only the first ``most_tiles`` of them, if it is not 0."""
    with open_slide(path, reading=config.reading) as slide:
        finding, info = find_tissue(slide, config), slide.info
    grid = lay_grid(info.bounds, info.spacing, engine.spec, tile_px=config.tiling.tile_px)
    tiles = select_tiles(grid, finding.tissue, min_fraction=config.tissue.min_tile_fraction)
    return Work(path=path, config=config, grid=grid, tiles=list(tiles)[: most_tiles or None],
                finding=finding, device=torch.device(engine.device))  # fmt: skip


def copy_at_model_spacing(work: Work, target: Path) -> None:
    """Write a slide again with pixels as large as the model's: nobody resamples the copy.

    It is read once, as our engine reads it, and stored as a pyramid of JPEG tiles. Blocks at the
    right and lower edge that the slide does not fill are left out.
    """
    grid = work.grid
    with open_slide(work.path, reading=work.config.reading) as slide:
        blocks_x, blocks_y = grid.box.width // grid.block_x, grid.box.height // grid.block_y

        def read(x: int, y: int, width: int, height: int) -> np.ndarray:
            # Whole blocks are read, as they are whole level-0 pixels, and cut.
            first_x, first_y = x // BLOCK_PX, y // BLOCK_PX
            box = Box0(
                x=grid.box.x + first_x * grid.block_x, y=grid.box.y + first_y * grid.block_y,
                width=(-(-(x + width) // BLOCK_PX) - first_x) * grid.block_x,
                height=(-(-(y + height) // BLOCK_PX) - first_y) * grid.block_y,
            )  # fmt: skip
            left, top = x - first_x * BLOCK_PX, y - first_y * BLOCK_PX
            return slide.read(box, mpp=grid.mpp)[top : top + height, left : left + width]

        pixels = Pixels(width=blocks_x * BLOCK_PX, height=blocks_y * BLOCK_PX, read=read)
        write_pyramid(
            target, pixels, mpp=grid.mpp, levels=_COPY_LEVELS, quality=_COPY_QUALITY
        )  # fmt: skip


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Return the smaller share of cells, in %, that have one of the other's within 0.5 µm."""
    if not len(first) or not len(second):
        return 100.0 if len(first) == len(second) else 0.0
    shares = [
        np.mean(KDTree(b).query(a)[0] < EQUAL_UM) for a, b in ((first, second), (second, first))
    ]
    return 100 * float(min(shares))
