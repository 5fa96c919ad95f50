"""The stream of batches: which example stands where, and the processes that make them.

Place ``p`` of a training (step times batch plus place in the batch) always holds the same example
in the same view, whatever the number of processes, whatever was stopped and resumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from pathology.training.engine.distributed import Ranks
from pathology.training.engine.task import ENDLESS, Batch, Task, random_of
from pathology.types import IntArray

__all__ = ["Steps", "example_at", "make_stream"]

#: Tells the chance of the order from other chance of the same seed.
_ORDER = 0x0DE2
#: Batches that each process makes ahead of time.
_AHEAD = 4


@lru_cache(maxsize=16)
def _order(length: int, seed: int, turn: int) -> IntArray:
    return np.asarray(random_of(seed, _ORDER, turn).permutation(length), dtype=np.int64)


def example_at(place: int, length: int, seed: int) -> int:
    """Return the number of the example at a place of the training.

    Parameters
    ----------
    place
        From 0.
    length
        Number of distinct examples; each turn of so many places holds each of them once.
    seed
        Seed of the order.

    Examples
    --------
    >>> sorted(example_at(place, 4, 7) for place in range(4, 8))
    [0, 1, 2, 3]
    >>> example_at(1000, ENDLESS, 7)
    1000
    """
    if length == ENDLESS:
        return place
    turn, within = divmod(place, length)
    return int(_order(length, seed, turn)[within])


@dataclass(frozen=True, kw_only=True)
class Steps(Dataset[Batch]):
    """Give one process's share of each step's batch; element ``n`` is step ``n``.

    Parameters
    ----------
    task
        Makes the examples.
    seed
        Seed of the training.
    batch
        Examples per step over all processes.
    share
        Places in the batch that are this process's.
    """

    task: Task
    seed: int
    batch: int
    share: range

    def __getitem__(self, step: int) -> Batch:
        """Return the share of one step."""
        examples = []
        for place in (step * self.batch + offset for offset in self.share):
            index = example_at(place, len(self.task), self.seed)
            examples.append(self.task.example(index, (self.seed, place)))
        return self.task.collate(examples)


def make_stream(
    steps: Steps, first: int, end: int, *, workers: int, ranks: Ranks
) -> Iterator[Batch]:
    """Make the batches of steps ``first`` to ``end - 1``, in this order.

    Parameters
    ----------
    steps
        What each step sees.
    first, end
        First step, and the one after the last.
    workers
        Processes that make batches ahead of time; 0 makes them here.
    ranks
        For CUDA, batches lie in page-locked memory.
    """
    return iter(
        DataLoader(
            steps,
            # Each element is a whole batch already.
            batch_size=None,
            sampler=range(first, end),
            num_workers=workers,
            # A forked process would inherit the locks of torch's threads.
            multiprocessing_context="spawn" if workers else None,
            prefetch_factor=_AHEAD if workers else None,
            worker_init_fn=_start_worker,
            pin_memory=ranks.device.type == "cuda",
        )
    )


def _start_worker(number: int) -> None:
    del number
    torch.set_num_threads(1)
