"""The tile network: backbones without downloads, and weights from local files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from pathology.errors import ModelError
from pathology.nn.registry import build_network
from pathology.nn.tilenet import BACKBONES, TileNet

SMALL = "mobilenet_v3_small"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were to be downloaded")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_backbone_reads_stains_and_draws_no_chance_of_its_own(backbone: str) -> None:
    net = TileNet(backbone=backbone, channels="stains", classes=5).train()
    for module in net.modules():
        assert getattr(module, "p", 0.0) == 0.0, module
    with torch.inference_mode():
        logits = net.eval()(torch.rand(2, 2, 64, 64))
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()


def test_colours_are_read_too() -> None:
    with torch.inference_mode():
        assert TileNet(backbone=SMALL, channels="rgb").eval()(torch.rand(1, 3, 64, 64)).ndim == 2


def test_a_tile_is_read_alone() -> None:
    torch.manual_seed(0)
    net = TileNet(backbone=SMALL).eval()
    tiles = torch.rand(4, 2, 64, 64)
    with torch.inference_mode():
        together = net(tiles)
        single = torch.cat([net(tile[None]) for tile in tiles])
    torch.testing.assert_close(together, single, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"backbone": "resnet999"}, "resnet18"),
        ({"channels": "grey"}, "stains"),
        ({"classes": 1}, "two classes"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_arguments_are_said(args: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        build_network("tilenet", **args)


def test_a_network_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ModelError, match="'cellnet' makes models of kind 'cells', not 'tiles'"):
        build_network("cellnet", kind="tiles")
    with pytest.raises(ModelError, match="'tilenet' makes models of kind 'tiles', not 'cells'"):
        build_network("tilenet", kind="cells")


def backbone_file(path: Path, name: str = SMALL) -> dict[str, torch.Tensor]:
    """Write what torchvision calls the weights of a backbone, with a thousand classes."""
    torch.manual_seed(7)
    given: nn.Module = models.get_model(name, weights=None)
    tensors = {
        key: value.clone()
        for key, value in given.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    save_file(tensors, path)
    return tensors


def test_weights_of_colours_become_those_of_stains(tmp_path: Path) -> None:
    given = backbone_file(tmp_path / "w.safetensors")
    net = TileNet(backbone=SMALL, channels="stains")
    head = net.body.state_dict()["classifier.3.weight"].clone()
    net.load_backbone(tmp_path / "w.safetensors")
    state = net.body.state_dict()
    first = state["features.0.0.weight"]
    torch.testing.assert_close(first.sum(dim=1), given["features.0.0.weight"].sum(dim=1))
    assert torch.equal(first[:, 0], first[:, 1])
    assert torch.equal(state["features.1.block.0.0.weight"], given["features.1.block.0.0.weight"])
    assert torch.equal(state["classifier.3.weight"], head)


def test_weights_of_colours_stay_those_of_colours(tmp_path: Path) -> None:
    given = backbone_file(tmp_path / "w.safetensors")
    net = TileNet(backbone=SMALL, channels="rgb")
    net.load_backbone(tmp_path / "w.safetensors")
    assert torch.equal(net.body.state_dict()["features.0.0.weight"], given["features.0.0.weight"])


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    backbone_file(tmp_path / "w.safetensors", "resnet18")
    before = TileNet(backbone=SMALL)
    with pytest.raises(ModelError, match=r"w\.safetensors: not the weights of this backbone"):
        before.load_backbone(tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None])
def test_files_that_are_none_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"w\.safetensors: cannot be read"):
        TileNet(backbone=SMALL).load_backbone(path)
