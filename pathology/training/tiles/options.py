"""The settings of a tile classifier's training, and the views of a tile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pathology.errors import ModelError
from pathology.scoring.tiles import TileOutputs
from pathology.types import U8Array

__all__ = ["TileOptions", "cropped", "turned"]


class TileOptions(BaseModel):
    """Hold the settings ``options`` of a training of kind ``tiles``.

    Parameters
    ----------
    outputs
        ``patterns`` or ``scores``.
    tile_px
        Side of a tile in pixels of ``mpp``, a multiple of 64.
    mpp
        Pixel size, µm.
    channels
        ``stains`` (haematoxylin and DAB optical density) or ``rgb``.
    backbone_weights
        A local safetensors file with weights of the backbone to start from, absolute or relative
        to the current folder; None: random ones. Nothing is downloaded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outputs: TileOutputs = "patterns"
    tile_px: Annotated[int, Field(ge=64, le=2048, multiple_of=64)] = 256
    mpp: Annotated[float, Field(ge=0.1, le=4.0)] = 0.5
    channels: Literal["stains", "rgb"] = "stains"
    backbone_weights: Path | None = None


def cropped(rgb: U8Array, side: int, rng: np.random.Generator | None) -> U8Array:
    """Cut a square out of a picture.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8, both sides at least ``side``.
    side
        Side of the square, px.
    rng
        Source of chance: the square lies anywhere; None: in the middle.

    Returns
    -------
    numpy.ndarray
        (side, side, 3) uint8.

    Raises
    ------
    ModelError
        If the picture is smaller.

    Examples
    --------
    >>> cropped(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), 2, None)[0, 0].tolist()
    [15, 16, 17]
    """
    free = [length - side for length in rgb.shape[:2]]
    if min(free) < 0:
        raise ModelError(f"a patch of {rgb.shape[1]} × {rgb.shape[0]} px holds no tile of {side}")
    top, left = (length // 2 if rng is None else int(rng.integers(length + 1)) for length in free)
    return np.ascontiguousarray(rgb[top : top + side, left : left + side])


def turned(rgb: U8Array, rng: np.random.Generator) -> U8Array:
    """Return one of the eight views of a square picture.

    Parameters
    ----------
    rgb
        (H, H, 3) uint8.
    rng
        Source of chance.

    Examples
    --------
    >>> turned(np.zeros((4, 4, 3), dtype=np.uint8), np.random.default_rng(0)).shape
    (4, 4, 3)
    """
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    return np.ascontiguousarray(np.rot90(rgb[:, ::-1] if mirror else rgb, turns))
