"""Labelled patches as tiles for a tile classifier."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from pathology.scoring.tiles import TILE_CLASSES, TileOutputs
from pathology.tiling.grid import BLOCK_PX
from pathology.training.data.patches import Patch, PatchSource, load_patches
from pathology.training.data.split import Part
from pathology.training.problems import Problems
from pathology.training.specs import PatchesSpec

__all__ = ["PatchTiles", "spec_outputs"]


def spec_outputs(spec: PatchesSpec) -> TileOutputs:
    """Return the outputs that a source of patches teaches.

    Examples
    --------
    >>> spec_outputs(PatchesSpec(path="patches", mpp=0.5, task="pattern"))
    'patterns'
    """
    return "patterns" if spec.task == "pattern" else "scores"


class PatchTiles:
    """Give the patches of a source as tiles.

    Parameters
    ----------
    spec
        The source.
    part
        Everything, what is trained on, or what is held out.
    mpp
        Pixel size of the model; patches are resampled to it.
    tile_px
        Side of a tile in pixels of that size.

    Raises
    ------
    TrainingDataError
        If the patches cannot be used; also where one is smaller than a tile.
    """

    def __init__(self, spec: PatchesSpec, part: Part, *, mpp: float, tile_px: int) -> None:
        self._source: PatchSource = load_patches(
            spec.model_copy(update={"target_mpp": mpp}), part=part
        )
        classes = TILE_CLASSES[spec_outputs(spec)]
        self._codes = [classes.index(name) for name in self._source.label_names]
        _check_sizes(self._source, mpp, tile_px)

    @property
    def labels(self) -> Sequence[int]:
        """Class of each patch."""
        return [self._codes[item.label] for item in self._source.patches]

    @property
    def groups(self) -> Sequence[str]:
        """Patient or slide of each patch."""
        return [item.group for item in self._source.patches]

    def __len__(self) -> int:
        return len(self._source)

    def patch(self, index: int) -> Patch:
        """Decode one patch; its label is the class."""
        found = self._source.patch(index)
        return Patch(
            rgb=found.rgb,
            label=self._codes[found.label],
            name=found.name,
            mpp=found.mpp,
            white=found.white,
        )


def _check_sizes(source: PatchSource, mpp: float, tile_px: int) -> None:
    """Refuse patches that a tile does not fit into; only headers are read."""
    problems = Problems()
    for item in source.patches:
        with Image.open(item.path) as image:
            side = min(image.size)
        fits = int(side * item.mpp / mpp) // BLOCK_PX * BLOCK_PX
        if fits < tile_px:
            problems.add(
                item.path,
                f"measures {side * item.mpp:.0f} µm, and a tile {tile_px * mpp:.0f} µm",
                f"Set options.tile_px to {fits} or less."
                if fits
                else "Leave it out: it is too small for any tile.",
            )
    problems.raise_any()
