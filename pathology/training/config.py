"""Settings of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pathology.config import list_problems
from pathology.errors import ConfigError

__all__ = ["TrainingConfig", "load_training_config"]


class TrainingConfig(BaseModel):
    """Hold the settings of a training run; see ``configs/training/*.yaml``.

    Parameters
    ----------
    name, version
        Name and version of the bundle that is written.
    network
        Keyword arguments of the network.
    fields, holdout_fields
        Synthetic fields to render for training and for the final measurement.
    field_px
        Side of a field in pixels of 0.5 µm, a multiple of 64.
    seed
        Seeds fields, weights, order and augmentation.
    steps, batch
        Optimiser steps and fields per step.
    learning_rate, warmup_steps, weight_decay, clip_norm, ema_decay
        AdamW with warm-up, cosine decay and gradient clipping; weights are averaged (EMA).
    workers
        Processes that render fields.
    threads
        Intra-op threads of the optimisation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    network: dict[str, Any] = {}
    fields: Annotated[int, Field(ge=1)]
    holdout_fields: Annotated[int, Field(ge=1)]
    field_px: Annotated[int, Field(ge=128, multiple_of=64)]
    seed: Annotated[int, Field(ge=0)]
    steps: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    workers: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]


def load_training_config(path: Path) -> TrainingConfig:
    """Read a training configuration.

    Parameters
    ----------
    path
        YAML file with exactly the fields of :class:`TrainingConfig`.

    Raises
    ------
    ConfigError
        If the file cannot be read or a value is not valid; names the file and the key.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TrainingConfig.model_validate(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({error})") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {list_problems(error)}") from error
