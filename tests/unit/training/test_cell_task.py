from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pathology.errors import ConfigError
from pathology.training.cells.task import CellTask
from pathology.training.config import TrainingConfig
from pathology.training.problems import TrainingDataError

SMALL = {"outline_widths": [8, 8, 8, 8], "class_width": 8, "context_widths": [8, 8, 8, 8]}
MakeConfig = Callable[..., TrainingConfig]


def test_an_example_is_a_function_of_place_and_seed(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(network=SMALL, augment={"jpeg": 0.5, "noise": 0.5, "tone": 0.5})
    task = CellTask(config, cache=tmp_path)
    task.check()
    one = task.example(2, (3, 2))
    task.example(1, (3, 1))
    travelled: CellTask = pickle.loads(pickle.dumps(task))  # noqa: S301 - as to the loader
    for other in (task.example(2, (3, 2)), travelled.example(2, (3, 2))):
        np.testing.assert_array_equal(one.detail, other.detail)
        np.testing.assert_array_equal(one.context, other.context)
        for name, value in (one.targets.maps | one.targets.cells).items():
            np.testing.assert_array_equal(value, (other.targets.maps | other.targets.cells)[name])
    assert (task.example(2, (3, 6)).detail != one.detail).any()
    batch = task.collate([one, task.example(0, (3, 0))])
    assert batch["detail"].shape == (2, 2, 128, 128)
    assert batch["context"].shape == (2, 1, 32, 32)


def test_preparing_renders_what_is_missing_and_stops_in_time(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(sources=[{"kind": "synthetic", "fields": 3}])
    told: list[tuple[int, int]] = []
    task = CellTask(config, cache=tmp_path)

    def prepare(until: float) -> bool:
        return task.prepare(workers=0, tell=lambda *part: told.append(part), until=until)

    assert not prepare(time.monotonic())
    assert told == [(1, 3)]
    assert prepare(math.inf)
    assert told[1:] == [(1, 2), (2, 2)]
    assert len(list(tmp_path.glob("*/*.npz"))) == 3
    assert prepare(time.monotonic())


def test_bad_input_is_found_before_the_first_step(make_config: MakeConfig, tmp_path: Path) -> None:
    wrong = make_config(network={"widths": 3})
    with pytest.raises(ConfigError, match=r"network: .*widths"):
        CellTask(wrong, cache=tmp_path).check()
    missing = [
        {"kind": "synthetic", "fields": 2},
        {"kind": "qupath_cells", "path": str(tmp_path / "nowhere")},
        {"kind": "regions", "path": str(tmp_path / "neither")},
    ]
    with pytest.raises(TrainingDataError, match=r"(?s)2 problems.*nowhere.*neither"):
        CellTask(make_config(sources=missing), cache=tmp_path).check()


def test_losses_flow_into_every_weight(make_config: MakeConfig, tmp_path: Path) -> None:
    task = CellTask(make_config(network=SMALL), cache=tmp_path)
    network = task.build_network()
    terms = task.loss(network, task.collate([task.example(k, (3, k)) for k in range(2)]))
    total = torch.stack([term.weight * term.sum / term.count for term in terms.values()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
