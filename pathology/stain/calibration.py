"""The calibration file: how dark a laboratory stains, and the cut-offs that follow from it.

A calibration never touches a pixel. Stored densities stay as measured; the cut-offs move. So it is
applied alike to a slide that is being read and to cells that were stored long ago, and no image is
ever normalised by itself.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pathology.config import (
    CalibrationStamp,
    Config,
    MeasurementConfig,
    list_problems,
    load_config,
)
from pathology.errors import ConfigError, ModelError

__all__ = [
    "CALIBRATED_KEYS",
    "OD_STEP",
    "SCORES",
    "CalibratedModel",
    "Calibration",
    "CalibrationSlide",
    "Conditions",
    "CutoffOds",
    "LeaveOneOut",
    "apply_calibration",
    "calibrated_measurement",
    "check_model",
    "load_calibration",
    "parse_calibration",
    "reference_cutoffs",
]

#: Ray densities are stored in steps of this; no limit of blank is known better.
OD_STEP = 0.01
#: Scores in ascending order; their place is their rank.
SCORES: tuple[str, ...] = ("0", "1+", "2+", "3+")
#: Keys of the section ``measurement`` that a calibration decides.
CALIBRATED_KEYS: tuple[str, ...] = (
    "limit_of_blank_od",
    "stained_od",
    "contrast_od",
    "contrast_exempt_od",
    "weak_od",
    "moderate_od",
    "intense_od",
)
#: A file of ten thousand slides has about 1 MB.
_MAX_BYTES = 4 << 20

Od = Annotated[float, Field(gt=0.0, le=2.55)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Words = Annotated[str, Field(min_length=1, max_length=200)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Vector3 = tuple[float, float, float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class CutoffOds(_Part):
    """Hold cut-offs as optical densities on the reference scale, where the gain is 1.

    Parameters
    ----------
    stained_od, contrast_od, contrast_exempt_od, weak_od, moderate_od, intense_od
        As in the section ``measurement``; OD as measured, no limit of blank subtracted.

    Raises
    ------
    pydantic.ValidationError
        If they are not in ascending order.

    Examples
    --------
    >>> reference_cutoffs().moderate_od
    0.28
    """

    stained_od: Od
    contrast_od: Annotated[float, Field(ge=0.0, le=2.55)]
    contrast_exempt_od: Od
    weak_od: Od
    moderate_od: Od
    intense_od: Od

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.stained_od <= self.weak_od <= self.moderate_od <= self.intense_od:
            raise ValueError("stained_od <= weak_od <= moderate_od <= intense_od must hold")
        return self


class Conditions(_Part):
    """Hold what densities depend on beside the laboratory: a calibration holds only with these.

    Parameters
    ----------
    icc
        Whether colours were taken through the slide's profile.
    haematoxylin, dab
        Stain vectors.
    white_quantile
        Quantile of the glass that is the white point.
    ray_tolerance_um, cytoplasm_inner, cytoplasm_outer, min_stained_share, complete_share
        As in the section ``measurement``.

    Examples
    --------
    >>> Conditions.of(load_config()).complete_share
    0.8
    """

    icc: bool
    haematoxylin: Vector3
    dab: Vector3
    white_quantile: float
    ray_tolerance_um: float
    cytoplasm_inner: float
    cytoplasm_outer: float
    min_stained_share: float
    complete_share: float

    @classmethod
    def of(cls, config: Config) -> Self:
        """Take the conditions from a configuration."""
        stain, measurement = config.stain, config.measurement
        return cls(
            icc=config.reading.icc,
            haematoxylin=stain.haematoxylin,
            dab=stain.dab,
            white_quantile=stain.white_quantile,
            ray_tolerance_um=measurement.ray_tolerance_um,
            cytoplasm_inner=measurement.cytoplasm_inner,
            cytoplasm_outer=measurement.cytoplasm_outer,
            min_stained_share=measurement.min_stained_share,
            complete_share=measurement.complete_share,
        )

    def differences(self, now: Conditions) -> list[str]:
        """Say what differs, in words; empty where nothing does."""
        before, after = self.model_dump(), now.model_dump()
        return [
            f"{name} {before[name]} there, {after[name]} now"
            for name in before
            if before[name] != after[name]
        ]


class CalibratedModel(_Part):
    """Name the model whose cells a calibration was fitted on."""

    name: Words
    sha256: Sha256


class CalibrationSlide(_Part):
    """Name a slide by its content, not by its file name.

    Parameters
    ----------
    quickhash
        OpenSlide's quickhash-1, or the reader's hash of the content.
    size_bytes
        Size of the slide's files together.
    path
        File name; only where it was asked for.
    """

    quickhash: Words
    size_bytes: Count
    path: Annotated[str, Field(min_length=1)] | None = None


class LeaveOneOut(_Part):
    """Hold how well slides were scored by calibrations that had not seen them.

    Parameters
    ----------
    slides, correct
        Scored slides, and those that got their own score.
    kappa, kappa_low, kappa_high
        Quadratically weighted kappa with its 95 % bootstrap interval; None where undefined.
    """

    slides: Count
    correct: Count
    kappa: float | None = None
    kappa_low: float | None = None
    kappa_high: float | None = None


class Calibration(_Part):
    """Hold a laboratory's calibration.

    Parameters
    ----------
    schema_version
        Of this form of file.
    name, version
        What the column ``calibration`` shows, as ``name/version``.
    created
        Day on which it was made.
    site, assay, scanner
        What it holds for, where known.
    method
        ``reference``: written down, not fitted; ``gain``: one factor on all densities; ``cutoffs``:
        the cut-offs as well.
    guideline
        Rules that the slides' scores were compared by.
    model
        The model whose cells were used; None for a reference, which holds for all.
    gain, gain_interval
        How dark the laboratory stains against the reference scale, with the 95 % interval.
    cutoffs
        Cut-offs on the reference scale.
    limit_of_blank_od, limit_of_blank_basis
        OD, as measured, that negative tissue does not pass in 95 of 100 cells; None where no
        negative slide was given.
    slides_per_score
        Slides used, by score.
    controls
        Control slides used.
    leave_one_out
        How slides were scored that the fit had not seen; None for a reference.
    conditions
        Settings that densities depend on.
    reason
        Why the numbers are what they are, in words.
    slides
        The slides used, by hash.
    sha256
        Of all of the above; empty while the object is made.

    Raises
    ------
    pydantic.ValidationError
        If fields are missing, unknown, out of range or contradict each other.
    """

    schema_version: Literal[1] = 1
    name: Label
    version: Label
    created: date
    site: Words | None = None
    assay: Words | None = None
    scanner: Words | None = None
    method: Literal["reference", "gain", "cutoffs"]
    guideline: Label
    model: CalibratedModel | None = None
    gain: Annotated[float, Field(ge=0.1, le=10.0)]
    gain_interval: tuple[float, float] | None = None
    cutoffs: CutoffOds
    limit_of_blank_od: Od | None = None
    limit_of_blank_basis: Literal["negative_controls", "score_0"] | None = None
    slides_per_score: dict[Literal["0", "1+", "2+", "3+"], Count]
    controls: Count = 0
    leave_one_out: LeaveOneOut | None = None
    conditions: Conditions
    reason: str = ""
    slides: tuple[CalibrationSlide, ...] = ()
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        fitted = self.method != "reference"
        if fitted != (self.model is not None) or fitted != (self.gain_interval is not None):
            raise ValueError("a fitted calibration names its model and interval, a reference not")
        if self.gain_interval is not None:
            low, high = self.gain_interval
            if not 0 < low <= self.gain <= high:
                raise ValueError("gain_interval must hold the gain")
        if (self.limit_of_blank_od is None) != (self.limit_of_blank_basis is None):
            raise ValueError("limit_of_blank_od and limit_of_blank_basis are given together")
        used = sum(self.slides_per_score.values()) + self.controls
        if used != len(self.slides):
            raise ValueError(f"slides lists {len(self.slides)} slides, the counts say {used}")
        keys = [(slide.quickhash, slide.size_bytes) for slide in self.slides]
        if len(set(keys)) != len(keys):
            raise ValueError("slides names a slide twice")
        if self.sha256 and self.sha256 != self.content_hash():
            raise ValueError("the content does not match its sha256: it was changed")
        return self

    @property
    def title(self) -> str:
        """``name/version``."""
        return f"{self.name}/{self.version}"

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of everything but ``sha256``, over canonical JSON."""
        content = self.model_dump(mode="json", exclude={"sha256"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def sealed(self) -> Calibration:
        """Return the same calibration with its hash."""
        return self.model_copy(update={"sha256": self.content_hash()})

    def to_yaml(self) -> str:
        """Return the content of the file."""
        content = self.sealed().model_dump(mode="json")
        head = "# Calibration of HER2 IHC membrane intensity (her2-ihc). Research use only.\n"
        return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)

    def stamp(self) -> CalibrationStamp:
        """Return what a configuration keeps of it."""
        return CalibrationStamp(
            title=self.title,
            sha256=self.sha256 or self.content_hash(),
            model_sha256=self.model.sha256 if self.model else None,
            site=self.site,
            assay=self.assay,
            gain=self.gain,
            gain_interval=self.gain_interval,
            slides=tuple((slide.quickhash, slide.size_bytes) for slide in self.slides),
        )


class _PlainLoader(yaml.SafeLoader):
    """A safe loader that also refuses aliases (which can grow without bound) and doubled keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(keys) != len({str(key) for key in keys}):
            raise yaml.YAMLError("a key is there twice")
        return super().construct_mapping(node, deep)


def parse_calibration(text: str, *, name: str) -> Calibration:
    """Read the content of a calibration file, with every check.

    Parameters
    ----------
    text
        YAML.
    name
        Name of the file, for messages.

    Returns
    -------
    Calibration
        Checked, hash included.

    Raises
    ------
    ConfigError
        If it is no such file, is of another version, or was changed.

    Examples
    --------
    >>> parse_calibration("a: [", name="x.yaml")
    Traceback (most recent call last):
    ...
    pathology.errors.ConfigError: x.yaml: not valid YAML. Make it with `her2 calibrate`.
    """
    fix = "Make it with `her2 calibrate`."
    try:
        # A subclass of the safe loader.
        tree = yaml.load(text, Loader=_PlainLoader)  # noqa: S506
        # By way of JSON: nothing but plain values gets through, and lists become tuples.
        content = json.dumps(tree, default=_plain)
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"{name}: not valid YAML", fix=fix) from error
    if not isinstance(tree, dict) or "schema_version" not in tree:
        raise ConfigError(f"{name}: is not a calibration file", fix=fix)
    if tree["schema_version"] != 1:
        raise ConfigError(
            f"{name}: schema_version is {tree['schema_version']!r}, and this program reads 1",
            fix="Fit the calibration again with this version.",
        )
    try:
        found = Calibration.model_validate_json(content)
    except ValidationError as error:
        raise ConfigError(f"{name}: {list_problems(error)}", fix=fix) from error
    if not found.sha256:
        raise ConfigError(f"{name}: there is no sha256, so a change would go unseen", fix=fix)
    return found


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not allowed")


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Parameters
    ----------
    path
        What ``her2 calibrate`` wrote.

    Returns
    -------
    Calibration
        The checked calibration.

    Raises
    ------
    ConfigError
        If it cannot be read, is no calibration file, is of another version, or was changed.

    Examples
    --------
    >>> from pathology.assets import config_path
    >>> load_calibration(config_path("calibration/reference.yaml")).title
    'reference/1'
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: is larger than any calibration file")
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: the calibration file cannot be read ({error.strerror or error})",
            fix="Name the file that `her2 calibrate` wrote.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text, so no calibration file") from error
    return parse_calibration(text, name=str(path))


@lru_cache(maxsize=1)
def _default_measurement() -> MeasurementConfig:
    return load_config().measurement


def reference_cutoffs() -> CutoffOds:
    """Return the cut-offs of the default configuration: the reference scale."""
    measurement = _default_measurement()
    return CutoffOds(**{name: getattr(measurement, name) for name in CutoffOds.model_fields})


def calibrated_measurement(
    base: MeasurementConfig, *, gain: float, cutoffs: CutoffOds, limit_of_blank_od: float | None
) -> MeasurementConfig:
    """Turn a gain, cut-offs and a limit of blank into the measurement section that they mean.

    Cut-offs are multiplied by the gain, as the laboratory's densities are. A ray has to pass the
    limit of blank in any case. The section's cut-offs are compared with densities above the limit
    of blank, so it is taken off them: a limit of blank hides what negative tissue shows as well,
    and moves no other boundary.

    Parameters
    ----------
    base
        Everything that a calibration does not decide.
    gain
        Densities of the laboratory against the reference scale.
    cutoffs
        On the reference scale.
    limit_of_blank_od
        OD as measured; None where unknown.

    Returns
    -------
    MeasurementConfig
        To classify cells with, as they are read or from stored ones.

    Examples
    --------
    >>> found = calibrated_measurement(load_config().measurement, gain=0.5,
    ...                                cutoffs=reference_cutoffs(), limit_of_blank_od=0.1)
    >>> found.limit_of_blank_od, found.stained_od, found.moderate_od, found.intense_od
    (0.1, 0.01, 0.04, 0.2)
    """
    blank = limit_of_blank_od or 0.0
    lowest = blank + OD_STEP if blank else 0.0
    values = {
        "limit_of_blank_od": blank,
        "contrast_od": gain * cutoffs.contrast_od,
        "contrast_exempt_od": gain * cutoffs.contrast_exempt_od,
    }
    for name in ("stained_od", "weak_od", "moderate_od", "intense_od"):
        values[name] = max(gain * getattr(cutoffs, name), lowest) - blank
    # Cut-offs are compared to four decimals.
    rounded = {name: round(value, 4) for name, value in values.items()}
    return MeasurementConfig.model_validate({**base.model_dump(), **rounded})


def apply_calibration(config: Config, calibration: Calibration) -> Config:
    """Return the configuration with a calibration's cut-offs; both are part of its hash.

    Parameters
    ----------
    config
        With the default cut-offs.
    calibration
        As read.

    Returns
    -------
    Config
        To score with, or to classify stored cells with.

    Raises
    ------
    ConfigError
        If the configuration sets cut-offs of its own, or settings under which the calibration does
        not hold.

    Examples
    --------
    >>> from pathology.assets import config_path
    >>> reference = load_calibration(config_path("calibration/reference.yaml"))
    >>> config = load_config()
    >>> calibrated = apply_calibration(config, reference)
    >>> calibrated.measurement == config.measurement, calibrated.hash == config.hash
    (True, False)
    """
    default = _default_measurement()
    own = [
        f"measurement.{name}"
        for name in CALIBRATED_KEYS
        if getattr(config.measurement, name) != getattr(default, name)
    ]
    if own:
        raise ConfigError(
            f"{', '.join(own)}: set by the configuration and by calibration {calibration.title}",
            fix="Leave out one of the two.",
        )
    if calibration.guideline != config.scoring.guideline:
        raise ConfigError(
            f"calibration {calibration.title} was fitted by {calibration.guideline}, and this run "
            f"uses {config.scoring.guideline}"
        )
    differences = calibration.conditions.differences(Conditions.of(config))
    if differences:
        raise ConfigError(
            f"calibration {calibration.title} was made under other settings: "
            f"{'; '.join(differences)}",
            fix="Use the same settings, or fit a calibration under these.",
        )
    measurement = calibrated_measurement(
        config.measurement,
        gain=calibration.gain,
        cutoffs=calibration.cutoffs,
        limit_of_blank_od=calibration.limit_of_blank_od,
    )
    return config.model_copy(
        update={"measurement": measurement, "calibration": calibration.stamp()}
    )


def check_model(stamp: CalibrationStamp | None, *, name: str, sha256: str) -> None:
    """Refuse a calibration that was made with another model.

    Another model puts outlines elsewhere and so measures other densities on the same slides.

    Parameters
    ----------
    stamp
        The configuration's; None where there is no calibration.
    name, sha256
        Of the model that is to be used.

    Raises
    ------
    ModelError
        If the weights differ.

    Examples
    --------
    >>> check_model(None, name="her2-cells/0.1.0", sha256="0" * 64)
    """
    if stamp is None or stamp.model_sha256 in (None, sha256):
        return
    raise ModelError(
        f"calibration {stamp.title} was made with another model (weights "
        f"{stamp.model_sha256[:12]}…, {name} has {sha256[:12]}…)",
        fix="Score the calibration slides with this model and run `her2 calibrate` again.",
    )
