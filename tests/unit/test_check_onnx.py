"""The ONNX check: skipped, and said so, where the extra `onnx` is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from pathology.nn.cellnet import CellNet

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_onnx.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_onnx", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load()


@pytest.fixture
def with_onnx(script: ModuleType) -> None:
    for name in script.PACKAGES:
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'her2-ihc[onnx]'")


def test_without_the_extra_the_script_says_what_is_missing(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "PACKAGES", ("no_such_package",))
    assert script.main([]) == 2
    assert "no_such_package not installed" in capsys.readouterr().err


def test_maps_are_named_by_their_scale(script: ModuleType) -> None:
    network = CellNet(head_scales=2).eval()
    with torch.inference_mode():
        maps = network(torch.zeros(1, 2, 64, 64), torch.zeros(1, 1, 32, 32))
    names = script.names_of(maps)
    assert names == ["centre", "outline_0", "outline_1", "fine", "context_0", "context_1"]
    flat = list(script.flatten(maps))
    assert len(flat) == len(names)
    assert flat[2] is maps.outline[1]


@pytest.mark.slow
@pytest.mark.usefixtures("with_onnx")
def test_the_bundled_model_is_the_same_in_onnx(script: ModuleType, tmp_path: Path) -> None:
    assert script.main(["--out", str(tmp_path / "model.onnx")]) == 0
    assert (tmp_path / "model.onnx").stat().st_size > 100_000


@pytest.mark.usefixtures("with_onnx")
def test_another_network_is_not_the_same(script: ModuleType, tmp_path: Path) -> None:
    class Scale(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, tiles: Tensor) -> Tensor:
            return tiles * self.factor

    inputs = (torch.rand(2, 3, 8, 8),)
    path = tmp_path / "scale.onnx"
    torch.onnx.export(
        Scale(2.0).eval(), inputs, path, dynamo=True, verbose=False, external_data=False
    )
    same, other = (max(script.differences(path, Scale(by), inputs).values()) for by in (2.0, 2.001))
    assert same <= script.TOLERANCE < other
