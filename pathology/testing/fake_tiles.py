"""A tile classifier without a network: it looks at how much haematoxylin and DAB a tile holds."""

from __future__ import annotations

import hashlib

import numpy as np

from pathology.cells.reader import TileCalls
from pathology.config import Config
from pathology.scoring.tiles import TILE_CLASSES, TileOutputs
from pathology.stain import optical_density, unmix
from pathology.testing.fake_reader import FakeReader
from pathology.tiling.batch import TileBatch
from pathology.tiling.grid import InputSpec
from pathology.types import U8Array

__all__ = ["FakeTileModel"]

#: Mean haematoxylin OD of a tile from which it holds tumour.
_TUMOUR_OD = 0.03
#: The 90th percentile of a tile's DAB OD from which it is called each class above the weakest; the
#: last limits are used, as many as there are such classes.
_DAB_OD = (0.06, 0.12, 0.2, 0.35)


class FakeTileModel(FakeReader):
    """Classify tiles without a network; for tests of all that follows.

    Parameters
    ----------
    config
        Configuration; the default one if None.
    outputs
        ``patterns`` or ``scores``.
    tile_px
        Side of a tile in pixels of 0.5 µm, a multiple of 64.

    Examples
    --------
    >>> FakeTileModel().name
    'fake-tiles/1.0.0'
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        outputs: TileOutputs = "patterns",
        tile_px: int = 128,
    ) -> None:
        super().__init__(config)
        self._outputs: TileOutputs = outputs
        self._tile_px = tile_px

    @property
    def name(self) -> str:
        """Name and version."""
        return "fake-tiles/1.0.0"

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the parameters that stand in for weights."""
        text = f"{self.name} {self._outputs} {self._tile_px}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def spec(self) -> InputSpec:
        """Half a micrometre per pixel, no halo, no context image."""
        return InputSpec(
            mpp=0.5, halo_px=0, context_factor=1, context_halo_px=0, tile_px=self._tile_px
        )

    @property
    def outputs(self) -> TileOutputs:
        """What the classes are."""
        return self._outputs

    def classify(self, batch: TileBatch) -> TileCalls:
        """Return what each tile shows; see ``TileClassifier``."""
        codes = [self._class_of(image, batch.white) for image in batch.detail]
        shares = np.eye(len(TILE_CLASSES[self._outputs]), dtype=np.float32)[codes]
        return TileCalls(outputs=self._outputs, probabilities=shares)

    def _class_of(self, image: U8Array, white: tuple[float, float, float]) -> int:
        stain = self._config.stain
        amounts = unmix(optical_density(image, white), stain.haematoxylin, stain.dab)
        if amounts[..., 0].mean() < _TUMOUR_OD:
            return 0
        limits = _DAB_OD[-(len(TILE_CLASSES[self._outputs]) - 2) :]
        return 1 + int(np.searchsorted(limits, np.quantile(amounts[..., 1], 0.9), "right"))
