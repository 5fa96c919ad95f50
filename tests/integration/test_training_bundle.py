"""From a training configuration to a bundle that the engine accepts."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from pathology.assets import config_path, models_dir
from pathology.errors import ConfigError, ModelError
from pathology.inference.bundle import load_bundle, load_model, verify_golden
from pathology.nn.cellnet import CellNet
from pathology.synthesis import render_field
from pathology.synthesis.benchmark import benchmark_fields, load_benchmark
from pathology.training.config import load_training_config
from pathology.training.evidence.measure import (
    HOLDOUT_SEED,
    measure_model,
    read_field,
    read_rendered_field,
)
from pathology.training.folder import run_folder
from pathology.training.run import train_bundle

#: The machinery in seconds; the network learns nothing.
BRIEF = (
    "steps=2",
    "batch=2",
    "warmup_steps=1",
    "measure_fields=1",
    "holdout_fields=2",
    "field_px=192",
    "workers=0",
    "log_every=1",
    "threads=1",
    "sources=[{kind: synthetic, fields: 2}]",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_training_config(config_path("training/tiny.yaml"), BRIEF)
    out = tmp_path_factory.mktemp("models")
    # A leg without time ends with a checkpoint, after one step at the most; the next one goes on.
    assert train_bundle(config, out, max_minutes=0, device="cpu") is None
    assert (run_folder(config, out) / "checkpoint.safetensors").is_file()
    bundle = train_bundle(config, out, device="cpu")
    assert bundle is not None
    return bundle


def test_the_bundle_is_whole(bundle: Path) -> None:
    names = {path.name for path in bundle.iterdir()}
    assert names == {"model.yaml", "weights.safetensors", "golden.npz", "MODEL_CARD.md"}
    assert verify_golden(load_bundle(bundle)) <= 1e-4
    card = (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Research use only" in card
    assert "tiny-cells/0.0.1" in card


@pytest.mark.parametrize(("learn", "kept"), [("classes", "outlines"), ("outlines", "classes")])
def test_a_training_starts_from_a_bundle_and_keeps_what_shall_not_learn(
    bundle: Path, tmp_path: Path, learn: str, kept: str
) -> None:
    # A bundle carries the arguments of its network; a configuration need not repeat them.
    settings = (*BRIEF, f"start={{model: {bundle}, learn: [{learn}]}}", "network={}")
    config = load_training_config(config_path("training/tiny.yaml"), settings)
    found = train_bundle(config, tmp_path, device="cpu")
    assert found is not None
    before, after = (load_bundle(folder) for folder in (bundle, found))
    changed = {
        name
        for name, value in after.network.state_dict().items()
        if not torch.equal(value, before.network.state_dict()[name])
    }
    modules = {part: set(names) for part, names in CellNet.parts.items()}
    assert {name.partition(".")[0] for name in changed} <= modules[learn]
    assert not {name.partition(".")[0] for name in changed} & modules[kept]
    assert any("running_mean" in name for name in changed)
    # Of the place of the bundle only its last part is told.
    assert str(bundle.parent) not in (found / "model.yaml").read_text(encoding="utf-8")


def test_a_share_of_the_old_weights_stays_in_the_bundle(bundle: Path, tmp_path: Path) -> None:
    states = {}
    for share in (0.0, 0.5):
        settings = (
            *BRIEF, f"start={{model: {bundle}, learn: [classes], share: {share}}}",
            "network={}", "keep=last",
        )  # fmt: skip
        config = load_training_config(config_path("training/tiny.yaml"), settings)
        found = train_bundle(config, tmp_path / str(share), device="cpu")
        assert found is not None
        assert verify_golden(load_bundle(found)) <= 1e-4
        states[share] = load_bundle(found).network.state_dict()
    old, moved = load_bundle(bundle).network.state_dict(), 0
    for name, new in states[0.0].items():
        between = states[0.5][name]
        if not new.is_floating_point() or torch.equal(new, old[name]):
            assert torch.equal(between, new)
            continue
        moved += 1
        torch.testing.assert_close(between, (new + old[name]) / 2)
        assert not torch.equal(between, new)
    assert moved > 10


@pytest.mark.parametrize(
    ("setting", "words"), [("keep=best", "keep: last"), ("network={redraws: 2}", "leave network")]
)
def test_a_share_that_cannot_be_kept_is_refused(bundle: Path, setting: str, words: str) -> None:
    settings = (
        *BRIEF, f"start={{model: {bundle}, share: 0.5}}", "network={}", "keep=last", setting,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=words):
        load_training_config(config_path("training/tiny.yaml"), settings)


def test_a_start_of_another_network_is_refused(bundle: Path, tmp_path: Path) -> None:
    settings = (*BRIEF, f"start={{model: {bundle}}}", "network={class_width: 16}")
    config = load_training_config(config_path("training/tiny.yaml"), settings)
    with pytest.raises(ConfigError, match="class_width"):
        train_bundle(config, tmp_path, device="cpu")


def test_a_training_may_add_drawings_to_what_it_starts_from(bundle: Path, tmp_path: Path) -> None:
    more = "network={edge_width: 4, redraws: 2}"
    config = load_training_config(
        config_path("training/tiny.yaml"), (*BRIEF, f"start={{model: {bundle}}}", more)
    )
    found = train_bundle(config, tmp_path, device="cpu")
    assert found is not None
    first, grown = (load_bundle(folder) for folder in (bundle, found))
    assert grown.manifest.network.args == {
        **first.manifest.network.args, "edge_width": 4, "redraws": 2
    }  # fmt: skip
    old, new = first.network.state_dict(), grown.network.state_dict()
    assert new.keys() - old.keys()
    assert all(name.startswith("edges.") for name in new.keys() - old.keys())
    # Two steps later the weights are still near those that were started from.
    for name in (name for name in old if "num_batches" not in name):
        torch.testing.assert_close(new[name], old[name], atol=0.1, rtol=0.1)


def test_the_engine_reads_with_it(bundle: Path) -> None:
    reader = load_model(bundle)
    assert reader.name == "tiny-cells/0.0.1"
    assert read_field(reader, HOLDOUT_SEED, 192).truth.n >= 0


def test_changed_weights_are_refused(bundle: Path) -> None:
    weights = bundle / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    whole = weights.read_bytes()
    weights.write_bytes(content)
    try:
        with pytest.raises(ModelError, match=r"weights\.safetensors"):
            load_model(bundle)
    finally:
        weights.write_bytes(whole)


def test_the_bundled_model_finds_synthetic_cells() -> None:
    # A floor far below the card's figures: it catches a broken bundle, not a worse one.
    reader = load_model("her2-cells")
    fields = itertools.islice(benchmark_fields(load_benchmark()), 8)
    figures = measure_model(
        [read_rendered_field(reader, render_field(item.spec, item.seed)) for item in fields]
    )
    assert figures["detection_f1"].value > 0.85
    assert figures["outline_error_um"].value < 2.0
    assert figures["pattern_accuracy"].value > 0.7


def test_the_card_of_the_bundled_model_names_its_weights_and_figures() -> None:
    for folder in models_dir().glob("*/*"):
        card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert folder.parent.name in card
        for words in ("Research use only", "benchmark", "Known limits", "AUROC"):
            assert words in card


def test_a_training_that_is_given_again_keeps_the_bundle_as_it_is(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_training_config(config_path("training/tiny.yaml"), BRIEF)
    card = bundle / "MODEL_CARD.md"
    first = card.read_text(encoding="utf-8")
    card.write_text(f"{first}\nOur own evaluation.\n", encoding="utf-8")
    try:
        assert train_bundle(config, bundle.parents[1], device="cpu") == bundle
        assert "--no-resume" in capsys.readouterr().err
        assert "Our own evaluation." in card.read_text(encoding="utf-8")
    finally:
        card.write_text(first, encoding="utf-8")
