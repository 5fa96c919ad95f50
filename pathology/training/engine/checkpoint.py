"""Checkpoints: all that a training needs to go on, in one safetensors file.

The tensors are the network, its average (EMA), the best average so far and the optimiser's state;
step, settings and scores stand as JSON in the file's header. One file, published by a rename, is
never half of one step and half of another. Nothing in it is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from pathology.errors import ConfigError, ModelError
from pathology.runs.atomic import atomic_write_bytes, output_errors
from pathology.training.config import FREE_KEYS

__all__ = ["Progress", "check_progress", "read_progress", "read_tensors", "write_checkpoint"]

_LAYOUT = 1
_KEY = "her2_training"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Say how far a training is.

    Parameters
    ----------
    step
        Optimiser steps taken.
    settings
        Those of :attr:`TrainingConfig.plain`.
    best_step, best_metrics
        Step of the best measurement, and what was measured; -1 and empty before the first.
    scaler
        State of the gradient scaler (fp16); empty without one.
    minutes
        Time spent so far.
    data
        What the examples are made from, with hashes.
    """

    step: int
    settings: Mapping[str, Any]
    best_step: int
    best_metrics: Mapping[str, float]
    scaler: Mapping[str, float]
    minutes: float
    data: str


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], progress: Progress) -> None:
    """Write a checkpoint; an older one stays whole until the new one is.

    Parameters
    ----------
    path
        File to write; its folder must exist.
    tensors
        All tensors by name, on any device.
    progress
        What stands in the header.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {_KEY: json.dumps({"layout": _LAYOUT, **asdict(progress)})}
    with output_errors():
        atomic_write_bytes(path, save_tensors(plain, metadata=header))


def read_progress(path: Path) -> Progress:
    """Read the header of a checkpoint.

    Raises
    ------
    ModelError
        If the file is not a checkpoint of this program.
    """
    try:
        with safe_open(str(path), framework="pt") as stored:
            content = json.loads((stored.metadata() or {})[_KEY])
        if content.pop("layout") != _LAYOUT:
            raise ValueError("written by another version of this program")
        return Progress(**content)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: not a checkpoint that training can go on from ({error})",
            fix="Remove it, or give --no-resume to start anew.",
        ) from error


def check_progress(path: Path, progress: Progress, settings: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of other settings.

    Raises
    ------
    ConfigError
        If a setting that changes what is learned differs; names it with both values.
    """
    differing = [
        f"{key} is {_short(progress.settings.get(key))} there and {_short(settings.get(key))} here"
        for key in sorted({*progress.settings, *settings} - FREE_KEYS)
        if progress.settings.get(key) != settings.get(key)
    ]
    if differing:
        raise ConfigError(
            f"{path}: this checkpoint belongs to another training: {'; '.join(differing)}",
            fix="Give the old settings, another --out, or --no-resume to start anew.",
        )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint.

    Parameters
    ----------
    path
        The file.
    expected
        Tensors of the names, shapes and types that the training needs.

    Raises
    ------
    ModelError
        If a tensor is missing or has another shape: the checkpoint of another architecture.
    """
    found: dict[str, Tensor] = {}
    try:
        with safe_open(str(path), framework="pt") as stored:
            names = set(stored.keys())
            for name, like in expected.items():
                if name not in names:
                    raise ModelError(_misfit(path, f"it has no {name!r}"))
                value = stored.get_tensor(name)
                if value.shape != like.shape or value.dtype != like.dtype:
                    raise ModelError(
                        _misfit(
                            path,
                            f"{name!r} is {_form(value)} there and {_form(like)} here",
                        )
                    )
                found[name] = value
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    extra = sorted(names - set(expected))
    if extra:
        raise ModelError(_misfit(path, f"it has {extra[0]!r}, and this network has not"))
    return found


def _form(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


def _misfit(path: Path, why: str) -> str:
    return (
        f"{path}: the checkpoint belongs to another architecture: {why}. "
        "Give another --out, or --no-resume to start anew."
    )
