"""Compare two ways to tell a ray's density: measured on the slide, or said by a network.

Both see the same outlines: true ones moved by smooth errors of a known size, as a network draws
them. The network is a small one along the outline; it sees the profile across each ray and the
cell's cytoplasm, learns from fields of the training distribution, and is judged on fields of the
benchmark. Without offsets it keeps proportions (twice the stain gives twice the answer), which a
calibration of a site's gain needs; with offsets it does not.

Example: python scripts/measure_ray_reading.py --train 300 --fields 40
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn

from pathology.cells.classify import classify
from pathology.cells.measure import RaySampler, measure_cells, ray_directions
from pathology.cells.table import OD_STEP, PATTERNS
from pathology.config import MeasurementConfig, load_config
from pathology.geometry import Spacing
from pathology.synthesis import Field, random_field_spec, render_field
from pathology.synthesis.benchmark import benchmark_fields, load_benchmark
from pathology.training.data.augment import network_input

#: Fields beyond those of training and of its measurements, below those of the benchmark.
FIRST_SEED = 2_000_000
MARGIN_PX = 20
#: Where the network looks across a ray, µm from the outline.
ACROSS_UM = np.arange(-3.0, 3.01, 0.5).astype(np.float32)
#: Standard deviation of each of the harmonics 0 to 6 of an outline's error, µm.
ERROR_UM = 0.45
REPLICATES = 500


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Hold cells of many fields: truth, what is measured, and what the network sees."""

    field: np.ndarray  # (n,)
    true_od: np.ndarray  # (n, 32), 0 where unstained
    completeness: np.ndarray  # (n,)
    membrane_od: np.ndarray  # (n,)
    pattern: np.ndarray  # (n,)
    ray_od: np.ndarray  # (n, 32) uint8
    cytoplasm_od: np.ndarray  # (n,)
    seen: np.ndarray  # (n, 14, 32)


def read_field(
    field: Field, number: int, rng: np.random.Generator, config: MeasurementConfig
) -> Cells:
    """Measure the tumour cells of a field along outlines that are a little wrong."""
    stain = load_config().stain
    dab = network_input(field.rgb, np.asarray(field.white, np.float32), stain)[0][1]
    height, width = dab.shape
    x, y = field.cells.x_px, field.cells.y_px
    inside = (np.minimum(x, y) > MARGIN_PX) & (x < width - MARGIN_PX) & (y < height - MARGIN_PX)
    cells = field.cells.take(inside & (field.cells.cell_class == 0) & field.cells.visible)
    angle = 2 * np.pi * np.arange(32) / 32
    error = np.zeros((cells.n, 32))
    for order in range(7):
        a, b = rng.normal(0, ERROR_UM, (2, cells.n, 1))
        error += a * np.cos(order * angle) + b * np.sin(order * angle)
    rays_um = np.maximum(cells.outline_r_um + error, 1.0).astype(np.float32)
    mpp = Spacing(x=0.5, y=0.5)
    centres = np.stack([cells.x_px, cells.y_px], axis=1).astype(np.float64)
    found = measure_cells(dab, centres, rays_um, mpp=mpp, config=config)
    along = np.maximum(rays_um[:, :, None] + ACROSS_UM, 0)
    way = ray_directions()
    profile = RaySampler(dab, centres, mpp).sample(along * way[:, 0, None], along * way[:, 1, None])
    cytoplasm = np.broadcast_to(found.cytoplasm_od[:, None, None], (cells.n, 1, 32))
    seen = np.concatenate([profile.transpose(0, 2, 1), cytoplasm], axis=1)
    return Cells(
        field=np.full(cells.n, number), true_od=cells.ray_od, completeness=cells.completeness,
        membrane_od=cells.membrane_od, pattern=cells.pattern, ray_od=found.ray_od,
        cytoplasm_od=found.cytoplasm_od, seen=seen.astype(np.float32),
    )  # fmt: skip


def gather(parts: Iterable[Field], config: MeasurementConfig, seed: int) -> Cells:
    """Read fields, and put their cells behind each other."""
    rng = np.random.default_rng(seed)
    read = [read_field(field, number, rng, config) for number, field in enumerate(parts)]
    columns = (item.name for item in fields(Cells))
    return Cells(**{name: np.concatenate([getattr(one, name) for one in read]) for name in columns})


def drawn(count: int) -> Iterable[Field]:
    """Render fields of the training distribution."""
    for seed in track(range(FIRST_SEED, FIRST_SEED + count), "fields to learn from"):
        yield render_field(random_field_spec(np.random.default_rng(seed)), seed)


def frozen(count: int) -> Iterable[Field]:
    """Render fields of the benchmark, evenly spread over it."""
    items = list(benchmark_fields(load_benchmark()))
    for item in track(items[:: max(1, len(items) // count)], "fields to judge on"):
        yield render_field(item.spec, item.seed)


def learn(cells: Cells, *, offsets: bool, steps: int) -> nn.Module:
    """Train the network that says the density of every ray of a cell."""
    torch.manual_seed(0)
    ring = {"padding": 1, "padding_mode": "circular", "bias": offsets}
    network = nn.Sequential(
        nn.Conv1d(len(ACROSS_UM) + 1, 32, 3, **ring), nn.ReLU(),
        nn.Conv1d(32, 32, 3, **ring), nn.ReLU(),
        nn.Conv1d(32, 1, 1, bias=offsets), nn.Flatten(),
    )  # fmt: skip
    seen, wanted = torch.from_numpy(cells.seen), torch.from_numpy(cells.true_od).float()
    optimiser = torch.optim.AdamW(network.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    for _ in track(range(steps), f"training, {'with' if offsets else 'without'} offsets"):
        rows = torch.randint(0, len(seen), (512,))
        gain = torch.exp(torch.empty(512, 1).uniform_(-0.4, 0.4))
        found, target = network(seen[rows] * gain[..., None]), wanted[rows] * gain
        loss = ((found - target).abs() / (target + 0.15 * gain)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def tell(
    name: str, cells: Cells, ray_od: np.ndarray, config: MeasurementConfig, *, learned: bool
) -> None:
    """Class cells by a reading of their rays, and print how right that is."""
    cytoplasm = np.zeros_like(cells.cytoplasm_od) if learned else cells.cytoplasm_od
    found = classify(ray_od, cytoplasm, config)
    gap = np.abs(found.membrane_completeness - cells.completeness)
    od_gap = np.abs(found.membrane_od_stained - cells.membrane_od)
    stained = cells.membrane_od > 0
    rng, numbers = np.random.default_rng(1), np.unique(cells.field)
    rows_of = {number: np.flatnonzero(cells.field == number) for number in numbers}

    def figures(rows: np.ndarray) -> tuple[float, float, float]:
        table = np.zeros((len(PATTERNS), len(PATTERNS)))
        np.add.at(table, (cells.pattern[rows], found.pattern[rows]), 1)
        hits, both = np.diag(table), table.sum(0) + table.sum(1)
        f1 = float(np.mean(2 * hits[both > 0] / both[both > 0]))
        return f1, float(gap[rows].mean()), float(od_gap[rows][stained[rows]].mean())

    samples = [
        figures(np.concatenate([rows_of[k] for k in rng.choice(numbers, len(numbers))]))
        for _ in range(REPLICATES)
    ]
    ends = np.quantile(samples, [0.025, 0.975], axis=0).T
    values = figures(np.arange(len(gap)))
    told = [f"{v:.3f} ({a:.3f}-{b:.3f})" for v, (a, b) in zip(values, ends, strict=True)]
    print(f"| {name} | " + " | ".join(told) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--train", type=int, default=300, help="fields to learn from")
    parser.add_argument("--fields", type=int, default=40, help="fields of the benchmark")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument(
        "--tolerance-um", type=float, help="how far from the outline the membrane is looked for"
    )
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    tolerance = wanted.tolerance_um
    changes = [] if tolerance is None else [f"measurement.ray_tolerance_um={tolerance}"]
    config = load_config(overrides=changes).measurement
    teach, judge = gather(drawn(wanted.train), config, 5), gather(frozen(wanted.fields), config, 6)
    print(f"{len(judge.field):,} tumour cells of {len(np.unique(judge.field))} benchmark fields")
    print("| reading | macro-F1 of patterns | completeness error | membrane OD error |")
    print("|---|---|---|---|")
    tell("measured", judge, judge.ray_od, config, learned=False)
    for offsets in (False, True):
        network = learn(teach, offsets=offsets, steps=wanted.steps)
        with torch.inference_mode():
            said: Tensor = network(torch.from_numpy(judge.seen)).clamp(0, 2.55)
        ray_od = np.rint(said.numpy() / OD_STEP).astype(np.uint8)
        name = "network with offsets" if offsets else "network that keeps proportions"
        for stained_od in (0.06, 0.09, 0.12):
            own = config.model_copy(update={"stained_od": stained_od, "contrast_od": 0.0})
            tell(f"{name}, stained from {stained_od}", judge, ray_od, own, learned=True)


if __name__ == "__main__":
    main()
