"""Measure how the memory of `her2 score` grows with the tissue, from 1 to 1,000 mm².

The network sees one window after another, so its memory cannot depend on how many there are. It
reads the first windows of every slide in earnest, and what it found there is given again, moved to
its place, for all others: as many cells per mm², through the same tables, scores and pictures, in
minutes and not hours. The proportional set sizes of all processes are summed.

Run it so:
  python scripts/measure_growth.py --mm2 1 10 100 1000
  python scripts/measure_growth.py --mm2 1 4 16 --whole     (the network reads everything)
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from measure_memory import peak_pss

from pathology.batch import BundleFactory, score_folder
from pathology.cells.reader import TileReader
from pathology.cells.table import CellTable
from pathology.config import Config, load_config
from pathology.geometry import Box0
from pathology.inference import Engine
from pathology.synthesis.mosaic import MosaicSpec, write_mosaic
from pathology.tiling import InputSpec, TileBatch, WindowPlan
from pathology.timing import ReaderUsage

#: Windows that the network reads before its answers are repeated: some for each of its threads.
EARNEST = 12
#: Memory may grow by this share of the smallest slide's.
LIMIT = 0.10


class Replay:
    """Read some windows with a network, then give the cells of whole tiles of these again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._begun: str | None = None
        self._known: list[tuple[Box0, CellTable]] = []
        self._read = 0

    @property
    def name(self) -> str:
        """Name and version of the network."""
        return self._engine.name

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the weights."""
        return self._engine.sha256

    @property
    def device(self) -> str:
        """Where it works."""
        return self._engine.device

    @property
    def spec(self) -> InputSpec:
        """What it wants to see."""
        return self._engine.spec

    @property
    def batch_size(self) -> int:
        """Windows at once."""
        return self._engine.batch_size

    @property
    def windows(self) -> WindowPlan:
        """How tiles are joined."""
        return self._engine.windows

    @property
    def streams(self) -> int:
        """Batches at the same time."""
        return self._engine.streams

    @property
    def usage(self) -> ReaderUsage:
        """What was spent."""
        return self._engine.usage

    def read(self, batch: TileBatch) -> list[CellTable]:
        """Read in earnest, or repeat."""
        with self._lock:
            self._read += 1
            earnest = self._read <= EARNEST or not self._known
        if earnest:
            tables = self._engine.read(batch)
            cores = [tile.core for tile in batch.tiles]
            with self._lock:
                self._known += [
                    (core, table) for core, table in zip(cores, tables, strict=True) if table.n
                ]
            return tables
        found = []
        for tile in batch.tiles:
            core, table = self._known[tile.tile_id % len(self._known)]
            spacing = batch.grid.spacing
            shift_x = np.float32((tile.core.x - core.x) * spacing.x)
            shift_y = np.float32((tile.core.y - core.y) * spacing.y)
            found.append(
                replace(
                    table,
                    tile_id=np.full_like(table.tile_id, tile.tile_id),
                    x_um=table.x_um + shift_x,
                    y_um=table.y_um + shift_y,
                )
            )
        return found


@dataclass(frozen=True, kw_only=True)
class ReplayFactory:
    """Load the bundled model in a worker, behind :class:`Replay`."""

    bundle: BundleFactory

    @property
    def name(self) -> str:
        """Name and version of the network."""
        return self.bundle.name

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the weights."""
        return self.bundle.sha256

    @property
    def spec(self) -> InputSpec:
        """What it wants to see."""
        return self.bundle.spec

    def devices(self, device: str) -> tuple[str, ...]:
        """Return the devices that the words stand for."""
        return self.bundle.devices(device)

    def open(self, device: str, config: Config) -> TileReader:
        """Load the network."""
        engine = self.bundle.open(device, config)
        if not isinstance(engine, Engine):
            raise TypeError("only a model of cells can be repeated")
        return Replay(engine)


def score(slide: Path, out: Path, *, device: str, whole: bool) -> None:
    """Score a slide in this process, as the command does."""
    bundle = BundleFactory.of("her2-cells")
    factory = bundle if whole else ReplayFactory(bundle=bundle)
    (result,) = score_folder([slide], out, config=load_config(), model=factory, device=device)
    print(json.dumps({"status": result.status, "tumour_cells": result.n_tumour_cells}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mm2", type=float, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--mpp", type=float, default=0.5, help="of the slides (%(default)s)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--whole", action="store_true", help="the network reads every window")
    parser.add_argument("--place", type=Path, help="folder for slides and results")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        score(*args.child, device=args.device, whole=args.whole)
        return 0
    peaks = []
    with tempfile.TemporaryDirectory(dir=args.place) as folder:
        for mm2 in args.mm2:
            slide = Path(folder) / f"{mm2:g}mm2.tif"
            truth = write_mosaic(MosaicSpec(tissue_mm2=mm2, mpp=args.mpp), slide)
            command = [sys.executable, __file__, "--device", args.device]
            command += ["--whole"] if args.whole else []
            command += ["--child", str(slide), str(slide.with_suffix(""))]
            peak, seconds, status = peak_pss(command)
            slide.unlink()
            peaks.append(peak)
            print(
                f"{truth.tissue_mm2:8.1f} mm²: peak {peak / 1e9:.2f} GB, {seconds:.0f} s, "
                f"exit {status}",
                flush=True,
            )
            if status:
                return status
    grown = max(peaks) / peaks[0] - 1
    print(f"growth {100 * grown:+.1f} % (limit {100 * LIMIT:.0f} %)")
    return 0 if grown <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
