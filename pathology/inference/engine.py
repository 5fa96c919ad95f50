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
from collections.abc import Iterator
from contextlib import contextmanager

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
        Configuration: stain vectors, cut-offs, tile size, threads and precision.
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
        self._size_batch()

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
        with self._autocast:
            maps = self._dense(self._as_input(densities), self._as_input(context))
        return densities, maps

    def _peaks(self, maps: CellMaps, batch: TileBatch) -> Tensor:
        """Return (n, 3): image, row and column of the peaks that the tiles own."""
        logits = maps.centre[:, 0].float()
        if not bool(torch.isfinite(logits).all()):
            raise self._not_finite()
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


def _logit(probability: float) -> float:
    if probability <= 0 or probability >= 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


def _numpy(values: Tensor) -> AnyArray:
    return values.cpu().numpy()
