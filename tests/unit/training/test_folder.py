"""What a training may write over or remove in a folder that was given to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pathology.assets import models_dir
from pathology.errors import OutputError
from pathology.inference.manifest import CARD_FILE, MANIFEST_FILE, WEIGHTS_FILE
from pathology.training.config import TrainingConfig
from pathology.training.folder import (
    CHECKPOINT_FILE,
    bundle_folder,
    check_bundle_folder,
    hold_folder,
    is_trained,
    run_folder,
)

MakeConfig = Callable[..., TrainingConfig]


def write_bundle_of(config: TrainingConfig, out: Path, settings: str) -> Path:
    """Write a manifest as the training of some settings does."""
    shipped = max(models_dir().glob(f"*/*/{MANIFEST_FILE}"))
    content = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    content["training"]["settings_sha256"] = settings
    folder = bundle_folder(config, out)
    folder.mkdir(parents=True)
    (folder / MANIFEST_FILE).write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def test_a_new_start_removes_what_a_training_wrote_and_nothing_else(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    folder = run_folder(make_config(), tmp_path)
    curves = folder / "tensorboard"
    curves.mkdir(parents=True)
    ours = [folder / CHECKPOINT_FILE, folder / "log.jsonl", curves / "events.out.tfevents.1.host"]
    theirs = [folder / "notes.txt", curves / "thesis.docx", folder / "checkpoint.old"]
    for path in (*ours, *theirs):
        path.write_bytes(path.name.encode())
    with hold_folder(folder, anew=False):
        assert all(path.is_file() for path in ours)
    with hold_folder(folder, anew=True):
        assert not any(path.exists() for path in ours)
    assert [path.read_bytes() for path in theirs] == [path.name.encode() for path in theirs]


@pytest.mark.parametrize("names", [("thesis.docx",), (CARD_FILE,), (WEIGHTS_FILE, "thesis.docx")])
def test_a_folder_of_something_else_is_no_place_for_a_bundle(
    tmp_path: Path, make_config: MakeConfig, names: tuple[str, ...]
) -> None:
    config = make_config()
    folder = bundle_folder(config, tmp_path)
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"files that are no model.*--set version"):
        check_bundle_folder(config, tmp_path)


def test_a_file_in_the_bundle_s_place_is_refused(tmp_path: Path, make_config: MakeConfig) -> None:
    config = make_config()
    place = bundle_folder(config, tmp_path)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    with pytest.raises(OutputError, match="no model"):
        check_bundle_folder(config, tmp_path)


def test_a_model_of_other_settings_is_not_written_over(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    config = make_config()
    write_bundle_of(config, tmp_path, "0" * 64)
    assert not is_trained(config, tmp_path)
    with pytest.raises(OutputError, match="a model of other settings"):
        check_bundle_folder(config, tmp_path)


def test_a_training_may_write_its_own_bundle_again(tmp_path: Path, make_config: MakeConfig) -> None:
    config = make_config()
    check_bundle_folder(config, tmp_path)
    folder = write_bundle_of(config, tmp_path, config.sha256)
    assert is_trained(config, tmp_path)
    check_bundle_folder(config, tmp_path)
    # Cut while it was written: the manifest comes last.
    (folder / MANIFEST_FILE).unlink()
    (folder / WEIGHTS_FILE).write_bytes(b"half")
    assert not is_trained(config, tmp_path)
    check_bundle_folder(config, tmp_path)
