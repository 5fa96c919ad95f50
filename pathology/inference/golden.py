"""The golden check of a bundle: an input with the output that the network must give for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from pathology.errors import ModelError
from pathology.inference import ops
from pathology.inference.manifest import AnyManifest, ModelManifest, TileManifest
from pathology.inference.tile_engine import TileInputs
from pathology.nn.cellnet import CellPlaces
from pathology.stain import StainMatrix
from pathology.tiling.grid import BLOCK_PX, InputSpec
from pathology.types import AnyArray, U8Array

__all__ = ["AnyGolden", "GoldenInput", "GoldenTiles", "golden_output", "read_golden"]

#: Distance of the points at which the heads are compared, in map pixels.
_STEP = 8
#: Tiles that a golden file of a tile classifier holds at most.
_TILES = 4


@dataclass(frozen=True, kw_only=True)
class GoldenInput:
    """Hold the pictures whose output the bundle of a cell model remembers.

    Parameters
    ----------
    detail
        (B, H, W, 3) uint8: core and halo at the model's pixel size.
    context
        (B, h, w, 3) uint8: core and context halo at the context pixel size.
    white
        Colour of the glass.
    """

    detail: U8Array
    context: U8Array
    white: tuple[float, float, float]

    @classmethod
    def from_field(
        cls, rgb: U8Array, white: tuple[float, float, float], spec: InputSpec
    ) -> GoldenInput:
        """Cut the input from the middle of a picture; beyond its edge all is white.

        Parameters
        ----------
        rgb
            (H, W, 3) uint8 at the model's pixel size.
        white
            Colour of the glass.
        spec
            What the model sees.
        """
        factor, core = spec.context_factor, BLOCK_PX
        side = core + 2 * spec.context_halo_px * factor
        canvas = _on_white(rgb, white, side)
        margin = (side - core) // 2 - spec.halo_px
        detail = canvas[margin : side - margin, margin : side - margin]
        blocks = canvas.reshape(side // factor, factor, side // factor, factor, 3)
        context = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
        return cls(detail=detail[None].copy(), context=context[None], white=white)

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """The pictures and the white point, by the names that the file gives them."""
        return {"detail": self.detail, "context": self.context, "white": np.array(self.white)}


@dataclass(frozen=True, kw_only=True)
class GoldenTiles:
    """Hold the tiles whose output the bundle of a tile classifier remembers.

    Parameters
    ----------
    tiles
        (B, H, W, 3) uint8 at the model's pixel size.
    white
        Colour of the glass.
    """

    tiles: U8Array
    white: tuple[float, float, float]

    @classmethod
    def from_field(
        cls, rgb: U8Array, white: tuple[float, float, float], spec: InputSpec
    ) -> GoldenTiles:
        """Cut up to four tiles from the middle of a picture; beyond its edge all is white.

        Parameters
        ----------
        rgb
            (H, W, 3) uint8 at the model's pixel size.
        white
            Colour of the glass.
        spec
            What the model sees.
        """
        side = spec.tile_px or BLOCK_PX
        count = 2 if min(rgb.shape[:2]) >= 2 * side else 1
        canvas = _on_white(rgb, white, count * side)
        parts = canvas.reshape(count, side, count, side, 3).swapaxes(1, 2)
        return cls(tiles=parts.reshape(-1, side, side, 3)[:_TILES].copy(), white=white)

    @property
    def arrays(self) -> dict[str, AnyArray]:
        """The tiles and the white point, by the names that the file gives them."""
        return {"tiles": self.tiles, "white": np.array(self.white)}


#: The golden input of either kind of model.
AnyGolden = GoldenInput | GoldenTiles


def read_golden(path: Path, manifest: AnyManifest) -> tuple[AnyGolden, dict[str, AnyArray]]:
    """Read a golden file.

    Parameters
    ----------
    path
        ``golden.npz``.
    manifest
        The manifest of its bundle.

    Returns
    -------
    golden
        The input.
    expected
        The output, by name.

    Raises
    ------
    ModelError
        If the file is missing, not valid, or belongs to a model of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        red, green, blue = (float(value) for value in arrays.pop("white"))
        white = (red, green, blue)
        golden: AnyGolden = (
            GoldenInput(detail=arrays.pop("detail"), context=arrays.pop("context"), white=white)
            if manifest.kind == "cells"
            else GoldenTiles(tiles=arrays.pop("tiles"), white=white)
        )
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise ModelError(f"{path}: not a valid golden file ({error})") from error
    return golden, arrays


def golden_output(
    network: nn.Module, manifest: AnyManifest, golden: AnyGolden
) -> dict[str, AnyArray]:
    """Run the golden input through a network, in float32 on the CPU.

    Parameters
    ----------
    network
        The network, in evaluation mode.
    manifest
        Its manifest.
    golden
        The input; of the manifest's kind.

    Returns
    -------
    dict of str to numpy.ndarray
        Cells: the centre logits, and what the heads say at a lattice of points. Tiles: the logits.

    Raises
    ------
    ModelError
        If the input is not of the manifest's kind.
    """
    stains = StainMatrix(haematoxylin=manifest.stain.haematoxylin, dab=manifest.stain.dab)
    with torch.inference_mode():
        if isinstance(manifest, ModelManifest) and isinstance(golden, GoldenInput):
            return _cells_output(network, manifest, golden, stains)
        if isinstance(manifest, TileManifest) and isinstance(golden, GoldenTiles):
            inputs = TileInputs(manifest.input.channels, golden.white, stains, torch.device("cpu"))
            return {"logits": _numpy(network(inputs(torch.from_numpy(golden.tiles))))}
    raise ModelError(f"{manifest.title}: the golden input is not one for {manifest.kind}")


def _cells_output(
    network: nn.Module, manifest: ModelManifest, golden: GoldenInput, stains: StainMatrix
) -> dict[str, AnyArray]:
    unmixer = ops.Unmixer(golden.white, stains, torch.device("cpu"))
    stride, seen = int(getattr(network, "stride", 2)), manifest.input
    maps = network(
        unmixer(torch.from_numpy(golden.detail)),
        unmixer(torch.from_numpy(golden.context), amounts=1),
    )
    lattice = torch.arange(seen.halo_px // stride, maps.centre.shape[2], _STEP)
    lattice = lattice[lattice < maps.centre.shape[2] - seen.halo_px // stride]
    row, column = (part.flatten() for part in torch.meshgrid(lattice, lattice, indexing="ij"))
    place = [
        ops.context_index(
            part,
            stride=stride,
            halo_px=seen.halo_px,
            factor=seen.context_factor,
            context_halo_px=seen.context_halo_px,
        )
        for part in (row, column)
    ]
    places = CellPlaces(
        image=torch.zeros_like(row), row=row, column=column,
        context_row=place[0], context_column=place[1],
    )  # fmt: skip
    heads = network.describe(maps, places)  # type: ignore[operator]
    return {
        "centre": _numpy(maps.centre),
        "rays_um": _numpy(heads.rays_um),
        "offset_um": _numpy(heads.offset_um),
        "class_logits": _numpy(heads.class_logits),
    }


def _on_white(rgb: U8Array, white: tuple[float, float, float], side: int) -> U8Array:
    """Return the middle of a picture on a white square."""
    canvas = np.empty((side, side, 3), dtype=np.uint8)
    canvas[:] = np.round(white).astype(np.uint8)
    height, width = (min(length, side) for length in rgb.shape[:2])
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    row, column = (side - height) // 2, (side - width) // 2
    canvas[row : row + height, column : column + width] = rgb[
        top : top + height, left : left + width
    ]
    return canvas


def _numpy(values: Tensor) -> AnyArray:
    return values.detach().float().numpy()
