"""What the cell network is taught: centres, outlines, classes and regions.

Every target may be unknown in part: fields that people annotated know some cells and some regions.
What is unknown is left out of sum and count, so it neither teaches nor dilutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pathology.nn.cellnet import CellHeads, CellMaps, CellNet, CellPlaces
from pathology.training.data.samples import UNKNOWN_CLASS, UNKNOWN_REGION, Sample
from pathology.training.engine.task import LossTerm
from pathology.types import AnyArray, FloatArray

__all__ = ["WEIGHTS", "FieldTargets", "cell_losses", "centre_targets", "join", "make_targets"]

#: µm per pixel of the centre map.
MAP_UM = 1.0
#: Standard deviation of the bump that stands for a centre, in µm: well below the 3 µm in which two
#: centres compete.
BUMP_UM = 1.0
#: Pixels of the centre map around a centre on which its bump is drawn.
_REACH = 3
#: Weights of the parts of the loss, set so that each contributes about equally at the start.
WEIGHTS = {
    "centre": 1.0, "rays": 1.0, "early_rays": 0.5, "offset": 0.3, "class": 1.0, "region": 0.4,
}  # fmt: skip
#: Outlines of cells other than tumour and epithelium are not used by any measurement. The last is
#: for cells of unknown class, which have the index -1.
OUTLINE_WEIGHT = (1.0, 1.0, 1.0, 0.3, 0.1, 0.1, 1.0)


@dataclass(frozen=True, kw_only=True)
class FieldTargets:
    """Hold the targets of one field.

    Parameters
    ----------
    maps
        Arrays of the field; those of a batch are stacked.
    cells
        Arrays with one row for each described cell; those of a batch are put behind each other.
    """

    maps: dict[str, AnyArray]
    cells: dict[str, AnyArray]


def centre_targets(sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Draw the centre map of a field and the weight of each of its pixels.

    Returns
    -------
    tuple
        Two (H/2, W/2) float32 arrays: bumps with height 1 at visible centres; and 0 within 3 µm of
        invisible cells and where not every cell is annotated, 1 elsewhere.
    """
    side = sample.rgb.shape[0] // 2
    centres = sample.centres_px.astype(np.float64) / 2.0
    pixel = np.floor(centres).astype(np.int64)
    near = ((pixel >= -_REACH) & (pixel < side + _REACH)).all(axis=1)
    # On maps with a margin no window sticks out.
    margin = 2 * _REACH
    heat = np.zeros((side + 2 * margin, side + 2 * margin), dtype=np.float32)
    weight = np.pad(sample.annotated.repeat(2, axis=0).repeat(2, axis=1), margin)
    window = pixel[..., None] + margin + np.arange(-_REACH, _REACH + 1)
    cols, rows = window[:, 0, None, :], window[:, 1, :, None]
    hidden, seen = near & ~sample.visible, near & sample.visible
    weight[rows[hidden], cols[hidden]] = False
    x, y = (centres[:, axis, None, None] + margin - 0.5 for axis in (0, 1))
    bump = np.exp(-((rows - y) ** 2 + (cols - x) ** 2) * MAP_UM**2 / (2 * BUMP_UM**2))
    np.maximum.at(heat, (rows[seen], cols[seen]), bump[seen].astype(np.float32))
    # The pixel that holds the centre is the positive one, wherever in it the centre lies.
    own = pixel[sample.visible & ((pixel >= 0) & (pixel < side)).all(axis=1)] + margin
    heat[own[:, 1], own[:, 0]] = 1.0
    core = slice(margin, -margin)
    heat = heat[core, core].copy()
    return heat, np.maximum(weight[core, core], heat)


def make_targets(sample: Sample, rng: np.random.Generator) -> FieldTargets:
    """Gather the targets of a field.

    Parameters
    ----------
    sample
        The field as the network sees it.
    rng
        Chooses, for each cell, the pixel at which it is described: the centre's own or one beside
        it, because a peak may land there.
    """
    heat, weight = centre_targets(sample)
    side = heat.shape[0]
    centres = sample.centres_px / 2.0
    pixel = np.floor(centres).astype(np.int64)
    jitter = rng.integers(-1, 2, size=pixel.shape) * (rng.random((len(pixel), 1)) < 0.3)
    pixel = pixel + jitter
    keep = sample.visible & (pixel >= 0).all(axis=1) & (pixel < side).all(axis=1)
    return FieldTargets(
        maps={"heat": heat[None], "weight": weight[None], "region": sample.region},
        cells={
            "row": pixel[keep, 1],
            "col": pixel[keep, 0],
            "offset": ((centres - (pixel + 0.5))[keep] * MAP_UM).astype(np.float32),
            "rays": sample.rays_um[keep],
            "classes": sample.classes[keep],
            # A field of muscle has few nuclei, a lymph node thousands; both must be learned.
            "share": np.full(int(keep.sum()), max(int(keep.sum()), 1) ** -0.5, dtype=np.float32),
        },
    )


def join(targets: Sequence[FieldTargets]) -> dict[str, Tensor]:
    """Put the targets of a batch together.

    Returns
    -------
    dict of str to Tensor
        All maps (B, ...) and cells (N, ...) by name, and ``image`` (N,): the field of each cell.
    """
    joined = {
        name: np.stack([field.maps[name] for field in targets]) for name in targets[0].maps
    } | {
        name: np.concatenate([field.cells[name] for field in targets]) for name in targets[0].cells
    }
    counts = [len(field.cells["row"]) for field in targets]
    joined["image"] = np.repeat(np.arange(len(targets)), counts)
    return {name: torch.from_numpy(value) for name, value in joined.items()}


def _centre_loss(logits: Tensor, heat: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the penalty-reduced focal loss of a map of bumps, and the number of centres."""
    probability = torch.sigmoid(logits).clamp(1e-5, 1 - 1e-5)
    positive = (heat == 1.0).float()
    found = -torch.log(probability) * (1 - probability) ** 2 * positive
    false = -torch.log1p(-probability) * probability**2 * (1 - heat) ** 4 * (1 - positive) * weight
    return found.sum() + false.sum(), positive.sum()


def _rays_loss(found_um: Tensor, true_um: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Compute errors in µm relative to the outline's size; unknown rays (NaN) count for nothing."""
    known = torch.isfinite(true_um)
    target = torch.where(known, true_um, 0.0)
    # A fault of 1 µm matters more on a small cell.
    relative = (found_um - target).abs() / (target + 2.0)
    share = weight[:, None] * known / known.shape[1]
    return 4.0 * (relative * share).sum(), share.sum()


def _early_rays_loss(heads: CellHeads, true_um: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the errors of the drawings before the last; of an only drawing, its own."""
    drawings = heads.early_rays_um or (heads.rays_um,)
    each = [_rays_loss(drawing, true_um, weight) for drawing in drawings]
    return torch.stack([total for total, _ in each]).sum(), each[0][1] * len(each)


def _region_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    target = target.long()
    total = functional.cross_entropy(logits, target, ignore_index=UNKNOWN_REGION, reduction="sum")
    return total, (target != UNKNOWN_REGION).sum()


def _class_loss(logits: Tensor, target: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    each = functional.cross_entropy(logits, target, ignore_index=UNKNOWN_CLASS, reduction="none")
    return (each * share).sum(), (share * (target != UNKNOWN_CLASS)).sum()


def cell_losses(
    network: CellNet, maps: CellMaps, targets: dict[str, Tensor]
) -> dict[str, LossTerm]:
    """Compute the parts of the loss.

    Parameters
    ----------
    network
        The network, for its heads.
    maps
        What it gave for the batch, float32.
    targets
        What :func:`join` gave, on the same device.
    """
    factor = network.context_factor // network.stride
    image, row, col = targets["image"], targets["row"], targets["col"]
    places = CellPlaces(
        image=image, row=row, column=col, context_row=row // factor, context_column=col // factor
    )
    heads = network.describe(maps, places)
    parts: dict[str, tuple[Tensor, Tensor]] = {}
    if "outlines" in network.learning:
        # Without waiting for all that a GPU has still to do, as a plain copy would.
        weights = torch.tensor(OUTLINE_WEIGHT).to(image.device, non_blocking=True)
        weight = weights[targets["classes"]]
        offset = (heads.offset_um - targets["offset"]).abs()
        parts |= {
            "centre": _centre_loss(maps.centre, targets["heat"], targets["weight"]),
            "rays": _rays_loss(heads.rays_um, targets["rays"], weight),
            "early_rays": _early_rays_loss(heads, targets["rays"], weight),
            "offset": (offset.sum(), targets["row"].new_full((), offset.numel())),
        }
    if "classes" in network.learning:
        parts |= {
            "class": _class_loss(heads.class_logits, targets["classes"], targets["share"]),
            "region": _region_loss(network.region(maps.context[0]), targets["region"]),
        }
    return {
        name: LossTerm(sum=total, count=count.float(), weight=WEIGHTS[name])
        for name, (total, count) in parts.items()
    }
