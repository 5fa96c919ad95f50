"""What half precision does to cells, played on the processor: the choice of the default on GPUs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathology.cells import CellTable, match_points
from pathology.config import load_config
from pathology.inference import Engine, load_model
from tests.gpu.conftest import cut_windows, draw_picture
from tests.gpu.test_engine import SAME_UM, centres, read_all


def played(precision: torch.dtype) -> Engine:
    """The engine with its network in a precision, as autocast runs its convolutions on a GPU."""
    engine = load_model(config=load_config(overrides=["inference.cpu_precision=fp32"]))
    assert isinstance(engine, Engine)
    engine._dtype, engine._dense = precision, engine._dense.to(precision)
    return engine


@pytest.mark.slow
def test_fp16_keeps_the_cells_and_bf16_loses_some() -> None:
    assert load_config().inference.cuda_precision == "fp16"
    picture = draw_picture(2, 3)
    found: dict[torch.dtype, CellTable] = {}
    for precision in (torch.float32, torch.float16, torch.bfloat16):
        engine = played(precision)
        found[precision] = read_all(engine, cut_windows(engine, picture))
    exact = found.pop(torch.float32)
    paired = {}
    for precision, table in found.items():
        n = len(match_points(centres(exact), centres(table), SAME_UM))
        paired[precision] = 100 * n / max(exact.n, table.n)
        print(f"{precision}: {paired[precision]:.3f} % of {exact.n} cells")  # noqa: T201
    assert paired[torch.float16] >= 99.9
    assert 99.0 <= paired[torch.bfloat16] < paired[torch.float16]


@pytest.mark.slow
def test_no_map_comes_near_the_end_of_half_precision() -> None:
    """Numbers beyond 65,504 do not exist there; noise and black are the worst that there is."""
    engine, largest = played(torch.float32), 0.0

    def note(_: object, __: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, torch.Tensor):
            largest = max(largest, float(output.abs().max()))

    for module in engine._dense.modules():
        module.register_forward_hook(note)
    noise = np.random.default_rng(0).integers(1, 256, (512, 512, 3), dtype=np.uint8)
    noise[:256] = 1
    read_all(engine, cut_windows(engine, noise))
    print(f"largest value: {largest:.0f}")  # noqa: T201
    assert 1 < largest < 6550
