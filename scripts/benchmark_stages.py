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
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pathology.cells.table import CellTable
from pathology.config import load_config
from pathology.inference.bundle import load_model
from pathology.pipeline import score_slide
from pathology.synthesis import SlideSpec, render_slide, write_slide
from pathology.tiling import TileBatch, TileSource, batches, lay_grid, select_tiles
from pathology.tissue import find_tissue
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
    parser.add_argument("--tiles", type=int, default=8, help="tiles to time reading and network on")
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

    def read(workers: int) -> list[TileBatch]:
        source = TileSource(
            slide, grid, tiles, workers=workers, queue_tiles=workers + 1, want_context=True
        )
        return list(batches(source, 1, finding.white_point, grid))

    for workers in (1, 2):
        seconds, images = timed(lambda workers=workers: read(workers))  # type: ignore[misc]
        print(
            f"read, {workers} thread{'s' if workers > 1 else ' '}       {seconds:8.2f} s   "
            f"{area / seconds:.2f} mm²/s"
        )
    for precision in ("fp32", "bf16"):
        other = load_config(overrides=[*overrides, f"inference.cpu_precision={precision}"])
        engine = load_model(config=other)
        engine.read(images[0])
        seconds, tables = timed(lambda engine=engine: [engine.read(item) for item in images])  # type: ignore[misc]
        cells = CellTable.concat([table for group in tables for table in group]).n
        print(
            f"network + cells {precision}  {seconds:8.2f} s   {area / seconds:.2f} mm²/s, "
            f"{cells} cells"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
