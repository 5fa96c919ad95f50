"""Measure what opening the next slide beside the present one gains on a folder of slides.

Small synthetic slides are scored several times, in turn with and without a slide ahead. The results
must be equal, byte for byte.

Run it so: python scripts/measure_ahead.py --slides 8 --mm2 2
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

from pathology.batch import score_folder
from pathology.batch.executor import LocalExecutor
from pathology.config import load_config
from pathology.synthesis.mosaic import MosaicSpec, write_mosaic


def run_once(slides: Path, out: Path, *, ahead: bool, args: argparse.Namespace) -> float:
    """Return the seconds of one run."""
    precision = [f"inference.cpu_precision={args.precision}"] if args.precision else []
    config = load_config(overrides=[*precision, *args.set])
    begin = time.perf_counter()
    alone = patch.object(LocalExecutor, "_reserve", lambda *_: None)
    with nullcontext() if ahead else alone:
        score_folder([slides], out, config=config, model=args.model)
    return time.perf_counter() - begin


def results(out: Path) -> dict[str, bytes]:
    """Return the files of a run that must not depend on how it was run."""
    files = [out / "results.csv", *sorted((out / "slides").rglob("*"))]
    return {str(path.relative_to(out)): path.read_bytes() for path in files if path.is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=8)
    parser.add_argument("--mm2", type=float, default=2.0, help="tissue of each slide, mm²")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=("fp32", "bf16"))
    parser.add_argument("--model", default="her2-cells")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="her2-ahead-") as name:
        slides = Path(name) / "slides"
        slides.mkdir()
        for index in range(args.slides):
            spec = MosaicSpec(tissue_mm2=args.mm2, fields=4)
            write_mosaic(spec, slides / f"{index}.tif", seed=index)
        kept: dict[str, bytes] = {}
        for repeat in range(args.repeats):
            for ahead in (False, True) if repeat % 2 == 0 else (True, False):
                out = Path(name) / f"out-{repeat}-{ahead}"
                seconds[ahead].append(run_once(slides, out, ahead=ahead, args=args))
                kept = kept or results(out)
                if results(out) != kept:
                    print("the results differ", file=sys.stderr)
                    return 1
    best = {kind: min(times) for kind, times in seconds.items()}
    print(
        json.dumps(
            {
                "slides": args.slides,
                "mm2_each": args.mm2,
                "s_one_by_one": [round(value, 2) for value in seconds[False]],
                "s_one_ahead": [round(value, 2) for value in seconds[True]],
                "gain": round(best[False] / best[True], 3),
            }
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
