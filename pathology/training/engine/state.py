"""Everything that changes while a training runs, as tensors by name."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pathology.training.config import TrainingConfig
from pathology.training.engine.checkpoint import (
    Progress,
    check_progress,
    read_progress,
    read_tensors,
    write_checkpoint,
)
from pathology.training.engine.distributed import Ranks, sync_batch_norm
from pathology.training.engine.task import Task

__all__ = ["TrainingState", "precision_of"]


#: Gradients smaller than this take smaller steps. torch's 1e-8 lies below the rounding noise of
#: float32 gradients, which would then take steps of full size in directions of chance.
ADAM_EPS = 1e-7


class TrainingState:
    """Hold the network, its average, the best average, the optimiser and the counts.

    Parameters
    ----------
    config
        Settings.
    task
        Builds the network.
    ranks
        This process's place; all processes start from the same weights.
    data
        What the examples are made by; stands in checkpoints.
    """

    def __init__(self, config: TrainingConfig, task: Task, ranks: Ranks, data: str = "") -> None:
        torch.manual_seed(config.seed)
        # channels_last with bfloat16 is about three times as fast on the CPU as the plain layout.
        self.network = task.build_network().to(ranks.device)
        self.network = self.network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.best = {name: value.clone() for name, value in self.average.state_dict().items()}
        if ranks.world > 1:
            self.network = sync_batch_norm(self.network)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            eps=ADAM_EPS,
        )
        self.scaler = torch.amp.GradScaler(
            ranks.device.type, enabled=precision_of(config, ranks.device) == torch.float16
        )
        self.step = 0
        self.best_step = -1
        self.best_metrics: dict[str, float] = {}
        self.minutes = 0.0
        self.data = data
        self._start_optimiser()

    def _start_optimiser(self) -> None:
        """Make the optimiser's state before the first step, so that checkpoints can be read."""
        for parameter in self.network.parameters():
            self.optimiser.state[parameter] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name; they are the training's own, not copies."""
        named = {f"network.{name}": part for name, part in self.network.state_dict().items()}
        named |= {f"average.{name}": part for name, part in self.average.state_dict().items()}
        named |= {f"best.{name}": part for name, part in self.best.items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimiser.state[parameter].items():
                named[f"optimiser.{name}.{key}"] = value
        return named

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the network."""
        # Early averages would remember the random start: the decay grows with the steps taken.
        share = 1 - min(decay, (self.step + 1) / (self.step + 10))
        pairs = zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        )
        for kept, new in pairs:
            if kept.dtype.is_floating_point:
                kept.lerp_(new, share)
            else:
                kept.copy_(new)

    @torch.no_grad()
    def keep_best(self, metrics: Mapping[str, float]) -> None:
        """Remember the average of now as the best one."""
        self.best_step, self.best_metrics = self.step, dict(metrics)
        for name, value in self.average.state_dict().items():
            self.best[name].copy_(value)

    def chosen(self, keep: str) -> nn.Module:
        """Return the best or the last average, on the CPU, in the plain memory layout."""
        network = copy.deepcopy(self.average)
        if keep == "best" and self.best_step >= 0:
            network.load_state_dict(self.best)
        return network.cpu().to(memory_format=torch.contiguous_format).eval()

    def save(self, path: Path, config: TrainingConfig) -> None:
        """Write a checkpoint.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        progress = Progress(
            step=self.step,
            settings=config.plain,
            best_step=self.best_step,
            best_metrics=self.best_metrics,
            scaler=self.scaler.state_dict(),
            minutes=self.minutes,
            data=self.data,
        )
        write_checkpoint(path, self.tensors(), progress)

    @torch.no_grad()
    def load(self, path: Path, config: TrainingConfig) -> str:
        """Go on from a checkpoint.

        Returns
        -------
        str
            What the examples were made by until then.

        Raises
        ------
        ConfigError
            If it has other settings.
        ModelError
            If it is damaged or of another architecture.
        """
        progress = read_progress(path)
        check_progress(path, progress, config.plain)
        own = self.tensors()
        for name, value in read_tensors(path, own).items():
            own[name].copy_(value)
        self.step = progress.step
        self.best_step, self.best_metrics = progress.best_step, dict(progress.best_metrics)
        self.minutes = progress.minutes
        if progress.scaler:
            self.scaler.load_state_dict(dict(progress.scaler))
        return progress.data


def precision_of(config: TrainingConfig, device: torch.device) -> torch.dtype:
    """Return the type that the network runs in under autocast; float32: no autocast."""
    if config.precision == "auto":
        if device.type != "cuda":
            return torch.bfloat16
        # GPUs before Ampere can emulate it, slower than float32.
        known = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if known else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.precision]
