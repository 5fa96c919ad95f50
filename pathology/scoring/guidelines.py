"""Guidelines as data: cut-offs with their strictness, and the readings that fill their gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pathology.assets import config_path
from pathology.errors import ConfigError
from pathology.scoring.guideline_files import list_guidelines, read_guideline

__all__ = [
    "SPECIMENS",
    "AssayRule",
    "ClusterCutoff",
    "Cutoff",
    "Guideline",
    "Interpretation",
    "Specimen",
    "guideline_names",
    "load_guideline",
]

Specimen = Literal["resection", "biopsy"]
#: Specimen types that a guideline may ask for.
SPECIMENS: Final[tuple[Specimen, ...]] = get_args(Specimen)


@dataclass(frozen=True)
class _Needs:
    """What a rule set has to find in its guideline, by name."""

    interpretations: frozenset[str]
    clusters: frozenset[str] = frozenset()
    specimens: tuple[Specimen, ...] = ()


_FOLDER: Final = "guidelines"
_CUTOFFS: Final = frozenset({"score_1", "score_2", "score_3"})
_NEEDS: Final[Mapping[str, _Needs]] = MappingProxyType(
    {
        "breast_asco_cap": _Needs(frozenset({"sum_towards_1", "sum_towards_2", "pattern_floor"})),
        "gastric": _Needs(
            frozenset({"sum_towards_1", "sum_towards_2", "weak_partial_is_2"}),
            clusters=frozenset({"biopsy"}),
            specimens=SPECIMENS,
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


class ClusterCutoff(_Part):
    """Hold a number of contiguous cells that has to be reached.

    Parameters
    ----------
    cells
        Cells, at least 1.
    strict
        True: more than ``cells``. False: ``cells`` are enough.

    Examples
    --------
    >>> ClusterCutoff(cells=5, strict=False).least, ClusterCutoff(cells=5, strict=True).least
    (5, 6)
    """

    cells: Annotated[int, Field(ge=1)]
    strict: bool

    @property
    def least(self) -> int:
        """The smallest number of cells that is enough."""
        return self.cells + self.strict

    def words(self) -> str:
        """Put it into words: ``≥ 5 cells``."""
        return f"{'>' if self.strict else '≥'} {self.cells} cells"


class AssayRule(_Part):
    """Name the antibody clone that scores of a kind are about.

    Parameters
    ----------
    clone
        Name of the clone, such as ``4B5``.
    scores
        Scores that are doubtful with another clone, or where the clone is not known.
    """

    clone: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]
    scores: tuple[Literal["0", "1+", "2+", "3+"], ...]


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
    caveat
        What was not seen, in words; given where ``verified`` is false, and only there.
    low_tiers
        Whether null, ultralow and low mean something in this organ.
    cutoffs
        Cut-offs by name.
    clusters
        Least sizes of clusters by name.
    interpretations
        Readings of ours by name.
    assay
        The clone that scores are about, where the guideline is bound to one.
    settings
        Keys of the section ``scoring`` of the configuration that its rules look at, too.
    specimens
        Specimen types that the rules differ by; one of them has to be stated for each slide.
    specimen
        The one that was stated (:meth:`for_specimen`); never in a file.

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
    source: Annotated[tuple[str, ...], Field(min_length=1)]
    verified: bool
    caveat: str = ""
    low_tiers: bool
    cutoffs: Mapping[str, Cutoff]
    clusters: Mapping[str, ClusterCutoff] = Field(default_factory=dict)
    interpretations: Mapping[str, Interpretation]
    assay: AssayRule | None = None
    settings: tuple[str, ...] = ()
    specimens: tuple[Specimen, ...] = ()
    specimen: Specimen | None = None

    @model_validator(mode="after")
    def _complete(self) -> Guideline:
        if self.rules not in _NEEDS:
            raise ValueError(f"unknown rule set {self.rules!r} (known: {', '.join(_NEEDS)})")
        needs = _NEEDS[self.rules]
        for name, names in (
            ("cutoffs", _CUTOFFS),
            ("interpretations", needs.interpretations),
            ("clusters", needs.clusters),
        ):
            if set(getattr(self, name)) != names:
                raise ValueError(f"{name} must be {', '.join(sorted(names)) or 'left out'}")
        if self.specimens != needs.specimens:
            raise ValueError(f"specimens must be {', '.join(needs.specimens) or 'left out'}")
        if self.specimen is not None and self.specimen not in self.specimens:
            raise ValueError("specimen must be one of specimens")
        if self.verified == bool(self.caveat):
            raise ValueError("caveat says what was not seen, where verified is false")
        return self

    @property
    def label(self) -> str:
        """The name as people should read it: with a warning where it was not verified."""
        return self.id if self.verified else f"{self.id} (not verified)"

    def for_specimen(self, specimen_type: str | None) -> Guideline | None:
        """Return the guideline for a specimen type as the manifest states it.

        The type is never guessed. Case and surrounding spaces do not matter; no other spelling is
        taken.

        Parameters
        ----------
        specimen_type
            As stated; None or empty where it was not.

        Returns
        -------
        Guideline or None
            Itself where the type does not matter; None where it does and is not one of
            ``specimens``.

        Examples
        --------
        >>> gastric = load_guideline("gastric-inclusive")
        >>> gastric.for_specimen(" Biopsy ").specimen, gastric.for_specimen("needle")
        ('biopsy', None)
        """
        if not self.specimens or self.specimen is not None:
            return self
        stated = (specimen_type or "").strip().casefold()
        for known in self.specimens:
            if stated == known:
                return self.model_copy(update={"specimen": known})
        return None

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
    return list_guidelines(_FOLDER)


def load_guideline(name: str) -> Guideline:
    """Read a bundled guideline; each file is read once.

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
    found = read_guideline(Guideline, _FOLDER, name, "guideline")
    if found.specimen is not None:
        path = config_path(f"{_FOLDER}/{name}.yaml")
        raise ConfigError(f"{path}: specimen is stated for a slide, not in a guideline")
    return found
