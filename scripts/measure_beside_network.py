"""Measure what a slide costs beside the network: reading, judging what was found, tables, pictures.

On a GPU the network may be so fast that the rest decides. The slide is scored once in earnest; then
what the model found is given again at once, so that all that is left is the processor's own work.
The seconds of each stage are printed per mm² of tissue, summed over threads and shared by them.

Run it so: python scripts/measure_beside_network.py slide.tif
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from pathology.cells.table import CellTable
from pathology.config import load_config
from pathology.errors import PathologyError
from pathology.inference import Engine
from pathology.inference.bundle import load_model
from pathology.pipeline import Progress, score_slide
from pathology.pipeline.reading import judge_threads, reader_threads
from pathology.tiling import TileBatch
from pathology.timing import STAGES, SlideTiming


class Remembered:
    """Read each batch with the network once, then give what it found there again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[int, ...], list[CellTable]] = {}

    def __getattr__(self, name: str) -> Any:
        """Be the engine in everything else."""
        return getattr(self._engine, name)

    def read(self, batch: TileBatch) -> list[CellTable]:
        """Read, or remember."""
        key = tuple(tile.tile_id for tile in batch.tiles)
        if key not in self._known:
            self._known[key] = self._engine.read(batch)
        return self._known[key]


def measure(slide: Path, repeats: int, overrides: list[str]) -> SlideTiming:
    """Return the shortest of some runs without the network."""
    config = load_config(overrides=overrides)
    engine = load_model(config=config)
    if not isinstance(engine, Engine):
        raise TypeError("a model of cells is measured here")
    reader: Any = Remembered(engine)
    timings: list[SlideTiming] = []

    def note(progress: Progress) -> None:
        if progress.timing is not None:
            timings.append(progress.timing)

    with tempfile.TemporaryDirectory() as out:
        for _ in range(1 + repeats):
            score_slide(slide, out_dir=out, slide_id="slide", reader=reader, config=config,
                        progress=note)  # fmt: skip
    return min(timings[1:], key=lambda timing: timing.wall_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--repeats", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error("at least one repetition")
    try:
        timing = measure(args.slide, args.repeats, args.set)
    except PathologyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    config = load_config(overrides=args.set)
    gpu = {"read": reader_threads(config, "cuda:0"), "tables": judge_threads("cuda:0") + 1}
    print(
        f"{args.slide.name}: {timing.tissue_mm2:.1f} mm², {timing.wall_s:.2f} s without the network"
    )
    for stage in STAGES:
        spent_ms = 1e3 * timing.seconds.get(stage, 0.0) / max(timing.tissue_mm2, 1e-9)
        threads = gpu.get(stage, 1)
        print(
            f"{stage:9s}{spent_ms:7.1f} ms per mm²; beside a GPU {threads:2d} "
            f"thread{'' if threads == 1 else 's'}: {spent_ms / threads:5.1f} ms"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
