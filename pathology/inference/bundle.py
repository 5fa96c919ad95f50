"""Read, check and write model bundles."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from pathology.config import Config, load_config
from pathology.errors import ModelError
from pathology.inference import ops
from pathology.inference.devices import resolve_devices
from pathology.inference.engine import Engine
from pathology.inference.manifest import (
    CARD_FILE,
    DEFAULT_MODEL,
    GOLDEN_FILE,
    MANIFEST_FILE,
    WEIGHTS_FILE,
    ModelManifest,
    find_model,
    list_models,
    read_manifest,
)
from pathology.nn.registry import build_network
from pathology.stain import StainMatrix
from pathology.tiling.grid import BLOCK_PX, InputSpec
from pathology.types import AnyArray, U8Array

__all__ = [
    "Bundle",
    "GoldenInput",
    "list_models",
    "load_bundle",
    "load_model",
    "verify_golden",
    "write_bundle",
]

#: How far the output may lie from the golden one in float32: other processors sum in another order,
#: which moves logits of size 10 by about 1e-5.
GOLDEN_ATOL = 1e-4
#: Distance of the points at which the heads are compared, in map pixels.
_GOLDEN_STEP = 8


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
    manifest: ModelManifest
    network: nn.Module


@dataclass(frozen=True, kw_only=True)
class GoldenInput:
    """Hold the pictures whose output a bundle remembers.

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
        canvas = np.empty((side, side, 3), dtype=np.uint8)
        canvas[:] = np.round(white).astype(np.uint8)
        height, width = (min(length, side) for length in rgb.shape[:2])
        top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
        row, column = (side - height) // 2, (side - width) // 2
        canvas[row : row + height, column : column + width] = rgb[
            top : top + height, left : left + width
        ]
        margin = (side - core) // 2 - spec.halo_px
        detail = canvas[margin : side - margin, margin : side - margin]
        blocks = canvas.reshape(side // factor, factor, side // factor, factor, 3)
        context = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
        return cls(detail=detail[None].copy(), context=context[None], white=white)


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
    path = directory / WEIGHTS_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.weights_sha256:
        raise ModelError(
            f"{path}: the weights have been changed: their SHA-256 is {digest[:12]}…, "
            f"and {MANIFEST_FILE} says {manifest.weights_sha256[:12]}…",
            fix="Restore the file, or reinstall her2-ihc.",
        )
    network = build_network(manifest.network.name, **manifest.network.args)
    try:
        network.load_state_dict(load_tensors(content))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"{path}: the weights do not fit network {manifest.network.name!r}: {error}"
        ) from error
    _check_fit(directory, manifest, network)
    return Bundle(directory=directory, manifest=manifest, network=network.eval())


def load_model(
    name_or_dir: str | Path = DEFAULT_MODEL, *, device: str = "cpu", config: Config | None = None
) -> Engine:
    """Load a model, ready to read tiles.

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
    Engine
        Reads cells from tiles.

    Raises
    ------
    ModelError
        If there is no such model or it has been changed.
    UsageError
        If the device does not exist.
    """
    bundle = load_bundle(name_or_dir)
    return Engine(
        bundle.network,
        bundle.manifest,
        load_config() if config is None else config,
        device=resolve_devices(device)[0],
    )


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
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        white = tuple(arrays.pop("white").tolist())
        golden = GoldenInput(
            detail=arrays.pop("detail"), context=arrays.pop("context"), white=white
        )
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ModelError(f"{path}: not a valid golden file ({error})") from error
    differences = []
    for name, found in _golden_output(bundle.network, bundle.manifest, golden).items():
        expected = arrays.get(name)
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
    manifest: ModelManifest,
    golden: GoldenInput,
    *,
    card: str = "",
) -> ModelManifest:
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
        Input of the golden check; its output is worked out here.
    card
        Text of ``MODEL_CARD.md``; empty: none is written.

    Returns
    -------
    ModelManifest
        The manifest as written.

    Raises
    ------
    ModelError
        If the network does not fit the manifest.
    """
    _check_fit(directory, manifest, network)
    network = network.eval()
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    content = save_tensors(tensors)
    final = manifest.model_copy(update={"weights_sha256": hashlib.sha256(content).hexdigest()})
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST_FILE).unlink(missing_ok=True)
    (directory / WEIGHTS_FILE).write_bytes(content)
    np.savez_compressed(
        directory / GOLDEN_FILE,
        allow_pickle=False,
        detail=golden.detail,
        context=golden.context,
        white=np.array(golden.white),
        **_golden_output(network, final, golden),
    )
    if card:
        (directory / CARD_FILE).write_text(card, encoding="utf-8")
    (directory / MANIFEST_FILE).write_text(final.to_yaml(), encoding="utf-8")
    return final


def _check_fit(directory: Path, manifest: ModelManifest, network: nn.Module) -> None:
    for name in ("halo_px", "context_halo_px", "context_factor"):
        value = getattr(network, name, None)
        if value is not None and value != getattr(manifest.input, name):
            raise ModelError(
                f"{directory}: input.{name} is {getattr(manifest.input, name)}, but the network "
                f"{manifest.network.name!r} needs {value}"
            )


def _golden_output(
    network: nn.Module, manifest: ModelManifest, golden: GoldenInput
) -> dict[str, AnyArray]:
    """Return the centre logits, and what the heads say at a lattice of points."""
    device = torch.device("cpu")
    stains = StainMatrix(haematoxylin=manifest.stain.haematoxylin, dab=manifest.stain.dab)
    unmixer = ops.Unmixer(golden.white, stains, device)
    stride, seen = int(getattr(network, "stride", 2)), manifest.input
    with torch.inference_mode():
        maps = network(
            unmixer(torch.from_numpy(golden.detail)),
            unmixer(torch.from_numpy(golden.context), amounts=1),
        )
        lattice = torch.arange(seen.halo_px // stride, maps.centre.shape[2], _GOLDEN_STEP)
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
        first = torch.zeros_like(row)
        heads = network.heads(  # type: ignore[operator]
            maps.features[first, :, row, column], maps.context[first, :, place[0], place[1]]
        )
    return {
        "centre": _numpy(maps.centre),
        "rays_um": _numpy(heads.rays_um),
        "offset_um": _numpy(heads.offset_um),
        "class_logits": _numpy(heads.class_logits),
    }


def _numpy(values: Tensor) -> AnyArray:
    return values.detach().float().numpy()
