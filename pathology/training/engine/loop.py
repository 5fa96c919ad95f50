"""The training loop: knows steps, losses, processes and time, and nothing of cells or tiles."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pathology.errors import UsageError
from pathology.training.config import TrainingConfig
from pathology.training.engine.distributed import Ranks
from pathology.training.engine.journal import Journal
from pathology.training.engine.state import TrainingState, precision_of
from pathology.training.engine.stream import Steps, make_stream
from pathology.training.engine.task import Batch, LossTerm, Task

__all__ = ["Loop", "take_step"]


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Take the steps of a training, from where its state is.

    Parameters
    ----------
    config
        Settings.
    task
        What is trained.
    ranks
        This process's place.
    state
        What changes; already loaded where a training goes on.
    journal
        Where figures go.
    checkpoint
        File of the checkpoint.
    """

    config: TrainingConfig
    task: Task
    ranks: Ranks
    state: TrainingState
    journal: Journal
    checkpoint: Path

    def run(self, until: float = math.inf) -> bool:
        """Train to the last step, or until the time is up.

        Parameters
        ----------
        until
            Time of ``time.monotonic()`` after which the training stops with a checkpoint.

        Returns
        -------
        bool
            Whether the last step was taken.

        Raises
        ------
        UsageError
            If the loss stops being finite.
        """
        config, state = self.config, self.state
        stream = self._stream()
        mark = time.monotonic()
        while state.step < config.steps:
            batch = next(stream).to(self.ranks.device, non_blocking=True)
            late = time.monotonic() >= until
            sums = take_step(config, self.task, self.ranks, state, batch, late=late)
            last = state.step == config.steps
            stop = False
            if last or state.step % config.log_every == 0:
                stop = self._report(sums)
            mark = self._count_time(mark)
            measured = last or state.step % config.measure_every == 0
            if measured:
                self._measure()
            if stop or measured or state.step % config.checkpoint_every == 0:
                self._check_finite(sums)  # a broken state must not replace a good checkpoint
                mark = self._count_time(mark)
                self._save()
            if stop and not last:
                return False
        return True

    def _stream(self) -> Iterator[Batch]:
        steps = Steps(
            task=self.task,
            seed=self.config.seed,
            batch=self.config.batch,
            share=self.ranks.share(self.config.batch),
        )
        return make_stream(
            steps,
            self.state.step,
            self.config.steps,
            workers=self.config.workers,
            ranks=self.ranks,
        )

    def _count_time(self, mark: float) -> float:
        now = time.monotonic()
        self.state.minutes += (now - mark) / 60
        return now

    def _check_finite(self, sums: Mapping[str, Tensor]) -> None:
        if not math.isfinite(float(sums["total"])):
            losses = {name: float(value) for name, value in sums.items()}
            raise UsageError(
                f"the loss is not finite at step {self.state.step}: {losses}",
                fix="Set a smaller learning_rate, or precision to bf16 or fp32.",
            )

    def _report(self, sums: Mapping[str, Tensor]) -> bool:
        """Write the losses down; tell whether a process ran out of time."""
        self._check_finite(sums)
        losses = {name: float(value) for name, value in sums.items()}
        late = losses.pop("late") > 0
        rate = self.config.learning_rate_at(self.state.step - 1)
        self.journal.write("train", self.state.step, {**losses, "learning_rate": rate})
        note = f"(loss {losses['total']:.3f}{self._best_note()})"
        self.journal.show("train", self.state.step, self.config.steps, note)
        return late

    def _best_note(self) -> str:
        if self.state.best_step < 0:
            return ""
        name = self.task.best_metric
        return f", best {name} {self.state.best_metrics[name]:.3f} at {self.state.best_step}"

    def _measure(self) -> None:
        """Measure the averaged network and keep it if it is the best so far."""
        if self.ranks.first:
            figures = self.task.measure(self.state.average)
            self.journal.write("held_out", self.state.step, figures)
            if self._better(figures[self.task.best_metric]):
                self.state.keep_best(figures)
        self.ranks.wait()

    def _better(self, value: float) -> bool:
        if self.state.best_step < 0:
            return True
        old = self.state.best_metrics[self.task.best_metric]
        if math.isnan(value) or math.isnan(old):
            return math.isnan(old)
        return value > old if self.task.higher_is_better else value < old

    def _save(self) -> None:
        if self.ranks.first:
            self.state.save(self.checkpoint, self.config)
        self.ranks.wait()


def take_step(
    config: TrainingConfig,
    task: Task,
    ranks: Ranks,
    state: TrainingState,
    batch: Batch,
    *,
    late: bool = False,
) -> dict[str, Tensor]:
    """Take one optimiser step, together with the other processes.

    Parameters
    ----------
    config, task, ranks, state
        As in :class:`Loop`; the state is changed.
    batch
        This process's share, on its device.
    late
        Whether this process ran out of time; told to the others with the losses.

    Returns
    -------
    dict of str to Tensor
        Parts of the loss over all processes, ``total``, and ``late``: processes out of time.
    """
    # Layers with chance in them (dropout) follow the step, not what ran before.
    torch.manual_seed((config.seed << 32) + state.step * ranks.world + ranks.rank)
    dtype = precision_of(config, ranks.device)
    for group in state.optimiser.param_groups:
        group["lr"] = config.learning_rate_at(state.step)
    state.network.train()
    with torch.autocast(ranks.device.type, dtype=dtype, enabled=dtype != torch.float32):
        terms = task.loss(state.network, batch)
    sums, counts, late_ranks = _add_terms(terms, ranks, late=late)
    parts = [term.weight * term.sum / counts[k].float() for k, term in enumerate(terms.values())]
    loss = torch.stack(parts).sum()
    state.optimiser.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    ranks.add_gradients(state.network)
    state.scaler.unscale_(state.optimiser)
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.clip_norm)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.update_average(config.ema_decay)
    state.step += 1
    means = sums / counts
    weights = torch.tensor([term.weight for term in terms.values()])
    weights = weights.to(means.device, non_blocking=True)
    losses = dict(zip(terms, means, strict=True))
    return {**losses, "total": (means * weights).sum(), "late": late_ranks}


def _add_terms(
    terms: Mapping[str, LossTerm], ranks: Ranks, *, late: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Add sums and counts up over all processes; counts are at least 1."""
    numbers = [term.sum.detach() for term in terms.values()]
    numbers += [term.count for term in terms.values()]
    packed = torch.stack([value.double() for value in numbers])
    # Filled there, not copied there: a copy would wait for all that the GPU has still to do.
    packed = torch.cat([packed, packed.new_full((1,), float(late))])
    ranks.add(packed)
    sums, counts = packed[: len(terms)], packed[len(terms) : -1]
    return sums, counts.clamp(min=1.0), packed[-1]
