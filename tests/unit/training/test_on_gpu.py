"""Steps of a training on a GPU, played without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pathology.nn.cellnet import CellNet
from pathology.training.cells.losses import FieldTargets, cell_losses, join
from pathology.training.config import TrainingConfig
from pathology.training.engine import distributed
from pathology.training.engine.distributed import Ranks, join_ranks
from pathology.training.engine.loop import _add_terms
from pathology.training.engine.state import precision_of
from tests.played_gpu import CUDA, half_precision, move_to_cuda, played_gpu


class Waits(TorchDispatchMode):
    """Notes copies to the GPU that wait until it has done all else."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        copied = func is torch.ops.aten._to_copy.default and not kwargs.get("non_blocking")
        if copied and args[0].device.type == "cpu" and result.device == CUDA:
            self.found.append(str(tuple(result.shape)))
        return result


def targets(cells: int, side: int) -> FieldTargets:
    half, quarter = np.zeros((1, side // 2, side // 2), np.float32), side // 4
    index = np.zeros(cells, dtype=np.int64)
    return FieldTargets(
        maps={
            "heat": half,
            "weight": half,
            "region": np.zeros((quarter, quarter), dtype=np.uint8),
        },
        cells={
            "row": index,
            "col": index,
            "offset": np.zeros((cells, 2), dtype=np.float32),
            "rays": np.zeros((cells, 32), dtype=np.float32),
            "classes": index - 1,
            "share": np.zeros(cells, dtype=np.float32),
        },
    )


def test_a_step_keeps_to_the_gpu_and_waits_for_nothing() -> None:
    network = CellNet(edge_width=8, head_scales=3).train()
    with played_gpu():
        move_to_cuda(network)
        batch = {name: value.to(CUDA) for name, value in join([targets(9, 128)] * 2).items()}
        detail = torch.zeros(2, 2, 128, 128, device=CUDA)
        context = torch.zeros(2, 1, 32, 32, device=CUDA)
        with Waits() as waits:
            with half_precision():
                maps = network(detail, context)
            assert maps.centre.dtype == torch.float16
            terms = cell_losses(network, maps.float(), batch)
            ranks = Ranks(rank=0, world=1, device=CUDA)
            sums: tuple[Tensor, ...] = _add_terms(terms, ranks, late=False)
    assert waits.found == []
    assert {part.device for part in sums} == {CUDA}


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_only_emulates_bfloat16_trains_in_float16(
    make_config: Callable[..., TrainingConfig], monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    wanted = torch.bfloat16 if native else torch.float16
    assert precision_of(make_config(precision="auto"), CUDA) == wanted


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_processes_on_gpus_say_which_one_is_theirs(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    asked: list[tuple[object, object]] = []
    monkeypatch.setattr(distributed, "resolve_devices", lambda _: ["cuda:0", device][-1:] * 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda chosen: asked.append(("set", chosen)))
    monkeypatch.setattr(
        torch.distributed,
        "init_process_group",
        lambda backend, **options: asked.append((backend, options["device_id"])),
    )
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with join_ranks("auto") as ranks:
        assert (ranks.rank, ranks.world, str(ranks.device)) == (1, 2, device)
    gpu = torch.device(device)
    assert asked == ([("gloo", None)] if device == "cpu" else [("set", gpu), ("nccl", gpu)])
