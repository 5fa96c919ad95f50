from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pathology.assets import config_path, configs_dir
from pathology.errors import ConfigError, OutputError
from pathology.runs.lock import RunLock
from pathology.training.config import TrainingConfig, load_training_config
from pathology.training.engine.journal import LOG_FILE, Journal
from pathology.training.folder import CHECKPOINT_FILE, run_folder
from pathology.training.run import train_bundle


def write(folder: Path, text: str) -> Path:
    path = folder / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def tiny_text() -> str:
    return config_path("training/tiny.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", sorted((configs_dir() / "training").glob("*.yaml")), ids=lambda path: path.name
)
def test_each_bundled_configuration_is_valid(path: Path) -> None:
    config = load_training_config(path)
    assert path.name in path.read_text(encoding="utf-8").split("name:")[0], "says how to start it"
    assert 0 < config.warmup_steps < config.steps


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch: 4", "batch: 0", r"wrong\.yaml: batch"),
        ("batch: 4", "batchsize: 4", r"wrong\.yaml: .*batchsize"),
        ("kind: synthetic", "kind: sythetic", r"wrong\.yaml: sources\.0.*sythetic"),
        ("seed: 1", "seed: [", r"wrong\.yaml: not valid YAML"),
        ("version: 0.0.1", "version: one", r"wrong\.yaml: version"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in tiny_text()
    with pytest.raises(ConfigError, match=message):
        load_training_config(write(tmp_path, tiny_text().replace(old, new)))


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"\xff\xfe\x00"])
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"wrong\.yaml"):
        load_training_config(path)
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_training_config(tmp_path / "none.yaml")


def test_settings_are_overridden_by_key() -> None:
    path = config_path("training/tiny.yaml")
    config = load_training_config(path, ["steps=7", "augment.jpeg=0.5", "network={class_width: 4}"])
    assert (config.steps, config.augment.jpeg, config.network) == (7, 0.5, {"class_width": 4})
    for text, message in {
        "steps": "key=value",
        "stepz=3": "stepz",
        "steps.more=3": "no keys",
        "steps=[": "not valid YAML",
        "steps=many": "steps",
    }.items():
        with pytest.raises(ConfigError, match=message):
            load_training_config(path, [text])


def test_paths_start_at_the_file_and_do_not_leave_the_machine(tmp_path: Path) -> None:
    sources = "sources: [{kind: qupath_cells, path: slides, images: ../scans}]\nname: "
    lines = [line for line in tiny_text().splitlines() if "synthetic" not in line]
    text = "\n".join(line for line in lines if not line.startswith("sources"))
    config = load_training_config(write(tmp_path, text.replace("name: ", sources, 1)))
    (source,) = config.sources
    assert source.kind == "qupath_cells"
    assert source.path == (tmp_path / "slides").resolve()
    assert source.images == (tmp_path.parent / "scans").resolve()
    assert str(tmp_path) not in json.dumps(config.plain)
    assert config.plain["sources"][0]["path"] == "slides"


def test_the_hash_is_of_what_changes_the_outcome(
    make_config: Callable[..., TrainingConfig],
) -> None:
    config = make_config()
    assert config.sha256 == make_config(workers=3, threads=2, log_every=7).sha256
    assert config.sha256 != make_config(steps=7).sha256
    assert config.sha256 != make_config(augment={"blur": 0.1}).sha256


def test_a_source_must_fit_the_kind_of_model(make_config: Callable[..., TrainingConfig]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        make_config(sources=[{"kind": "patches", "path": "patches", "mpp": 0.5}])


def test_the_learning_rate_rises_and_falls(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [config.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert all(later < rate for rate, later in itertools.pairwise(rates[10:]))
    assert rates[55] == pytest.approx(0.02 + 0.98 / 2, abs=0.01)
    assert rates[99] == pytest.approx(0.02, abs=0.001)


def test_figures_are_logged_once_per_step_over_all_legs(tmp_path: Path) -> None:
    with Journal(tmp_path, step=0) as journal:
        for step in (10, 20, 30):
            journal.write("train", step, {"total": float(step)})
        journal.write("held_out", 30, {"score": math.nan})
    with (tmp_path / LOG_FILE).open("a", encoding="utf-8") as stream:
        stream.write('{"kind": "train", "st')  # a killed process
    with Journal(tmp_path, step=20) as journal:
        journal.write("train", 30, {"total": 3.0})
    lines = (tmp_path / LOG_FILE).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"kind": "train", "step": 10, "total": 10.0},
        {"kind": "train", "step": 20, "total": 20.0},
        {"kind": "train", "step": 30, "total": 3.0},
    ]
    with Journal(tmp_path, step=30) as journal:
        journal.write("held_out", 40, {"score": math.nan})
    last = (tmp_path / LOG_FILE).read_text(encoding="utf-8").splitlines()[-1]
    assert json.loads(last) == {"kind": "held_out", "step": 40, "score": None}


def test_without_tensorboard_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with Journal(tmp_path, step=0) as journal:
        journal.write("train", 1, {"total": 1.0})
    assert "no TensorBoard curves" in capsys.readouterr().err
    assert (tmp_path / LOG_FILE).is_file()


def test_curves_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with Journal(tmp_path, step=0) as journal:
        journal.write("train", 1, {"total": 1.0})
    assert any(path.stat().st_size > 0 for path in (tmp_path / "tensorboard").iterdir())


def test_two_trainings_do_not_share_a_folder(
    tmp_path: Path, make_config: Callable[..., TrainingConfig]
) -> None:
    config = make_config()
    folder = run_folder(config, tmp_path)
    folder.mkdir(parents=True)
    (folder / CHECKPOINT_FILE).write_bytes(b"of the other training")
    lock = RunLock(folder.with_name(f".{folder.name}.lock"))
    try:
        with pytest.raises(OutputError, match=f"process {os.getpid()} .* is working"):
            train_bundle(config, tmp_path, resume=False)
    finally:
        lock.release()
    assert (folder / CHECKPOINT_FILE).read_bytes() == b"of the other training"
