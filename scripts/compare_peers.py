"""Compare mm² per second with other pipelines: same slide, same network, same machine, one run.

Peers:
  loader      OpenSlide and torch's DataLoader, as one would write it: at the defaults of both
              (batch 1, no workers, float32), and tuned (batch 4, the best number of workers of a
              few, channels_last, our precision)
  tiatoolbox  its SemanticSegmentor with our network, at its defaults (batch 8, no workers, float32)
              and tuned in the same way. It is run by --tiatoolbox-python, an interpreter that has
              tiatoolbox 2.1 and torch (nothing of ours), and left out without it. It reads with
              OpenSlide; on a .tif once more in its own way (see peer_segmentor.py).

On a GPU (--device cuda:0) the peers' networks run there too, after one window to warm up. torch's
defaults then allow TF32 in float32 convolutions, ours does not. The tuned loader pins its batches.

Ours reads, runs the network, and measures all membranes; the peers stop at the cells' centres. All
work on the same tiles; tiatoolbox also takes the patches around them, which "mm2" counts, so that
"ours_is_faster_by" compares rates. Cells are equal when one of the peer's lies within 0.5 µm of one
of ours. "pixels_differ" is how far tiatoolbox's pixels are from ours, in grey values of 255.

--native does all of it twice in one run: on the slide, and on a copy whose pixels are as large as
the model's, which nobody has to resample. Cells that differ there, differ for another reason.

Run it so: python scripts/compare_peers.py slide.tif --precision bf16
           python scripts/compare_peers.py slide.tif --native --tiatoolbox-python tia/bin/python
           python scripts/compare_peers.py slide.tif --device cuda:0 --precision fp16 --workers 8 15
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from peer_loader import PlainModel, run_loader
from peer_segmentor import run_tiatoolbox
from peer_work import Work, agreement, copy_at_model_spacing, load_engine, prepare, run_ours

from pathology.inference import Engine
from pathology.pipeline.reading import reader_threads

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One pipeline's run."""

    pipeline: str
    seconds: float
    mm2: float
    flags: str
    cells: np.ndarray
    pixels_differ: float | None = None

    def content(self, work: Work, best_rate: float, ours: np.ndarray) -> dict[str, object]:
        """Return what is printed; ``best_rate``: ours, mm²/s; ``ours``: our cells."""
        rate = self.mm2 / self.seconds
        line = {
            "slide": work.path.name, "slide_mpp": round(work.grid.spacing.x, 4),
            "model_mpp": round(work.grid.mpp.x, 4), "pipeline": self.pipeline, "flags": self.flags,
            "mm2": round(self.mm2, 3), "s": round(self.seconds, 2), "mm2_per_s": round(rate, 3),
            "ours_is_faster_by": round(best_rate / rate, 2), "cells": len(self.cells),
            "equal_cells_pct": round(agreement(ours, self.cells), 2),
        }  # fmt: skip
        if self.pixels_differ is not None:
            line["pixels_differ"] = round(self.pixels_differ, 3)
        return line


def compare(work: Work, engine: Engine, args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Run all pipelines on one slide; yield a line as soon as it is known."""
    threads = torch.get_num_threads()
    run_ours(work, engine)  # warm
    torch.set_num_threads(threads)
    best, ours = min((run_ours(work, engine) for _ in range(args.repeats)), key=lambda r: r[0])
    flags = (
        f"{args.precision}, window_px {work.config.tiling.window_px}, "
        f"{engine.streams} streams, {reader_threads(work.config, engine.device)} readers"
    )
    rate = work.mm2 / best
    first = Line(pipeline="her2-ihc", seconds=best, mm2=work.mm2, flags=flags, cells=ours)
    yield first.content(work, rate, ours)
    torch.set_num_threads(threads)
    for line in compare_peers(work, args, threads):
        yield line.content(work, rate, ours)


def compare_peers(work: Work, args: argparse.Namespace, threads: int) -> Iterator[Line]:
    """Run the peers at their defaults and tuned."""
    plain = PlainModel(work, dtype=torch.float32, channels_last=False)
    tuned = PlainModel(work, dtype=DTYPES[args.precision], channels_last=True)
    torch.set_num_threads(threads)
    seconds, cells = run_loader(work, plain, batch=1, workers=0)
    flags = f"defaults: batch 1, 0 workers, fp32, {threads} threads"
    yield Line(pipeline="OpenSlide + DataLoader", seconds=seconds, mm2=work.mm2, flags=flags,
               cells=cells)  # fmt: skip
    runs = {n: run_loader(work, tuned, batch=4, workers=n) for n in args.workers}
    n = min(runs, key=lambda k: runs[k][0])
    seconds, cells = runs[n]
    flags = f"tuned: batch 4, {n} of {args.workers} workers, {args.precision}, channels_last"
    yield Line(pipeline="OpenSlide + DataLoader", seconds=seconds, mm2=work.mm2, flags=flags,
               cells=cells)  # fmt: skip
    if not args.tiatoolbox_python:
        return
    kinds = [("defaults", plain, 8, 0, False), ("tuned", tuned, 4, n, False)]
    if work.path.suffix.lower() in (".tif", ".tiff"):
        kinds.append(("tuned, reads a .tif its own way", tuned, 4, n, True))
    for kind, model, batch, workers, own in kinds:
        found = run_tiatoolbox(
            work, model, args.tiatoolbox_python, batch=batch, workers=workers, own_reader=own
        )
        precision = "fp32" if model is plain else args.precision
        flags = f"{kind}: batch {batch}, {workers} workers, {precision}, {found.reader}; "
        yield Line(
            pipeline="tiatoolbox SemanticSegmentor", seconds=found.seconds, mm2=found.mm2,
            flags=flags + json.dumps(found.versions), cells=found.centres,
            pixels_differ=found.pixels_differ,
        )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--precision", choices=tuple(DTYPES), default="fp32")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (%(default)s)")
    parser.add_argument("--tiatoolbox-python", metavar="PATH")
    parser.add_argument("--native", action="store_true", help="also a copy at the model's spacing")
    parser.add_argument("--tiles", type=int, default=0, help="only so many tiles (0: all)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 2, 4], help="tuned over these"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    names = ("torch", "openslide-python", "numpy", "Pillow")
    gpu = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else ""
    print({name: version(name) for name in names}, platform.processor(), gpu, file=sys.stderr)
    config, engine = load_engine(args)
    with tempfile.TemporaryDirectory(prefix="her2-peers-") as folder:
        work = prepare(args.slide, config, engine, most_tiles=args.tiles)
        works = [work]
        if args.native:
            copy = Path(folder) / f"native-{args.slide.stem}.tif"
            copy_at_model_spacing(work, copy)
            works.append(prepare(copy, config, engine, most_tiles=args.tiles))
        for each in works:
            for found in compare(each, engine, args):
                print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
