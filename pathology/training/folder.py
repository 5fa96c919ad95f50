"""The folder of a training, and the place of its bundle: what may be written or removed there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pathology.errors import ModelError, OutputError
from pathology.inference.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    WEIGHTS_FILE,
    read_manifest,
)
from pathology.runs.atomic import disk_errors, make_folder, output_errors, remove_temporary
from pathology.runs.lock import RunLock
from pathology.training.config import TrainingConfig
from pathology.training.engine.journal import BOARD_FOLDER, LOG_FILE

__all__ = [
    "CHECKPOINT_FILE",
    "bundle_folder",
    "check_bundle_folder",
    "hold_folder",
    "is_trained",
    "run_folder",
]

CHECKPOINT_FILE = "checkpoint.safetensors"
#: What TensorBoard calls the files of a training.
_CURVES = "events.out.tfevents.*"
#: What stands there where a bundle was cut while it was written: the manifest comes last.
_CUT_BUNDLE = {WEIGHTS_FILE, GOLDEN_FILE, CARD_FILE}
_ANOTHER_OUT = "Give a folder that may be written as --out."


def run_folder(config: TrainingConfig, out: Path) -> Path:
    """Return the folder of a training: its checkpoint, log and curves.

    Examples
    --------
    >>> from pathology.assets import config_path
    >>> from pathology.training.config import load_training_config
    >>> config = load_training_config(config_path("training/tiny.yaml"))
    >>> run_folder(config, Path("trained")).as_posix()
    'trained/tiny-cells/0.0.1.training'
    """
    return out / config.name / f"{config.version}.training"


def bundle_folder(config: TrainingConfig, out: Path) -> Path:
    """Return the folder of the bundle that a training writes.

    Examples
    --------
    >>> from pathology.assets import config_path
    >>> from pathology.training.config import load_training_config
    >>> config = load_training_config(config_path("training/tiny.yaml"))
    >>> bundle_folder(config, Path("trained")).as_posix()
    'trained/tiny-cells/0.0.1'
    """
    return out / config.name / config.version


def check_bundle_folder(config: TrainingConfig, out: Path) -> None:
    """Refuse to write a bundle over one of other settings, or over anything else.

    Name and version say which weights made a result; two sets of weights must not share them.

    Parameters
    ----------
    config
        Settings of the training.
    out
        Folder of bundles.

    Raises
    ------
    OutputError
        If the bundle's folder holds something that a training of these settings has not written.
    """
    folder = bundle_folder(config, out)
    if is_trained(config, out) or not _holds_more(folder):
        return
    raise OutputError(
        f"{folder}: holds a model of other settings, or files that are no model",
        fix="Give another version (--set version=...) or another --out.",
    )


def is_trained(config: TrainingConfig, out: Path) -> bool:
    """Tell whether the bundle of a training is there, with the training's settings."""
    folder = bundle_folder(config, out)
    if not (folder / MANIFEST_FILE).exists():
        return False
    try:
        return read_manifest(folder).training.get("settings_sha256") == config.sha256
    except ModelError:
        return False


def _holds_more(folder: Path) -> bool:
    """Tell whether a folder holds more than a bundle that was cut while it was written."""
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return bool(names) and not (WEIGHTS_FILE in names and names <= _CUT_BUNDLE)


@contextmanager
def hold_folder(folder: Path, *, anew: bool) -> Iterator[None]:
    """Make the folder of a training, and keep other trainings out of it.

    Two would write one checkpoint in turns.

    Parameters
    ----------
    folder
        From :func:`run_folder`.
    anew
        Remove what an earlier training left, and nothing else.

    Raises
    ------
    OutputError
        If it cannot be made or cleared, or another training is at work in it.
    """
    make_folder(folder, fix=_ANOTHER_OUT)
    # Beside the folder, where an earlier version looks for it too.
    lock = RunLock(folder.with_name(f".{folder.name}.lock"))
    try:
        if anew:
            _clear(folder)
        yield
    finally:
        lock.release()


def _clear(folder: Path) -> None:
    curves = folder / BOARD_FOLDER
    ours = [folder / CHECKPOINT_FILE, folder / LOG_FILE, *curves.glob(_CURVES)]
    with output_errors(), disk_errors(folder):
        for path in ours:
            path.unlink(missing_ok=True)
        remove_temporary(folder)
