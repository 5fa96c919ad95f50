"""The criteria of an acceptance: a YAML file, strict, with every limit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pathology.acceptance.expected import ExpectedOutcome
from pathology.acceptance.verdicts import DEFINITIONS, SetName
from pathology.assets import config_path
from pathology.config import list_problems
from pathology.errors import ConfigError
from pathology.scoring.decision import SCORES
from pathology.synthesis import SlideSpec
from pathology.yamltext import read_yaml

__all__ = ["Criteria", "Criterion", "PlannedSlide", "load_criteria"]

DEFAULT_FILE = "acceptance/default.yaml"
#: Criteria that need the truth of every cell, and those that need readers.
_SYNTHETIC_ONLY = frozenset({"tumour_cells_found", "tumour_cells_right", "pattern_error"})
_SITE_ONLY = frozenset(
    f"{side}_agreement_{rank}"
    for side in ("positive", "negative")
    for rank in range(1, len(SCORES))
)
_Positive = Annotated[float, Field(gt=0.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Criterion(_Section):
    """Hold one criterion.

    Parameters
    ----------
    limit
        In the unit of the criterion; None reports and judges nothing.
    required
        Whether an acceptance without this figure is incomplete.
    min_n
        Fewer than this are "not tested".
    judge
        ``value``, or ``lower``: the lower end of the interval is held against the limit.
    """

    limit: Annotated[float, Field(ge=0.0)] | None
    required: bool = False
    min_n: Annotated[int, Field(ge=1)] = 1
    judge: Literal["value", "lower"] = "value"


class PlannedSlide(_Section):
    """Hold one slide of the synthetic set.

    Parameters
    ----------
    name
        Name of its file, without the ending.
    kind, score, near_cutoff, piece_mm
        As in :class:`~pathology.synthesis.SlideSpec`.
    reasons
        Allowed reasons of the refusal of a slide that must not be scored.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,40}$")]
    kind: str = "ihc"
    score: str = "0"
    near_cutoff: bool = False
    piece_mm: _Positive = 1.0
    reasons: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.spec.expected_score is None) != bool(self.reasons):
            raise ValueError("a slide that must not be scored needs reasons, and only such a slide")
        if self.reasons:
            ExpectedOutcome.parse(self.refusal)
        return self

    @property
    def spec(self) -> SlideSpec:
        """What to render."""
        return SlideSpec(
            kind=self.kind, score=self.score, near_cutoff=self.near_cutoff, piece_mm=self.piece_mm
        )

    @property
    def refusal(self) -> str:
        """The allowed refusals, as :meth:`ExpectedOutcome.parse` reads them."""
        return ";".join(f"not_scorable:{reason}" for reason in self.reasons)


class _SyntheticSet(_Section):
    first_seed: Annotated[int, Field(ge=0)]
    slides: Annotated[tuple[PlannedSlide, ...], Field(strict=False, min_length=1)]
    criteria: dict[str, Criterion]

    @field_validator("slides")
    @classmethod
    def _named_once(cls, value: tuple[PlannedSlide, ...]) -> tuple[PlannedSlide, ...]:
        if len({slide.name for slide in value}) < len(value):
            raise ValueError("two slides have one name")
        return value

    @field_validator("criteria")
    @classmethod
    def _known(cls, value: dict[str, Criterion]) -> dict[str, Criterion]:
        return _check_names(value, set(DEFINITIONS) - _SITE_ONLY)


class _SiteSet(_Section):
    criteria: dict[str, Criterion]

    @field_validator("criteria")
    @classmethod
    def _known(cls, value: dict[str, Criterion]) -> dict[str, Criterion]:
        return _check_names(value, set(DEFINITIONS) - _SYNTHETIC_ONLY)


def _check_names(value: dict[str, Criterion], known: set[str]) -> dict[str, Criterion]:
    unknown = sorted(set(value) - known)
    if unknown:
        raise ValueError(f"unknown criterion {unknown[0]!r}; known: {', '.join(sorted(known))}")
    # In the order of the page, whatever that of the file.
    return {name: value[name] for name in DEFINITIONS if name in value}


class Criteria(_Section):
    """Hold what is asked of an installation.

    Parameters
    ----------
    id, version
        Name of the criteria.
    confidence
        Of every interval, above 0 and below 1.
    near_cutoff_pp
        Slides this near to a cut-off are counted apart, percentage points.
    match_um, same_cell_um
        Distance within which a found and a true cell, or a cell of two readings, are one, µm.
    synthetic, site
        Criteria by slides, and the synthetic slides.

    Examples
    --------
    >>> load_criteria().synthetic.criteria["slides_end"].limit
    100.0
    """

    id: Annotated[str, Field(min_length=1)]
    version: Annotated[int, Field(ge=1)]
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)]
    near_cutoff_pp: Annotated[float, Field(ge=0.0)]
    match_um: _Positive
    same_cell_um: _Positive
    synthetic: _SyntheticSet
    site: _SiteSet

    def of(self, slides: SetName) -> dict[str, Criterion]:
        """Return the criteria of one set of slides."""
        return self.synthetic.criteria if slides == "synthetic" else self.site.criteria

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the content, over canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def load_criteria(path: Path | None = None, *, seed: int | None = None) -> Criteria:
    """Read the bundled criteria, with a file's on top.

    Parameters
    ----------
    path
        YAML file with any of the keys of ``configs/acceptance/default.yaml``; a list of slides
        takes the place of the bundled one.
    seed
        Seed of the first synthetic slide, in place of the file's.

    Returns
    -------
    Criteria
        Checked.

    Raises
    ------
    ConfigError
        If a file cannot be read, or a key or value is not valid; names the key.

    Examples
    --------
    >>> load_criteria(seed=5).synthetic.first_seed
    5
    """
    content = _read(config_path(DEFAULT_FILE))
    if path is not None:
        content = _merge(content, _read(path))
    if seed is not None:
        content = _merge(content, {"synthetic": {"first_seed": seed}})
    try:
        return Criteria.model_validate(content)
    except ValidationError as error:
        raise ConfigError(
            f"{path or DEFAULT_FILE}: not valid criteria ({list_problems(error)})",
            fix="The keys and what they mean stand in configs/acceptance/default.yaml.",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of keys")
    return content


def _merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree over another; lists and plain values are replaced."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged
