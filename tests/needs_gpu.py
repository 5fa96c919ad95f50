"""Find the GPU for the tests that need one."""

from __future__ import annotations

import os

import pytest
import torch

__all__ = ["find_gpu", "find_real_gpu"]

#: ``needed``: without a GPU the tests fail. ``cpu``: the processor stands in for it, which says
#: nothing of GPUs, and shows that the tests themselves work. Else they are skipped.
VARIABLE = "HER2_GPU_TESTS"


def find_gpu() -> str:
    """Return the device for tests marked ``gpu``: ``cuda:0``, or what stands in for it."""
    if torch.cuda.is_available():
        return "cuda:0"
    wanted = os.environ.get(VARIABLE, "")
    if wanted == "cpu":
        return "cpu"
    if wanted == "needed":
        pytest.fail("no CUDA device was found")
    pytest.skip("no CUDA device")


def find_real_gpu() -> str:
    """Return the GPU for what the processor cannot stand in for."""
    device = find_gpu()
    if device == "cpu":
        pytest.skip("the processor cannot stand in for the GPU here")
    return device
