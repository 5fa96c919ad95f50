"""Training on a GPU: steps that learn, in every precision, stopped and gone on with."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import distributed, nn

from pathology.assets import config_path
from pathology.inference import load_bundle, verify_golden
from pathology.training.cells.task import CellTask
from pathology.training.config import TrainingConfig, load_training_config
from pathology.training.engine.distributed import Ranks, SyncedBatchNorm2d
from pathology.training.engine.journal import LOG_FILE
from pathology.training.engine.loop import take_step
from pathology.training.engine.state import TrainingState
from pathology.training.engine.stream import Steps, make_stream
from pathology.training.folder import CHECKPOINT_FILE, run_folder
from pathology.training.run import train_bundle

pytestmark = pytest.mark.gpu

STEPS = 12


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fields")


def brief(precision: str, **changes: object) -> TrainingConfig:
    settings = {
        "steps": STEPS, "warmup_steps": 2, "learning_rate": 0.002, "field_px": 128,
        "measure_every": 6, "measure_fields": 1, "holdout_fields": 2, "checkpoint_every": 4,
        "log_every": 1, "workers": 1, "precision": precision, "threads": 1,
        "sources": "[{kind: synthetic, fields: 6}]", **changes,
    }  # fmt: skip
    words = [f"{key}={value}" for key, value in settings.items()]
    return load_training_config(config_path("training/tiny.yaml"), words)


def losses(config: TrainingConfig, out: Path) -> list[float]:
    lines = (run_folder(config, out) / LOG_FILE).read_text(encoding="utf-8").splitlines()
    return [line["total"] for line in map(json.loads, lines) if "total" in line]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_leg_that_was_stopped_goes_on(
    device: str, cache: Path, tmp_path: Path, precision: str
) -> None:
    if (device, precision) == ("cpu", "fp16"):
        pytest.skip("half precision is trained on GPUs only")
    config = brief(precision)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    bundle = train_bundle(config, whole, cache=cache, device=device)
    assert bundle is not None
    assert verify_golden(load_bundle(bundle)) < 1e-4
    assert train_bundle(config, halves, cache=cache, device=device, max_minutes=0) is None
    assert len(losses(config, halves)) == 1
    assert train_bundle(config, halves, cache=cache, device=device) is not None
    one, two = losses(config, whole), losses(config, halves)
    assert len(one) == len(two) == STEPS
    assert all(math.isfinite(value) for value in one)
    # On a GPU additions may come in another order each time.
    np.testing.assert_allclose(two, one, rtol=1e-3 if precision == "fp32" else 0.03)
    first, second = (
        load_file(run_folder(config, out) / CHECKPOINT_FILE) for out in (whole, halves)
    )
    assert first.keys() == second.keys()
    moved = [name for name in first if name.startswith("average.") and first[name].ndim == 4]
    assert moved
    for name in moved:
        torch.testing.assert_close(second[name], first[name], rtol=0.05, atol=5e-3)


def first_steps(config: TrainingConfig, device: str, cache: Path, steps: int) -> list[float]:
    """The losses of the first steps."""
    ranks = Ranks(rank=0, world=1, device=torch.device(device))
    task = CellTask(config, cache=cache)
    task.check()
    state = TrainingState(config, task, ranks)
    stream = make_stream(
        Steps(task=task, seed=config.seed, batch=config.batch, share=range(config.batch)),
        0, steps, workers=0, ranks=ranks,
    )  # fmt: skip
    batches = (batch.to(ranks.device, non_blocking=True) for batch in stream)
    return [float(take_step(config, task, ranks, state, batch)["total"]) for batch in batches]


def test_the_first_steps_are_those_of_the_processor(device: str, cache: Path) -> None:
    config = brief("fp32")
    torch.backends.cudnn.allow_tf32 = False
    try:
        found = first_steps(config, device, cache, 4)
    finally:
        torch.backends.cudnn.allow_tf32 = True
    np.testing.assert_allclose(found, first_steps(config, "cpu", cache, 4), rtol=2e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_learns(device: str, cache: Path, precision: str) -> None:
    if (device, precision) == ("cpu", "fp16"):
        pytest.skip("half precision is trained on GPUs only")
    steps = 12 if device == "cpu" else 60
    found = first_steps(brief(precision, steps=200), device, cache, steps)
    assert np.mean(found[-3:]) < 0.9 * np.mean(found[:3])


def test_a_step_does_not_wait_for_the_gpu(cuda: torch.device, cache: Path) -> None:
    config = brief("bf16")
    ranks = Ranks(rank=0, world=1, device=cuda)
    task = CellTask(config, cache=cache)
    task.check()
    state = TrainingState(config, task, ranks)
    steps = Steps(task=task, seed=config.seed, batch=config.batch, share=range(config.batch))
    stream = make_stream(steps, 0, 3, workers=0, ranks=ranks)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number, pinned in enumerate(stream):
            assert all(part.is_pinned() for part in pinned.tensors.values() if part.numel())
            batch = pinned.to(cuda, non_blocking=True)
            torch.cuda.set_sync_debug_mode("warn" if number else "default")  # libraries start first
            try:
                take_step(config, task, ranks, state, batch)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    waits = [f"{item.filename}:{item.lineno}" for item in told if "synchron" in str(item.message)]
    print(waits)  # noqa: T201 - those of torch itself are not ours
    assert not [place for place in waits if f"{os.sep}pathology{os.sep}" in place]


@pytest.fixture
def group(device: str) -> Iterator[Ranks]:
    """One process that believes to be one of two: all collectives run, and add nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = torch.device(device)
    distributed.init_process_group(
        "gloo" if device == "cpu" else "nccl",
        init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1,
        device_id=None if device == "cpu" else place,
    )  # fmt: skip
    yield Ranks(rank=0, world=2, device=place)
    distributed.destroy_process_group()


def test_collectives_work_on_the_gpu(group: Ranks) -> None:
    torch.manual_seed(0)
    plain, synced = (kind(3).to(group.device) for kind in (nn.BatchNorm2d, SyncedBatchNorm2d))
    values = torch.randn(4, 3, 8, 8, device=group.device) * 3 + 1
    goal = torch.randn(4, 3, 8, 8, device=group.device)
    for layer in (plain, synced):
        (layer(values) * goal).sum().backward()
    group.add_gradients(synced)
    for one, two in zip(plain.parameters(), synced.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(synced.running_var, plain.running_var, rtol=1e-4, atol=1e-5)
    assert float(group.add(torch.ones(1, dtype=torch.float64, device=group.device))) == 1.0
    group.wait()


def test_torchrun_with_more_processes_than_gpus_says_so(cuda: torch.device, tmp_path: Path) -> None:
    del cuda
    many = torch.cuda.device_count() + 1
    words = ["--standalone", "--nproc-per-node", str(many), "--no-python", sys.executable, "-c"]
    code = (
        "from pathology.training.engine.distributed import join_ranks\nwith join_ranks('cuda'): 0"
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words, code],
        capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path[1:]])},
    )  # fmt: skip
    assert done.returncode != 0
    assert f"process {many - 1} has no GPU of its own" in done.stderr


def test_two_gpus_train_as_one(cuda: torch.device, tmp_path: Path) -> None:
    del cuda
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU only")
    from tests.unit.training.test_distributed import start

    file = tmp_path / "config.json"
    config = brief("fp32", workers=0, learning_rate=0.0001, steps=200, warmup_steps=100)
    file.write_text(config.model_dump_json(), encoding="utf-8")
    one, two = (start(world, file, tmp_path, device="cuda") for world in (1, 2))
    for name, value in one["norm"].items():
        np.testing.assert_allclose(two["norm"][name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-3)
