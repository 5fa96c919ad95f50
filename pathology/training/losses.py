"""What the network is taught: centres, outlines, classes and regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pathology.nn.cellnet import CellMaps, CellNet
from pathology.training.samples import Sample
from pathology.types import FloatArray

__all__ = ["Targets", "centre_targets", "make_targets", "total_loss"]

#: µm per pixel of the centre map.
MAP_UM = 1.0
#: Standard deviation of the bump that stands for a centre, in µm: well below the 3 µm in which two
#: centres compete.
BUMP_UM = 1.0
#: Weights of the parts of the loss, set so that each contributes about equally at the start.
WEIGHTS = {"centre": 1.0, "rays": 1.0, "offset": 0.3, "class": 1.0, "region": 0.4}
#: Outlines of cells other than tumour and epithelium are not used by any measurement.
OUTLINE_WEIGHT = (1.0, 1.0, 1.0, 0.3, 0.1, 0.1)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Hold the targets of a batch; N counts the visible cells of all its fields."""

    heat: Tensor  # (B, 1, H/2, W/2) 0 to 1
    weight: Tensor  # (B, 1, H/2, W/2) 0 where an invisible cell lies
    image: Tensor  # (N,) index into the batch
    row: Tensor  # (N,) row in the centre map
    col: Tensor  # (N,) column in the centre map
    offset: Tensor  # (N, 2) µm
    rays: Tensor  # (N, 32) µm
    classes: Tensor  # (N,)
    region: Tensor  # (B, h, w)


def centre_targets(sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Draw the centre map of a field and the weight of each of its pixels.

    Returns
    -------
    tuple
        Two (H/2, W/2) float32 arrays: bumps with height 1 at visible centres, and 0 within 3 µm of
        invisible cells, 1 elsewhere.
    """
    side = sample.rgb.shape[0] // 2
    heat = np.zeros((side, side), dtype=np.float32)
    weight = np.ones((side, side), dtype=np.float32)
    reach = 3
    window = np.arange(-reach, reach + 1)
    for (x, y), visible in zip(sample.centres_px / 2.0, sample.visible, strict=True):
        rows, cols = int(y) + window, int(x) + window
        rows, cols = rows[(rows >= 0) & (rows < side)], cols[(cols >= 0) & (cols < side)]
        if not (len(rows) and len(cols)):
            continue
        area = np.ix_(rows, cols)
        if not visible:
            weight[area] = 0.0
            continue
        squared = (rows[:, None] + 0.5 - y) ** 2 + (cols[None, :] + 0.5 - x) ** 2
        bump = np.exp(-squared * MAP_UM**2 / (2 * BUMP_UM**2)).astype(np.float32)
        heat[area] = np.maximum(heat[area], bump)
        # The pixel that holds the centre is the positive one, wherever in it the centre lies.
        if 0 <= int(y) < side and 0 <= int(x) < side:
            heat[int(y), int(x)] = 1.0
    return heat, np.maximum(weight, heat)


def make_targets(samples: list[Sample], rng: np.random.Generator) -> Targets:
    """Gather the targets of a batch.

    Parameters
    ----------
    samples
        Fields of equal size.
    rng
        Chooses, for each cell, the pixel at which it is described: the centre's own or one beside
        it, because a peak may land there.
    """
    maps = [centre_targets(sample) for sample in samples]
    side = samples[0].rgb.shape[0] // 2
    image, spots, offsets, rays, classes = [], [], [], [], []
    for index, sample in enumerate(samples):
        centres = sample.centres_px / 2.0
        pixel = np.floor(centres).astype(np.int64)
        jitter = rng.integers(-1, 2, size=pixel.shape) * (rng.random((len(pixel), 1)) < 0.3)
        pixel = pixel + jitter
        keep = sample.visible & (pixel >= 0).all(axis=1) & (pixel < side).all(axis=1)
        image.append(np.full(int(keep.sum()), index))
        spots.append(pixel[keep])
        offsets.append((centres - (pixel + 0.5))[keep] * MAP_UM)
        rays.append(sample.rays_um[keep])
        classes.append(sample.classes[keep])
    spot = torch.from_numpy(np.concatenate(spots))
    return Targets(
        heat=torch.from_numpy(np.stack([heat for heat, _ in maps]))[:, None],
        weight=torch.from_numpy(np.stack([weight for _, weight in maps]))[:, None],
        image=torch.from_numpy(np.concatenate(image)),
        row=spot[:, 1],
        col=spot[:, 0],
        offset=torch.from_numpy(np.concatenate(offsets)).float(),
        rays=torch.from_numpy(np.concatenate(rays)).float(),
        classes=torch.from_numpy(np.concatenate(classes)),
        region=torch.from_numpy(np.stack([sample.region for sample in samples]).astype(np.int64)),
    )


def _centre_loss(logits: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    """Compute the penalty-reduced focal loss of a map of bumps."""
    probability = torch.sigmoid(logits).clamp(1e-5, 1 - 1e-5)
    positive = (heat == 1.0).float()
    found = -torch.log(probability) * (1 - probability) ** 2 * positive
    false = -torch.log1p(-probability) * probability**2 * (1 - heat) ** 4 * (1 - positive) * weight
    return (found.sum() + false.sum()) / positive.sum().clamp(min=1.0)


def total_loss(network: CellNet, maps: CellMaps, targets: Targets) -> dict[str, Tensor]:
    """Compute the parts of the loss and their weighted sum (key ``total``)."""
    factor = network.context_factor // network.stride
    features = maps.features[targets.image, :, targets.row, targets.col]
    context = maps.context[targets.image, :, targets.row // factor, targets.col // factor]
    heads = network.heads(features, context)
    weight = torch.tensor(OUTLINE_WEIGHT)[targets.classes].to(features)
    scale = weight.sum().clamp(min=1.0)
    # Errors in µm relative to the outline's size: a fault of 1 µm matters more on a small cell.
    relative = (heads.rays_um - targets.rays).abs() / (targets.rays + 2.0)
    parts = {
        "centre": _centre_loss(maps.centre, targets.heat, targets.weight),
        "rays": 4.0 * (relative.mean(dim=1) * weight).sum() / scale,
        "offset": (heads.offset_um - targets.offset).abs().mean(),
        "class": functional.cross_entropy(heads.class_logits, targets.classes),
        "region": functional.cross_entropy(network.region(maps.context), targets.region),
    }
    parts["total"] = torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
    return parts
