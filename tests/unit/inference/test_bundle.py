"""Writing, loading and checking bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pathology.errors import ModelError
from pathology.inference import (
    GoldenInput,
    ModelManifest,
    find_model,
    list_models,
    load_bundle,
    load_model,
    verify_golden,
    write_bundle,
)
from pathology.nn.registry import build_network
from pathology.tiling import InputSpec

WHITE = (243.0, 242.0, 241.0)


@pytest.fixture
def network(manifest: ModelManifest) -> nn.Module:
    torch.manual_seed(0)
    return build_network(manifest.network.name, **manifest.network.args)


@pytest.fixture
def golden(spec: InputSpec) -> GoldenInput:
    rgb = np.random.default_rng(0).integers(60, 250, (300, 200, 3), dtype=np.uint8)
    return GoldenInput.from_field(rgb, WHITE, spec)


@pytest.fixture
def folder(
    tmp_path: Path, network: nn.Module, manifest: ModelManifest, golden: GoldenInput
) -> Path:
    write_bundle(tmp_path / "m", network, manifest, golden, card=lambda final: final.weights_sha256)
    return tmp_path / "m"


def test_what_is_written_is_loaded(
    folder: Path, network: nn.Module, manifest: ModelManifest
) -> None:
    bundle = load_bundle(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "MODEL_CARD.md",
        "golden.npz",
        "model.yaml",
        "weights.safetensors",
    ]
    assert bundle.manifest.model_copy(update={"weights_sha256": "0" * 64}) == manifest
    # The card is written from the manifest that holds the weights' hash.
    assert (folder / "MODEL_CARD.md").read_text() == bundle.manifest.weights_sha256
    assert not bundle.network.training
    for name, value in network.state_dict().items():
        assert torch.equal(bundle.network.state_dict()[name], value)
    assert verify_golden(bundle) == pytest.approx(0.0, abs=1e-6)


def test_changed_weights_are_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"weights\.safetensors.*have been changed"):
        load_bundle(folder)
    with pytest.raises(ModelError, match="have been changed"):
        load_model(folder)


def test_missing_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_bundle(folder)


def rewrite(folder: Path, old: str, new: str) -> None:
    path = folder / "model.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_weights_of_another_network(folder: Path) -> None:
    rewrite(folder, "class_width: 8", "class_width: 16")
    with pytest.raises(ModelError, match="do not fit"):
        load_bundle(folder)


def test_unknown_network(folder: Path) -> None:
    rewrite(folder, "name: cellnet", "name: nosuchnet")
    with pytest.raises(ModelError, match="nosuchnet"):
        load_bundle(folder)


def test_a_halo_that_the_network_was_not_made_for(folder: Path) -> None:
    rewrite(folder, "  halo_px: 64", "  halo_px: 0")
    with pytest.raises(ModelError, match=r"input\.halo_px is 0.*needs 64"):
        load_bundle(folder)


def test_no_pickles(folder: Path) -> None:
    np.savez(folder / "golden.npz", white=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ModelError, match=r"golden\.npz: not a valid golden file"):
        verify_golden(load_bundle(folder))


def test_a_missing_golden_file(folder: Path) -> None:
    (folder / "golden.npz").write_bytes(b"PK")
    with pytest.raises(ModelError, match="not a valid golden file"):
        verify_golden(load_bundle(folder))


@pytest.mark.parametrize("part", ["centre", "rays_um", "offset_um", "class_logits"])
def test_another_output_is_noticed(folder: Path, part: str) -> None:
    path = folder / "golden.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays[part].flat[7] += 0.001
    np.savez(path, **arrays)
    with pytest.raises(ModelError, match=r"differs from the golden one by 0\.001"):
        verify_golden(load_bundle(folder))
    assert verify_golden(load_bundle(folder), atol=0.01) == pytest.approx(0.001, rel=0.01)


def test_an_output_that_is_not_finite_is_noticed(folder: Path) -> None:
    bundle = load_bundle(folder)
    with torch.no_grad():
        next(bundle.network.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="differs"):
        verify_golden(bundle)


def test_a_small_golden_picture_is_put_on_white(spec: InputSpec) -> None:
    rgb = np.zeros((100, 50, 3), dtype=np.uint8)
    golden = GoldenInput.from_field(rgb, WHITE, spec)
    assert golden.detail.shape == (1, 192, 192, 3)
    assert golden.context.shape == (1, 144, 144, 3)
    assert tuple(golden.detail[0, 0, 0]) == (243, 242, 241)
    assert (golden.detail == 0).all(axis=-1).sum() == 100 * 50
    assert (golden.context[0, 72, 72] == 0).all()


def test_load_model_gives_a_reader(folder: Path) -> None:
    engine = load_model(folder)
    assert engine.name == "tiny/0.0.1"
    assert engine.device == "cpu"
    assert engine.sha256 == load_bundle(folder).manifest.weights_sha256


def test_bundled_models_give_their_golden_output() -> None:
    for item in list_models():
        assert verify_golden(load_bundle(find_model(item.title))) <= 1e-4
