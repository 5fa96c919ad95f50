"""What a bundle of a tile network says of its training, and what proves it unchanged."""

from __future__ import annotations

from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from pathology.inference.bundle import GoldenTiles
from pathology.inference.manifest import TileManifest
from pathology.synthesis import random_field_spec, render_field
from pathology.training.engine.task import Export
from pathology.training.evidence.measure import HOLDOUT_SEED

__all__ = ["golden_tiles", "history_of"]


def history_of(network: nn.Module, export: Export) -> dict[str, Any]:
    """Return what the manifest tells of the training."""
    settings = dict(export.settings)
    options = dict(settings.get("options", {}))
    if options.get("backbone_weights"):
        # Paths of the training's machine have no place in a bundle.
        options["backbone_weights"] = Path(options["backbone_weights"]).name
    kinds = sorted({source["kind"] for source in settings["sources"]})
    words = {
        "synthetic": "procedural tissue (pathology.synthesis); no slide of a patient",
        "patches": "labelled patches",
    }
    return {
        "data": "; ".join(words[kind] for kind in kinds),
        "settings": {**settings, "options": options},
        "settings_sha256": export.settings_sha256,
        "torch": package_version("torch"),
        "torchvision": package_version("torchvision"),
        "parameters": sum(part.numel() for part in network.parameters()),
        "weights_of_step": export.step,
        "chosen": export.chosen,
        "hardware": export.hardware,
    }


def golden_tiles(manifest: TileManifest, size_px: int) -> GoldenTiles:
    """Return tiles of a field that no training draws."""
    seed, mpp = HOLDOUT_SEED - 1, manifest.input.mpp
    spec = random_field_spec(np.random.default_rng(seed), size_px=size_px, mpp=mpp)
    made = render_field(spec, seed)
    red, green, blue = (float(value) for value in made.white)
    return GoldenTiles.from_field(made.rgb, (red, green, blue), manifest.input.spec)
