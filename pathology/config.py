"""Configuration: one strict, frozen, hashed object from YAML layers and ``--set`` overrides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pathology.assets import config_path
from pathology.errors import ConfigError
from pathology.layers import Layers, read_sections

__all__ = [
    "CalibrationStamp",
    "CellsConfig",
    "Config",
    "InferenceConfig",
    "MeasurementConfig",
    "ReadingConfig",
    "ReportConfig",
    "RuntimeConfig",
    "ScoringConfig",
    "StainConfig",
    "TilingConfig",
    "TissueConfig",
    "change_config",
    "list_problems",
    "load_config",
]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Vector3 = tuple[float, float, float]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ReadingConfig(_Section):
    """How slides are opened; see ``configs/default.yaml`` for units and reasons."""

    mpp_min: Positive
    mpp_max: Positive
    anisotropy_max: Share
    icc: bool
    overview_mpp: Positive
    min_side_um: Positive
    reader: Literal["auto", "openslide"]


class TissueConfig(_Section):
    """How tissue is told from glass on the overview."""

    od_min: Positive
    smooth_um: Positive
    texture_min: NonNegative
    core_factor: Annotated[float, Field(ge=1.0)]
    min_piece_mm2: NonNegative
    max_hole_mm2: NonNegative
    min_tissue_mm2: Positive
    min_tile_fraction: Share


class StainConfig(_Section):
    """Stain vectors (unit length, decadic OD in R, G, B) and the check of the stain's kind."""

    haematoxylin: Vector3
    dab: Vector3
    check: bool
    white_quantile: Share
    white_fallback_quantile: Share
    pink_green_share: Share
    pink_max: Share
    cyan_max: Share
    green_max: Share
    black_max: Share
    chromogen_red_deg: Annotated[float, Field(ge=-90.0, le=0.0)]
    haematoxylin_min_od: NonNegative
    nuclear_brown_max: Share
    clipped_max: Share
    clipped_alone_max: Share
    clipped_flag: Share
    probes: Annotated[int, Field(ge=0, le=256)]


class TilingConfig(_Section):
    """The tile grid."""

    tile_px: Annotated[int, Field(ge=128, le=8192, multiple_of=128)]
    window_px: Annotated[int, Field(ge=128, le=8192)]


class InferenceConfig(_Section):
    """What the engine may not change without changing the result."""

    cpu_threads: Annotated[int, Field(ge=1, le=256)]
    cpu_batch: Annotated[int, Field(ge=1, le=256)]
    cpu_precision: Literal["fp32", "bf16"]
    cuda_precision: Literal["fp32", "fp16", "bf16"]


class CellsConfig(_Section):
    """How cells are taken from the network's maps."""

    peak_min: Share
    min_distance_um: Positive
    tumour_min: Share


class MeasurementConfig(_Section):
    """How the membrane of a cell is measured and classed."""

    ray_tolerance_um: NonNegative
    cytoplasm_inner: Share
    cytoplasm_outer: Share
    limit_of_blank_od: NonNegative
    stained_od: Positive
    contrast_od: NonNegative
    contrast_exempt_od: Positive
    min_stained_share: Share
    weak_od: Positive
    moderate_od: Positive
    intense_od: Positive
    complete_share: Share

    @model_validator(mode="after")
    def _ordered(self) -> MeasurementConfig:
        if not self.stained_od <= self.weak_od <= self.moderate_od <= self.intense_od:
            raise ValueError("stained_od <= weak_od <= moderate_od <= intense_od must hold")
        if not self.cytoplasm_inner < self.cytoplasm_outer:
            raise ValueError("cytoplasm_inner must be below cytoplasm_outer")
        return self


class ScoringConfig(_Section):
    """Guideline, its parameters, and the statistics of the score."""

    guideline: str
    gap_policy: Literal["score_1_borderline", "score_2", "unresolved"]
    min_tumour_cells: Annotated[int, Field(ge=1)]
    min_tumour_tiles: Annotated[int, Field(ge=1)]
    pattern_floor_pct: Annotated[float, Field(ge=0.0, le=10.0)]
    cluster_min_cells: Annotated[int, Field(ge=1)]
    cluster_min_tiles: Annotated[int, Field(ge=1)]
    # At 100 µm a cell has some 200 neighbours: beyond, pairs would no longer fit into memory.
    cluster_link_um: Annotated[float, Field(gt=0.0, le=100.0)]
    borderline_pp: NonNegative
    bootstrap_replicates: Annotated[int, Field(ge=0, le=100_000)]
    bootstrap_block_um: Positive
    bootstrap_seed: Annotated[int, Field(ge=0)]
    bootstrap_min_blocks: Annotated[int, Field(ge=1)]
    interval: Annotated[float, Field(gt=0.0, lt=1.0)]
    boot_share_min: Share
    # The same gain twofold off either way: beyond, no cut-off means anything.
    gain_sd: Annotated[float, Field(ge=0.0, le=0.7)]
    intra_block_correlation: Share
    ultralow_max_pct: Annotated[float, Field(ge=0.0, le=100.0)]
    ultralow_confidence: Annotated[float, Field(gt=0.0, lt=1.0)]
    unseen_density_per_mm2: NonNegative
    tumour_share_min: Share
    sure_probability: Share
    group_nuclei: Annotated[int, Field(ge=1, le=100)]
    group_tumour: Annotated[int, Field(ge=1, le=100)]
    group_radius_um: Positive
    group_min_cells: Annotated[int, Field(ge=1)]
    group_min_per_1000: NonNegative
    focus_min: Share
    out_of_focus_max: Share
    partly_out_of_focus_min: Share
    # Densities are stored up to 2.55 OD.
    qcs_od: Annotated[float, Field(gt=0.0, le=2.55)] | None
    bystander_radius_um: Annotated[float, Field(gt=0.0, le=500.0)]


class ReportConfig(_Section):
    """Pictures."""

    overview_px: Annotated[int, Field(ge=64, le=8192)]


class RuntimeConfig(_Section):
    """What may differ between two runs with identical results; never hashed."""

    device: str
    workers: Annotated[int, Field(ge=0, le=256)]
    cache_mb: Annotated[int, Field(ge=0)]
    queue_tiles: Annotated[int, Field(ge=1, le=64)]


class CalibrationStamp(_Section):
    """Say which calibration set the cut-offs; only ``--calibration`` puts it here.

    Parameters
    ----------
    title
        ``name/version``.
    sha256
        SHA-256 (hex) of the calibration's content.
    model_sha256
        Weights that it was made with; None where it holds for all.
    site, assay
        What it holds for, where known.
    gain, gain_interval
        Densities of the laboratory against the reference scale, and its 95 % interval; None where
        none was stated.
    slides
        Quickhash and size in bytes of the slides that it was fitted on.
    """

    title: str
    sha256: str
    model_sha256: str | None = None
    site: str | None = None
    assay: str | None = None
    gain: Positive
    gain_interval: tuple[Positive, Positive] | None = None
    slides: tuple[tuple[str, int], ...] = ()


class Config(_Section):
    """Hold the whole configuration.

    Examples
    --------
    >>> config = load_config()
    >>> config.scoring.min_tumour_cells
    100
    >>> load_config(overrides=["scoring.min_tumour_cells=50"]).hash == config.hash
    False
    >>> load_config(overrides=["runtime.workers=1"]).hash == config.hash
    True
    """

    reading: ReadingConfig
    tissue: TissueConfig
    stain: StainConfig
    tiling: TilingConfig
    inference: InferenceConfig
    cells: CellsConfig
    measurement: MeasurementConfig
    scoring: ScoringConfig
    report: ReportConfig
    runtime: RuntimeConfig
    calibration: CalibrationStamp | None = None

    def hashed(self) -> dict[str, Any]:
        """Return what is hashed: everything except ``runtime``, by section and key.

        ``calibration`` is there only where one is used, without its slides, which its own hash
        stands for.
        """
        content = self.model_dump(mode="json", exclude={"runtime", "calibration"})
        if self.calibration is not None:
            content["calibration"] = self.calibration.model_dump(mode="json", exclude={"slides"})
        return content

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of :meth:`hashed`, over canonical JSON."""
        text = json.dumps(self.hashed(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_yaml(self) -> str:
        """Print the configuration as YAML, in the order of the default file."""
        content = self.model_dump(mode="json")
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def load_config(path: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Read the default configuration, then a file, then ``key.path=value`` overrides on top.

    Parameters
    ----------
    path
        YAML file with any subset of the keys of ``configs/default.yaml``.
    overrides
        ``section.key=value`` texts; the value is read as YAML.

    Returns
    -------
    Config
        The checked configuration.

    Raises
    ------
    ConfigError
        If a file cannot be read, or a key or value is not valid; names the key.

    Examples
    --------
    >>> load_config(overrides=["tiling.tile_px=512"]).tiling.tile_px
    512
    """
    return _layered(read_sections(config_path("default.yaml")), path, overrides)


def change_config(base: Config, path: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Put a file and ``key.path=value`` overrides on top of a configuration.

    Parameters
    ----------
    base
        The configuration to change; one with a calibration's cut-offs loses its name, not them.
    path, overrides
        As in :func:`load_config`.

    Returns
    -------
    Config
        The checked configuration, without a calibration.

    Raises
    ------
    ConfigError
        As in :func:`load_config`.

    Examples
    --------
    >>> base = load_config(overrides=["scoring.min_tumour_cells=50"])
    >>> change_config(base, overrides=["tiling.tile_px=256"]).scoring.min_tumour_cells
    50
    """
    tree = {**base.model_dump(mode="json"), "calibration": None}
    return _layered(tree, path, overrides)


def _layered(tree: dict[str, Any], path: Path | None, overrides: Iterable[str]) -> Config:
    layers = Layers(tree)
    if path is not None:
        layers.put_file(path)
    for text in overrides:
        layers.put_text(text)
    if tree.get("calibration") is not None:
        raise ConfigError(
            "calibration is not a setting: its cut-offs have to come with it",
            fix="Give the file with --calibration.",
        )
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(
            list_problems(error, where=lambda keys: layers.where(keys) or "configuration"),
            fix="Compare with the output of `her2 config`.",
        ) from error


def list_problems(
    error: ValidationError, *, where: Callable[[Sequence[int | str]], str] | None = None
) -> str:
    """Say everything that a validation found wrong on one line, each with its key.

    Parameters
    ----------
    error
        What pydantic raised.
    where
        Says of a key in which file it was given; None: that is said elsewhere.
    """
    found = []
    for item in error.errors():
        place = f"{where(item['loc'])}: " if where else ""
        found.append(f"{place}{'.'.join(str(part) for part in item['loc'])}: {item['msg']}")
    return "; ".join(found)
