"""Measure how fast slides are scored, stage by stage, in one warm process.

Each slide is scored once to warm up and then ``--repeat`` times by ``score_slide``, as `her2 score`
does it; the bare network is timed on the same windows in the same process. Figures of one run can
be compared with each other; figures of two machines, or of two runs on a shared machine, cannot.
``--folder N`` scores a folder of N copies of each slide as well, where the next slide is opened
beside the present one.

Run it so: python scripts/benchmark.py slide.svs --out benchmark
           python scripts/benchmark.py --mm2 1 10 100 --mpp 0.25 --device cuda:0
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pathology.batch import SilentObserver, score_folder
from pathology.cells.reader import AnyReader
from pathology.config import Config, load_config
from pathology.errors import PathologyError
from pathology.inference import Engine
from pathology.inference.bundle import load_model
from pathology.pipeline import Progress, score_slide
from pathology.provenance import versions
from pathology.runs import SlideResult
from pathology.tiling import map_ahead
from pathology.timing import STAGES, SlideTiming

#: Batches of the slide on which the bare network is timed; more would hold too much memory.
_BARE_BATCHES = 24
#: Files of a slide whose size follows the cells or the tiles; the others count as pictures.
_BY_CELL, _BY_TILE = "cells.parquet", "tiles.parquet"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slides", nargs="*", type=Path)
    parser.add_argument("--mm2", nargs="+", type=float, default=[], help="synthetic slides, mm²")
    parser.add_argument("--mpp", type=float, default=0.25, help="of synthetic slides (%(default)s)")
    parser.add_argument("--tile-px", type=int, default=256, help="storage tiles (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="(%(default)s)")
    parser.add_argument(
        "--folder", type=int, default=0, metavar="N", help="score N copies in one run, too"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (%(default)s)")
    parser.add_argument("--model", default="her2-cells", help="(%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("benchmark"), help="writes OUT.json, .png")
    args = parser.parse_args()
    if (not args.slides and not args.mm2) or args.repeat < 1:
        parser.error("give a slide or --mm2, and at least one repetition")
    try:
        measured = measure_all(args)
    except (ValueError, PathologyError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    args.out.with_suffix(".json").write_text(json.dumps(measured, indent=2) + "\n")
    plot(measured, args.out.with_suffix(".png"))
    return 0


def measure_all(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every slide; the synthetic ones are made, and gone afterwards."""
    config = load_config(overrides=args.set)
    begun = time.perf_counter()
    reader = load_model(args.model, device=args.device, config=config)
    loaded_s = time.perf_counter() - begun
    gpu = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else None
    with tempfile.TemporaryDirectory(prefix="her2-benchmark-") as name:
        folder = Path(name)
        slides = [measure(path, folder, reader, config, args) for path in args.slides]
        for mm2 in args.mm2:
            path = make(folder, mm2, args)
            slides.append(measure(path, folder, reader, config, args))
            path.unlink()
    return {
        "machine": {
            "processor": processor(), "cores": os.cpu_count(), "gpu": gpu, "device": args.device,
            "load_1min": round(os.getloadavg()[0], 2), **versions(),
        },
        "model": reader.name, "model_sha256": reader.sha256, "config_hash": config.hash,
        "set": args.set, "load_model_s": round(loaded_s, 3), "slides": slides,
    }  # fmt: skip


def make(folder: Path, mm2: float, args: argparse.Namespace) -> Path:
    """Write a synthetic slide, in a process of its own: its memory is not that of scoring."""
    path = folder / f"synthetic-{mm2:g}mm2-{args.mpp:g}mpp-{args.tile_px}px.tif"
    words = [str(path), "--mm2", str(mm2), "--mpp", str(args.mpp), "--tile-px", str(args.tile_px)]
    script = Path(__file__).with_name("make_slide.py")
    subprocess.run([sys.executable, script, *words], check=True, stdout=subprocess.DEVNULL)
    return path


def processor() -> str:
    """Return the name of the processor, where Linux tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((s.split(":", 1)[1].strip() for s in lines if s.startswith("model name")), "")


def measure(
    path: Path, folder: Path, reader: AnyReader, config: Config, args: argparse.Namespace
) -> dict[str, Any]:
    """Score one slide several times; print its line, return everything."""
    images: list[int] = []
    seen: list[tuple[torch.Tensor, ...]] = []

    def note(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        images.append(inputs[0].shape[0])
        if len(seen) < _BARE_BATCHES:
            seen.append(tuple(item.clone() for item in inputs))

    hook = reader.dense.register_forward_pre_hook(note) if isinstance(reader, Engine) else None
    score(path, folder, reader, config)  # warms up, and shows what the network is given
    if hook is not None:
        hook.remove()
    timings = [score(path, folder, reader, config) for _ in range(args.repeat)]
    ordered = sorted(timings, key=lambda item: item.wall_s)
    best, median = ordered[0], ordered[len(ordered) // 2]
    out = folder / "out" / "slides" / "slide"
    result = json.loads((out / "result.json").read_text())
    written = {item.name: item.stat().st_size for item in sorted(out.iterdir())}
    cells = next((o["rows"] for o in result["outputs"] if o["name"] == _BY_CELL), 0)
    each_s = folder_s(path, folder, config, args) if args.folder else None
    bare_s = bare_network_s(reader, seen, sum(images))
    print(f"{path.name}: {best.words()}")
    ratio = round(best.wall_s / bare_s, 3) if bare_s else None
    print(f"  times the bare network ({bare_s or 0:.2f} s): {ratio}")
    each_ratio = round(each_s / bare_s, 3) if each_s and bare_s else None
    if each_s is not None:
        print(f"  in a folder: {each_s:.2f} s each, {each_ratio} times the bare network")
    return {
        "slide": path.name, "status": result["status"], "reader": result["reader"],
        "slide_bytes": path.stat().st_size, "cells": cells, "tiles": best.tiles,
        "written_bytes": {
            "cells": written.get(_BY_CELL, 0), "tiles": written.get(_BY_TILE, 0),
            "pictures": sum(v for k, v in written.items() if k not in (_BY_CELL, _BY_TILE)),
        },
        "bare_network_s": round(bare_s, 3) if bare_s else None,
        "times_bare_network": ratio, "in_folder": args.folder,
        "in_folder_s": round(each_s, 3) if each_s else None,
        "in_folder_times_bare_network": each_ratio,
        "min": best.content(), "median": median.content(),
        "runs_s": [round(item.wall_s, 3) for item in timings],
    }  # fmt: skip


def score(path: Path, folder: Path, reader: AnyReader, config: Config) -> SlideTiming:
    found: list[SlideTiming] = []

    def progress(report: Progress) -> None:
        if report.timing is not None:
            found.append(report.timing)

    score_slide(
        path, out_dir=folder / "out", slide_id="slide", reader=reader, config=config,
        progress=progress,
    )  # fmt: skip
    return found[-1]


class Finishes(SilentObserver):
    """Note when each slide of a run is finished."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def slide_finished(self, result: SlideResult) -> None:
        """Note the time; a slide that failed has none."""
        if result.status == "failed":
            raise ValueError(f"{result.display_path}: {', '.join(result.reasons)}")
        self.at_s.append(time.perf_counter())


def folder_s(path: Path, folder: Path, config: Config, args: argparse.Namespace) -> float:
    """Return the seconds for each slide of a folder; one more slide goes before and warms up."""
    slides, finishes = folder / "copies", Finishes()
    slides.mkdir(exist_ok=True)
    for index in range(args.folder + 1):
        (slides / f"{path.stem}-{index}{path.suffix}").symlink_to(path.resolve())
    score_folder(
        [slides], folder / "run", config=config, model=args.model, device=args.device,
        observer=finishes,
    )  # fmt: skip
    shutil.rmtree(slides)
    shutil.rmtree(folder / "run")
    return (finishes.at_s[-1] - finishes.at_s[0]) / args.folder


def bare_network_s(
    reader: AnyReader, inputs: list[tuple[torch.Tensor, ...]], images: int
) -> float | None:
    """Return the seconds of the network alone for all images; as many at once as scoring does."""
    if not isinstance(reader, Engine) or not inputs:
        return None

    def run(window: tuple[torch.Tensor, ...]) -> None:
        with torch.inference_mode(), reader.numerics():
            reader.run_dense(*window)
            if window[0].is_cuda:
                torch.cuda.synchronize(window[0].device)

    threads = reader.streams
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        for _ in map_ahead(run, inputs, threads=threads, ahead=threads + 1, name="bare"):
            pass
        seconds.append(time.perf_counter() - begun)
    return min(seconds) * images / sum(item[0].shape[0] for item in inputs)


def plot(measured: dict[str, Any], path: Path) -> None:
    """Draw, for each slide, the share of the time in which each stage was busy."""
    slides = measured["slides"]
    figure = Figure(figsize=(8, 1.5 + 2.2 * len(slides)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(slides), 1, squeeze=False, sharex=True)[:, 0]
    for axis, slide in zip(axes, slides, strict=True):
        best = slide["min"]
        shares = [100 * SlideTiming(
            wall_s=best["wall_s"], seconds=best["seconds"], threads=best["threads"]
        ).busy(stage) for stage in STAGES]  # fmt: skip
        bars = axis.barh(STAGES, shares, color="#3b6ea5")
        axis.bar_label(bars, [f"{best['seconds'][stage]:.2f} s" for stage in STAGES], padding=3)
        axis.invert_yaxis()
        axis.set_xlim(0, 115)
        axis.set_title(
            f"{slide['slide']}: {best['tissue_mm2']:.1f} mm² in {best['wall_s']:.1f} s, "
            f"{best['mm2_per_s']:.2f} mm²/s, bound by {best['bound_by']}", fontsize=10, loc="left",
        )  # fmt: skip
    axes[-1].set_xlabel("busy, % of the time, all threads of the stage (labels: seconds, summed)")
    machine = measured["machine"]
    figure.suptitle(f"{measured['model']}, {machine['gpu'] or machine['processor']}", fontsize=11)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
