"""The engine of cell models: turns tiles into cells.

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
import threading

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pathology.cells.classify import build_table
from pathology.cells.measure import MIN_RADIUS_UM, MeasuredCells
from pathology.cells.table import CellTable
from pathology.config import Config
from pathology.geometry import Spacing
from pathology.inference import ops
from pathology.inference.hardware import BatchEngine
from pathology.inference.manifest import ModelManifest
from pathology.nn.cellnet import CellHeads, CellMaps, CellPlaces
from pathology.stain import StainMatrix
from pathology.tiling.batch import TileBatch
from pathology.tiling.windows import WindowPlan
from pathology.types import AnyArray, U8Array

__all__ = ["Engine", "fuse_batch_norm"]

#: A centre is never farther from its peak than this many map pixels: what training teaches.
_MAX_OFFSET_PX = 1.5


class Engine(BatchEngine[ModelManifest, CellTable]):
    """Read cells from tiles with a network; implements ``pathology.cells.TileReader``.

    Parameters
    ----------
    network
        The network with its weights; it is copied, not changed.
    manifest
        The manifest of its bundle.
    config
        Configuration: stain vectors, cut-offs, tile and window size, threads and precision.
    device
        ``cpu`` or ``cuda:N``.
    """

    def __init__(
        self, network: nn.Module, manifest: ModelManifest, config: Config, *, device: str = "cpu"
    ) -> None:
        super().__init__(manifest, config, device=device)
        self._stride = int(getattr(network, "stride", 2))
        self._stains = StainMatrix(haematoxylin=config.stain.haematoxylin, dab=config.stain.dab)
        fused = fuse_batch_norm(network).to(self._device)
        #: Runs the heads, always in float32.
        self._network = fused.to(memory_format=torch.channels_last)
        # A whole module in bfloat16 is half as fast again as autocast on the CPU; autocast is the
        # safer choice on CUDA, and as fast.
        self._dense = copy.deepcopy(fused).to(self._dtype) if self._on_cpu else self._network
        self._tables_of = threading.local()
        self._size_batch()

    @property
    def windows(self) -> WindowPlan:
        """Windows of several tiles; on CUDA all of one shape."""
        side = self._config.tiling.window_px // self._config.tiling.tile_px
        return WindowPlan(side=max(1, side), whole=not self._on_cpu)

    @property
    def dense(self) -> nn.Module:
        """The network as it runs over windows, for those who time it."""
        return self._dense

    def run_dense(self, detail: Tensor, context: Tensor) -> CellMaps:
        """Run the network over windows in the precision of :meth:`read`, for those who time it.

        Parameters
        ----------
        detail, context
            As :attr:`dense` is given them, on the device; inside :meth:`numerics`.
        """
        with self._autocast:
            maps: CellMaps = self._dense(detail, context)
        return maps

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
        return self._read_all(batch)

    def _read_part(self, batch: TileBatch) -> list[CellTable]:
        if batch.context is None:
            raise ValueError(f"the batch has no context images, and {self.name} needs them")
        densities, maps = self._run(batch, batch.context)
        with self._clock.timed("cells"):
            return self._cells(batch, densities, maps)

    def _cells(self, batch: TileBatch, densities: Tensor, maps: CellMaps) -> list[CellTable]:
        """Find, measure and class the cells of what the network saw."""
        mpp = batch.grid.mpp
        peaks, owner = self._peaks(maps, batch)
        heads = self._heads(maps, peaks)
        centres = self._centres_px(peaks, heads.offset_um, mpp)
        outline_r = ops.quantise_radii(heads.rays_um.clamp(max=self._longest_ray_um(mpp)))
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
            owner=_numpy(owner),
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
        unmixer = self._unmixer(batch.white)
        detail, around = self._to_device(batch.detail), self._to_device(context_rgb)
        with self._clock.timed("network"):
            densities, context = unmixer(detail), unmixer(around, amounts=1)
            maps = self.run_dense(self._as_input(densities), self._as_input(context))
        return densities, maps

    def _unmixer(self, white: tuple[float, float, float]) -> ops.Unmixer:
        """Return the tables of a slide; each thread makes its own."""
        known: tuple[object, ops.Unmixer] | None = getattr(self._tables_of, "known", None)
        if known is None or known[0] != white:
            known = (white, ops.Unmixer(white, self._stains, self._device))
            self._tables_of.known = known
        return known[1]

    def _peaks(self, maps: CellMaps, batch: TileBatch) -> tuple[Tensor, Tensor]:
        """Return (n, 3) image, row and column of the peaks that tiles own, and (n,) those tiles."""
        logits = maps.centre[:, 0].float()
        if not bool(torch.isfinite(logits).all()):
            raise self._not_finite()
        cells, mpp = self._config.cells, batch.grid.mpp
        distance_px = cells.min_distance_um / self._stride
        first = self._spec.halo_px // self._stride
        # Probabilities near 1 are equal in half precision; their logits are not.
        peaks = ops.find_peaks(
            logits,
            minimum=_logit(cells.peak_min),
            radius_px=(distance_px / mpp.y, distance_px / mpp.x),
            core=(slice(first, logits.shape[1] - first), slice(first, logits.shape[2] - first)),
        )
        side = batch.grid.tile_px // self._stride
        image, row, column = peaks.unbind(1)
        owner = self._owners(batch)[image, (row - first) // side, (column - first) // side]
        owned = owner >= 0
        return peaks[owned], owner[owned]

    def _owners(self, batch: TileBatch) -> Tensor:
        """Return (images, rows, columns) int64: which tile of the batch lies there, or -1."""
        grid, halo = batch.grid, 2 * self._spec.halo_px
        shape = [(side - halo) // grid.tile_px for side in batch.detail.shape[1:3]]
        owners, index = np.full((len(batch.detail), *shape), -1, dtype=np.int64), 0
        for image, window in enumerate(batch.shown):
            for tile in window.tiles:
                owners[image, tile.row - window.row, tile.col - window.col] = index
                index += 1
        return torch.from_numpy(owners).to(self._device)

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
        places = CellPlaces(
            image=image, row=row, column=column,
            context_row=context_row, context_column=context_column,
        )  # fmt: skip
        found: CellHeads = self._network.describe(maps, places)  # type: ignore[operator]
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
        owner: AnyArray,
        centres_px: AnyArray,
        probabilities: AnyArray,
        measured: MeasuredCells,
    ) -> list[CellTable]:
        grid, tables = batch.grid, []
        windows = (window for window in batch.shown for _ in window.tiles)
        for index, (tile, window) in enumerate(zip(batch.tiles, windows, strict=True)):
            rows = np.flatnonzero(owner == index)
            box = grid.detail_window(window)
            corner = np.array([box.x * grid.spacing.x, box.y * grid.spacing.y])
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


def _logit(probability: float) -> float:
    if probability <= 0 or probability >= 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


def _numpy(values: Tensor) -> AnyArray:
    return values.cpu().numpy()
