"""Score thousands of tiny slides in one folder: overhead a slide, memory, and the resume scan.

Overhead is the time of the whole run, from listing the folder to the tables, less two things: the
start of the worker, which is paid once and printed apart, and the seconds that the worker spends in
`score_slide` outside of writing. Writing (making and emptying the slide's folder, coding tables,
`result.json`, syncing, renaming) counts as overhead; drawing and coding pictures does not. One
worker, so that times add up.

Run it so: python scripts/benchmark_many.py --slides 10000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pathology.batch import SilentObserver, collect_inputs, score_folder, worker
from pathology.cells.reader import TileReader
from pathology.config import Config, load_config
from pathology.pipeline import score, slide_identity
from pathology.runs import CellWriter, RunFolder, RunKey, SlideFolder, SlideResult
from pathology.runs.atomic import AtomicFile
from pathology.synthesis.tiff import write_pyramid
from pathology.testing.fake_model import FakeModel
from pathology.tiling import InputSpec

#: As little scoring as there can be.
QUICK = (
    "tiling.tile_px=256",
    "scoring.bootstrap_replicates=50",
    "stain.probes=2",
    "report.overview_px=300",
)
#: Different slides; the others are links to one of them.
ORIGINALS = 4


#: What writes, in the process that scores; calls within each other count once.
WRITING: tuple[tuple[Any, str], ...] = (
    (AtomicFile, "__init__"),
    (AtomicFile, "commit"),
    (CellWriter, "__init__"),
    (CellWriter, "write"),
    (CellWriter, "close"),
    (SlideFolder, "begin"),
    (SlideFolder, "write_result"),
    (score, "write_tiles"),
)


class Clock:
    """Add up the seconds spent in some functions of this process."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"score": 0.0, "write": 0.0}
        self._deep: dict[str, int] = {"score": 0, "write": 0}

    def around(self, name: str, function: Any) -> Any:
        """Return the function with its time added up."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._deep[name] += 1
            begin = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._deep[name] -= 1
                if not self._deep[name]:
                    self.seconds[name] += time.perf_counter() - begin

        return timed


@dataclass(frozen=True, kw_only=True)
class TimedFactory:
    """Load the model without a network, and take the time in its worker."""

    journal: Path
    name: str = "fake/1.0.0"

    @property
    def sha256(self) -> str:
        """SHA-256 of what stands for weights."""
        return FakeModel().sha256

    @property
    def spec(self) -> InputSpec:
        """What the model wants to see."""
        return FakeModel().spec

    def devices(self, device: str) -> tuple[str, ...]:
        """Return the CPU."""
        del device
        return ("cpu",)

    def open(self, device: str, config: Config) -> TileReader:
        """Put the clock around what is measured."""
        del device
        clock = Clock()
        warm_up()
        for owner, name in WRITING:
            setattr(owner, name, clock.around("write", getattr(owner, name)))
        inner = clock.around("score", worker.score_slide)

        def scored(*args: Any, **kwargs: Any) -> SlideResult:
            result: SlideResult = inner(*args, **kwargs)
            with self.journal.open("a") as file:
                file.write(json.dumps({**clock.seconds, "rss_mb": rss_mb()}) + "\n")
            return result

        worker.score_slide = scored
        return FakeModel(config)


def warm_up() -> None:
    """Make one table: with the first of a process pyarrow loads pandas, where that is installed."""
    pa.array(np.zeros(1))


def rss_mb() -> float:
    """Return the memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Watcher(SilentObserver):
    """Note when the worker was there, and the memory of this process as slides come in."""

    def __init__(self) -> None:
        self.rss_mb: list[float] = []
        self.planned = self.first = 0.0

    def run_started(self, *, total: int, done: int, skipped: int) -> None:
        """Note when the worker is asked for."""
        del total, done, skipped
        self.planned = time.perf_counter()

    def slide_started(self, slide_id: str, display_path: str) -> None:
        """Note when it is there."""
        del slide_id, display_path
        self.first = self.first or time.perf_counter()

    def slide_finished(self, result: SlideResult) -> None:
        """Take a sample."""
        del result
        self.rss_mb.append(rss_mb())


def paint(folder: Path, count: int) -> None:
    """Write a few slides of 0.05 mm² and 144 cells, each stained otherwise, and link the rest."""
    folder.mkdir()
    stain = load_config().stain
    y, x = np.mgrid[:448, :448]
    radius = np.hypot(x % 32 - 15.5, y % 32 - 15.5) / 2
    for number in range(count):
        path = folder / f"slide-{number:05d}.tif"
        if number >= ORIGINALS:
            os.link(folder / f"slide-{number % ORIGINALS:05d}.tif", path)
            continue
        blue = 0.12 + 0.7 * np.clip(4.5 - radius, 0, 1)
        brown = 0.3 * number * np.clip(1.25 - np.abs(radius - 6.5), 0, 1)
        od = blue[..., None] * np.array(stain.haematoxylin) + brown[..., None] * np.array(stain.dab)
        od[:32], od[-32:], od[:, :32], od[:, -32:] = 0, 0, 0, 0
        pixels = np.clip(np.round(240 * 10**-od), 0, 255).astype(np.uint8)
        write_pyramid(path, pixels, mpp=0.5, levels=2, compression="deflate")


def sync_ms(folder: Path) -> float:
    """Return how long this disk takes to make one small file durable, which nothing can save."""
    begin = time.perf_counter()
    for number in range(50):
        with AtomicFile(folder / f"sync-{number}") as file:
            file.stream.write(b"x" * 2000)
    return (time.perf_counter() - begin) / 50 * 1e3


def growth(samples: list[float]) -> str:
    """Compare the memory in the last tenth of a run with the second one."""
    tenth = max(len(samples) // 10, 1)
    early, late = np.median(samples[tenth : 2 * tenth] or samples), np.median(samples[-tenth:])
    kb_a_slide = 1e3 * np.polyfit(range(tenth, len(samples)), samples[tenth:], 1)[0]
    return (
        f"{early:.0f} -> {late:.0f} MB ({100 * (late / early - 1):+.1f} %), "
        f"{kb_a_slide:+.1f} kB a slide"
    )


def measure(place: Path, count: int) -> dict[str, float]:
    slides, out, journal = place / "slides", place / "out", place / "journal"
    paint(slides, count)
    config = load_config(overrides=[*QUICK])
    factory = TimedFactory(journal=journal)
    watcher = Watcher()
    warm_up()
    begin = time.perf_counter()
    results = score_folder(
        [slides], out, config=config, model=factory, device="cpu", observer=watcher
    )
    total = time.perf_counter() - begin
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start = watcher.first - watcher.planned
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    last = lines[-1]
    overhead = total - start - (last["score"] - last["write"])
    begin = time.perf_counter()
    again = score_folder([slides], out, config=config, model=factory, device="cpu")
    resumed = time.perf_counter() - begin
    scan = scan_seconds(slides, out, config, factory)
    print(f"{len(results)} slides, {sum(r.status == 'scored' for r in again)} scored")
    print(f"whole run             {total:.1f} s; in score_slide {last['score']:.1f} s")
    print(f"start of the worker   {start:.1f} s, once")
    print(f"writing               {1e3 * last['write'] / count:.1f} ms a slide")
    print(f"overhead              {1e3 * overhead / count:.1f} ms a slide (limit 30)")
    print(f"one file made durable {sync_ms(place):.1f} ms on this disk")
    print(f"the same command      {resumed:.1f} s; 10,000 would be {resumed / count * 1e4:.1f} s")
    print(
        f"  of it the scan      {scan:.1f} s; 10,000 would be {scan / count * 1e4:.1f} s (limit 10)"
    )
    print(f"memory of the command {growth(watcher.rss_mb)}; peak with the tables {peak_mb:.0f} MB")
    print(f"memory of the worker  {growth([line['rss_mb'] for line in lines])}")
    return {"overhead_ms": 1e3 * overhead / count, "scan_s": scan, "resume_s": resumed}


def scan_seconds(slides: Path, out: Path, config: Config, factory: TimedFactory) -> float:
    """Time only what tells that a slide is done: its identity, its result, its files."""
    key = RunKey.of(config, model=factory.name, model_sha256=factory.sha256)
    found = collect_inputs([slides])
    with RunFolder(out, key) as folder:
        begin = time.perf_counter()
        for slide_id, request in zip(found.ids, found.requests, strict=True):
            if not folder.is_done(slide_id, slide_identity(request)):
                raise SystemExit(f"{slide_id} is not done")
        return time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--place", type=Path, help="folder on the disk to measure")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.place) as name:
        figures = measure(Path(name), args.slides)
    return 0 if figures["overhead_ms"] <= 30 else 1


if __name__ == "__main__":
    sys.exit(main())
