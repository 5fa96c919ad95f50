"""Compare mm² per second with other pipelines: same slide, same network, same machine, one run.

Peers:
  loader      OpenSlide and torch's DataLoader, as one would write it: at the defaults of both
              (batch 1, no workers, float32), and tuned (batch 4, the best number of workers of a
              few, channels_last, our precision)
  tiatoolbox  its SemanticSegmentor with our network, at its defaults (batch 8, no workers, float32)
              and tuned in the same way. It is run by --tiatoolbox-python, an interpreter that has
              tiatoolbox 2.1 and torch (nothing of ours), and left out without it.

On a GPU (--device cuda:0) the peers' networks run there too, after one window to warm up. torch's
defaults then allow TF32 in float32 convolutions, ours does not. The tuned loader pins its batches.

Ours reads, runs the network, and measures all membranes; the peers stop at the cells' centres. All
work on the same tiles. Cells are equal when they lie within 0.5 µm of each other.

Run it so: python scripts/compare_peers.py slide.tif --precision bf16
           python scripts/compare_peers.py slide.tif --tiatoolbox-python /opt/tia/bin/python
           python scripts/compare_peers.py slide.tif --device cuda:0 --precision fp16 --workers 8 15
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openslide
import torch
from PIL import Image
from scipy.spatial import KDTree
from torch.utils.data import DataLoader, Dataset

from pathology.config import Config, load_config
from pathology.geometry import Box0
from pathology.inference import Engine, ops
from pathology.inference.bundle import load_bundle, load_model
from pathology.nn.cellnet import CellPlaces
from pathology.pipeline.reading import reader_threads, windows_ahead
from pathology.stain import StainMatrix
from pathology.tiling import (
    TileGrid,
    TileRef,
    TileSource,
    batches,
    lay_grid,
    map_ahead,
    select_tiles,
)
from pathology.tissue import TissueFinding, find_tissue
from pathology.wsi import open_slide

EQUAL_UM = 0.5
#: tiatoolbox gives a network one picture: the context is cut from it, so its halo is the wide one.
TIA_CORE_PX, TIA_HALO_PX = 512, 256
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_PEER = Path(__file__).with_name("peer_tiatoolbox.py")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all have to do."""

    path: Path
    config: Config
    grid: TileGrid
    tiles: list[TileRef]
    finding: TissueFinding
    device: torch.device

    @property
    def mm2(self) -> float:
        """Area of the tiles."""
        pixels = len(self.tiles) * self.grid.core_width * self.grid.core_height
        return pixels * self.grid.spacing.area_um2 / 1e6


def run_ours(work: Work, engine: Engine) -> tuple[float, np.ndarray]:
    """Return seconds, and (n, 2) centres in µm."""
    config = work.config
    begin = time.perf_counter()
    with open_slide(work.path, reading=config.reading, cache_mb=config.runtime.cache_mb) as slide:
        source = TileSource(
            slide, work.grid, work.tiles, workers=reader_threads(config, engine.device),
            queue_tiles=windows_ahead(engine, config), want_context=True,
            tissue=work.finding.tissue, plan=engine.windows,
        )  # fmt: skip
        groups = batches(source, engine.batch_size, work.finding.white_point, work.grid)
        streams = engine.streams
        tables = [
            table
            for found in map_ahead(
                engine.read, groups, threads=streams, ahead=streams + 1, name="engine"
            )
            for table in found
        ]
    seconds = time.perf_counter() - begin
    return seconds, np.concatenate([np.stack([t.x_um, t.y_um], axis=1) for t in tables])


class OpenSlideTiles(Dataset):  # type: ignore[type-arg]
    """Tiles as one would read them: the best level, then a resize."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.slide: openslide.OpenSlide | None = None

    def __len__(self) -> int:
        return len(self.work.tiles)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, int]:
        if self.slide is None:  # a handle is not shared between processes
            self.slide = openslide.OpenSlide(str(self.work.path))
        grid, tile, spec = self.work.grid, self.work.tiles[index], self.work.grid.spec
        detail = self._read(grid.detail_window(tile), grid.tile_px + 2 * spec.halo_px)
        side = grid.tile_px // spec.context_factor + 2 * spec.context_halo_px
        return detail, self._read(grid.context_window(tile), side), index

    def _read(self, box: Box0, side: int) -> np.ndarray:
        if self.slide is None:
            raise RuntimeError("not opened")
        level = self.slide.get_best_level_for_downsample(box.width / side * 1.01)
        down = self.slide.level_downsamples[level]
        size = (round(box.width / down), round(box.height / down))
        picture = self.slide.read_region((box.x, box.y), level, size)
        glass = Image.new("RGB", picture.size, (255, 255, 255))
        glass.paste(picture, mask=picture.getchannel("A"))
        if glass.size != (side, side):
            glass = glass.resize((side, side), Image.Resampling.BOX)
        return np.array(glass)


class PlainModel:
    """Our network, run as any torch module; finds centres only."""

    def __init__(self, work: Work, *, dtype: torch.dtype, channels_last: bool) -> None:
        self.work, self.dtype = work, dtype
        stain = work.config.stain
        stains = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab)
        self.unmix = ops.Unmixer(work.finding.white_point, stains, work.device)
        self.heads = load_bundle().network.to(work.device)
        self.net = load_bundle().network.to(work.device, dtype)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.net = self.net.to(memory_format=self.layout)
        if work.device.type == "cuda":
            self._warm_up()

    @torch.inference_mode()
    def _warm_up(self) -> None:
        """Load what CUDA loads at its first use; ours has done so as well."""
        grid, spec = self.work.grid, self.work.grid.spec
        sides = (
            grid.tile_px + 2 * spec.halo_px,
            grid.tile_px // spec.context_factor + 2 * spec.context_halo_px,
        )
        self.centres(*(torch.full((1, n, n, 3), 255, dtype=torch.uint8) for n in sides))

    def centres(self, detail: torch.Tensor, wide: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return (n, 3) peaks, and (n, 2) x and y in detail pixels of the window."""
        work = self.work
        detail, wide = (v.to(work.device, non_blocking=True) for v in (detail, wide))
        grid, spec, cells = work.grid, work.grid.spec, work.config.cells
        inputs = (self.unmix(detail), self.unmix(wide, amounts=1))
        maps = self.net(*(v.to(self.dtype).contiguous(memory_format=self.layout) for v in inputs))
        first = spec.halo_px // 2
        core = slice(first, first + grid.tile_px // 2)
        radius = cells.min_distance_um / 2
        peaks = ops.find_peaks(
            maps.centre[:, 0].float(),
            minimum=float(np.log(cells.peak_min / (1 - cells.peak_min))),
            radius_px=(radius / grid.mpp.y, radius / grid.mpp.x), core=(core, core),
        )  # fmt: skip
        image, row, column = peaks.unbind(1)
        at = [
            ops.context_index(
                v, stride=2, halo_px=spec.halo_px, factor=spec.context_factor,
                context_halo_px=spec.context_halo_px,
            )
            for v in (row, column)
        ]  # fmt: skip
        found = self.heads.describe(  # type: ignore[operator]
            maps.float(), CellPlaces(image, row, column, *at)
        )
        um = torch.tensor([grid.mpp.x, grid.mpp.y], device=work.device)
        middle = (peaks[:, [2, 1]] + 0.5) * 2 + (found.offset_um / um).clamp(-3, 3)
        return peaks.cpu(), middle.cpu()


def run_loader(
    work: Work, model: PlainModel, *, batch: int, workers: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return seconds, centres, and the middles of the peaks' pixels, µm."""
    pinned = work.device.type == "cuda" and batch > 1
    tiles = OpenSlideTiles(work)
    loader = DataLoader(tiles, batch_size=batch, num_workers=workers, pin_memory=pinned)
    grid, centres, peaks = work.grid, [np.empty((0, 2))], [np.empty((0, 2))]
    mpp = np.array([grid.mpp.x, grid.mpp.y])
    begin = time.perf_counter()
    with torch.inference_mode():
        for detail, wide, index in loader:
            places, middle = (part.numpy() for part in model.centres(detail, wide))
            corners = np.array([_corner_um(grid, work.tiles[i]) for i in index.tolist()])
            corner = corners[places[:, 0]]
            centres.append(corner + middle * mpp)
            peaks.append(corner + (places[:, [2, 1]] + 0.5) * 2 * mpp)
    return time.perf_counter() - begin, np.concatenate(centres), np.concatenate(peaks)


def _corner_um(grid: TileGrid, tile: TileRef) -> tuple[float, float]:
    box = grid.detail_window(tile)
    return box.x * grid.spacing.x, box.y * grid.spacing.y


class OnePicture(torch.nn.Module):
    """Our network behind one input, as tiatoolbox wants it: colours in, a map of centres out."""

    def __init__(self, model: PlainModel) -> None:
        super().__init__()
        self.model, self.net = model, model.net

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Return a map of centres of the middle of a picture."""
        spec = self.model.work.grid.spec
        cut = TIA_HALO_PX - spec.halo_px
        wide = torch.nn.functional.avg_pool2d(
            rgb.permute(0, 3, 1, 2).float(), spec.context_factor
        ).round()
        near = rgb[:, cut : rgb.shape[1] - cut, cut : rgb.shape[2] - cut]
        detail = self.model.unmix(near)
        context = self.model.unmix(wide.permute(0, 2, 3, 1).to(torch.uint8), amounts=1)
        cast = [v.to(self.model.dtype).contiguous(memory_format=self.model.layout)
                for v in (detail, context)]  # fmt: skip
        centre = self.net(*cast).centre.float()
        first = spec.halo_px // 2
        core = centre[:, :, first:-first, first:-first]
        # Maps must have the resolution of the input; every second pixel is looked at later.
        twice: torch.Tensor = core.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return twice.permute(0, 2, 3, 1)


def run_tiatoolbox(
    work: Work, model: PlainModel, python: str, *, batch: int, workers: int
) -> tuple[float, np.ndarray, dict[str, str]]:
    """Return seconds, the middles of the peaks' pixels in µm, and versions."""
    side = TIA_CORE_PX + 2 * TIA_HALO_PX
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        files = Path(folder)
        example = torch.full((batch, side, side, 3), 255, dtype=torch.uint8, device=work.device)
        picture = OnePicture(model).eval()
        traced = torch.jit.trace(picture, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, files / "network.pt")
        _write_mask(work, files / "mask.png")
        order = {
            "slide": str(work.path), "folder": folder, "mpp": work.grid.mpp.x, "core": TIA_CORE_PX,
            "side": side, "batch": batch, "workers": workers, "device": str(work.device),
            "slide_mpp": [work.grid.spacing.x, work.grid.spacing.y],
        }  # fmt: skip
        (files / "order.json").write_text(json.dumps(order))
        subprocess.run([python, str(_PEER), folder], check=True)
        answer = json.loads((files / "answer.json").read_text())
        canvas = np.load(files / "centre.npy", mmap_mode="r")[::2, ::2]
        peaks = _peaks_of_canvas(work, np.array(canvas))
    return answer["seconds"], peaks, answer["versions"]


def _write_mask(work: Work, path: Path) -> None:
    """Mark the tiles as tissue, over all of level 0, one pixel per 64 model pixels."""
    grid = work.grid
    size = openslide.OpenSlide(str(work.path)).dimensions
    mask = np.zeros((-(-size[1] // grid.block_y), -(-size[0] // grid.block_x)), dtype=np.uint8)
    for tile in work.tiles:
        rows = slice(tile.core.y // grid.block_y, tile.core.bottom // grid.block_y)
        mask[rows, tile.core.x // grid.block_x : tile.core.right // grid.block_x] = 255
    Image.fromarray(mask).save(path)


def _peaks_of_canvas(work: Work, canvas: np.ndarray) -> np.ndarray:
    cells, mpp = work.config.cells, work.grid.mpp
    radius = cells.min_distance_um / 2
    whole = (slice(0, canvas.shape[0]), slice(0, canvas.shape[1]))
    found = ops.find_peaks(
        torch.from_numpy(canvas)[None],
        minimum=float(np.log(cells.peak_min / (1 - cells.peak_min))),
        radius_px=(radius / mpp.y, radius / mpp.x), core=whole,
    ).numpy()  # fmt: skip
    xy = (found[:, [2, 1]] + 0.5) * 2 * [mpp.x, mpp.y]
    inside = np.zeros(len(xy), dtype=bool)
    for tile in work.tiles:
        core, at = tile.core, xy / [work.grid.spacing.x, work.grid.spacing.y]
        inside |= ((at >= [core.x, core.y]) & (at < [core.right, core.bottom])).all(axis=1)
    return np.asarray(xy[inside])


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Return the smaller share of cells, in %, that have one of the other's within 0.5 µm."""
    if not len(first) or not len(second):
        return 100.0 if len(first) == len(second) else 0.0
    shares = [
        np.mean(KDTree(b).query(a)[0] < EQUAL_UM) for a, b in ((first, second), (second, first))
    ]
    return 100 * float(min(shares))


def prepare(args: argparse.Namespace) -> tuple[Work, Engine]:
    kind = args.device.partition(":")[0]
    overrides = [f"inference.{kind}_precision={args.precision}", *args.set]
    config = load_config(overrides=overrides)
    engine = load_model(device=args.device, config=config)
    if not isinstance(engine, Engine):
        raise TypeError("a model of cells is compared here")
    with open_slide(args.slide, reading=config.reading) as slide:
        finding, info = find_tissue(slide, config), slide.info
    grid = lay_grid(info.bounds, info.spacing, engine.spec, tile_px=config.tiling.tile_px)
    tiles = select_tiles(grid, finding.tissue, min_fraction=config.tissue.min_tile_fraction)
    if args.tiles:
        tiles = tiles[: args.tiles]
    work = Work(path=args.slide, config=config, grid=grid, tiles=list(tiles), finding=finding,
                device=torch.device(engine.device))  # fmt: skip
    return work, engine


def compare(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    work, engine = prepare(args)
    threads = torch.get_num_threads()
    run_ours(work, engine)  # warm
    torch.set_num_threads(threads)
    best, ours = min((run_ours(work, engine) for _ in range(args.repeats)), key=lambda r: r[0])

    def row(name: str, seconds: float, flags: str, equal: float, n: int) -> dict[str, object]:
        return {
            "pipeline": name, "flags": flags, "mm2": round(work.mm2, 3), "s": round(seconds, 2),
            "mm2_per_s": round(work.mm2 / seconds, 3),
            "ours_is_faster_by": round(seconds / best, 2), "cells": n,
            "equal_cells_pct": round(equal, 2),
        }  # fmt: skip

    yield row(
        "her2-ihc", best,
        f"{args.precision}, window_px {work.config.tiling.window_px}, "
        f"{engine.streams} streams, {reader_threads(work.config, engine.device)} readers",
        100.0, len(ours),
    )  # fmt: skip
    dtype = DTYPES[args.precision]
    plain = PlainModel(work, dtype=torch.float32, channels_last=False)
    tuned = PlainModel(work, dtype=dtype, channels_last=True)
    torch.set_num_threads(threads)
    seconds, cells, peaks = run_loader(work, plain, batch=1, workers=0)
    flags = f"defaults: batch 1, 0 workers, fp32, {threads} threads"
    yield row("OpenSlide + DataLoader", seconds, flags, agreement(ours, cells), len(cells))
    runs = {n: run_loader(work, tuned, batch=4, workers=n) for n in args.workers}
    n = min(runs, key=lambda k: runs[k][0])
    seconds, cells, tuned_peaks = runs[n]
    flags = f"tuned: batch 4, {n} of {args.workers} workers, {args.precision}, channels_last"
    yield row("OpenSlide + DataLoader", seconds, flags, agreement(ours, cells), len(cells))
    if args.tiatoolbox_python:
        for kind, model, batch, workers, reference in (
            ("defaults", plain, 8, 0, peaks), ("tuned", tuned, 4, n, tuned_peaks)
        ):  # fmt: skip
            seconds, found, versions = run_tiatoolbox(
                work, model, args.tiatoolbox_python, batch=batch, workers=workers
            )
            precision = "fp32" if kind == "defaults" else args.precision
            flags = f"{kind}: batch {batch}, {workers} workers, {precision}; {versions}"
            equal = agreement(reference, found)
            yield row("tiatoolbox SemanticSegmentor", seconds, flags, equal, len(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--precision", choices=tuple(DTYPES), default="fp32")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (%(default)s)")
    parser.add_argument("--tiatoolbox-python", metavar="PATH")
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
    for found in compare(args):
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
