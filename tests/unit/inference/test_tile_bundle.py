"""Bundles of tile classifiers: written, loaded, checked; and the engine that reads with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from pathology.batch import BundleFactory
from pathology.cells import TileCalls, TileClassifier
from pathology.config import Config, load_config
from pathology.errors import ModelError, SlideError
from pathology.geometry import Box0, Spacing
from pathology.inference import (
    GoldenInput,
    GoldenTiles,
    ModelManifest,
    NetworkSpec,
    StainVectors,
    TileEngine,
    TileInput,
    TileManifest,
    load_bundle,
    load_model,
    read_manifest,
    verify_golden,
    write_bundle,
)
from pathology.inference.tile_engine import TileInputs
from pathology.nn.registry import build_network
from pathology.scoring import TILE_CLASSES
from pathology.stain import StainMatrix, optical_density, unmix
from pathology.tiling import InputSpec, TileBatch, lay_grid

WHITE = (243.0, 242.0, 241.0)
SIDE = 64


def tile_manifest(**changes: object) -> TileManifest:
    stain = load_config().stain
    content: dict[str, object] = {
        "name": "tiny-tiles",
        "version": "0.0.1",
        "outputs": "patterns",
        "network": NetworkSpec(name="tilenet", args={"backbone": "mobilenet_v3_small"}),
        "input": TileInput(mpp=0.5, tile_px=SIDE),
        "stain": StainVectors(haematoxylin=stain.haematoxylin, dab=stain.dab),
        "licence": "Apache-2.0",
        "intended_use": "Tests.",
        "weights_sha256": "0" * 64,
    }
    return TileManifest(**(content | changes))  # type: ignore[arg-type]


def random_network(classes: int = 6, channels: str = "stains") -> nn.Module:
    """A network with random weights, normalised so that logits differ from tile to tile."""
    torch.manual_seed(3)
    network = build_network(
        "tilenet", backbone="mobilenet_v3_small", classes=classes, channels=channels
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # stored statistics become those of all tiles seen
    planes = 3 if channels == "rgb" else 2
    shades = torch.rand(16, 1, 1, 1) * torch.rand(16, planes, SIDE, SIDE)
    with torch.no_grad():
        network.train()(shades)
    return network.eval()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Three rows of four tiles of different shades, all noisy."""
    rng = np.random.default_rng(0)
    shades = np.kron(rng.uniform(0.2, 1.0, (3, 4, 3)), np.ones((SIDE, SIDE, 1)))
    return (shades * rng.integers(120, 250, shades.shape)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray) -> Path:
    manifest = tile_manifest()
    golden = GoldenTiles.from_field(picture, WHITE, manifest.input.spec)
    write_bundle(tmp_path / "m", random_network(), manifest, golden, card=lambda _: "# Tiny\n")
    return tmp_path / "m"


def settings(*overrides: str) -> Config:
    return load_config(overrides=["inference.cpu_threads=1", *overrides])


def batch_of(picture: np.ndarray, spec: InputSpec, order: list[int]) -> TileBatch:
    height, width = picture.shape[:2]
    grid = lay_grid(
        Box0(x=0, y=0, width=width, height=height), Spacing(x=0.5, y=0.5), spec, tile_px=512
    )
    tiles = [list(grid)[index] for index in order]
    pixels = [picture[t.core.y : t.core.bottom, t.core.x : t.core.right] for t in tiles]
    return TileBatch(
        grid=grid, tiles=tuple(tiles), detail=np.stack(pixels), context=None, white=WHITE
    )


def test_what_is_written_is_loaded(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert isinstance(bundle.manifest, TileManifest)
    assert bundle.manifest.classes == TILE_CLASSES["patterns"]
    assert bundle.manifest.model_copy(update={"weights_sha256": "0" * 64}) == tile_manifest()
    assert not bundle.network.training
    for name, value in random_network().state_dict().items():
        assert torch.equal(bundle.network.state_dict()[name], value)
    assert verify_golden(bundle) == pytest.approx(0.0, abs=1e-5)


def test_load_model_gives_a_classifier(folder: Path) -> None:
    engine = load_model(folder)
    assert isinstance(engine, TileEngine)
    assert isinstance(engine, TileClassifier)
    assert (engine.name, engine.outputs, engine.device) == ("tiny-tiles/0.0.1", "patterns", "cpu")
    assert engine.spec.tile_px == SIDE
    assert engine.spec.halo_px == engine.spec.context_halo_px == 0
    factory = BundleFactory.of(folder)
    assert (factory.kind, factory.spec) == ("tiles", engine.spec)


def test_an_engine_for_cells_is_no_classifier(manifest: ModelManifest) -> None:
    from pathology.inference import Engine

    network = build_network(manifest.network.name, **manifest.network.args)
    assert not isinstance(Engine(network, manifest, settings()), TileClassifier)


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "model.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        if isinstance(value, dict):
            content[key] = {**content[key], **value}
        else:
            content[key] = value
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def test_changed_weights_are_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="have been changed"):
        load_model(folder)
    with pytest.raises(ModelError, match="have been changed"):
        BundleFactory.of(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"name": "cellnet", "args": {}}}, "'cellnet' makes models of kind 'cells'"),
        ({"network": {"args": {"backbone": "resnet18"}}}, "do not fit network 'tilenet'"),
        ({"outputs": "scores"}, "classes of outputs 'scores' must be no_tumour, 0"),
        ({"outputs": "scores", "classes": []}, "do not fit network 'tilenet'"),
        ({"network": {"args": {"backbone": "mobilenet_v3_small", "classes": 5}}}, "classes is 5"),
        ({"input": {"channels": ["red", "green", "blue"]}}, "do not fit network 'tilenet'"),
        ({"input": {"channels": ["red", "green"]}}, "channels"),
        ({"input": {"tile_px": 100}}, "tile_px must be a multiple of 64"),
        ({"input": {"halo_px": 64}}, "halo_px"),
        ({"outputs": "grades"}, "outputs"),
        ({"kind": "cells"}, "outputs"),
    ],
)
def test_manifests_that_contradict_themselves(
    folder: Path, changes: dict[str, object], words: str
) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ModelError, match=words):
        load_bundle(folder)


def test_a_golden_file_of_the_other_kind(folder: Path, tmp_path: Path) -> None:
    np.savez(
        folder / "golden.npz",
        detail=np.zeros((1, 192, 192, 3), dtype=np.uint8),
        context=np.zeros((1, 144, 144, 3), dtype=np.uint8),
        white=np.array(WHITE),
    )
    with pytest.raises(ModelError, match=r"golden\.npz: not a valid golden file"):
        verify_golden(load_bundle(folder))
    golden = GoldenInput(
        detail=np.zeros((1, 192, 192, 3), dtype=np.uint8),
        context=np.zeros((1, 144, 144, 3), dtype=np.uint8),
        white=WHITE,
    )
    with pytest.raises(ModelError, match="not one for tiles"):
        write_bundle(tmp_path / "n", random_network(), tile_manifest(), golden)
    assert not (tmp_path / "n" / "model.yaml").exists()


def test_another_output_is_noticed(folder: Path) -> None:
    path = folder / "golden.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["logits"].flat[3] += 0.01
    np.savez(path, **arrays)
    with pytest.raises(ModelError, match="differs from the golden one"):
        verify_golden(load_bundle(folder))


def test_a_network_with_other_classes_is_not_written(tmp_path: Path, picture: np.ndarray) -> None:
    golden = GoldenTiles.from_field(picture, WHITE, tile_manifest().input.spec)
    with pytest.raises(ModelError, match="classes are 5, not 6"):
        write_bundle(tmp_path / "m", random_network(classes=5), tile_manifest(), golden)


def test_golden_tiles_are_cut_from_the_middle(picture: np.ndarray) -> None:
    spec = tile_manifest().input.spec
    golden = GoldenTiles.from_field(picture, WHITE, spec)
    assert golden.tiles.shape == (4, SIDE, SIDE, 3)
    np.testing.assert_array_equal(golden.tiles[3], picture[96:160, 128:192])
    small = GoldenTiles.from_field(picture[:40, :40], WHITE, spec)
    assert small.tiles.shape == (1, SIDE, SIDE, 3)
    assert tuple(small.tiles[0, 0, 0]) == (243, 242, 241)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_order_and_batch_do_not_matter(picture: np.ndarray, size: int) -> None:
    manifest = tile_manifest()
    engine = TileEngine(random_network(), manifest, settings(f"inference.cpu_batch={size}"))
    plain = engine.classify(batch_of(picture, engine.spec, list(range(12))))
    assert plain.probabilities.std(axis=0).max() > 1e-2  # or every order would do
    order = [5, 0, 11, 7, 7, 2]
    mixed = engine.classify(batch_of(picture, engine.spec, order))
    np.testing.assert_allclose(mixed.probabilities, plain.probabilities[order], atol=1e-5)


def test_single_tiles_are_called_as_in_a_slide(picture: np.ndarray) -> None:
    engine = TileEngine(random_network(), tile_manifest(), settings())
    batch = batch_of(picture, engine.spec, [4])
    expected = engine.classify(batch).codes(tumour_min=load_config().cells.tumour_min)
    assert engine.codes(batch.detail, WHITE).tolist() == expected.tolist()


def test_stains_are_separated_as_by_the_reference(picture: np.ndarray) -> None:
    stain = load_config().stain
    stains = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab)
    inputs = TileInputs(("haematoxylin_od", "dab_od"), WHITE, stains, torch.device("cpu"))
    found = inputs(torch.from_numpy(picture[None]))[0].numpy()
    expected = unmix(optical_density(picture, WHITE), stain.haematoxylin, stain.dab)
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-5)


def test_colours_are_shares_of_the_glass() -> None:
    stain = load_config().stain
    stains = StainMatrix(haematoxylin=stain.haematoxylin, dab=stain.dab)
    pictures = np.array([[[[120, 60, 30], [255, 255, 255]]]], dtype=np.uint8)
    seen = []
    for white in ((240.0, 240.0, 240.0), (120.0, 120.0, 120.0)):
        inputs = TileInputs(("red", "green", "blue"), white, stains, torch.device("cpu"))
        seen.append(inputs(torch.from_numpy(pictures))[0, :, 0].numpy())
    expected = (np.array([0.5, 0.25, 0.125]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(seen[0][:, 0], expected, atol=1e-6)
    # What is brighter than glass is glass, whatever the glass.
    np.testing.assert_allclose(seen[0][:, 1], seen[1][:, 1])


def test_a_model_of_colours_reads_colours(tmp_path: Path, picture: np.ndarray) -> None:
    manifest = tile_manifest(
        outputs="scores",
        input=TileInput(mpp=0.5, tile_px=SIDE, channels=("red", "green", "blue")),
    )
    golden = GoldenTiles.from_field(picture, WHITE, manifest.input.spec)
    write_bundle(tmp_path / "m", random_network(5, "rgb"), manifest, golden)
    engine = load_model(tmp_path / "m")
    assert isinstance(engine, TileEngine)
    calls = engine.classify(batch_of(picture, engine.spec, [0, 1]))
    assert calls.probabilities.shape == (2, 5)


def test_an_output_that_is_not_finite_is_no_slide_without_tumour(picture: np.ndarray) -> None:
    network = random_network()
    with torch.no_grad():
        list(network.parameters())[-1].fill_(torch.nan)
    engine = TileEngine(network, tile_manifest(), settings())
    with pytest.raises(SlideError, match="not finite"):
        engine.classify(batch_of(picture, engine.spec, [0]))


def test_batches_cut_for_another_reader_are_refused(picture: np.ndarray) -> None:
    engine = TileEngine(random_network(), tile_manifest(), settings())
    batch = batch_of(picture, engine.spec, [0])
    other = InputSpec(mpp=0.25, halo_px=0, context_factor=1, context_halo_px=0, tile_px=SIDE)
    grid = dataclasses.replace(batch.grid, spec=other)
    with pytest.raises(ValueError, match="not cut for tiny-tiles"):
        engine.classify(dataclasses.replace(batch, grid=grid))


def test_tumour_is_decided_before_its_pattern() -> None:
    shares = np.array(
        [
            [0.45, 0.11, 0.11, 0.11, 0.11, 0.11],  # more tumour than none: the strongest of equals
            [0.55, 0.45, 0.0, 0.0, 0.0, 0.0],
            [0.5, 0.3, 0.2, 0.0, 0.0, 0.0],  # just enough
        ],
        dtype=np.float32,
    )
    calls = TileCalls(outputs="patterns", probabilities=shares)
    assert calls.codes(tumour_min=0.5).tolist() == [5, 0, 1]
    assert calls.codes(tumour_min=0.6).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="sum to 1"):
        TileCalls(outputs="patterns", probabilities=shares * 0.5)
    with pytest.raises(ValueError, match="float32"):
        TileCalls(outputs="scores", probabilities=shares)


def test_the_manifest_goes_round(tmp_path: Path) -> None:
    for outputs in TILE_CLASSES:
        manifest = tile_manifest(outputs=outputs)
        (tmp_path / "model.yaml").write_text(manifest.to_yaml(), encoding="utf-8")
        assert read_manifest(tmp_path) == manifest
