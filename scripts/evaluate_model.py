"""Measure a model and write its card: every number of MODEL_CARD.md comes from here.

Each part can be asked for alone; the JSON file collects them, so that parts can be measured one
after the other, and the card is made from that file.

Examples
--------
python scripts/evaluate_model.py --benchmark --bundle --json evidence.json
python scripts/evaluate_model.py --slides 300 --cache .cache/evidence --json evidence.json
HER2_REAL_DATA=/data/real python scripts/evaluate_model.py --real --nuclei --robustness \
    --overlays overlays --log docs/real-evaluations.jsonl --json evidence.json
python scripts/evaluate_model.py --card --log docs/real-evaluations.jsonl --json evidence.json
"""

from __future__ import annotations

import argparse
import datetime
import functools
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from classical_baseline import ClassicalReader
from rich.progress import Progress

from pathology.cells.reader import TileReader
from pathology.config import load_config
from pathology.errors import ModelError, OutputError, PathologyError, UsageError
from pathology.inference.bundle import load_bundle, load_model
from pathology.inference.engine import Engine
from pathology.inference.manifest import CARD_FILE, ModelManifest
from pathology.synthesis.benchmark import load_benchmark
from pathology.training.evidence.benchmark import draw_failures, measure_benchmark
from pathology.training.evidence.bundle import measure_bundle
from pathology.training.evidence.cameras import measure_cameras
from pathology.training.evidence.card import render_evidence_card
from pathology.training.evidence.core_overlays import draw_overlays
from pathology.training.evidence.real import measure_nuclei, measure_real
from pathology.training.evidence.robust import CHANGES, measure_robustness
from pathology.training.evidence.slides import measure_slides

#: Sheet of the worst fields, beside the card.
FAILURES_FILE = "failures.jpg"
PARTS = ("bundle", "benchmark", "cameras", "slides", "real", "nuclei", "robustness")


def make_model(name: str, threads: int | None = None) -> TileReader:
    """Load a cell model; top-level, so that worker processes can call it."""
    config = None
    if threads is not None:
        config = load_config(overrides=[f"inference.cpu_threads={threads}"])
    model = load_model(name, config=config)
    if not isinstance(model, Engine):
        raise ModelError(f"{model.name}: not a cell model")
    return model


def readers_of(args: argparse.Namespace) -> dict[str, TileReader]:
    readers: dict[str, TileReader] = {"model": make_model(args.model)}
    if not args.no_baseline:
        readers["baseline"] = ClassicalReader()
    return readers


@contextmanager
def progress_of(title: str) -> Iterator[Callable[[int, int], None]]:
    with Progress() as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def run_benchmark(args: argparse.Namespace) -> dict[str, Any]:
    readers, config = readers_of(args), load_benchmark()
    with progress_of("benchmark") as tell:
        found = measure_benchmark(readers, config, limit=args.fields, tell=tell)
    if args.failures is not None:
        draw_failures(readers["model"], config, found["readers"]["model"]["worst"], args.failures)
    return found


def run_cameras(args: argparse.Namespace) -> dict[str, Any]:
    with progress_of("cameras") as tell:
        return measure_cameras(readers_of(args), load_benchmark(), limit=args.fields, tell=tell)


def run_slides(args: argparse.Namespace) -> dict[str, Any]:
    # One thread per process: two processes on two cores.
    threads = 1 if args.workers > 1 else None
    makers: dict[str, Callable[[], TileReader]] = {
        "model": functools.partial(make_model, args.model, threads)
    }
    if args.slides_baseline:
        makers["baseline"] = ClassicalReader
    with progress_of("slides") as tell:
        return measure_slides(
            makers, count=args.slides, cache=args.cache, workers=args.workers, tell=tell
        )


def run_real(args: argparse.Namespace) -> dict[str, Any]:
    with progress_of("real slides") as tell, tempfile.TemporaryDirectory() as folder:
        out = Path(folder) if args.overlays is None else args.overlays / "results"
        found = measure_real(readers_of(args), real_data(), out, tell=tell)
        if args.overlays is not None:
            draw_overlays(real_data(), out / "model", args.overlays)
    return found


def run_nuclei(args: argparse.Namespace) -> dict[str, Any]:
    return measure_nuclei(readers_of(args), real_data())


def run_robustness(args: argparse.Namespace) -> dict[str, Any]:
    chosen = {name: CHANGES[name] for name in args.changes or CHANGES}
    with progress_of("robustness") as tell:
        return measure_robustness(readers_of(args), real_data(), changes=chosen, tell=tell)


def run_bundle(args: argparse.Namespace) -> dict[str, Any]:
    found = measure_bundle(load_bundle(args.model))
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        import check_onnx

        with tempfile.TemporaryDirectory() as folder:
            found["onnx_difference"] = check_onnx.check(args.model, Path(folder) / "model.onnx")
    return found


def real_data() -> Path:
    folder = os.environ.get("HER2_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        raise UsageError(
            "HER2_REAL_DATA does not name a folder", fix="Set it to the folder with labels.csv."
        )
    return Path(folder)


RUNS = {
    "bundle": run_bundle,
    "benchmark": run_benchmark,
    "cameras": run_cameras,
    "slides": run_slides,
    "real": run_real,
    "nuclei": run_nuclei,
    "robustness": run_robustness,
}


def outcome_of(part: str, found: dict[str, Any]) -> str:
    """Say in a few words what a measurement on real data gave; for the log."""
    model = found["readers"]["model"]
    if part == "real":
        wrong = ", ".join(row["file"] for row in model["rows"] if not row["ok"])
        text = f"{model['as_expected']} of {model['n']} as expected"
        return f"{text}; not: {wrong}" if wrong else text
    if part == "nuclei":
        return f"F1 {model['f1']:.3f} of {model['n']} nuclei"
    return f"{model['stable']} of {model['n']} stable"


def write_log(path: Path, args: argparse.Namespace, part: str, found: dict[str, Any]) -> None:
    reader = make_model(args.model)
    line = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "model": reader.name,
        "sha256": reader.sha256,
        "what": part,
        "outcome": outcome_of(part, found),
    }
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def read_log(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def read_evidence(args: argparse.Namespace) -> dict[str, Any]:
    """Read what is known of this model; figures of other weights are left behind."""
    sha256 = load_bundle(args.model).manifest.weights_sha256
    known: dict[str, Any] = {}
    if args.json is not None and args.json.is_file():
        known = json.loads(args.json.read_text(encoding="utf-8"))
        if known.get("weights_sha256") != sha256:
            if args.card:
                raise UsageError(f"{args.json}: measured with other weights than {args.model}")
            known = {}
    return {**known, "weights_sha256": sha256}


def write_card(args: argparse.Namespace, evidence: dict[str, Any]) -> Path:
    bundle = load_bundle(args.model)
    if not isinstance(bundle.manifest, ModelManifest):
        raise ModelError(f"{bundle.manifest.title}: not a cell model")
    path = args.card_file or bundle.directory / CARD_FILE
    picture = FAILURES_FILE if (path.parent / FAILURES_FILE).is_file() else None
    text = render_evidence_card(
        bundle.manifest, evidence, log=read_log(args.log), picture=picture, command=args.command
    )
    path.write_text(text, encoding="utf-8")
    return Path(path)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\nExamples")[0],
        epilog=(__doc__ or "").split("--------\n")[-1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="her2-cells", help="bundled model or folder")
    parser.add_argument("--json", type=Path, help="collect the figures in this file")
    parser.add_argument("--no-baseline", action="store_true", help="leave the classical one out")
    what = parser.add_argument_group("what to measure")
    what.add_argument("--all", action="store_true", help="everything, with 300 slides")
    what.add_argument("--bundle", action="store_true", help="cost, golden output, ONNX")
    what.add_argument("--benchmark", action="store_true", help="the frozen synthetic benchmark")
    what.add_argument("--cameras", action="store_true", help="the same, as cameras show it")
    what.add_argument("--slides", type=int, metavar="N", help="N whole synthetic slides")
    for name in ("real", "nuclei", "robustness"):
        what.add_argument(f"--{name}", action="store_true", help="needs HER2_REAL_DATA")
    what.add_argument("--card", action="store_true", help="write the card from --json")
    how = parser.add_argument_group("how")
    how.add_argument("--fields", type=int, help="only the first fields of the benchmark")
    how.add_argument("--failures", type=Path, help=f"JPEG of the worst fields ({FAILURES_FILE})")
    how.add_argument("--cache", type=Path, default=Path(".cache/evidence"), help="keeps slides")
    how.add_argument("--workers", type=int, default=2, help="processes for slides")
    how.add_argument("--slides-baseline", action="store_true", help="the classical one, too")
    how.add_argument("--changes", nargs="+", choices=list(CHANGES), help="only these changes")
    how.add_argument("--overlays", type=Path, help="folder for results and pictures of real slides")
    how.add_argument("--log", type=Path, help="JSON lines: every evaluation on real slides")
    how.add_argument("--card-file", type=Path, help="where to write the card; else in the bundle")
    how.add_argument(
        "--command",
        default="her2 train --config configs/training/base.yaml",
        help="how the model was trained, for the card",
    )
    args = parser.parse_args(arguments)
    if args.all:
        args.bundle = args.benchmark = args.cameras = True
        args.real = args.nuclei = args.robustness = True
        args.slides = args.slides or 300
    if not args.card and not any(getattr(args, part) for part in PARTS):
        parser.error("nothing to do: give --all, a part, or --card")
    if args.card and args.json is None:
        parser.error("--card needs --json")
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    try:
        evidence = read_evidence(args)
        for part in PARTS:
            if not getattr(args, part):
                continue
            evidence[part] = RUNS[part](args)
            if args.json is not None:
                args.json.write_text(json.dumps(evidence, indent=1) + "\n", encoding="utf-8")
            else:
                print(json.dumps({part: evidence[part]}, indent=1))
            if args.log is not None and part in ("real", "nuclei", "robustness"):
                write_log(args.log, args, part, evidence[part])
        if args.card:
            print(write_card(args, evidence))
    except PathologyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        problem = OutputError(f"{error.filename}: {error.strerror}")
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
