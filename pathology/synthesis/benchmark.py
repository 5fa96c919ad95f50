"""The frozen benchmark: synthetic fields unlike those of training, with their conditions.

A benchmark is a YAML file of *factors* (tissue, staining, scanner, focus and more), each with
named *levels* that set parameters of a field. Levels are dealt out evenly, each factor on its own,
so that an error can be reported per level while the others vary. What a file stands for never
changes: the choice of levels and every drawn parameter follow from its seeds.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pathology.assets import config_path
from pathology.config import list_problems
from pathology.errors import ConfigError
from pathology.synthesis.spec import (
    Appearance,
    Composition,
    FieldSpec,
    Morphology,
    PatternMix,
    Staining,
)

__all__ = [
    "BENCHMARK_FIRST_SEED",
    "BenchmarkConfig",
    "BenchmarkField",
    "benchmark_fields",
    "benchmark_sha256",
    "load_benchmark",
    "specs_sha256",
]

#: No seed of a benchmark is smaller; those of training, and of what is measured on the way, are.
BENCHMARK_FIRST_SEED = 10_000_000
_SECTIONS = {
    "composition": Composition,
    "morphology": Morphology,
    "staining": Staining,
    "appearance": Appearance,
}
_MIXES = ("tumour", "in_situ", "normal")

_Level = dict[str, Any]


class BenchmarkConfig(BaseModel):
    """Hold a benchmark file; see ``configs/synthesis/benchmark.yaml``.

    Parameters
    ----------
    version
        Version of the benchmark.
    fields
        Number of fields.
    field_px
        Side in pixels.
    mpp
        Pixel size, µm.
    first_seed
        Seed of the first field; the others follow.
    factors
        Factor to level to parameters, by section of a field; ``defocus_um`` stands beside them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1)]
    fields: Annotated[int, Field(ge=1)]
    field_px: Annotated[int, Field(ge=128, multiple_of=64)]
    mpp: Annotated[float, Field(gt=0)]
    first_seed: Annotated[int, Field(ge=BENCHMARK_FIRST_SEED)]
    factors: dict[str, Annotated[dict[str, _Level], Field(min_length=1)]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkField:
    """Describe one field of a benchmark.

    Parameters
    ----------
    conditions
        Factor to the name of its level.
    spec
        What to render.
    seed
        Seed of the rendering; also the field's name.
    """

    conditions: Mapping[str, str]
    spec: FieldSpec
    seed: int


def load_benchmark(path: Path | None = None) -> BenchmarkConfig:
    """Read a benchmark file.

    Parameters
    ----------
    path
        The file; None takes the bundled one.

    Raises
    ------
    ConfigError
        If the file cannot be read or a value is not valid; names the file and the key.

    Examples
    --------
    >>> load_benchmark().fields
    120
    """
    path = path or config_path("synthesis/benchmark.yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return BenchmarkConfig.model_validate(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML ({error})") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {list_problems(error)}") from error


def benchmark_sha256(path: Path | None = None) -> str:
    """Return the SHA-256 (hex) of a benchmark file; None takes the bundled one."""
    path = path or config_path("synthesis/benchmark.yaml")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def benchmark_fields(config: BenchmarkConfig) -> Iterator[BenchmarkField]:
    """Draw the fields of a benchmark, always the same ones.

    Parameters
    ----------
    config
        The benchmark.

    Yields
    ------
    BenchmarkField
        ``config.fields`` of them, in the order of their seeds.

    Raises
    ------
    ConfigError
        If a level names an unknown parameter or gives an impossible value.

    Examples
    --------
    >>> first = next(benchmark_fields(load_benchmark()))
    >>> first.seed, sorted(first.conditions)
    (10000000, ['dab_hue', 'focus', 'haematoxylin', 'jpeg', 'scanner', 'staining', 'tissue'])
    """
    dealt = {
        factor: _deal(list(levels), config.fields, (config.first_seed, place))
        for place, (factor, levels) in enumerate(config.factors.items())
    }
    for index in range(config.fields):
        seed = config.first_seed + index
        conditions = {factor: names[index] for factor, names in dealt.items()}
        spec = _field_spec(config, conditions, np.random.default_rng([seed, 0xBE4C]))
        yield BenchmarkField(conditions=conditions, spec=spec, seed=seed)


def specs_sha256(config: BenchmarkConfig) -> str:
    """Return the SHA-256 (hex) of all drawn fields: what the file stands for.

    Parameters
    ----------
    config
        The benchmark.

    Notes
    -----
    Only parameters that the file sets are hashed (to 9 digits), so that a parameter which the
    generator gains later, at a default that changes nothing, leaves the hash as it is.
    """
    digest = hashlib.sha256()
    for item in benchmark_fields(config):
        spec = asdict(item.spec)
        named = {
            (section, name)
            for factor, level in item.conditions.items()
            for section, values in config.factors[factor][level].items()
            if section in _SECTIONS
            for name in values
        }
        kept = {f"{a}.{b}": _rounded(spec[a][b]) for a, b in sorted(named)}
        kept["appearance.blur_um"] = _rounded(spec["appearance"]["blur_um"])
        text = json.dumps([item.seed, dict(item.conditions), kept], sort_keys=True)
        digest.update(text.encode())
    return digest.hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _deal(levels: list[str], count: int, seed: tuple[int, int]) -> list[str]:
    """Return ``count`` levels in random order, each as often as the others (but for a rest)."""
    pool = [levels[index % len(levels)] for index in range(count)]
    order = np.random.default_rng(seed).permutation(count)
    return [pool[index] for index in order]


def _field_spec(
    config: BenchmarkConfig, conditions: Mapping[str, str], rng: np.random.Generator
) -> FieldSpec:
    drawn: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    defocus_um = 0.0
    for factor, level in conditions.items():
        where = f"benchmark factor {factor!r}, level {level!r}"
        for section, values in config.factors[factor][level].items():
            if section == "defocus_um":
                defocus_um = float(values)
                continue
            if section not in _SECTIONS:
                raise ConfigError(f"{where}: unknown section {section!r}")
            known = {item.name: item.default for item in fields(_SECTIONS[section])}
            for name, value in values.items():
                if name not in known:
                    raise ConfigError(f"{where}: unknown parameter {section}.{name}")
                drawn[section][name] = _draw(name, value, known[name], rng)
    try:
        look = Appearance(**drawn["appearance"])
        drawn["appearance"]["blur_um"] = math.hypot(look.blur_um, defocus_um)
        parts = {name: kind(**drawn[name]) for name, kind in _SECTIONS.items()}
        return FieldSpec(
            width_px=config.field_px, height_px=config.field_px, mpp=config.mpp, **parts
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"benchmark conditions {dict(conditions)}: {error}") from error


def _draw(name: str, value: Any, default: Any, rng: np.random.Generator) -> Any:
    """Return a parameter's value: as it stands, from a range, or a pattern mix from weights."""
    if name in _MIXES and isinstance(value, list):
        return _mix([float(weight) for weight in value], rng)
    if isinstance(value, list) and len(value) == 2:
        number = float(rng.uniform(value[0], value[1]))
        return round(number) if isinstance(default, int) else number
    return tuple(value) if isinstance(value, list) else value


def _mix(weights: list[float], rng: np.random.Generator) -> PatternMix:
    present = np.flatnonzero(np.asarray(weights) > 0)
    shares = np.zeros(len(weights))
    # Twice the weights: fields of one level differ, yet keep its character.
    shares[present] = rng.dirichlet(2.0 * np.asarray(weights)[present])
    a, b, c, d, e = shares.tolist()
    return PatternMix(
        unstained=max(0.0, 1.0 - b - c - d - e) if a else 0.0, incomplete_faint=b,
        incomplete_moderate_intense=c, complete_weak_moderate=d, complete_intense=e,
    )  # fmt: skip
