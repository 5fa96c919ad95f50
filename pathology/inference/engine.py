"""The engine: sole owner of device, precision, threads and batch size; turns tiles into cells.

Only uint8 pictures go to the device and only small tables come back; all pixel work in between is
done there.

A cell belongs to the tile whose core holds its peak, the pixel of the network's map where the cell
was found. Cores are whole numbers of map pixels, so this is a comparison of integers: no rounding
can lose a cell at a border or count it twice. The centre itself lies within 1.5 map pixels of it.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pathology.cells.classify import build_table
from pathology.cells.measure import MIN_RADIUS_UM, MeasuredCells
from pathology.cells.table import CellTable
from pathology.config import Config
from pathology.errors import ReasonCode, SlideError
from pathology.geometry import Box0, Spacing
from pathology.inference import ops
from pathology.inference.manifest import ModelManifest
from pathology.nn.cellnet import CellHeads, CellMaps
from pathology.stain import StainMatrix
from pathology.tiling.batch import TileBatch
from pathology.tiling.grid import InputSpec, lay_grid
from pathology.types import AnyArray, U8Array

__all__ = ["Engine", "fuse_batch_norm"]

#: Share of the free GPU memory that batches may fill; the rest is for other processes, the cells'
#: own arrays, and fragmentation.
_CUDA_MEMORY_SHARE = 0.6
#: More tiles at once make no GPU faster: one tile of 1,152 px already fills it.
_MAX_CUDA_BATCH = 32
#: A centre is never farther from its peak than this many map pixels: what training teaches.
_MAX_OFFSET_PX = 1.5
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Engine:
    """Read cells from tiles with a network; implements ``pathology.cells.TileReader``.

    Parameters
    ----------
    network
        The network with its weights; it is copied, not changed.
    manifest
        The manifest of its bundle.
    config
        Configuration: stain vectors, cut-offs, tile size, threads and precision.
    device
        ``cpu`` or ``cuda:N``.
    """

    def __init__(
        self, network: nn.Module, manifest: ModelManifest, config: Config, *, device: str = "cpu"
    ) -> None:
        self._manifest = manifest
        self._config = config
        self._device = torch.device(device)
        self._spec = manifest.input.spec
        self._stride = int(getattr(network, "stride", 2))
        self._stains = StainMatrix(haematoxylin=config.stain.haematoxylin, dab=config.stain.dab)
        on_cpu = self._device.type == "cpu"
        settings = config.inference
        self._dtype = _DTYPES[settings.cpu_precision if on_cpu else settings.cuda_precision]
        fused = fuse_batch_norm(network).to(self._device)
        #: Runs the heads, always in float32.
        self._network = fused.to(memory_format=torch.channels_last)
        # A whole module in bfloat16 is half as fast again as autocast on the CPU; autocast is the
        # safer choice on CUDA, and as fast.
        self._dense = copy.deepcopy(fused).to(self._dtype) if on_cpu else self._network
        self._batch_size = settings.cpu_batch if on_cpu else self._cuda_batch_size()

    @property
    def name(self) -> str:
        """Name and version of the model."""
        return self._manifest.title

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the weights."""
        return self._manifest.weights_sha256

    @property
    def device(self) -> str:
        """Device that the work is done on."""
        return str(self._device)

    @property
    def spec(self) -> InputSpec:
        """What the network wants to see."""
        return self._spec

    @property
    def batch_size(self) -> int:
        """Tiles taken at once; on CUDA it shrinks when memory runs out."""
        return self._batch_size

    @property
    def manifest(self) -> ModelManifest:
        """Manifest of the model."""
        return self._manifest

    def read(self, batch: TileBatch) -> list[CellTable]:
        """Return one table for each tile of the batch.

        Parameters
        ----------
        batch
            Tiles of a grid that was laid for this engine's ``spec``, with context images.

        Returns
        -------
        list of CellTable
            The cells of each tile, by row and then column of the centre.

        Raises
        ------
        ValueError
            If the batch was not cut for this engine.
        SlideError
            If the GPU has too little memory for one tile, or the network's output is not finite.
        """
        if batch.grid.spec != self._spec:
            raise ValueError(f"the batch was not cut for {self.name}")
        tables: list[CellTable] = []
        while len(tables) < len(batch.tiles):
            part = _part(batch, len(tables), len(tables) + self._batch_size)
            found = self._try_part(part)
            if found is None:
                self._shrink(len(part.tiles))
            else:
                tables += found
        return tables

    def _try_part(self, batch: TileBatch) -> list[CellTable] | None:
        """Return the tables, or None where the GPU's memory did not suffice."""
        try:
            with torch.inference_mode(), self._numerics():
                return self._read_part(batch)
        except torch.OutOfMemoryError:
            return None

    def _shrink(self, tiles: int) -> None:
        """Halve the batch; called outside the handler, when the failed attempt's memory is free."""
        torch.cuda.empty_cache()
        if tiles == 1:
            raise SlideError(
                f"{self.device}: too little memory for one tile",
                reason=ReasonCode.OUT_OF_MEMORY,
                fix="Use a smaller tiling.tile_px, end other programs on the GPU, or --device cpu.",
            )
        self._batch_size = max(1, tiles // 2)

    def _read_part(self, batch: TileBatch) -> list[CellTable]:
        if batch.context is None:
            raise ValueError(f"the batch has no context images, and {self.name} needs them")
        densities, maps = self._run(batch, batch.context)
        mpp = batch.grid.mpp
        peaks = self._peaks(maps, batch)
        heads = self._heads(maps, peaks)
        centres = self._centres_px(peaks, heads.offset_um, mpp)
        outline_r = ops.quantise_radii(heads.rays_um.clamp(max=self._longest_ray_um(mpp)))
        # Thousands of short steps: on the CPU, waking threads for each would cost more than it
        # saves, and very much more where the readers keep the cores busy.
        with _one_thread():
            ray_od, cytoplasm = ops.measure_cells(
                densities[:, 1].contiguous(),
                peaks[:, 0],
                centres,
                outline_r,
                mpp=mpp,
                config=self._config.measurement,
            )
        probabilities = torch.softmax(heads.class_logits.float(), dim=1)
        return self._tables(
            batch,
            image=_numpy(peaks[:, 0]),
            centres_px=_numpy(centres),
            probabilities=_numpy(probabilities),
            measured=MeasuredCells(
                outline_r=_numpy(outline_r),
                ray_od=_numpy(ray_od),
                cytoplasm_od=_numpy(cytoplasm),
            ),
        )

    def _run(self, batch: TileBatch, context_rgb: U8Array) -> tuple[Tensor, CellMaps]:
        """Return the (B, 2, H, W) densities and the network's maps."""
        unmixer = ops.Unmixer(batch.white, self._stains, self._device)
        densities = unmixer(self._to_device(batch.detail))
        context = unmixer(self._to_device(context_rgb), amounts=1)
        kind = self._device.type
        with torch.autocast(kind, dtype=self._dtype, enabled=self._autocast):
            maps = self._dense(self._as_input(densities), self._as_input(context))
        return densities, maps

    @property
    def _autocast(self) -> bool:
        return self._device.type == "cuda" and self._dtype != torch.float32

    def _as_input(self, densities: Tensor) -> Tensor:
        dtype = self._dtype if self._device.type == "cpu" else torch.float32
        return densities.to(dtype).contiguous(memory_format=torch.channels_last)

    def _peaks(self, maps: CellMaps, batch: TileBatch) -> Tensor:
        """Return (n, 3): image, row and column of the peaks that the tiles own."""
        logits = maps.centre[:, 0].float()
        if not bool(torch.isfinite(logits).all()):
            raise SlideError(
                f"{self.name}: the output is not finite",
                reason=ReasonCode.INTERNAL_ERROR,
                fix="Try fp32 (--set inference.cuda_precision=fp32).",
            )
        cells, mpp = self._config.cells, batch.grid.mpp
        distance_px = cells.min_distance_um / self._stride
        first = self._spec.halo_px // self._stride
        # Probabilities near 1 are equal in half precision; their logits are not.
        return ops.find_peaks(
            logits,
            minimum=_logit(cells.peak_min),
            radius_px=(distance_px / mpp.y, distance_px / mpp.x),
            core=slice(first, first + batch.grid.tile_px // self._stride),
        )

    def _heads(self, maps: CellMaps, peaks: Tensor) -> CellHeads:
        """Return what the network says of the cells at the peaks."""
        image, row, column = peaks.unbind(1)
        context_row, context_column = (
            ops.context_index(
                position,
                stride=self._stride,
                halo_px=self._spec.halo_px,
                factor=self._spec.context_factor,
                context_halo_px=self._spec.context_halo_px,
            )
            for position in (row, column)
        )
        features = maps.features[image, :, row, column].float()
        context = maps.context[image, :, context_row, context_column].float()
        found: CellHeads = self._network.heads(features, context)  # type: ignore[operator]
        return found

    def _centres_px(self, peaks: Tensor, offset_um: Tensor, mpp: Spacing) -> Tensor:
        """Return (n, 2) float64: x and y of the centres in detail pixels of the window."""
        middle = (peaks[:, [2, 1]].double() + 0.5) * self._stride
        size_um = torch.tensor([mpp.x, mpp.y], dtype=torch.float64, device=self._device)
        limit = _MAX_OFFSET_PX * self._stride
        return middle + (offset_um.double() / size_um).clamp(-limit, limit)

    def _longest_ray_um(self, mpp: Spacing) -> float:
        """Return the length at which a ray, its tolerance included, still ends in the halo."""
        spare_px = self._spec.halo_px - _MAX_OFFSET_PX * self._stride - 2
        reach_um = spare_px * min(mpp.x, mpp.y) - self._config.measurement.ray_tolerance_um
        return max(MIN_RADIUS_UM, reach_um)

    def _tables(
        self,
        batch: TileBatch,
        *,
        image: AnyArray,
        centres_px: AnyArray,
        probabilities: AnyArray,
        measured: MeasuredCells,
    ) -> list[CellTable]:
        grid, tables = batch.grid, []
        for index, tile in enumerate(batch.tiles):
            rows = image == index
            window = grid.detail_window(tile)
            corner = np.array([window.x * grid.spacing.x, window.y * grid.spacing.y])
            tables.append(
                build_table(
                    tile_id=tile.tile_id,
                    centres_um=corner + centres_px[rows] * [grid.mpp.x, grid.mpp.y],
                    probabilities=probabilities[rows],
                    measured=measured.take(rows),
                    tumour_min=self._config.cells.tumour_min,
                    config=self._config.measurement,
                )
            )
        return tables

    def _to_device(self, pixels: U8Array) -> Tensor:
        if self._device.type == "cpu":
            return torch.from_numpy(np.require(pixels, requirements="W"))
        pinned = torch.from_numpy(np.require(pixels, requirements="W")).pin_memory()
        return pinned.to(self._device, non_blocking=True)

    def _numerics(self) -> AbstractContextManager[object]:
        """Set threads on the CPU; on CUDA, repeatable algorithms and honest float32."""
        if self._device.type == "cpu":
            if torch.get_num_threads() != self._config.inference.cpu_threads:
                torch.set_num_threads(self._config.inference.cpu_threads)
            return nullcontext()
        tf32 = self._dtype != torch.float32
        flags: AbstractContextManager[object] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
        )
        return flags

    def _cuda_batch_size(self) -> int:
        """Run one empty tile, and see how many such tiles the free memory holds."""
        grid = lay_grid(
            Box0(x=0, y=0, width=1, height=1),
            Spacing(x=self._spec.mpp, y=self._spec.mpp),
            self._spec,
            tile_px=self._config.tiling.tile_px,
        )
        tile = grid.tile(col=0, row=0)
        detail = grid.tile_px + 2 * self._spec.halo_px
        context = grid.tile_px // self._spec.context_factor + 2 * self._spec.context_halo_px
        batch = TileBatch(
            grid=grid,
            tiles=(tile,),
            detail=np.full((1, detail, detail, 3), 255, dtype=np.uint8),
            context=np.full((1, context, context, 3), 255, dtype=np.uint8),
            white=(255.0, 255.0, 255.0),
        )
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        if self._try_part(batch) is None:
            self._shrink(1)
        used = max(1, torch.cuda.max_memory_allocated(self._device) - before)
        free, _ = torch.cuda.mem_get_info(self._device)
        return max(1, min(_MAX_CUDA_BATCH, int(_CUDA_MEMORY_SHARE * free / used)))


def fuse_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy, in evaluation mode, whose normalisations are part of the convolutions.

    Parameters
    ----------
    network
        Any network; a convolution and the batch normalisation after it in an ``nn.Sequential`` are
        joined.

    Returns
    -------
    torch.nn.Module
        The copy; the same function up to rounding, a third quicker on the CPU.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for (first, conv), (second, norm) in itertools.pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                setattr(module, second, nn.Identity())
    return network


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _part(batch: TileBatch, start: int, stop: int) -> TileBatch:
    return replace(
        batch,
        tiles=batch.tiles[start:stop],
        detail=batch.detail[start:stop],
        context=None if batch.context is None else batch.context[start:stop],
    )


def _logit(probability: float) -> float:
    if probability <= 0 or probability >= 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


def _numpy(values: Tensor) -> AnyArray:
    return values.cpu().numpy()
