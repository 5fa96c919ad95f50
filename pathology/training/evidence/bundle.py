"""Evidence on a bundle itself: what it costs, and that it computes what it computed when made."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pathology.errors import ModelError
from pathology.inference.bundle import Bundle, verify_golden
from pathology.inference.manifest import WEIGHTS_FILE, ModelManifest

__all__ = ["kflop_per_px", "measure_bundle"]

#: Side of the field on which operations are counted: a multiple of every stride.
_SIDE_PX = 512


def measure_bundle(bundle: Bundle) -> dict[str, Any]:
    """Measure the cost of a cell model, and run its golden check.

    Parameters
    ----------
    bundle
        The bundle.

    Returns
    -------
    dict
        ``kflop_per_px``, ``weights_mb`` (10⁶ bytes), ``parameters``, ``golden_difference``.

    Raises
    ------
    ModelError
        If the bundle is of another kind, or fails its golden check.
    """
    manifest = bundle.manifest
    if not isinstance(manifest, ModelManifest):
        raise ModelError(
            f"{manifest.title}: not a cell model", fix="Give the name of a cell model to --model."
        )
    return {
        "kflop_per_px": kflop_per_px(bundle.network, manifest.input.context_factor),
        "weights_mb": (bundle.directory / WEIGHTS_FILE).stat().st_size / 1e6,
        "parameters": sum(part.numel() for part in bundle.network.parameters()),
        "golden_difference": verify_golden(bundle),
    }


@torch.no_grad()
def kflop_per_px(network: nn.Module, context_factor: int, *, side_px: int = _SIDE_PX) -> float:
    """Count the floating-point operations of the dense maps, per pixel of detail.

    Parameters
    ----------
    network
        A cell network.
    context_factor
        Detail pixels per context pixel.
    side_px
        Side of the field.

    Returns
    -------
    float
        Thousands of operations; a multiplication and an addition are two. Halos, and the heads
        that run once per cell (below 0.1 kFLOP per pixel in dense tissue), are left out.
    """
    detail = torch.zeros(1, 2, side_px, side_px)
    context = torch.zeros(1, 1, side_px // context_factor, side_px // context_factor)
    counter = FlopCounterMode(display=False)
    with counter:
        network(detail, context)
    return float(counter.get_total_flops()) / side_px**2 / 1000.0
