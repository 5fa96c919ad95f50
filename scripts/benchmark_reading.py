"""Compare direct reading with OpenSlide on one slide, in one process and one run.

Windows of a square in the middle of the slide are read by reader threads as ``her2 score`` reads
tiles. Megapixels are those of level 0 that the windows cover. Each figure is the best of several
rounds, in which the two readers take turns, each time on a slide opened anew (no decoded tile is
kept; the file itself is in the page cache after the first). "Level pixels" is the reader alone;
"native" and "half" go through everything that a model's tile goes through, resampling included.

Run it so: python scripts/benchmark_reading.py slide.svs --json reading.json
           python scripts/benchmark_reading.py                  # a synthetic slide
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy import ndimage

from pathology.config import load_config
from pathology.geometry import Box0
from pathology.provenance import versions
from pathology.synthesis.tiff import TileSource, write_pyramid
from pathology.wsi import open_slide
from pathology.wsi.reader import SourceSlide

READERS = ("openslide", "direct")


def make_slide(path: Path, side: int, tile_px: int) -> Path:
    """Write a pyramid of noise that compresses about as tissue does."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(1024, 1024, 3)), (1.5, 1.5, 0), mode="wrap")
    texture = (190 + 60 * noise / np.abs(noise).max()).astype(np.uint8)

    def read(x: int, y: int, width: int, height: int) -> np.ndarray:
        rows, columns = np.arange(y, y + height) % 1024, np.arange(x, x + width) % 1024
        return texture[np.ix_(rows, columns)]

    source = TileSource(width=side, height=side, read=read)
    write_pyramid(path, source, mpp=0.25, levels=4, tile_px=tile_px)
    return path


def open_with(path: Path, reader: str) -> SourceSlide:
    name = "auto" if reader == "direct" else reader
    slide = open_slide(path, reading=load_config(overrides=[f"reading.reader={name}"]).reading)
    if slide.info.reader != reader:
        raise SystemExit(f"{path}: not read directly: {slide.info.reader_note}")
    return slide


def windows(slide: SourceSlide, side: int, window: int) -> list[Box0]:
    size = slide.info.size
    count = max(1, min(side, size.width, size.height) // window)
    x, y = (size.width - count * window) // 2, (size.height - count * window) // 2
    return [
        Box0(x=max(0, x) + column * window, y=max(0, y) + row * window, width=window, height=window)
        for row in range(count)
        for column in range(count)
    ]


def work_of(slide: SourceSlide, kind: str) -> Callable[[Box0], object]:
    spacing = slide.info.spacing
    if kind == "level pixels":
        return lambda box: slide._source.read_level(0, box.x, box.y, box.width, box.height)
    factor = {"native": 1, "half": 2}[kind]
    mpp = type(spacing)(x=spacing.x * factor, y=spacing.y * factor)
    return lambda box: slide.read_region(box, mpp=mpp)


def speed(path: Path, reader: str, kind: str, *, side: int, window: int, threads: int) -> float:
    """Return Mpx/s of level 0."""
    with open_with(path, reader) as slide, ThreadPoolExecutor(threads) as pool:
        boxes, work = windows(slide, side, window), work_of(slide, kind)
        begin = time.perf_counter()
        list(pool.map(work, boxes))
        seconds = time.perf_counter() - begin
    return sum(box.width * box.height for box in boxes) / seconds / 1e6


def difference(path: Path, *, side: int, window: int) -> int:
    """Return the largest difference of the two readers, in grey levels, over all windows."""
    with open_with(path, "openslide") as slow, open_with(path, "direct") as direct:
        spacing, largest = slow.info.spacing, 0
        for box in windows(slow, side, window):
            one, other = (item.read(box, mpp=spacing).astype(np.int16) for item in (slow, direct))
            largest = max(largest, int(np.abs(one - other).max()))
    return largest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", nargs="?", type=Path, help="without it a synthetic one is made")
    parser.add_argument("--side", type=int, default=5120, help="side of the square read, px")
    parser.add_argument("--windows", type=int, nargs="+", default=[640, 1280, 2560])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tile", type=int, default=256, help="tiles of the synthetic slide, px")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.slide or make_slide(Path(folder) / "synthetic.tif", 8192, args.tile)
        found = run(path, args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def run(path: Path, args: argparse.Namespace) -> dict[str, object]:
    side = args.side
    largest = difference(path, side=min(side, 2560), window=1280)
    print(f"{path.name}: largest difference at level 0: {largest} grey levels")
    print(f"{'':14}{'window':>8}{'threads':>9}{'OpenSlide':>11}{'direct':>9}  Mpx/s   ratio")
    rows = []
    for kind in ("level pixels", "native", "half"):
        for window in args.windows:
            for threads in args.threads:
                best = dict.fromkeys(READERS, 0.0)
                for _ in range(args.rounds):
                    for reader in READERS:
                        measured = speed(
                            path, reader, kind, side=side, window=window, threads=threads
                        )
                        best[reader] = max(best[reader], measured)
                ratio = best["direct"] / best["openslide"]
                print(
                    f"{kind:14}{window:8}{threads:9}{best['openslide']:11.0f}"
                    f"{best['direct']:9.0f}{ratio:15.1f}",
                    flush=True,
                )
                rows.append(
                    {"kind": kind, "window_px": window, "threads": threads, "ratio": ratio}
                    | {f"{reader}_mpx_per_s": value for reader, value in best.items()}
                )
    return {
        "slide": path.name,
        "difference_grey_levels": largest,
        "cores": os.cpu_count(),
        "versions": versions(),
        "rows": rows,
    }


if __name__ == "__main__":
    sys.exit(main())
