"""One of several processes that train together; started by test_distributed.py.

Writes the losses of the first steps and what batch normalisation gives to a JSON file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

from pathology.training.cells.task import CellTask
from pathology.training.config import TrainingConfig
from pathology.training.engine.distributed import Ranks, join_ranks, sync_batch_norm
from pathology.training.engine.loop import take_step
from pathology.training.engine.state import TrainingState
from pathology.training.engine.stream import Steps, make_stream

STEPS = 20


def train(config: TrainingConfig, ranks: Ranks, cache: Path) -> list[float]:
    task = CellTask(config, cache=cache)
    task.check()
    state = TrainingState(config, task, ranks)
    steps = Steps(task=task, seed=config.seed, batch=config.batch, share=ranks.share(config.batch))
    losses = []
    for batch in make_stream(steps, 0, STEPS, workers=0, ranks=ranks):
        sums = take_step(config, task, ranks, state, batch.to(ranks.device))
        losses.append(float(sums["total"]))
    return losses


def normalise(ranks: Ranks) -> dict[str, list[float]]:
    """Normalise this process's rows of a batch whose rows differ much, forward and backward."""
    torch.manual_seed(0)
    batch = torch.randn(6, 3, 4, 5) * torch.arange(1, 7).reshape(-1, 1, 1, 1) + 10
    goal = torch.randn(6, 3, 4, 5)
    layer: nn.Module = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    if ranks.world > 1:
        layer = sync_batch_norm(layer)
    layer, batch, goal = layer.to(ranks.device), batch.to(ranks.device), goal.to(ranks.device)
    # Shares of different size: the statistics must weigh them by it.
    rows = slice(0, 6) if ranks.world == 1 else (slice(0, 2), slice(2, 6))[ranks.rank]
    part = batch[rows].clone().requires_grad_()
    for _ in range(2):
        layer.zero_grad()
        part.grad = None
        (layer(part) * goal[rows]).sum().backward()
    ranks.add_gradients(layer)
    grads = torch.zeros_like(batch)
    assert part.grad is not None
    grads[rows] = part.grad
    found = {"input": ranks.add(grads)}
    found |= {name: part.grad for name, part in layer.named_parameters() if part.grad is not None}
    found |= {f"state.{name}": value.float() for name, value in layer.state_dict().items()}
    return {name: value.flatten().tolist() for name, value in found.items()}


def main() -> None:
    config = TrainingConfig.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    with join_ranks(sys.argv[4]) as ranks:
        result = {"norm": normalise(ranks), "losses": train(config, ranks, Path(sys.argv[2]))}
        if ranks.first:
            Path(sys.argv[3]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
