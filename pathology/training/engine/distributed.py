"""Several processes that take one step together, on CPUs (gloo) or GPUs (nccl).

Sums are added over processes, never averaged: losses, their counts, gradients and the statistics
of batch normalisation. So N processes with a share of a batch each do the arithmetic of one process
with the whole batch, to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from pathology.errors import UsageError
from pathology.inference.devices import resolve_devices

__all__ = ["Ranks", "SyncedBatchNorm2d", "join_ranks", "sync_batch_norm"]

#: The first process measures and renders while the others wait: longer than torch's 10 minutes.
_PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Hold this process's place among those that train together.

    Parameters
    ----------
    rank, world
        Number of this process, and of processes.
    device
        Where this process works.

    Examples
    --------
    >>> alone = Ranks(rank=0, world=1, device=torch.device("cpu"))
    >>> alone.first, alone.share(8)
    (True, range(0, 8))
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process does what only one may do: write, measure, report."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """Return the places in a batch that are this process's.

        Raises
        ------
        UsageError
            If the batch cannot be divided evenly.
        """
        if batch % self.world:
            raise UsageError(
                f"a batch of {batch} cannot be divided among {self.world} processes",
                fix="Set batch to a multiple of the number of processes.",
            )
        size = batch // self.world
        return range(self.rank * size, (self.rank + 1) * size)

    def add(self, values: Tensor) -> Tensor:
        """Add a tensor up over all processes, in place; without gradient."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def add_gradients(self, network: nn.Module) -> None:
        """Add the gradients of all parameters up over all processes."""
        if self.world == 1:
            return
        parts = [part for part in network.parameters() if part.requires_grad]
        for part in parts:
            if part.grad is None:
                part.grad = torch.zeros_like(part)
        # One long tensor: each call costs a round trip, whatever its size.
        flat = torch.cat([part.grad.reshape(-1) for part in parts if part.grad is not None])
        distributed.all_reduce(flat)
        pieces = torch.split(flat, [part.numel() for part in parts])
        for part, piece in zip(parts, pieces, strict=True):
            part.grad = piece.view(part.shape)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; alone where it did not.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. With several processes each takes the GPU of its
        number on the machine.

    Raises
    ------
    UsageError
        If the device does not exist or is shared by two processes.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    devices = resolve_devices(device)
    if devices[0] == "cpu" or world == 1:
        chosen = torch.device(devices[0])
    elif local < len(devices):
        chosen = torch.device(devices[local])
    else:
        raise UsageError(
            f"process {local} has no GPU of its own: --device {device} gives {len(devices)}",
            fix="Start as many processes as there are GPUs, or give --device cpu.",
        )
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world == 1:
        yield Ranks(rank=0, world=1, device=chosen)
        return
    on_gpu = chosen.type == "cuda"
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        timeout=_PATIENCE,
        # Else waiting for each other would guess the GPU, and warn of that.
        device_id=chosen if on_gpu else None,
    )
    try:
        yield Ranks(rank=rank, world=world, device=chosen)
    finally:
        distributed.destroy_process_group()


class _AddUp(torch.autograd.Function):
    """Add a tensor up over all processes; its gradients are added up as well."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004 - the signature is torch's
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Normalise with the statistics of the whole batch, whichever process holds what of it.

    torch's own SyncBatchNorm works on GPUs only. Weights and statistics have the names and shapes
    of ``torch.nn.BatchNorm2d``. In evaluation mode it is one.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return (B, C, H, W) normalised values of the input's type."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        local = torch.full((1,), values.numel() / values.shape[1], device=values.device)
        sums: Tensor = _AddUp.apply(torch.cat([values.sum(dim=(0, 2, 3)), local]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean[:, None, None]
        # The squares of centred values, in a second round: sums of squares would cancel.
        variance: Tensor = _AddUp.apply(centred.square().sum(dim=(0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach(), count)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        result = centred * scale[:, None, None] + self.bias[:, None, None]
        return result.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 0.1
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1).clamp(min=1.0), share)


def sync_batch_norm(network: nn.Module) -> nn.Module:
    """Replace every ``BatchNorm2d`` by a synchronised one with the same tensors, in place.

    Returns
    -------
    torch.nn.Module
        The network, or its replacement where it is itself a ``BatchNorm2d``.
    """
    if type(network) is nn.BatchNorm2d:
        synced = SyncedBatchNorm2d(
            network.num_features,
            eps=network.eps,
            momentum=network.momentum,
            affine=network.affine,
            track_running_stats=network.track_running_stats,
        )
        synced.train(network.training)
        for name, parameter in network.named_parameters(recurse=False):
            setattr(synced, name, parameter)
        for name, values in network.named_buffers(recurse=False):
            setattr(synced, name, values)
        return synced
    for name, child in network.named_children():
        setattr(network, name, sync_batch_norm(child))
    return network
