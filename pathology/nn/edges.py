"""The later drawings of outlines: each ray's end moves to the edge that lies beside it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pathology.nn.upsampling import add_upsampled

__all__ = ["MAX_REACH_UM", "CellPlaces", "EdgeReader"]

N_RAYS = 32
#: Steps along the ray, from its end, at which edges are looked at, µm; one is a map's pixel.
STEPS_UM = (-2.0, -1.0, 0.0, 1.0, 2.0)
#: A ray's end moves by no more than this, µm: what is seen of the edges reaches no further.
MAX_MOVE_UM = 2.5
#: Rays that end further out than this are left as first drawn: with what an edge's features see
#: (8 µm), the steps and the offset they would look beyond the halo of 32 µm.
MAX_REACH_UM = 18.0
#: Centres lie this near to the peak's pixel, µm.
_MAX_OFFSET_UM = 1.5


class CellPlaces(NamedTuple):
    """Say where cells lie; all (N,) int64.

    Attributes
    ----------
    image
        Index into the batch.
    row, column
        Pixel of the centre map.
    context_row, context_column
        Pixel of the context image.
    """

    image: Tensor
    row: Tensor
    column: Tensor
    context_row: Tensor
    context_column: Tensor


class EdgeReader(nn.Module):
    """Draw outlines again from what lies beside the ends of their rays.

    Parameters
    ----------
    fine, coarse
        Channels of the two finest levels of features, which reach 2 and 5 µm around a pixel.
    width
        Channels of the map of edges.
    hidden
        Channels of the layers that decide how far an end moves.
    redraws
        How often outlines are drawn again; from each drawing the next looks anew.

    Examples
    --------
    >>> reader = EdgeReader(24, 40, 8).eval()
    >>> reader(torch.zeros(1, 24, 64, 64), torch.zeros(1, 40, 32, 32)).shape
    torch.Size([1, 8, 64, 64])
    """

    directions: Tensor

    def __init__(
        self, fine: int, coarse: int, width: int, hidden: int = 32, redraws: int = 1
    ) -> None:
        super().__init__()
        if redraws < 1:
            raise ValueError(f"redraws is {redraws}, and must be at least 1")
        self.lift = nn.Conv2d(coarse, fine, 1, bias=False)
        self.reduce = nn.Sequential(
            nn.Conv2d(fine, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.move = _mover(width, hidden)
        self.again = nn.ModuleList(_mover(width, hidden) for _ in range(redraws - 1))
        angles = torch.arange(N_RAYS, dtype=torch.float64) * (2 * math.pi / N_RAYS)
        directions = torch.stack([angles.cos(), angles.sin()]).float()
        self.register_buffer("directions", directions, persistent=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Compute the map of edges.

        Parameters
        ----------
        fine, coarse
            (B, fine, H, W) and (B, coarse, H/2, W/2) features.

        Returns
        -------
        Tensor
            (B, width, H, W).
        """
        edges: Tensor = self.reduce(add_upsampled(fine, self.lift(coarse)))
        return edges

    def redraw(
        self, edges: Tensor, places: CellPlaces, rays_um: Tensor, offset_um: Tensor
    ) -> tuple[Tensor, ...]:
        """Move the ends of rays along them, once for each drawing.

        Parameters
        ----------
        edges
            (B, width, H, W) map of edges at 1 µm per pixel. What is read of it is worked on in its
            precision: an end moves by 2.5 µm at most, and bfloat16 tells that to 0.01 µm.
        places
            Where the N cells lie.
        rays_um, offset_um
            (N, 32) and (N, 2): the first drawing.

        Returns
        -------
        tuple of Tensor
            The drawings after the first, in order: (N, 32) rays in µm, above 0.
        """
        if self.training:  # gradients are float32's
            edges = edges.float()
        drawings = []
        for move in (self.move, *self.again):
            rays_um = self._moved(move, edges, places, rays_um, offset_um)
            drawings.append(rays_um)
        return tuple(drawings)

    def _moved(
        self,
        move: nn.Module,
        edges: Tensor,
        places: CellPlaces,
        rays_um: Tensor,
        offset_um: Tensor,
    ) -> Tensor:
        """Return the rays of the next drawing."""
        # Where to look is given; what is seen there is learned.
        ends = rays_um.detach().clamp(max=MAX_REACH_UM)
        steps = torch.tensor(STEPS_UM).to(ends.device, non_blocking=True)
        along = (ends[:, :, None] + steps).clamp(min=0.0)
        shift = offset_um.detach().clamp(-_MAX_OFFSET_UM, _MAX_OFFSET_UM) + 0.5
        x, y = (
            (middle + shift[:, axis])[:, None, None] + along * self.directions[axis][:, None]
            for axis, middle in enumerate((places.column, places.row))
        )
        seen = sample_bilinear(edges, places.image, x, y)
        # (N, 32, steps, width) -> (N, steps x width, 32); there may be no cell at all.
        seen = seen.flatten(2).transpose(1, 2)
        lengths = (rays_um.detach()[:, None] / MAX_REACH_UM).to(seen.dtype)
        pulls: Tensor = move(torch.cat([seen, lengths], dim=1))[:, 0]
        moved = MAX_MOVE_UM * torch.tanh(pulls.float())
        moved = moved * (rays_um.detach() < MAX_REACH_UM)
        return (rays_um + moved).clamp(min=0.5)


class _Mover(nn.Sequential):
    """Layers that say how far each end moves, computed in the precision of what they are given."""

    def forward(self, seen: Tensor) -> Tensor:
        """Return (N, 1, 32) of (N, channels, 32)."""
        for layer in self:
            if isinstance(layer, nn.Conv1d):
                reach = layer.kernel_size[0] // 2
                around = functional.pad(seen, (reach, reach), mode="circular") if reach else seen
                bias = None if layer.bias is None else layer.bias.to(seen.dtype)
                seen = functional.conv1d(around, layer.weight.to(seen.dtype), bias)
            else:
                seen = layer(seen)
        return seen


def _mover(width: int, hidden: int) -> _Mover:
    """Make the layers that say how far each end moves."""
    # Neighbouring rays look at each other's edges: an outline has no single teeth.
    layers = _Mover(
        nn.Conv1d(width * len(STEPS_UM) + 1, hidden, 3, padding=1, padding_mode="circular"),
        nn.ReLU(inplace=True),
        nn.Conv1d(hidden, hidden, 3, padding=1, padding_mode="circular"),
        nn.ReLU(inplace=True),
        nn.Conv1d(hidden, 1, 1),
    )
    # A drawing begins as a copy of the one before.
    nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
    return layers


def sample_bilinear(maps: Tensor, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Read maps between their pixels; beyond their borders the border goes on.

    Parameters
    ----------
    maps
        (B, C, H, W).
    image
        (N,) int64 index into the batch.
    x, y
        (N, ...) coordinates in pixels; the middle of the first pixel is 0.5.

    Returns
    -------
    Tensor
        (N, ..., C).

    Examples
    --------
    >>> ramp = torch.arange(4.0).reshape(1, 1, 1, 4)
    >>> at = torch.tensor([[0.5, 1.0, 9.0]])
    >>> sample_bilinear(ramp, torch.tensor([0]), at, torch.zeros_like(at)).flatten().tolist()
    [0.0, 0.5, 3.0]
    """
    _, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    x, y = (x - 0.5).clamp_(0, width - 1), (y - 0.5).clamp_(0, height - 1)
    # The last pixel is read as the second of a pair, so that there always is one.
    left, top = x.floor().clamp_(0, max(width - 2, 0)), y.floor().clamp_(0, max(height - 2, 0))
    x, y = x.sub_(left), y.sub_(top)
    first = image.int().reshape(-1, *[1] * (x.dim() - 1)) * (height * width)
    upper = top.int().mul_(width).add_(left.int()).add_(first)
    step_x, step_y = int(width > 1), width * int(height > 1)
    corners = torch.stack([upper, upper + step_x, upper + step_y, upper + step_y + step_x], dim=-1)
    # Written one by one: stacking floats takes five times as long.
    shares = torch.empty(corners.shape, dtype=rows.dtype, device=rows.device)
    for corner, share in enumerate(((1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y)):
        shares[..., corner] = share
    # A weighted sum of four rows in one call: a tenth of the time of four look-ups and three means.
    found = functional.embedding_bag(
        corners.view(-1, 4), rows, per_sample_weights=shares.view(-1, 4), mode="sum"
    )
    return found.view(*x.shape, channels)
