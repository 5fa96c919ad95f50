"""Read, check and write model bundles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from pathology.config import Config, load_config
from pathology.errors import ModelError
from pathology.inference.bundled import DEFAULT_MODEL, find_model, read_weights
from pathology.inference.devices import resolve_devices
from pathology.inference.engine import Engine
from pathology.inference.golden import (
    AnyGolden,
    GoldenInput,
    GoldenTiles,
    golden_output,
    read_golden,
)
from pathology.inference.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    WEIGHTS_FILE,
    AnyManifest,
    ModelManifest,
    TileManifest,
    read_manifest,
)
from pathology.inference.tile_engine import TileEngine
from pathology.nn.registry import build_network

__all__ = [
    "Bundle",
    "GoldenInput",
    "GoldenTiles",
    "load_bundle",
    "load_model",
    "verify_golden",
    "write_bundle",
]

#: How far the output may lie from the golden one in float32: other processors sum in another order,
#: which moves logits of size 10 by about 1e-5.
GOLDEN_ATOL = 1e-4

Manifest = TypeVar("Manifest", ModelManifest, TileManifest)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Hold a loaded bundle.

    Parameters
    ----------
    directory
        Where it was read from.
    manifest
        Its manifest.
    network
        The network with its weights: float32, on the CPU, in evaluation mode.
    """

    directory: Path
    manifest: AnyManifest
    network: nn.Module


def load_bundle(name_or_dir: str | Path = DEFAULT_MODEL) -> Bundle:
    """Load a bundle; the weights are hashed every time.

    Parameters
    ----------
    name_or_dir
        Name of a bundled model, ``name/version``, or a folder.

    Returns
    -------
    Bundle
        Manifest and network.

    Raises
    ------
    ModelError
        If there is no such model, its weights were changed, or they do not fit its network.
    """
    directory = find_model(name_or_dir)
    manifest = read_manifest(directory)
    content = read_weights(directory, manifest)
    network = _build(manifest)
    try:
        network.load_state_dict(load_tensors(content))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"{directory / WEIGHTS_FILE}: the weights do not fit network "
            f"{manifest.network.name!r}: {error}"
        ) from error
    _check_fit(directory, manifest, network)
    return Bundle(directory=directory, manifest=manifest, network=network.eval())


def load_model(
    name_or_dir: str | Path = DEFAULT_MODEL, *, device: str = "cpu", config: Config | None = None
) -> Engine | TileEngine:
    """Load a model of either kind, ready to read tiles.

    Parameters
    ----------
    name_or_dir
        Name of a bundled model (its newest version), ``name/version``, or a folder.
    device
        ``cpu``, ``cuda:N``, or ``auto``; of several GPUs the first is taken.
    config
        Configuration; the default one if None.

    Returns
    -------
    Engine or TileEngine
        Reads cells from tiles (``read``), or classifies whole tiles (``classify``).

    Raises
    ------
    ModelError
        If there is no such model or it has been changed.
    UsageError
        If the device does not exist.
    """
    bundle = load_bundle(name_or_dir)
    config = load_config() if config is None else config
    place = resolve_devices(device)[0]
    if isinstance(bundle.manifest, TileManifest):
        return TileEngine(bundle.network, bundle.manifest, config, device=place)
    return Engine(bundle.network, bundle.manifest, config, device=place)


def verify_golden(bundle: Bundle, *, atol: float = GOLDEN_ATOL) -> float:
    """Run the golden input through the network, in float32 on the CPU, and compare.

    Parameters
    ----------
    bundle
        The bundle.
    atol
        Largest allowed difference (logits and µm).

    Returns
    -------
    float
        The largest difference.

    Raises
    ------
    ModelError
        If the golden file is missing or not valid, or the output differs by more than ``atol``.
    """
    path = bundle.directory / GOLDEN_FILE
    golden, expected_arrays = read_golden(path, bundle.manifest)
    differences = []
    for name, found in golden_output(bundle.network, bundle.manifest, golden).items():
        expected = expected_arrays.get(name)
        if expected is None or expected.shape != found.shape:
            raise ModelError(f"{path}: {name!r} is missing or has another shape than the output")
        differences.append(np.abs(found - expected).max(initial=0.0))
    worst = float(np.max(differences))  # not max(): that would lose a NaN
    if not worst <= atol:
        raise ModelError(
            f"{bundle.manifest.title}: the output differs from the golden one by {worst:.2g}, "
            f"more than {atol:.2g}",
            fix="Compare the versions of torch and of the model (her2 doctor).",
        )
    return worst


def write_bundle(
    directory: Path,
    network: nn.Module,
    manifest: Manifest,
    golden: AnyGolden,
    *,
    card: Callable[[Manifest], str] | None = None,
) -> Manifest:
    """Write a bundle; the manifest comes last, so that half a bundle is not found.

    Parameters
    ----------
    directory
        Where to write; made if needed.
    network
        The network with its weights, on the CPU.
    manifest
        Its manifest; ``weights_sha256`` is filled in.
    golden
        Input of the golden check, of the manifest's kind; its output is worked out here.
    card
        Writes the text of ``MODEL_CARD.md`` from the manifest as written; None writes no card.

    Returns
    -------
    ModelManifest or TileManifest
        The manifest as written.

    Raises
    ------
    ModelError
        If the network does not fit the manifest.
    """
    _check_fit(directory, manifest, network)
    network = network.eval()
    output = golden_output(network, manifest, golden)
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    content = save_tensors(tensors)
    final = manifest.model_copy(update={"weights_sha256": hashlib.sha256(content).hexdigest()})
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST_FILE).unlink(missing_ok=True)
    (directory / WEIGHTS_FILE).write_bytes(content)
    np.savez_compressed(
        directory / GOLDEN_FILE,
        allow_pickle=False,
        **golden.arrays,
        **output,
    )
    if card is not None:
        (directory / CARD_FILE).write_text(card(final), encoding="utf-8")
    (directory / MANIFEST_FILE).write_text(final.to_yaml(), encoding="utf-8")
    return final


def _build(manifest: AnyManifest) -> nn.Module:
    """Build the network of a manifest; a tile network takes classes and channels from it."""
    name, args = manifest.network.name, dict(manifest.network.args)
    if isinstance(manifest, TileManifest):
        wanted = {
            "classes": len(manifest.classes),
            "channels": "rgb" if "red" in manifest.input.channels else "stains",
        }
        args = {**wanted, **args}
        wrong = [key for key, value in wanted.items() if args[key] != value]
        if wrong:
            raise ModelError(
                f"{manifest.title}: network.args.{wrong[0]} is {args[wrong[0]]!r}, but the rest of "
                f"the manifest says {wanted[wrong[0]]!r}"
            )
    return build_network(name, kind=manifest.kind, **args)


def _check_fit(directory: Path, manifest: AnyManifest, network: nn.Module) -> None:
    if isinstance(manifest, TileManifest):
        for name, wanted in (
            ("classes", len(manifest.classes)),
            ("channels", manifest.input.channels),
        ):
            found = getattr(network, name, wanted)
            if found != wanted:
                raise ModelError(f"{directory}: the network's {name} are {found}, not {wanted}")
        return
    for name in ("halo_px", "context_halo_px", "context_factor"):
        value = getattr(network, name, None)
        if value is not None and value != getattr(manifest.input, name):
            raise ModelError(
                f"{directory}: input.{name} is {getattr(manifest.input, name)}, but the network "
                f"{manifest.network.name!r} needs {value}"
            )
