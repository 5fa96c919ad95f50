"""What the training loop trains: the interface between the loop and cells or tiles.

The loop (:mod:`pathology.training.engine.loop`) knows nothing of cells, outlines or patches. It
asks a :class:`Task` for a network, for examples by number, for losses as sums with their counts,
and for a measurement on held-out data.

All chance is a function of numbers that the loop hands out (:func:`random_of`), never of a
generator that carries state: that is why a resumed training equals one that was never stopped,
and several processes equal one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["ENDLESS", "Batch", "Export", "LossTerm", "Task", "random_of"]

#: Length of a task whose examples never repeat: the loop then counts examples up from 0.
ENDLESS = sys.maxsize


def random_of(*numbers: int) -> np.random.Generator:
    """Make the source of chance that belongs to some numbers.

    Parameters
    ----------
    *numbers
        From 0 each, such as seed and place in the training; other numbers give independent chance.

    Examples
    --------
    >>> int(random_of(1, 2).integers(1000)) == int(random_of(1, 2).integers(1000))
    True
    """
    return np.random.default_rng(list(numbers))


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """Hold one part of the loss as a sum and the number of things summed.

    The loop divides the sum by the count over all processes, so that N processes with a share of
    the batch each take the same step as one process with the whole batch.

    Parameters
    ----------
    sum
        () float32 with its gradient: the loss summed over this process's examples.
    count
        () float32, no gradient: what the sum is to be divided by; 0 where nothing is known.
    weight
        Share in the total loss.

    Examples
    --------
    >>> term = LossTerm(sum=torch.tensor(6.0), count=torch.tensor(3.0), weight=0.5)
    >>> float(term.sum / term.count)
    2.0
    """

    sum: Tensor
    count: Tensor
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.sum.ndim or self.count.ndim:
            raise ValueError("sum and count of a loss are single numbers")
        if self.count.requires_grad:
            raise ValueError("the count of a loss has no gradient")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Hold the tensors of one process's share of a step, by name.

    Parameters
    ----------
    tensors
        Inputs and targets, as a task's ``collate`` made them.

    Examples
    --------
    >>> batch = Batch(tensors={"image": torch.zeros(2, 3, 8, 8)})
    >>> tuple(batch["image"].shape), batch.to(torch.device("cpu"))["image"].dtype
    ((2, 3, 8, 8), torch.float32)
    """

    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Self:
        """Return the batch on a device."""
        moved = {
            name: value.to(device, non_blocking=non_blocking)
            for name, value in self.tensors.items()
        }
        return type(self)(tensors=moved)

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory; the data loader calls it for CUDA."""
        return type(self)(
            tensors={name: value.pin_memory() for name, value in self.tensors.items()}
        )


@dataclass(frozen=True, kw_only=True)
class Export:
    """Say how the network that is written came about.

    Parameters
    ----------
    step, steps
        Optimiser step that the weights are of, and steps of the whole training.
    chosen
        ``best``: the step with the best measurement; ``last``: the end of the training.
    metrics
        Measurement at that step; empty where there was none.
    settings, settings_sha256
        The training's settings as plain values, and their hash.
    hardware
        Device, processes and precision in words, such as ``1 × cpu, bf16``.
    """

    step: int
    steps: int
    chosen: str
    metrics: Mapping[str, float]
    settings: Mapping[str, Any]
    settings_sha256: str
    hardware: str


class Task(Protocol):
    """Say what is trained: the network, its examples, its losses and its measurement.

    A task travels to the processes that load examples, so it must be picklable; keep what is large
    or cannot travel out of it until :meth:`example` or :meth:`measure` first needs it.

    Attributes
    ----------
    kind
        ``cells`` or ``tiles``.
    best_metric
        The key of :meth:`measure` by which the best step is chosen.
    higher_is_better
        Which end of it is good.
    """

    kind: str
    best_metric: str
    higher_is_better: bool

    @property
    def data(self) -> str:
        """What examples are made from, with hashes; may be empty."""

    def check(self) -> None:
        """Fail now rather than after an hour: read what must be valid before the first step.

        Raises
        ------
        PathologyError
            If a source is missing or not valid; names file, cause and fix.
        """

    def prepare(self, *, workers: int, tell: Callable[[int, int], None], until: float) -> bool:
        """Do ahead of time what makes examples cheap later; may do nothing.

        Parameters
        ----------
        workers
            Processes to use; 0 uses this one.
        tell
            Called with the number done and the number in all.
        until
            Time of ``time.monotonic()`` after which to stop.

        Returns
        -------
        bool
            Whether all is done.
        """

    def build_network(self) -> nn.Module:
        """Build the network; the loop has seeded torch before."""

    def __len__(self) -> int:
        """Return the number of distinct examples, or :data:`ENDLESS`.

        The loop walks through them in another seeded order each time round; an endless task gets
        0, 1, 2, ... and orders its examples itself.
        """

    def example(self, index: int, view_seed: tuple[int, int]) -> Any:
        """Make one example, augmented; runs in a loader's process.

        Parameters
        ----------
        index
            Which example.
        view_seed
            Seed of the training and place of the example in it; give them to :func:`random_of`
            (with a further number each, if several kinds of chance are needed).

        Returns
        -------
        object
            A function of the arguments alone.
        """

    def collate(self, examples: list[Any]) -> Batch:
        """Put the examples of one process's share together; runs in a loader's process."""

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, LossTerm]:
        """Run the network and compute the parts of the loss.

        Runs under autocast; turn it off (``torch.autocast(device, enabled=False)``) and go to
        float32 for what needs it. The set of keys must not depend on the batch.
        """

    def measure(self, network: nn.Module) -> dict[str, float]:
        """Measure a network on held-out data.

        Parameters
        ----------
        network
            In evaluation mode, on the training's device; must be left unchanged.
        """

    def export(self, network: nn.Module, out: Path, export: Export) -> Path:
        """Write the bundle.

        Parameters
        ----------
        network
            The network in evaluation mode, on the CPU.
        out
            Folder of bundles; the bundle lands in ``out/<name>/<version>``.
        export
            How the network came about.

        Returns
        -------
        pathlib.Path
            The bundle's folder.
        """
