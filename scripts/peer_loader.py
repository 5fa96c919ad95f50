"""Our network behind OpenSlide and torch's DataLoader, as one would write it (compare_peers.py)."""

from __future__ import annotations

import time

import numpy as np
import openslide
import torch
from peer_work import Work, least_logit
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from pathology.geometry import Box0
from pathology.inference import ops
from pathology.inference.bundle import load_bundle
from pathology.nn.cellnet import CellPlaces
from pathology.stain import StainMatrix
from pathology.tiling import TileGrid, TileRef

#: Centres lie this near to the middle of the peak's pixel, detail pixels along x and y; as ours.
MAX_OFFSET_PX = 3


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
        self.minimum = least_logit(work.config)
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
            minimum=self.minimum,
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
        middle = (peaks[:, [2, 1]] + 0.5) * 2 + (found.offset_um / um).clamp(
            -MAX_OFFSET_PX, MAX_OFFSET_PX
        )
        return peaks.cpu(), middle.cpu()


def run_loader(
    work: Work, model: PlainModel, *, batch: int, workers: int
) -> tuple[float, np.ndarray]:
    """Return seconds, and (n, 2) cells' centres, µm."""
    pinned = work.device.type == "cuda" and batch > 1
    tiles = OpenSlideTiles(work)
    loader = DataLoader(tiles, batch_size=batch, num_workers=workers, pin_memory=pinned)
    grid, centres = work.grid, [np.empty((0, 2))]
    mpp = np.array([grid.mpp.x, grid.mpp.y])
    begin = time.perf_counter()
    with torch.inference_mode():
        for detail, wide, index in loader:
            places, middle = (part.numpy() for part in model.centres(detail, wide))
            corners = np.array([_corner_um(grid, work.tiles[i]) for i in index.tolist()])
            centres.append(corners[places[:, 0]] + middle * mpp)
    return time.perf_counter() - begin, np.concatenate(centres)


def _corner_um(grid: TileGrid, tile: TileRef) -> tuple[float, float]:
    box = grid.detail_window(tile)
    return box.x * grid.spacing.x, box.y * grid.spacing.y
