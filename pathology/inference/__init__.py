"""Inference: model bundles, and the engines that read cells from tiles or classify tiles.

What needs torch is imported when it is first used, so that listing models stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pathology.inference.bundled import DEFAULT_MODEL, find_model, list_models
from pathology.inference.manifest import (
    AnyManifest,
    ModelInput,
    ModelManifest,
    NetworkSpec,
    StainVectors,
    TileInput,
    TileManifest,
    read_manifest,
)

if TYPE_CHECKING:
    from pathology.inference.bundle import (
        Bundle,
        GoldenInput,
        GoldenTiles,
        load_bundle,
        load_model,
        verify_golden,
        write_bundle,
    )
    from pathology.inference.devices import resolve_devices
    from pathology.inference.engine import Engine
    from pathology.inference.tile_engine import TileEngine

__all__ = [
    "DEFAULT_MODEL",
    "AnyManifest",
    "Bundle",
    "Engine",
    "GoldenInput",
    "GoldenTiles",
    "ModelInput",
    "ModelManifest",
    "NetworkSpec",
    "StainVectors",
    "TileEngine",
    "TileInput",
    "TileManifest",
    "find_model",
    "list_models",
    "load_bundle",
    "load_model",
    "read_manifest",
    "resolve_devices",
    "verify_golden",
    "write_bundle",
]

_HOMES = {
    "Bundle": "bundle",
    "Engine": "engine",
    "GoldenInput": "golden",
    "GoldenTiles": "golden",
    "TileEngine": "tile_engine",
    "load_bundle": "bundle",
    "load_model": "bundle",
    "resolve_devices": "devices",
    "verify_golden": "bundle",
    "write_bundle": "bundle",
}


def __getattr__(name: str) -> object:
    """Import what needs torch when it is first used."""
    if name in _HOMES:
        return getattr(import_module(f"pathology.inference.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'pathology.inference' has no attribute {name!r}")
