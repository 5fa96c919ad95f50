"""The engine of tile classifiers: turns whole tiles into calls.

A tile is seen alone: there is no halo and no context image, so stitching is exact by construction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pathology.cells.reader import TileCalls
from pathology.config import Config
from pathology.inference import ops
from pathology.inference.engine import fuse_batch_norm
from pathology.inference.hardware import BatchEngine
from pathology.inference.manifest import TileManifest
from pathology.scoring.tiles import TileOutputs
from pathology.stain import StainMatrix
from pathology.tiling.batch import TileBatch
from pathology.types import AnyArray, FloatArray, U8Array

__all__ = ["TileEngine", "TileInputs"]

#: Mean and spread of colours (R, G, B; shares of white) that torchvision's backbones are trained
#: with (documentation of torchvision.models).
_COLOUR_MEAN = (0.485, 0.456, 0.406)
_COLOUR_SPREAD = (0.229, 0.224, 0.225)


class TileInputs:
    """Turn colours into what a tile network reads.

    Parameters
    ----------
    channels
        ``("haematoxylin_od", "dab_od")``, or ``("red", "green", "blue")``: colours as shares of the
        glass, centred and scaled as torchvision's backbones expect them.
    white
        Colour of the glass (R, G, B), 1 to 255.
    stains
        Stain vectors.
    device
        Where to work.

    Examples
    --------
    >>> stains = StainMatrix(haematoxylin=(0.65, 0.70, 0.29), dab=(0.27, 0.57, 0.78))
    >>> inputs = TileInputs(("red", "green", "blue"), (240.0, 240.0, 240.0), stains,
    ...                     torch.device("cpu"))
    >>> glass = torch.full((1, 4, 4, 3), 240, dtype=torch.uint8)
    >>> tuple(inputs(glass).shape), round(float(inputs(glass)[0, 0, 0, 0]), 3)
    ((1, 3, 4, 4), 2.249)
    """

    def __init__(
        self,
        channels: Sequence[str],
        white: Sequence[float],
        stains: StainMatrix,
        device: torch.device,
    ) -> None:
        self._unmixer: ops.Unmixer | None = None
        if tuple(channels) == ("haematoxylin_od", "dab_od"):
            self._unmixer = ops.Unmixer(white, stains, device)
        self._white = torch.tensor(list(white), device=device)
        self._mean = torch.tensor(_COLOUR_MEAN, device=device)
        self._spread = torch.tensor(_COLOUR_SPREAD, device=device)

    def __call__(self, rgb: Tensor) -> Tensor:
        """Compute the channels.

        Parameters
        ----------
        rgb
            (B, H, W, 3) uint8.

        Returns
        -------
        torch.Tensor
            (B, channels, H, W) float32.
        """
        if self._unmixer is not None:
            return self._unmixer(rgb)
        # Brighter than glass is glass: reflections carry no stain.
        shares = (rgb.float() / self._white).clamp(max=1.0)
        return ((shares - self._mean) / self._spread).permute(0, 3, 1, 2)


class TileEngine(BatchEngine[TileManifest, FloatArray]):
    """Classify tiles with a network; implements ``pathology.cells.TileClassifier``.

    Parameters
    ----------
    network
        The network with its weights; it is copied, not changed.
    manifest
        The manifest of its bundle.
    config
        Configuration: stain vectors, threads, batch and precision.
    device
        ``cpu`` or ``cuda:N``.
    """

    #: A tile is small: this many still fill a GPU less than one tile of a cell model.
    max_cuda_tiles = 256

    def __init__(
        self, network: nn.Module, manifest: TileManifest, config: Config, *, device: str = "cpu"
    ) -> None:
        super().__init__(manifest, config, device=device)
        self._stains = StainMatrix(haematoxylin=config.stain.haematoxylin, dab=config.stain.dab)
        fused = fuse_batch_norm(network).to(self._device)
        fused = fused.to(self._dtype) if self._on_cpu else fused
        self._network = fused.to(memory_format=torch.channels_last)
        self._size_batch()

    @property
    def outputs(self) -> TileOutputs:
        """What the classes are: ``patterns`` or ``scores``."""
        return self._manifest.outputs

    def classify(self, batch: TileBatch) -> TileCalls:
        """Say what each tile of the batch shows.

        Parameters
        ----------
        batch
            Tiles of a grid that was laid for this engine's ``spec``.

        Returns
        -------
        TileCalls
            Probabilities of the classes, tile by tile.

        Raises
        ------
        ValueError
            If the batch was not cut for this engine.
        SlideError
            If the GPU has too little memory for one tile, or the network's output is not finite.
        """
        return TileCalls(outputs=self.outputs, probabilities=np.stack(self._read_all(batch)))

    def codes(self, tiles: U8Array, white: tuple[float, float, float]) -> AnyArray:
        """Name the class of single tiles, without a slide around them.

        Parameters
        ----------
        tiles
            (B, tile_px, tile_px, 3) uint8 at the model's pixel size.
        white
            Colour of the glass.

        Returns
        -------
        numpy.ndarray
            (B,) int64: index into the manifest's ``classes``.
        """
        with torch.inference_mode(), self.numerics():
            calls = TileCalls(
                outputs=self.outputs, probabilities=np.stack(self._probabilities(tiles, white))
            )
            self._clock.settle()
        return calls.codes(tumour_min=self._config.cells.tumour_min)

    def _read_part(self, batch: TileBatch) -> list[FloatArray]:
        return self._probabilities(batch.detail, batch.white)

    def _probabilities(self, rgb: U8Array, white: Sequence[float]) -> list[FloatArray]:
        inputs = TileInputs(self._manifest.input.channels, white, self._stains, self._device)
        pixels = self._to_device(rgb)
        with self._clock.timed("network"), self._autocast:
            logits = self._network(self._as_input(inputs(pixels)))
        if not bool(torch.isfinite(logits).all()):
            raise self._not_finite()
        return list(torch.softmax(logits.float(), dim=1).cpu().numpy())
