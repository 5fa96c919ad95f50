"""Guidelines as data: cut-offs with their strictness, and the readings that fill their gaps."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pathology.assets import config_path, configs_dir
from pathology.errors import ConfigError

__all__ = ["Cutoff", "Guideline", "Interpretation", "guideline_names", "load_guideline"]

#: What a rule set has to find in its guideline: names of cut-offs, names of interpretations.
_NEEDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = MappingProxyType(
    {
        "breast_asco_cap": (
            frozenset({"score_1", "score_2", "score_3"}),
            frozenset({"sum_towards_1", "sum_towards_2", "pattern_floor"}),
        ),
    }
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Cutoff(_Part):
    """Hold a share of cells that has to be passed.

    Parameters
    ----------
    pct
        Per cent of the evaluable tumour cells, 0 to 100.
    strict
        True: the share has to be above ``pct``. False: ``pct`` itself is enough.

    Examples
    --------
    >>> cutoff = Cutoff(pct=10, strict=True)
    >>> cutoff.passed(1000, 10_000), cutoff.passed(1001, 10_000)
    (False, True)
    >>> Cutoff(pct=10, strict=False).passed(1000, 10_000)
    True
    """

    pct: Annotated[float, Field(ge=0.0, le=100.0)]
    strict: bool

    def passed(self, n: Any, total: Any) -> Any:
        """Compare ``n`` of ``total`` cells on integers, without rounding.

        Parameters
        ----------
        n, total
            Integers or arrays of int64, up to 10^10: ``n`` of ``total`` cells.

        Returns
        -------
        bool or numpy.ndarray
            Whether the share passes.
        """
        # Through the shortest decimal text: 0.1 means one tenth, not the binary number beside it.
        limit = Fraction(repr(self.pct))
        left, right = 100 * limit.denominator * n, limit.numerator * total
        return left > right if self.strict else left >= right

    def words(self, *, passed: bool) -> str:
        """Put a comparison into words: ``> 10 %`` or ``not > 10 %``."""
        sign = ">" if self.strict else "≥"
        return f"{'' if passed else 'not '}{sign} {self.pct:g} %"


class Interpretation(_Part):
    """Name a reading of ours where the guideline is silent.

    Parameters
    ----------
    apply
        Whether the rules use it.
    text
        What it says.
    """

    apply: bool
    text: Annotated[str, Field(min_length=1)]


class Guideline(_Part):
    """Hold a scoring guideline.

    Parameters
    ----------
    id
        Name, as ``--guideline`` takes it.
    version
        Year of the guideline and revision of its file.
    title, organ
        For people.
    rules
        The rule set that the numbers feed.
    source
        Where the guideline was printed.
    verified
        Whether the wording of its categories was read at the source.
    cutoffs
        Cut-offs by name.
    interpretations
        Readings of ours by name.

    Examples
    --------
    >>> load_guideline("asco-cap-breast-2018").cutoffs["score_3"].strict
    True
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(min_length=1)]
    organ: Annotated[str, Field(min_length=1)]
    rules: str
    source: tuple[str, ...]
    verified: bool
    cutoffs: Mapping[str, Cutoff]
    interpretations: Mapping[str, Interpretation]

    @model_validator(mode="after")
    def _complete(self) -> Guideline:
        if self.rules not in _NEEDS:
            raise ValueError(f"unknown rule set {self.rules!r} (known: {', '.join(_NEEDS)})")
        cutoffs, interpretations = _NEEDS[self.rules]
        if set(self.cutoffs) != cutoffs:
            raise ValueError(f"cutoffs must be {', '.join(sorted(cutoffs))}")
        if set(self.interpretations) != interpretations:
            raise ValueError(f"interpretations must be {', '.join(sorted(interpretations))}")
        return self

    def applies(self, interpretation: str) -> bool:
        """Tell whether the rules use an interpretation."""
        return self.interpretations[interpretation].apply


def guideline_names() -> tuple[str, ...]:
    """List the bundled guidelines, sorted.

    Examples
    --------
    >>> "asco-cap-breast-2018" in guideline_names()
    True
    """
    return tuple(sorted(path.stem for path in (configs_dir() / "guidelines").glob("*.yaml")))


def load_guideline(name: str) -> Guideline:
    """Read a bundled guideline.

    Parameters
    ----------
    name
        One of :func:`guideline_names`.

    Returns
    -------
    Guideline
        The checked guideline.

    Raises
    ------
    ConfigError
        If there is no guideline of this name, or its file is not valid.

    Examples
    --------
    >>> load_guideline("asco-cap-breast-2018").organ
    'breast'
    """
    known = guideline_names()
    if name not in known:
        raise ConfigError(
            f"unknown guideline {name!r}", fix=f"Known guidelines: {', '.join(known)}."
        )
    path = config_path(f"guidelines/{name}.yaml")
    try:
        guideline = Guideline.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error})") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not a valid guideline ({error})") from error
    if guideline.id != name:
        raise ConfigError(f"{path}: id {guideline.id!r} does not match the file's name")
    return guideline
