"""Print the peak memory of `her2 score` on a slide, summed over its processes.

The proportional set size (PSS) is summed, so that pages shared between processes count once.

Run it so:
  python scripts/measure_memory.py slide.tif
  python scripts/measure_memory.py --synthetic 60000 --limit-gb 2.5
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from pathology.synthesis import SlideSpec, render_slide
from pathology.synthesis.tiff import TileSource, write_pyramid

#: Seconds between two readings: a tile takes longer than this on any processor.
INTERVAL_S = 0.2


def summed_pss(process: psutil.Process) -> int:
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


def peak_pss(command: list[str]) -> tuple[int, float, int]:
    """Run a command; return its peak summed PSS in bytes, its seconds and its exit status."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    watched = psutil.Process(child.pid)
    peak = 0
    while child.poll() is None:
        try:
            peak = max(peak, summed_pss(watched))
        except psutil.NoSuchProcess:
            break
        try:
            child.wait(INTERVAL_S)
        except subprocess.TimeoutExpired:
            continue
    _, errors = child.communicate()
    if child.returncode:
        sys.stderr.write(errors.decode(errors="replace"))
    return peak, time.monotonic() - begin, child.returncode


def write_large(path: Path, side_px: int) -> None:
    """Write a slide of any size by repeating one synthetic piece of tissue; memory stays small.

    Every second place in x and y holds the piece, the others glass, so that a scan of 15 × 15 mm
    holds about as much tissue as a section does in practice.
    """
    slide = render_slide(SlideSpec(score="2+", mpp=0.25), seed=4096)
    height, width = slide.rgb.shape[:2]
    canvas = np.empty((2 * height, 2 * width, 3), dtype=np.uint8)
    canvas[:] = np.round(slide.white).astype(np.uint8)
    canvas[:height, :width] = slide.rgb

    def tile(x: int, y: int, w: int, h: int) -> np.ndarray:
        rows = np.arange(y, y + h) % canvas.shape[0]
        cols = np.arange(x, x + w) % canvas.shape[1]
        return canvas[rows][:, cols]

    source = TileSource(width=side_px, height=side_px, read=tile)
    write_pyramid(path, source, mpp=0.25, levels=6, compression="jpeg", quality=80)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slides", nargs="*", type=Path)
    parser.add_argument("--synthetic", type=int, metavar="PX", help="also a slide of this side")
    parser.add_argument("--limit-gb", type=float, default=2.5, help="fail above this (10^9 bytes)")
    parser.add_argument("--set", action="append", default=[], help="passed on to `her2 score`")
    args = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        slides = list(args.slides)
        if args.synthetic:
            slides.append(Path(folder) / f"synthetic_{args.synthetic}px.tif")
            write_large(slides[-1], args.synthetic)
        for index, slide in enumerate(slides):
            out = Path(folder) / f"out{index}"
            extra = [part for item in args.set for part in ("--set", item)]
            command = [sys.executable, "-c", "from pathology.cli import main; main()", "score"]
            command += [str(slide), "--out", str(out), "--device", "cpu", *extra]
            peak, seconds, status = peak_pss(command)
            worst = max(worst, peak / 1e9)
            print(f"{slide.name}: peak {peak / 1e9:.2f} GB, {seconds:.0f} s, exit {status}")
    print(f"highest: {worst:.2f} GB (limit {args.limit_gb} GB)")
    return 0 if worst <= args.limit_gb else 1


if __name__ == "__main__":
    sys.exit(main())
