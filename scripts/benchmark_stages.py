"""Time the stages of `her2 score` on one slide, in one process and one run.

Figures of one run can be compared with each other; figures of two machines, or of two runs on a
shared machine, cannot.

Run it so: python scripts/benchmark_stages.py slide.tif
           python scripts/benchmark_stages.py --synthetic
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import torch

from pathology.cells.table import CellTable
from pathology.config import load_config
from pathology.inference import Engine
from pathology.inference.bundle import load_model
from pathology.pipeline import score_slide
from pathology.synthesis import SlideSpec, render_slide, write_slide
from pathology.tiling import TileBatch, TileSource, batches, lay_grid, map_ahead, select_tiles
from pathology.tissue import find_tissue, focus_score
from pathology.wsi import open_slide

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", nargs="?", type=Path)
    parser.add_argument("--synthetic", action="store_true", help="a synthetic 2+ slide")
    parser.add_argument("--tiles", type=int, default=16, help="tiles to time it all on")
    parser.add_argument("--profile", action="store_true", help="profile one whole scoring instead")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    if (args.slide is None) == (not args.synthetic):
        parser.error("give a slide, or --synthetic")
    with tempfile.TemporaryDirectory() as folder:
        path = args.slide
        if path is None:
            path = Path(folder) / "synthetic.tif"
            write_slide(render_slide(SlideSpec(score="2+"), seed=77), path)
        if args.profile:
            return profile(path, Path(folder), args.set)
        return stages(path, args.tiles, args.set)


def profile(path: Path, folder: Path, overrides: list[str]) -> int:
    config = load_config(overrides=overrides)
    reader = load_model(config=config)
    profiler = cProfile.Profile()
    profiler.enable()
    score_slide(path, out_dir=folder / "out", reader=reader, config=config)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)
    return 0


def stages(path: Path, limit: int, overrides: list[str]) -> int:
    config = load_config(overrides=overrides)
    seconds, reader = timed(lambda: load_model(config=config))
    print(f"load model            {seconds:8.2f} s")
    slide = open_slide(path, reading=config.reading)
    seconds, finding = timed(lambda: find_tissue(slide, config))
    print(f"find tissue           {seconds:8.2f} s   {finding.tissue_mm2:.2f} mm²")
    info = slide.info
    grid = lay_grid(info.bounds, info.spacing, reader.spec, tile_px=config.tiling.tile_px)
    chosen = select_tiles(grid, finding.tissue, min_fraction=config.tissue.min_tile_fraction)
    tiles = chosen[len(chosen) // 2 :][:limit]
    area = len(tiles) * grid.core_width * grid.core_height * info.spacing.area_um2 / 1e6

    def source(workers: int) -> TileSource:
        return TileSource(
            slide, grid, tiles, workers=workers, queue_tiles=config.runtime.queue_tiles,
            want_context=True, plan=reader.windows,
        )  # fmt: skip

    def read(workers: int) -> list[TileBatch]:
        return list(batches(source(workers), 1, finding.white_point, grid))

    for workers in (1, 2):
        seconds, images = timed(lambda workers=workers: read(workers))  # type: ignore[misc]
        print(
            f"read, {workers} thread{'s' if workers > 1 else ' '}       {seconds:8.2f} s   "
            f"{area / seconds:.2f} mm²/s"
        )
    for precision in ("fp32", "bf16"):
        engine = load_model(
            config=load_config(overrides=[*overrides, f"inference.cpu_precision={precision}"])
        )
        if not isinstance(engine, Engine):
            raise TypeError("a model of cells is timed here")
        inputs = inputs_of(engine, images)
        bare, _ = timed(lambda engine=engine, inputs=inputs: forward(engine, inputs))  # type: ignore[misc]
        print(f"network {precision}          {bare:8.2f} s   {area / bare:.2f} mm²/s")
        seconds, cells = timed(lambda engine=engine: work(engine, images))  # type: ignore[misc]
        print_share(f"network + cells {precision}", seconds, area, bare, cells)
        stream = batches(source(config.runtime.workers), 1, finding.white_point, grid)
        seconds, cells = timed(lambda engine=engine, stream=stream: work(engine, stream))  # type: ignore[misc]
        print_share(f"read to cells {precision}  ", seconds, area, bare, cells)
    return 0


def print_share(name: str, seconds: float, area: float, bare: float, cells: int) -> None:
    print(
        f"{name}  {seconds:8.2f} s   {area / seconds:.2f} mm²/s, {cells} cells; "
        f"{seconds / bare:.2f} times the network, which is {100 * bare / seconds:.0f} %"
    )


def inputs_of(engine: Engine, images: list[TileBatch]) -> list[tuple[torch.Tensor, ...]]:
    """Return what the network is given, window by window; this warms it up too."""
    seen: list[tuple[torch.Tensor, ...]] = []
    hook = engine.dense.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    for image in images:
        engine.read(image)
    hook.remove()
    return seen


def forward(engine: Engine, inputs: list[tuple[torch.Tensor, ...]]) -> None:
    """Run the bare network, as many windows at once as the engine takes."""

    def run(window: tuple[torch.Tensor, ...]) -> None:
        with torch.inference_mode(), engine.numerics():
            engine.dense(*window)

    streams = engine.streams
    for _ in map_ahead(run, inputs, threads=streams, ahead=streams + 1, name="forward"):
        pass


def work(engine: Engine, images: Iterable[TileBatch]) -> int:
    """Do what scoring does to windows, and return the number of cells."""

    def read(image: TileBatch) -> int:
        for core in image.core_pixels():
            focus_score(core)
        return CellTable.concat(engine.read(image)).n

    streams = engine.streams
    return sum(map_ahead(read, images, threads=streams, ahead=streams + 1, name="engine"))


if __name__ == "__main__":
    sys.exit(main())
