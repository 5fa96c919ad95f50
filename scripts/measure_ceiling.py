"""Measure patterns along the true outlines of synthetic cells: what a perfect network would reach.

The network says where a cell's outline runs; the membrane is then measured there. With the true
outlines put in its place, what is still wrong is the measurement's share: pixel size, blush,
counterstain, camera. Decisions about pixel size and intensity are taken on these figures.

Example: python scripts/measure_ceiling.py --fields 40 --mpp 0.5 0.25
Closer to the outline: python scripts/measure_ceiling.py --tolerance-um 0.25
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from pathology.cells import PATTERNS
from pathology.cells.classify import classify
from pathology.cells.measure import measure_cells
from pathology.config import Config, load_config
from pathology.geometry import Spacing
from pathology.stain import optical_density, unmix
from pathology.synthesis import render_field
from pathology.synthesis.benchmark import BenchmarkField, benchmark_fields, load_benchmark
from pathology.types import AnyArray

#: Cells nearer to the edge than this are left out, µm: their outlines leave the picture.
BORDER_UM = 20.0
BOOTSTRAP = 1000


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Hold true and measured values of the tumour cells of one field."""

    true_pattern: AnyArray
    pattern: AnyArray
    completeness_error: AnyArray
    od_error: AnyArray


def read_field(item: BenchmarkField, mpp: float, config: Config) -> Reading:
    """Render a field at a pixel size and measure its cells along their true outlines."""
    factor = item.spec.mpp / mpp
    spec = replace(
        item.spec, mpp=mpp, width_px=round(item.spec.width_px * factor),
        height_px=round(item.spec.height_px * factor),
    )  # fmt: skip
    field = render_field(spec, item.seed)
    cells, edge = field.cells, BORDER_UM / mpp
    inside = (cells.x_px > edge) & (cells.x_px < spec.width_px - edge)
    inside &= (cells.y_px > edge) & (cells.y_px < spec.height_px - edge)
    cells = cells.take(inside & cells.visible & (cells.cell_class == 0))
    od = optical_density(field.rgb, field.white)
    dab = unmix(od, config.stain.haematoxylin, config.stain.dab)[..., 1]
    measured = measure_cells(
        np.ascontiguousarray(dab), np.stack([cells.x_px, cells.y_px], axis=1),
        cells.outline_r_um, mpp=Spacing(x=mpp, y=mpp), config=config.measurement,
    )  # fmt: skip
    found = classify(measured.ray_od, measured.cytoplasm_od, config.measurement)
    stained = cells.completeness > 0
    return Reading(
        true_pattern=cells.pattern,
        pattern=found.pattern,
        completeness_error=np.abs(found.membrane_completeness - cells.completeness),
        od_error=np.abs(found.membrane_od_stained - cells.membrane_od)[stained],
    )


def accuracy(readings: Sequence[Reading]) -> float:
    right = sum(int((item.pattern == item.true_pattern).sum()) for item in readings)
    return right / max(sum(len(item.pattern) for item in readings), 1)


def macro_f1(readings: Sequence[Reading]) -> float:
    true = np.concatenate([item.true_pattern for item in readings])
    found = np.concatenate([item.pattern for item in readings])
    scores = []
    for code in range(len(PATTERNS)):
        size = int((true == code).sum() + (found == code).sum())
        if size:
            scores.append(2 * int(((true == code) & (found == code)).sum()) / size)
    return float(np.mean(scores))


def faint_against_unstained(readings: Sequence[Reading]) -> float:
    """Share of the truly unstained and faint cells that are told apart."""
    true = np.concatenate([item.true_pattern for item in readings])
    found = np.concatenate([item.pattern for item in readings])
    low = true <= PATTERNS.index("incomplete_faint")
    return float(((found[low] > 0) == (true[low] > 0)).mean())


def mean_of(name: str) -> Callable[[Sequence[Reading]], float]:
    return lambda readings: float(np.concatenate([getattr(r, name) for r in readings]).mean())


FIGURES: dict[str, Callable[[Sequence[Reading]], float]] = {
    "pattern_accuracy": accuracy,
    "pattern_macro_f1": macro_f1,
    "stained_or_not_accuracy_of_0_and_faint": faint_against_unstained,
    "completeness_error": mean_of("completeness_error"),
    "membrane_od_error": mean_of("od_error"),
}


def interval(
    readings: Sequence[Reading], figure: Callable[[Sequence[Reading]], float]
) -> tuple[float, float, float]:
    """Return a figure with its 95 % bootstrap interval over fields."""
    rng = np.random.default_rng(0)
    count = len(readings)
    draws = [
        figure([readings[k] for k in rng.integers(count, size=count)]) for _ in range(BOOTSTRAP)
    ]
    low, high = np.percentile(draws, (2.5, 97.5))
    return figure(readings), float(low), float(high)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fields", type=int, default=40, help="benchmark fields to read")
    parser.add_argument("--mpp", type=float, nargs="+", default=[0.5], help="pixel sizes in µm")
    parser.add_argument(
        "--tolerance-um", type=float, help="how far from the outline the membrane is looked for"
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    args = parser.parse_args()
    # Every third field or so: neighbours in the list share a tissue type.
    every = list(benchmark_fields(load_benchmark()))
    chosen = every[:: max(1, len(every) // args.fields)][: args.fields]
    tolerance = args.tolerance_um
    changes = [] if tolerance is None else [f"measurement.ray_tolerance_um={tolerance}"]
    config = load_config(overrides=changes)
    report: dict[str, dict[str, list[float]]] = {}
    for mpp in args.mpp:
        readings = [read_field(item, mpp, config) for item in track(chosen, f"{mpp} µm/px")]
        readings = [item for item in readings if len(item.pattern)]
        cells = sum(len(item.pattern) for item in readings)
        print(f"{mpp} µm/px: {len(readings)} fields, {cells:,} tumour cells, true outlines")
        report[str(mpp)] = {}
        for name, figure in FIGURES.items():
            value, low, high = interval(readings, figure)
            report[str(mpp)][name] = [value, low, high]
            print(f"  {name}: {value:.3f} ({low:.3f} to {high:.3f})")
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
