"""Which devices are chosen, and what is said where there is none."""

from __future__ import annotations

import pytest
import torch

from pathology.errors import UsageError
from pathology.inference import resolve_devices


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    count = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("gpus", "text", "expected"),
    [
        (0, "auto", ["cpu"]),
        (0, "cpu", ["cpu"]),
        (2, "cpu", ["cpu"]),
        (2, "auto", ["cuda:0", "cuda:1"]),
        (2, "cuda", ["cuda:0", "cuda:1"]),
        (4, "cuda:2, cuda:0", ["cuda:2", "cuda:0"]),
    ],
    indirect=["gpus"],
)
def test_choice(gpus: None, text: str, expected: list[str]) -> None:
    assert resolve_devices(text) == expected


@pytest.mark.parametrize("gpus", [0], indirect=True)
@pytest.mark.parametrize("text", ["cuda", "cuda:0", "cuda:0,cuda:1"])
def test_no_gpu_is_said(gpus: None, text: str) -> None:
    with pytest.raises(UsageError, match=r"GPU.*--device cpu"):
        resolve_devices(text)


@pytest.mark.parametrize("gpus", [2], indirect=True)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cuda:2", "no cuda:2.*Found: cuda:0, cuda:1"),
        ("cuda:0,cuda:0", "twice"),
        ("cuda:0,cuda:00", "twice"),
        ("gpu", "not a device"),
        ("", "not a device"),
        ("cpu,cuda:0", "not a device"),
        ("cuda:-1", "not a device"),
        ("cuda:²", "not a device"),
    ],
)
def test_what_makes_no_sense_is_refused(gpus: None, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve_devices(text)
