"""The tile task: labels, classes, balance, purity, and what it refuses before the first step."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pathology.assets import config_path
from pathology.config import load_config
from pathology.errors import ConfigError, PathologyError
from pathology.scoring import (
    TILE_CLASSES,
    ClusterSizes,
    apply_rules,
    count_tiles,
    load_guideline,
)
from pathology.training.config import TrainingConfig, load_training_config
from pathology.training.problems import TrainingDataError
from pathology.training.tiles.card import TileReading, macro_f1, measure_tiles, tile_figures
from pathology.training.tiles.sources import label_tile
from pathology.training.tiles.task import TileTask

PATCH_NAMES = ("no_tumour", "0", "1+", "2+", "3+")


def settings(**changes: Any) -> TrainingConfig:
    config = load_training_config(config_path("training/tiles.yaml"))
    content = config.model_dump() | {
        "sources": [{"kind": "synthetic", "fields": 6}],
        "options": {"outputs": "patterns", "tile_px": 64},
        "field_px": 128,
        "measure_fields": 2,
        "holdout_fields": 2,
        "augment": {},
    }
    return TrainingConfig.model_validate(content | changes)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def task(cache: Path) -> TileTask:
    made = TileTask(settings(), cache=cache)
    made.check()
    return made


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    """Ten patches of each score, of ten patients, and without tumour."""
    rng = np.random.default_rng(0)
    for name in PATCH_NAMES:
        (tmp_path / "patches" / name).mkdir(parents=True)
        for patient in range(10):
            pixels = rng.integers(100, 250, (96, 80, 3), dtype=np.uint8)
            path = tmp_path / "patches" / name / f"P{patient}.png"
            Image.fromarray(pixels).save(path)
    return tmp_path / "patches"


def of_patches(folder: Path, **changes: Any) -> TrainingConfig:
    source = {
        "kind": "patches", "path": folder, "mpp": 0.5, "group": r"(P\d+)", "white": (250, 250, 250)
    }  # fmt: skip
    options = {"outputs": "scores", "tile_px": 64}
    return settings(sources=[source | changes], options=options)


# --- labels ---------------------------------------------------------------------------------------


def slow_pattern(patterns: list[int]) -> int:
    most = max(patterns.count(code) for code in range(5))
    return 1 + max(code for code in range(5) if patterns.count(code) == most)


@given(st.lists(st.integers(0, 4), min_size=10, max_size=120))
def test_patterns_are_those_of_most_cells(patterns: list[int]) -> None:
    codes = np.array(patterns)
    found = label_tile(np.zeros(len(codes), dtype=int), codes, 0.01, "patterns")
    assert found == slow_pattern(patterns)


@given(st.lists(st.integers(0, 4), min_size=10, max_size=120))
def test_scores_are_those_of_the_guideline(patterns: list[int]) -> None:
    """Where no floor, gap or weak remainder plays a part, the rules for slides say the same."""
    codes = np.array(patterns, dtype=np.uint8)
    found = label_tile(np.zeros(len(codes), dtype=int), codes, 0.01, "scores")
    params = load_config(overrides=["scoring.pattern_floor_pct=10"]).scoring
    decision = apply_rules(
        count_tiles(codes),
        guideline=load_guideline(params.guideline),
        params=params,
        clusters=ClusterSizes(),
    )
    plain = {"2_complete_intense", "4_complete_weak_moderate", "5_basolateral", "9_unstained"}
    if decision.rule in plain:
        assert TILE_CLASSES["scores"][found or 0] == decision.score


def test_tiles_without_clear_tumour_are_no_examples_of_it() -> None:
    area = 0.01  # 500 cells per mm²: five cells
    nothing = np.zeros(0, dtype=int)
    assert label_tile(nothing, nothing, area, "patterns") == 0
    assert label_tile(np.full(50, 3), np.full(50, 4), area, "patterns") == 0  # lymphocytes
    assert label_tile(np.full(50, 1), np.full(50, 4), area, "patterns") == 0  # in situ
    assert label_tile(np.zeros(4, dtype=int), np.full(4, 4), area, "patterns") is None
    assert label_tile(np.zeros(5, dtype=int), np.full(5, 4), area, "patterns") == 5
    mixed = np.array([0] * 20 + [1] * 21)
    assert label_tile(mixed, np.full(41, 4), area, "scores") is None


# --- figures --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_macro_f1_is_that_of_a_loop(pairs: list[tuple[int, int]]) -> None:
    confusion = np.zeros((5, 5), dtype=int)
    for truth, found in pairs:
        confusion[truth, found] += 1
    slow = []
    for code in range(5):
        hit = sum(pair == (code, code) for pair in pairs)
        truth = sum(pair[0] == code for pair in pairs)
        found = sum(pair[1] == code for pair in pairs)
        if truth + found:
            slow.append(2 * hit / (truth + found))
    assert float(macro_f1(confusion)) == pytest.approx(np.mean(slow))


def test_intervals_hold_the_figure() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, 300)
    found = np.where(rng.random(300) < 0.8, truth, rng.integers(0, 6, 300))
    reading = TileReading(
        classes=TILE_CLASSES["patterns"],
        groups=tuple(f"g{k}" for k in rng.integers(0, 30, 300)),
        truth=truth,
        found=found,
    )
    plain = tile_figures(reading)
    for name, metric in measure_tiles(reading).items():
        assert metric.value == pytest.approx(plain[name])
        assert metric.low < metric.value < metric.high
        assert metric.n == 300
    assert 0.7 < plain["accuracy"] < 0.95


# --- the task -------------------------------------------------------------------------------------


def test_examples_are_functions_of_their_numbers(task: TileTask, cache: Path) -> None:
    again: TileTask = pickle.loads(pickle.dumps(task))  # noqa: S301
    for index in (0, 3, 11):
        first, second = task.example(index, (1, index)), again.example(index, (1, index))
        np.testing.assert_array_equal(first.image, second.image)
        assert first.label == second.label
        assert first.image.shape == (2, 64, 64)
    views = [task.example(0, (1, k)).image for k in range(4)]
    assert any(not np.array_equal(views[0], view) for view in views[1:])
    fresh = TileTask(settings())  # without files
    fresh.check()
    np.testing.assert_array_equal(fresh.example(5, (1, 5)).image, task.example(5, (1, 5)).image)


def test_rare_classes_weigh_more(task: TileTask) -> None:
    (source,) = task._mixture.sources  # type: ignore[union-attr]
    counts = np.bincount(source.labels, minlength=6)  # type: ignore[attr-defined]
    present = counts > 0
    weights = task._weights[present]
    order = np.argsort(counts[present])
    assert (np.diff(weights[order]) <= 1e-6).all()
    uncut = weights < 10
    np.testing.assert_allclose((weights * counts[present])[uncut], counts.sum() / present.sum())


def test_the_loss_is_the_weighted_cross_entropy(task: TileTask) -> None:
    batch = task.collate([task.example(k, (1, k)) for k in range(4)])
    torch.manual_seed(0)
    network = task.build_network().eval()
    term = task.loss(network, batch)["cross_entropy"]
    with torch.inference_mode():
        logits = network(batch["image"])
    weights = torch.from_numpy(task._weights)
    expected = torch.nn.functional.cross_entropy(logits, batch["label"], weight=weights)
    assert float(term.sum.detach() / term.count) == pytest.approx(float(expected), rel=1e-5)


def test_halves_of_a_batch_add_up(task: TileTask) -> None:
    examples = [task.example(k, (1, k)) for k in range(4)]
    network = task.build_network().eval()
    whole = task.loss(network, task.collate(examples))["cross_entropy"]
    parts = [
        task.loss(network, task.collate(half))["cross_entropy"]
        for half in (examples[:1], examples[1:])
    ]
    total = sum(float(part.sum.detach()) for part in parts)
    assert total == pytest.approx(float(whole.sum.detach()), rel=1e-5)
    assert float(sum(part.count for part in parts)) == pytest.approx(float(whole.count))


def test_measuring_leaves_the_network_alone(task: TileTask) -> None:
    network = task.build_network().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = task.measure(network)
    assert set(found) == {"macro_f1", "accuracy", "tumour_f1"}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_patches_are_examples_too(patches: Path) -> None:
    made = TileTask(of_patches(patches))
    made.check()
    example = made.example(0, (1, 0))
    assert example.image.shape == (2, 64, 64)
    (source,) = made._mixture.sources  # type: ignore[union-attr]
    assert sorted(set(source.labels)) == [0, 1, 2, 3, 4]  # type: ignore[attr-defined]
    held_out = {group for group, _ in made._held_out}
    assert len(held_out) == 2
    assert not held_out & set(source.groups)  # type: ignore[attr-defined]


def test_colours_are_examples_too(patches: Path) -> None:
    config = of_patches(patches)
    options = {**config.options, "channels": "rgb"}
    made = TileTask(config.model_copy(update={"options": options}))
    made.check()
    assert made.example(0, (1, 0)).image.shape == (3, 64, 64)
    with torch.inference_mode():
        assert made.build_network().eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"options": {"outputs": "grades"}}, "options: outputs"),
        ({"options": {"tile_px": 100}}, "options: tile_px"),
        ({"options": {"tiles": 1}}, "options: tiles"),
        ({"options": {"tile_px": 256}}, "field_px 128 is not a multiple"),
        ({"network": {"backbone": "resnet999"}}, "network: backbone"),
        ({"sources": [{"kind": "synthetic"}]}, "number of fields"),
        (
            {"options": {"tile_px": 64, "backbone_weights": "none.safetensors"}},
            r"none\.safetensors",
        ),
    ],
)
def test_wrong_settings_end_before_the_first_step(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PathologyError, match=words):
        TileTask(settings(**changes)).check()


def test_labels_of_the_other_kind(patches: Path) -> None:
    config = of_patches(patches)
    wrong = config.model_copy(update={"options": {"outputs": "patterns", "tile_px": 64}})
    with pytest.raises(ConfigError, match=r"task 'score', and options\.outputs is 'patterns'"):
        TileTask(wrong).check()


def test_without_tiles_without_tumour_nothing_is_trained(patches: Path) -> None:
    for path in (patches / "no_tumour").iterdir():
        path.unlink()
    (patches / "no_tumour").rmdir()
    with pytest.raises(ConfigError, match="no tile without tumour") as caught:
        TileTask(of_patches(patches)).check()
    assert "kind: synthetic" in caught.value.fix


def test_patches_smaller_than_a_tile(patches: Path) -> None:
    config = of_patches(patches)
    options = {**config.options, "tile_px": 128}
    with pytest.raises(TrainingDataError, match=r"measures 40 µm, and a tile 64 µm.*to 64 or less"):
        TileTask(config.model_copy(update={"options": options})).check()


def test_a_patient_is_not_held_out_of_one_source_and_trained_on_in_another(patches: Path) -> None:
    config = of_patches(patches, holdout_share=0.3)
    shares = (0.3, 0.0)
    both = [config.sources[0].model_copy(update={"holdout_share": share}) for share in shares]
    with pytest.raises(TrainingDataError, match="is held out here, and trained on in"):
        TileTask(config.model_copy(update={"sources": tuple(both)})).check()
    TileTask(config).check()


def test_nothing_held_out(patches: Path) -> None:
    with pytest.raises(ConfigError, match="no patches are held out"):
        TileTask(of_patches(patches, holdout_share=0.0)).check()
