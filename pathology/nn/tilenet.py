"""The tile classifier: a torchvision backbone that says what one tile shows.

A tile is classified on its own window: nothing looks across it, and batch normalisation uses
stored statistics, so what a tile is called does not depend on its neighbours or on the batch.

Backbones are built with random weights. Weights from elsewhere can be read from a local safetensors
file; nothing is ever downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models

from pathology.errors import ModelError

__all__ = ["BACKBONES", "CHANNELS", "TileNet"]

#: Backbones by name, with what switches off their dropout and stochastic depth: training draws all
#: chance from its seed and step, and these layers would draw theirs from elsewhere.
BACKBONES: dict[str, dict[str, float]] = {
    "resnet18": {},
    "mobilenet_v3_small": {"dropout": 0.0},
    "efficientnet_b0": {"dropout": 0.0, "stochastic_depth_prob": 0.0},
    "convnext_tiny": {"stochastic_depth_prob": 0.0},
}
#: What the input channels hold, in their order.
CHANNELS: dict[str, tuple[str, ...]] = {
    "stains": ("haematoxylin_od", "dab_od"),
    "rgb": ("red", "green", "blue"),
}


class TileNet(nn.Module):
    """Classify tiles.

    Parameters
    ----------
    backbone
        A key of :data:`BACKBONES`.
    channels
        ``stains``: optical densities of haematoxylin and DAB; ``rgb``: colours.
    classes
        Number of classes, at least 2.

    Raises
    ------
    ValueError
        If the backbone or the channels are not known, or there are fewer than two classes.

    Examples
    --------
    >>> import torch
    >>> net = TileNet(backbone="mobilenet_v3_small", classes=6).eval()
    >>> with torch.inference_mode():
    ...     tuple(net(torch.zeros(3, 2, 64, 64)).shape)
    (3, 6)
    """

    def __init__(
        self, *, backbone: str = "resnet18", channels: str = "stains", classes: int = 6
    ) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, not {backbone!r}")
        if channels not in CHANNELS:
            raise ValueError(f"channels must be one of {', '.join(CHANNELS)}, not {channels!r}")
        if classes < 2:
            raise ValueError(f"a classifier tells at least two classes, not {classes}")
        self.channels = CHANNELS[channels]
        self.classes = classes
        options: dict[str, Any] = dict(BACKBONES[backbone])
        self.body: nn.Module = models.get_model(
            backbone, weights=None, num_classes=classes, **options
        )
        name, first = _first_convolution(self.body)
        if first.in_channels != len(self.channels):
            _put(self.body, name, _with_inputs(first, len(self.channels)))

    def forward(self, tiles: Tensor) -> Tensor:
        """Compute the logits of each tile.

        Parameters
        ----------
        tiles
            (B, channels, H, W) float.

        Returns
        -------
        torch.Tensor
            (B, classes) logits.
        """
        logits: Tensor = self.body(tiles)
        return logits

    def load_backbone(self, path: Path) -> None:
        """Take weights over from a file of the same backbone; the classes are learned anew.

        Parameters
        ----------
        path
            A safetensors file with torchvision's names. Where it was made for three colours and
            this network reads two stains, each stain starts from the mean of the colours' filters,
            scaled so that the sum of the filters stays the same.

        Raises
        ------
        ModelError
            If the file cannot be read, or belongs to another backbone.
        """
        try:
            given = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{path}: cannot be read as safetensors ({error})",
                fix="Give a local safetensors file of the backbone's weights.",
            ) from error
        own = self.body.state_dict()
        name, first = _first_convolution(self.body)
        filters = given.get(f"{name}.weight")
        if filters is not None and filters.ndim == 4 and filters.shape[1] != first.in_channels:
            mean = filters.mean(dim=1, keepdim=True) * (filters.shape[1] / first.in_channels)
            given[f"{name}.weight"] = mean.repeat(1, first.in_channels, 1, 1)
        head = _head_name(self.body)
        kept, wanted = (
            {key: value for key, value in part.items() if not key.startswith(f"{head}.")}
            for part in (given, own)
        )
        wrong = sorted(
            key
            for key in wanted.keys() | kept.keys()
            # Counters of batches are missing in older files, and nothing needs them.
            if not key.endswith(".num_batches_tracked")
            and (key not in wanted or key not in kept or wanted[key].shape != kept[key].shape)
        )
        if wrong:
            raise ModelError(
                f"{path}: not the weights of this backbone: {len(wrong)} tensors are missing, "
                f"unknown or of another shape, such as {wrong[0]!r}",
                fix="The file must hold the weights of the backbone that the settings name.",
            )
        self.body.load_state_dict({**own, **kept})


def _first_convolution(body: nn.Module) -> tuple[str, nn.Conv2d]:
    """Return the convolution that the picture enters, with its name."""
    for name, module in body.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    raise ValueError("the backbone has no convolution")  # pragma: no cover - all of them have


def _head_name(body: nn.Module) -> str:
    """Return the name of the last linear layer: the one that tells the classes."""
    names = [str(name) for name, part in body.named_modules() if isinstance(part, nn.Linear)]
    return names[-1]


def _with_inputs(conv: nn.Conv2d, inputs: int) -> nn.Conv2d:
    """Return a new convolution like this one, with other input channels."""
    options: dict[str, Any] = {
        name: getattr(conv, name) for name in ("kernel_size", "stride", "padding")
    }
    return nn.Conv2d(inputs, conv.out_channels, bias=conv.bias is not None, **options)


def _put(body: nn.Module, name: str, module: nn.Module) -> None:
    """Set a module by its dotted name."""
    parent, _, leaf = name.rpartition(".")
    setattr(body.get_submodule(parent), leaf, module)
