from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pathology.errors import UsageError
from pathology.training.config import TrainingConfig
from pathology.training.engine.distributed import SyncedBatchNorm2d, join_ranks, sync_batch_norm

SCRIPT = Path(__file__).with_name("two_ranks.py")


def test_layers_are_replaced_and_keep_their_tensors() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2, eps=1e-3)))
    before = {name: id(value) for name, value in plain.named_parameters()}
    names = list(plain.state_dict())
    synced = sync_batch_norm(plain)
    layer = synced[1][0]
    assert isinstance(layer, SyncedBatchNorm2d)
    assert layer.eps == 1e-3
    assert list(synced.state_dict()) == names
    assert {name: id(value) for name, value in synced.named_parameters()} == before


def test_in_use_it_is_an_ordinary_layer() -> None:
    layer = nn.BatchNorm2d(2)
    layer.running_mean = torch.tensor([1.0, -1.0])
    synced = SyncedBatchNorm2d(2)
    synced.load_state_dict(layer.state_dict())
    values = torch.randn(2, 2, 3, 3)
    assert torch.equal(layer.eval()(values), synced.eval()(values))


def test_alone_no_group_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_ranks("cpu") as ranks:
        assert (ranks.rank, ranks.world, ranks.first) == (0, 1, True)
        assert not torch.distributed.is_initialized()


def test_a_process_without_a_gpu_of_its_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        "pathology.training.engine.distributed.resolve_devices", lambda _: ["cuda:0"]
    )
    with pytest.raises(UsageError, match="process 1 has no GPU"), join_ranks("cuda"):
        pass


def start(world: int, config: Path, folder: Path, *, device: str = "cpu") -> dict[str, Any]:
    """Run the script in so many processes and return what the first one wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = folder / f"result-{world}.json"
    words = [sys.executable, str(SCRIPT), str(config), str(folder / "cache"), str(out), device]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            words,
            env={**common, "WORLD_SIZE": str(world), "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(world)
    ]
    try:
        assert [process.wait(timeout=500) for process in processes] == [0] * world
    finally:
        for process in processes:
            process.kill()
            process.wait()
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


@pytest.mark.slow
def test_two_processes_train_as_one(
    make_config: Callable[..., TrainingConfig], tmp_path: Path
) -> None:
    small = {"outline_widths": [8, 12, 16, 16], "class_width": 8, "context_widths": [8, 8, 12, 12]}
    # Small steps: rounding differs between the two, and a training at full speed doubles any
    # difference every step or two, as it would between two machines.
    config = make_config(
        network=small, steps=200, warmup_steps=100, learning_rate=0.0001, augment={"jpeg": 0.5}
    )
    file = tmp_path / "config.json"
    file.write_text(config.model_dump_json(), encoding="utf-8")
    one, two = start(1, file, tmp_path), start(2, file, tmp_path)
    for name, value in one["norm"].items():
        np.testing.assert_allclose(two["norm"][name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    assert len(one["losses"]) == 20
    assert one["losses"][-1] < one["losses"][0]
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=0, atol=1e-5)
