"""What a calibration holds: how dark a laboratory stains, and the cut-offs that follow from it.

A calibration never touches a pixel. Stored densities stay as measured; the cut-offs move. So it is
applied alike to a slide that is being read and to cells that were stored long ago, and no image is
ever normalised by itself.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pathology.config import CalibrationStamp, Config

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
    >>> from pathology.stain.calibrating import reference_cutoffs
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
    >>> from pathology.config import load_config
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
