"""A task that trains in milliseconds: two losses over examples of different counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pathology.training.config import TrainingConfig
from pathology.training.engine.distributed import Ranks
from pathology.training.engine.journal import Journal
from pathology.training.engine.loop import Loop
from pathology.training.engine.state import TrainingState
from pathology.training.engine.task import Batch, LossTerm, random_of


class ToyNetwork(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, 1, 1)
        self.drop = nn.Dropout(0.2)

    def forward(self, image: Tensor) -> Tensor:
        return self.last(self.drop(torch.relu(self.norm(self.first(image)))))


class ToyTask:
    """Learn to double pictures; the measurement of each step can be set by the test."""

    kind = "toy"
    best_metric = "score"
    higher_is_better = True
    data = ""

    def __init__(self, scores: list[float] | None = None) -> None:
        self.width = 4
        self.scores = scores or []
        self.seen: list[tuple[int, tuple[int, int]]] = []
        self.poison_from = 10**9

    def check(self) -> None:
        pass

    def prepare(self, **_: Any) -> bool:
        return True

    def build_network(self) -> nn.Module:
        return ToyNetwork(self.width)

    def __len__(self) -> int:
        return 5

    def example(self, index: int, view_seed: tuple[int, int]) -> Tensor:
        self.seen.append((index, view_seed))
        values = random_of(*view_seed).normal(index, 1.0, size=(1, 8, 8))
        if view_seed[1] >= self.poison_from:
            values *= float("nan")
        return torch.from_numpy(values).float()

    def collate(self, examples: list[Tensor]) -> Batch:
        return Batch(tensors={"image": torch.stack(examples)})

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, LossTerm]:
        image = batch["image"]
        error = (network(image).float() - 2 * image).square()
        bright = image > 1.0
        return {
            "all": LossTerm(sum=error.sum(), count=torch.tensor(float(error.numel()))),
            "bright": LossTerm(
                sum=(error * bright).sum(), count=bright.sum().float().detach(), weight=0.5
            ),
        }

    def measure(self, network: nn.Module) -> dict[str, float]:
        assert not network.training
        return {"score": self.scores.pop(0) if self.scores else 0.0}

    def export(self, network: nn.Module, out: Path, export: object) -> Path:
        raise NotImplementedError


def toy_config(**changes: object) -> TrainingConfig:
    settings: dict[str, object] = {
        "name": "toy",
        "version": "0.0.1",
        "sources": [{"kind": "synthetic", "fields": 4}],
        "field_px": 128,
        "seed": 3,
        "steps": 6,
        "batch": 4,
        "learning_rate": 0.01,
        "warmup_steps": 2,
        "weight_decay": 0.01,
        "clip_norm": 5.0,
        "ema_decay": 0.9,
        "precision": "fp32",
        "measure_every": 100,
        "holdout_fields": 1,
        "log_every": 1,
        "checkpoint_every": 2,
        "workers": 0,
    }
    return TrainingConfig.model_validate(settings | changes)


def toy_loop(folder: Path, task: ToyTask | None = None, **changes: object) -> Loop:
    config, task = toy_config(**changes), task or ToyTask()
    ranks = Ranks(rank=0, world=1, device=torch.device("cpu"))
    state = TrainingState(config, task, ranks)
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.is_file():
        state.load(checkpoint, config)
    return Loop(
        config=config,
        task=task,
        ranks=ranks,
        state=state,
        journal=Journal(None, step=state.step),
        checkpoint=checkpoint,
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # Pictures this small gain nothing from threads, which on a busy machine wait for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_config() -> Callable[..., TrainingConfig]:
    return toy_config


@pytest.fixture
def make_task() -> type[ToyTask]:
    return ToyTask


@pytest.fixture
def make_loop(tmp_path: Path) -> Callable[..., Loop]:
    def make(name: str = "a", task: ToyTask | None = None, **changes: object) -> Loop:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return toy_loop(folder, task, **changes)

    return make
