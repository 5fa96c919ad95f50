"""Settings of a training run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pathology.config import list_problems
from pathology.errors import ConfigError
from pathology.training.specs import SourceSpec
from pathology.yamltext import parse_yaml, read_yaml

__all__ = [
    "TRAINING_SEEDS",
    "AugmentConfig",
    "TrainingConfig",
    "load_training_config",
]

#: Settings that change how fast a training runs and what it writes on the way, not what it learns:
#: they may differ between the legs of one training.
FREE_KEYS = frozenset({"workers", "threads", "log_every", "checkpoint_every"})

#: Synthetic fields for training have seeds below this; those of measurements come after it.
TRAINING_SEEDS = 900_000
#: Settings of sources that name files or folders.
_PATHS = ("path", "images")

Share = Annotated[float, Field(ge=0, le=1)]
CellPart = Literal["outlines", "classes"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AugmentConfig(_Part):
    """Say how views of a field differ, beside being turned and mirrored.

    Parameters
    ----------
    white_sd
        Standard deviation of the factor by which each channel of the white point is off.
    stain_gain
        Range of the factors on haematoxylin and DAB optical density.
    tone, blur, sharpen, noise, jpeg
        Shares of the views with changed brightness and contrast, defocus, sharpening, sensor
        noise, and JPEG compression. All 0: albumentations is not needed.
    camera
        Share of the views from a camera that sets exposure, white balance, saturation and contrast
        itself, often until glass and pale cytoplasm are white.
    """

    white_sd: Annotated[float, Field(ge=0, le=0.2)] = 0.01
    stain_gain: tuple[float, float] = (0.75, 1.25)
    tone: Share = 0.0
    blur: Share = 0.0
    sharpen: Share = 0.0
    noise: Share = 0.0
    jpeg: Share = 0.0
    camera: Share = 0.0

    @property
    def optical(self) -> bool:
        """Whether any picture goes through albumentations before stains are separated."""
        return max(self.tone, self.blur, self.sharpen, self.noise, self.jpeg) > 0


class StartConfig(_Part):
    """Say which weights a training starts from; without it, from chance.

    Parameters
    ----------
    model
        Name of a bundled model, or the folder of a bundle; its network may be part of the new one.
    learn
        Parts of a cell network that go on learning (``outlines``: centres and outlines;
        ``classes``: which cells are tumour); the others keep their weights.
    share
        Share of the weights to start from in those of the bundle; the rest is what was learned.
    """

    model: str
    learn: Annotated[tuple[CellPart, ...], Field(min_length=1)] = ("outlines", "classes")
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TrainingConfig(_Part):
    """Hold the settings of a training run; see ``configs/training/*.yaml``.

    Parameters
    ----------
    name, version
        Name and version of the bundle that is written.
    kind
        ``cells``: the network that finds cells; ``tiles``: the classifier of scored patches.
    network
        Keyword arguments of the network; with ``start``, what differs from those of its bundle.
    start
        Weights to start from, where not from chance; for ``kind: cells``.
    options
        Further settings of the kind.
    sources
        Where examples come from, see :mod:`pathology.training.specs`.
    field_px
        Side of a field in pixels of 0.5 µm, a multiple of 64.
    augment
        How views differ.
    seed
        Seeds fields, weights, order and augmentation.
    steps, batch
        Optimiser steps and examples per step, over all processes.
    learning_rate, warmup_steps, weight_decay, clip_norm, ema_decay
        AdamW with warm-up, cosine decay and gradient clipping; weights are averaged (EMA).
    precision
        ``bf16`` and ``fp16`` run the network under autocast; ``fp16`` needs CUDA; ``auto`` is
        ``bf16`` where the processor has it.
    measure_every, measure_fields
        Steps between two measurements on held-out data, and how many fields these take.
    keep
        Which weights the bundle takes: ``best`` by measurement, or ``last``.
    holdout_fields
        Synthetic fields of the final measurement on the card.
    log_every, checkpoint_every
        Steps between two lines of the log, and between two checkpoints.
    workers
        Processes that make examples; 0 makes them in the training's own.
    threads
        Intra-op threads of the optimisation on the CPU.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    kind: Literal["cells", "tiles"] = "cells"
    network: dict[str, Any] = {}
    start: StartConfig | None = None
    options: dict[str, Any] = {}
    sources: Annotated[tuple[SourceSpec, ...], Field(min_length=1)]
    holdout_fields: Annotated[int, Field(ge=1)]
    field_px: Annotated[int, Field(ge=128, multiple_of=64)]
    augment: AugmentConfig = AugmentConfig()
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    steps: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    measure_every: Annotated[int, Field(ge=1)] = 500
    measure_fields: Annotated[int, Field(ge=1)] = 16
    keep: Literal["best", "last"] = "best"
    log_every: Annotated[int, Field(ge=1)] = 10
    checkpoint_every: Annotated[int, Field(ge=1)] = 200
    workers: Annotated[int, Field(ge=0)] = 1
    threads: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _sources_fit(self) -> TrainingConfig:
        if self.start is not None and self.kind != "cells":
            raise ValueError("start is for kind 'cells'")
        if self.start is not None and self.start.share > 0:
            if self.keep != "last":
                raise ValueError("start.share needs keep: last (the best are measured without it)")
            if self.network:
                raise ValueError("start.share needs the network of the bundle; leave network out")
        for source in self.sources:
            of_tiles = source.kind == "patches"
            if source.kind != "synthetic" and of_tiles != (self.kind == "tiles"):
                raise ValueError(f"a source of kind {source.kind!r} does not fit {self.kind!r}")
            if source.kind == "synthetic" and source.seed + (source.fields or 0) > TRAINING_SEEDS:
                raise ValueError(f"synthetic fields from {TRAINING_SEEDS} on are for measurements")
        return self

    @property
    def plain(self) -> dict[str, Any]:
        """All settings as plain values; of paths only the last part, for they end in bundles."""
        content = self.model_dump(mode="json")
        if self.start is not None:
            content["start"]["model"] = Path(self.start.model).name
        for source in content["sources"]:
            source |= {key: Path(source[key]).name for key in _PATHS if source.get(key)}
        return content

    @property
    def fields(self) -> int:
        """Distinct synthetic fields in all sources; 0 where every example is a new one."""
        counts = [source.fields for source in self.sources if source.kind == "synthetic"]
        return sum(count or 0 for count in counts)

    @property
    def sha256(self) -> str:
        """Hash (hex) of all settings that change what is learned."""
        return hashlib.sha256(json.dumps(self.fixed, sort_keys=True).encode()).hexdigest()

    @property
    def fixed(self) -> dict[str, Any]:
        """The settings that must be the same in all legs of one training."""
        return {key: value for key, value in self.plain.items() if key not in FREE_KEYS}

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then a cosine down to 2 %.

        Examples
        --------
        >>> from pathology.assets import config_path
        >>> config = load_training_config(config_path("training/tiny.yaml"))
        >>> config.learning_rate_at(0) < config.learning_rate_at(config.warmup_steps)
        True
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


def load_training_config(path: Path, overrides: Iterable[str] = ()) -> TrainingConfig:
    """Read a training configuration.

    Parameters
    ----------
    path
        YAML file with fields of :class:`TrainingConfig`. Relative paths of sources start from its
        folder.
    overrides
        ``key=value`` or ``key.key=value`` texts; the value is read as YAML.

    Raises
    ------
    ConfigError
        If the file cannot be read or a value is not valid; names the file and the key.

    Examples
    --------
    >>> from pathology.assets import config_path
    >>> load_training_config(config_path("training/tiny.yaml"), ["augment.blur=0.2"]).augment.blur
    0.2
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a mapping of settings")
    for text in overrides:
        _override(content, text)
    try:
        config = TrainingConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {list_problems(error)}") from error
    # Two folders with the same configuration would otherwise mean different data.
    sources = tuple(_located(source, path.parent) for source in config.sources)
    return config.model_copy(update={"sources": sources})


def _located(source: SourceSpec, folder: Path) -> SourceSpec:
    paths = {key: getattr(source, key, None) for key in _PATHS}
    return source.model_copy(
        update={key: (folder / path).resolve() for key, path in paths.items() if path is not None}
    )


def _override(content: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not (equals and key):
        raise ConfigError(f"--set {text!r}: not of the form key=value")
    *parents, last = key.split(".")
    target: Any = content
    for name in parents:
        target = target.setdefault(name, {})
        if not isinstance(target, Mapping):
            raise ConfigError(f"--set {text!r}: {name!r} has no keys of its own")
    try:
        target[last] = parse_yaml(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text!r}: the value is not valid YAML ({error})") from error
