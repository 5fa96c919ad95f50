"""The guideline of in-situ hybridisation as data: cut-offs, and outcomes beside the IHC score."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pathology.scoring.guideline_files import list_guidelines, read_guideline
from pathology.scoring.tiers import Her2Status

__all__ = [
    "DEFAULT_ISH_GUIDELINE",
    "ISH_CATEGORIES",
    "IhcClass",
    "IshCategory",
    "IshCutoff",
    "IshCutoffs",
    "IshGuideline",
    "IshOutcome",
    "ihc_class",
    "ish_guideline_names",
    "load_ish_guideline",
]

#: The bundled guideline that ISH results are judged by.
DEFAULT_ISH_GUIDELINE: Final = "asco-cap-2018"
_FOLDER: Final = "guidelines/ish"
#: What a count or a call says: dual-probe groups, single-probe ranges, or a laboratory's own call.
IshCategory = Literal[
    "group_1",
    "group_2",
    "group_3",
    "group_4",
    "group_5",
    "single_high",
    "single_middle",
    "single_low",
    "call_positive",
    "call_negative",
]
ISH_CATEGORIES: Final[tuple[IshCategory, ...]] = get_args(IshCategory)
#: IHC scores that the outcomes tell apart.
IhcClass = Literal["ihc_0_1", "ihc_2", "ihc_3", "ihc_missing"]
_CLASS_OF: Final[dict[str | None, IhcClass]] = {
    "0": "ihc_0_1",
    "1+": "ihc_0_1",
    "2+": "ihc_2",
    "3+": "ihc_3",
    None: "ihc_missing",
}


def ihc_class(score: str | None) -> IhcClass:
    """Return the column of the outcomes that an IHC score belongs to.

    Parameters
    ----------
    score
        ``0``, ``1+``, ``2+``, ``3+``; None where the block has no score.

    Raises
    ------
    ValueError
        If the text is no score.

    Examples
    --------
    >>> ihc_class("1+"), ihc_class(None)
    ('ihc_0_1', 'ihc_missing')
    """
    if score not in _CLASS_OF:
        raise ValueError(f"not an IHC score: {score!r}")
    return _CLASS_OF[score]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class IshCutoff(_Part):
    """Hold a number that a count, a mean or a share is compared with.

    Parameters
    ----------
    value
        At least 0, in the unit of the cut-off's name.
    inclusive
        Whether the value itself reaches the cut-off.
    verified
        Whether the wording was read at the source.
    source
        The clause that it stands in.

    Examples
    --------
    >>> cutoff = IshCutoff(value=2.0, inclusive=True, verified=True, source="an example")
    >>> cutoff.reached(80, 40), cutoff.reached(79, 40)
    (True, False)
    """

    value: Annotated[float, Field(ge=0.0)]
    inclusive: bool
    verified: bool
    source: Annotated[str, Field(min_length=1)]

    def reached(self, n: int | Fraction, per: int | Fraction = 1) -> bool:
        """Compare ``n / per`` with the cut-off, without division or rounding.

        Parameters
        ----------
        n, per
            Exact numbers, per at least 0.
        """
        # Through the shortest decimal text: 2.2 means 22/10, not the binary number beside it.
        limit = Fraction(repr(self.value)) * per
        return n >= limit if self.inclusive else n > limit


class IshCutoffs(_Part):
    """Hold every cut-off of the guideline.

    Parameters
    ----------
    ratio
        HER2 signals per CEP17 signal.
    copies_low, copies_high
        Mean HER2 signals per cell.
    cells
        Cells of one count.
    second_population_pct
        Per cent of the tumour cells.
    invasive_areas
        Countable areas of invasive tumour.
    weak_signals_pct, cytoplasm_signals_pct
        Per cent of the signals.
    """

    ratio: IshCutoff
    copies_low: IshCutoff
    copies_high: IshCutoff
    cells: IshCutoff
    second_population_pct: IshCutoff
    invasive_areas: IshCutoff
    weak_signals_pct: IshCutoff
    cytoplasm_signals_pct: IshCutoff


class IshOutcome(_Part):
    """Say what one category means at one IHC score.

    Parameters
    ----------
    status
        Final status of the block.
    comment
        Whether the report needs the guideline's comment.
    discordant
        Whether ISH and IHC contradict each other.
    recount
        Whether the status holds only after a blinded recount in the same category.
    """

    status: Her2Status
    comment: bool = False
    discordant: bool = False
    recount: bool = False


class IshGuideline(_Part):
    """Hold a guideline for in-situ hybridisation.

    Parameters
    ----------
    id
        Name; that of its file.
    version
        Year of the guideline and revision of its file.
    title
        For people.
    organ
        Its tumours' organ, as in the IHC guidelines.
    source
        Where it was printed.
    verified
        Whether the tables were read at the source.
    cutoffs
        See :class:`IshCutoffs`.
    outcomes
        One for each category and IHC score.
    interpretations
        Readings of ours by name.

    Raises
    ------
    pydantic.ValidationError
        If a category or an IHC score is missing, or missing evidence or IHC 3+ would give a
        negative status.

    Examples
    --------
    >>> load_ish_guideline("asco-cap-2018").outcome("group_3", "2+").recount
    True
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(min_length=1)]
    organ: Annotated[str, Field(min_length=1)]
    source: Annotated[tuple[str, ...], Field(min_length=1)]
    verified: bool
    cutoffs: IshCutoffs
    outcomes: Mapping[IshCategory, Mapping[IhcClass, IshOutcome]]
    interpretations: Mapping[str, str]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.outcomes) != set(ISH_CATEGORIES):
            raise ValueError(f"outcomes must be {', '.join(ISH_CATEGORIES)}")
        classes = set(_CLASS_OF.values())
        for category, row in self.outcomes.items():
            if set(row) != classes:
                raise ValueError(f"outcomes.{category} must be {', '.join(sorted(classes))}")
            if row["ihc_missing"].status == "negative" or row["ihc_3"].status == "negative":
                raise ValueError(
                    f"outcomes.{category}: neither a missing IHC score nor 3+ may end negative"
                )
        if not self.cutoffs.copies_low.value < self.cutoffs.copies_high.value:
            raise ValueError("cutoffs.copies_low must be below cutoffs.copies_high")
        return self

    def outcome(self, category: IshCategory, ihc_score: str | None) -> IshOutcome:
        """Look an outcome up.

        Parameters
        ----------
        category
            One of :data:`ISH_CATEGORIES`.
        ihc_score
            ``0``, ``1+``, ``2+``, ``3+``; None where the block has no score.
        """
        return self.outcomes[category][ihc_class(ihc_score)]


def ish_guideline_names() -> tuple[str, ...]:
    """List the bundled guidelines for in-situ hybridisation, sorted.

    Examples
    --------
    >>> "asco-cap-2018" in ish_guideline_names()
    True
    """
    return list_guidelines(_FOLDER)


def load_ish_guideline(name: str) -> IshGuideline:
    """Read a bundled guideline for in-situ hybridisation.

    Parameters
    ----------
    name
        One of :func:`ish_guideline_names`.

    Returns
    -------
    IshGuideline
        The checked guideline.

    Raises
    ------
    ConfigError
        If there is no guideline of this name, or its file is not valid.

    Examples
    --------
    >>> load_ish_guideline("asco-cap-2018").cutoffs.cells.value
    20.0
    """
    return read_guideline(IshGuideline, _FOLDER, name, "ISH guideline")
