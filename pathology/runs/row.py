"""One row of ``results.csv``: its columns, their types, and what they may say together."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pathology.errors import FAILED_REASONS, ReasonCode
from pathology.scoring.tiers import TIER_ORDER, Her2Status, Her2Tier

__all__ = [
    "COLUMN_KINDS",
    "FIRST_COLUMNS",
    "PATTERN_COLUMNS",
    "RESULT_COLUMNS",
    "TIER_ORDER",
    "ColumnKind",
    "Count",
    "Flag",
    "Her2Status",
    "Her2Tier",
    "IhcScore",
    "ResultRow",
    "Sha256",
    "Text",
]

IhcScore = Literal["0", "1+", "2+", "3+"]

#: Patterns in the order of the columns ``n_*`` and ``pct_*``, strongest first.
PATTERN_COLUMNS: tuple[str, ...] = (
    "complete_intense",
    "complete_weak_moderate",
    "incomplete_moderate_intense",
    "incomplete_faint",
    "unstained",
)
# What the score alone says (ASCO/CAP 2018); ISH results are merged per case, never into this row.
_STATUS_OF: dict[IhcScore, Her2Status] = {
    "0": "negative",
    "1+": "negative",
    "2+": "equivocal",
    "3+": "positive",
}
_TIERS_OF: dict[IhcScore, tuple[Her2Tier, ...]] = {
    "0": ("her2_null", "her2_ultralow"),
    "1+": ("her2_low",),
    "2+": ("her2_equivocal",),
    "3+": ("her2_positive",),
}
# Percentages and shares are checked against what they come from, up to the four decimals of tables.
_ROUNDING = 1e-4

# An empty text and no text are the same in a table, so only one of them is allowed.
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
NonNegative = Annotated[float, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# Names of antibody clones keep their capitals: assay_not_4B5.
Flag = Annotated[str, Field(pattern="^[a-z][a-zA-Z0-9_]*$")]


class ResultRow(BaseModel):
    """Hold one row of ``results.csv``: its fields are the columns, in their order.

    Parameters
    ----------
    **fields
        One for each of :data:`RESULT_COLUMNS`; each carries its own description. None is an empty
        field. Percentages are 0 to 100, shares 0 to 1, lengths µm, areas mm², OD decadic.

    Raises
    ------
    pydantic.ValidationError
        If a value is of the wrong type, outside its range, or contradicts another.

    Examples
    --------
    >>> row = ResultRow(slide_id="a-1", path="a.svs", status="failed", reasons=("unreadable",))
    >>> row.ihc_score is None
    True
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    slide_id: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="Name of the slide's folder, unique in the run.",
        ),
    ]
    path: Annotated[Text, Field(description="The file as the user named it.")]
    case_id: Text | None = None
    status: Literal["scored", "not_scorable", "failed"]
    reasons: Annotated[
        tuple[Annotated[ReasonCode, Field(strict=False)], ...],
        Field(description="Why there is no score; empty where scored."),
    ] = ()
    ihc_score: IhcScore | None = None
    her2_status: Her2Status | None = None
    her2_tier: Her2Tier | None = None
    ish_reflex: Annotated[
        bool | None, Field(description="True for 2+, False for other scores, None without one.")
    ] = None
    n_tumour_cells: Annotated[Count | None, Field(description="Evaluable tumour cells.")] = None
    n_complete_intense: Count | None = None
    n_complete_weak_moderate: Count | None = None
    n_incomplete_moderate_intense: Count | None = None
    n_incomplete_faint: Count | None = None
    n_unstained: Count | None = None
    pct_complete_intense: Percent | None = None
    pct_complete_weak_moderate: Percent | None = None
    pct_incomplete_moderate_intense: Percent | None = None
    pct_incomplete_faint: Percent | None = None
    pct_unstained: Percent | None = None
    mean_membrane_od: Annotated[
        NonNegative | None,
        Field(description="Mean over tumour cells of the OD along the whole outline."),
    ] = None
    h_score: Annotated[float, Field(ge=0, le=300)] | None = None
    deciding_rule: Text | None = None
    deciding_lo: Annotated[
        Percent | None, Field(description="Lower end of the deciding fraction's interval, %.")
    ] = None
    deciding_hi: Annotated[
        Percent | None, Field(description="Upper end of the deciding fraction's interval, %.")
    ] = None
    distance_to_cutoff_pp: Annotated[
        float | None,
        Field(description="Between the deciding fraction and its cut-off, percentage points."),
    ] = None
    boot_share_null: Share | None = None
    boot_share_ultralow: Share | None = None
    boot_share_1: Share | None = None
    boot_share_2: Share | None = None
    boot_share_3: Share | None = None
    ultralow_upper_pct: Percent | None = None
    borderline: bool | None = None
    flags: Annotated[tuple[Flag, ...], Field(description="Doubts, sorted by name.")] = ()
    region_source: Literal["model", "annotation", "reviewed"] | None = None
    n_in_situ_excluded: Count | None = None
    control_status: Literal["not_assessed", "passed", "failed"] | None = None
    tissue_mm2: NonNegative | None = None
    tumour_mm2: NonNegative | None = None
    tiles: Annotated[Count | None, Field(description="Tiles taken up, read or failed.")] = None
    failed_tiles: Count | None = None
    mpp: Annotated[
        Annotated[float, Field(gt=0)] | None,
        Field(description="Mean of x and y of the slide's pixel size, µm/px."),
    ] = None
    mpp_source: Literal["header", "manifest", "argument", "array"] | None = None
    assay: Text | None = None
    guideline: Text | None = None
    calibration: Text | None = None
    model: Text | None = None
    model_sha256: Sha256 | None = None
    block_id: Text | None = None
    role: Annotated[
        Literal["test", "control"],
        Field(description="A control checks the stain; it is nobody's result."),
    ] = "test"
    expected_score: IhcScore | None = None
    # Continuous measures: defined in scoring/continuous.py; empty without a score.
    membrane_od_p5: Annotated[
        NonNegative | None,
        Field(description="5th percentile over tumour cells of the OD along the whole outline."),
    ] = None
    membrane_od_p25: NonNegative | None = None
    membrane_od_p50: NonNegative | None = None
    membrane_od_p75: NonNegative | None = None
    membrane_od_p95: NonNegative | None = None
    membrane_completeness_median: Annotated[
        Share | None, Field(description="Median over tumour cells of the stained outline share.")
    ] = None
    membrane_completeness_iqr: Annotated[
        Share | None, Field(description="75th less 25th percentile of the same.")
    ] = None
    membrane_cytoplasm_ratio: Annotated[
        NonNegative | None,
        Field(description="Median over tumour cells of membrane OD by cytoplasm OD."),
    ] = None
    qcs_positive_pct: Annotated[
        Percent | None,
        Field(description="Tumour cells whose membrane OD reaches scoring.qcs_od, %."),
    ] = None
    bystander_pct: Annotated[
        Percent | None,
        Field(description="Negative tumour cells with a positive one in reach, %."),
    ] = None
    heterogeneity_index: Annotated[
        Share | None,
        Field(description="Share of the variance of membrane OD between blocks of tissue."),
    ] = None
    # How near the score is to another one; empty without a score and in tables of before.
    deciding_pct: Annotated[
        Percent | None, Field(description="The deciding fraction: what the rule compared, %.")
    ] = None
    cutoff_pct: Annotated[
        Percent | None, Field(description="The cut-off that it was compared with, %.")
    ] = None
    nearest_score: Annotated[
        Literal["0", "1+", "2+", "3+", "unresolved"] | None,
        Field(description="The score that the smallest change of a share would bring."),
    ] = None
    nearest_score_pp: Annotated[
        NonNegative | None,
        Field(description="That change, of whichever share it is, percentage points."),
    ] = None

    @field_validator("reasons", "flags", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list | set | frozenset) else value

    # One order, whatever order the checks ran in.
    @field_validator("reasons")
    @classmethod
    def _sort_reasons(cls, value: tuple[ReasonCode, ...]) -> tuple[ReasonCode, ...]:
        return tuple(code for code in ReasonCode if code in value)

    @field_validator("flags")
    @classmethod
    def _sort_flags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_status()
        self._check_score()
        self._check_counts()
        self._check_rest()
        return self

    def _check_status(self) -> None:
        failed = [code for code in self.reasons if code in FAILED_REASONS]
        if (self.status == "scored") != (not self.reasons):
            raise ValueError("reasons must be empty for scored slides, and only for them")
        if self.status == "failed" and not failed:
            raise ValueError("a failed slide needs a reason that means failure")
        if self.status == "not_scorable" and failed:
            raise ValueError(f"reason {failed[0]!s} means that the slide failed")

    def _check_score(self) -> None:
        if self.status != "scored":
            if any(x is not None for x in (self.ihc_score, self.her2_tier, self.ish_reflex)):
                raise ValueError("only a scored slide has ihc_score, her2_tier and ish_reflex")
            if self.her2_status not in (None, "indeterminate"):
                raise ValueError("a slide without a score is indeterminate or has no her2_status")
            return
        if self.ish_reflex is None or self.ish_reflex != (self.ihc_score == "2+"):
            raise ValueError("ish_reflex must be true for 2+, and only for it")
        if self.ihc_score is None:
            # A policy may leave the gap of the guideline unresolved: read in full, not classed.
            if self.her2_status != "indeterminate" or self.her2_tier is not None:
                raise ValueError("a scored slide without ihc_score is indeterminate, without tier")
            return
        if self.her2_status != _STATUS_OF[self.ihc_score]:
            raise ValueError(f"her2_status {self.her2_status} does not go with {self.ihc_score}")
        # Null, ultralow and low are terms of breast cancer: other guidelines leave them empty.
        bare = self.her2_tier is None and self.ihc_score in ("0", "1+")
        if not bare and self.her2_tier not in _TIERS_OF[self.ihc_score]:
            raise ValueError(f"her2_tier {self.her2_tier} does not go with {self.ihc_score}")

    def _check_counts(self) -> None:
        counts = [getattr(self, f"n_{name}") for name in PATTERN_COLUMNS]
        shares = [getattr(self, f"pct_{name}") for name in PATTERN_COLUMNS]
        total = self.n_tumour_cells
        if total is None:
            if self.status == "scored" or any(x is not None for x in (*counts, *shares)):
                raise ValueError("counts and percentages need n_tumour_cells, as does a score")
            return
        if any(count is None for count in counts) or sum(counts) != total:
            raise ValueError("the five pattern counts must add up to n_tumour_cells")
        for name, count, share in zip(PATTERN_COLUMNS, counts, shares, strict=True):
            expected = 100 * count / total if total else None
            if (share is None) != (expected is None) or (
                expected is not None and abs(share - expected) > _ROUNDING
            ):
                raise ValueError(f"pct_{name} must be {expected}, not {share}")

    @property
    def margin_pp(self) -> float | None:
        """Percentage points to the nearest other score, also of results of before that column.

        Those hold it in ``distance_to_cutoff_pp``; None without a score.
        """
        held = self.nearest_score_pp
        return self.distance_to_cutoff_pp if held is None else held

    def _check_rest(self) -> None:
        boot = [getattr(self, f"boot_share_{x}") for x in ("null", "ultralow", "1", "2", "3")]
        if len({share is None for share in boot}) > 1:
            raise ValueError("the five boot_share_* are given together")
        if boot[0] is not None and sum(boot) > 1 + 5 * _ROUNDING:
            raise ValueError("the five boot_share_* add up to more than 1")
        for pair in (("mpp", "mpp_source"), ("model", "model_sha256"), ("tiles", "failed_tiles")):
            if (getattr(self, pair[0]) is None) != (getattr(self, pair[1]) is None):
                raise ValueError(f"{pair[0]} and {pair[1]} are given together")
        if self.tiles is not None and (self.failed_tiles or 0) > self.tiles:
            raise ValueError("failed_tiles cannot exceed tiles")
        if (self.deciding_lo is None) != (self.deciding_hi is None) or (
            (self.deciding_lo or 0) > (self.deciding_hi or 0)
        ):
            raise ValueError("deciding_lo and deciding_hi are given together, in this order")
        if (self.nearest_score is None) != (self.nearest_score_pp is None):
            raise ValueError("nearest_score and nearest_score_pp are given together")


#: Columns of ``results.csv``, in their order. Columns may be appended, never moved nor renamed.
RESULT_COLUMNS: tuple[str, ...] = tuple(ResultRow.model_fields)

#: Columns that tables of the first version have: up to ``expected_score``.
FIRST_COLUMNS: int = RESULT_COLUMNS.index("expected_score") + 1

ColumnKind = Literal["text", "codes", "int", "float", "bool"]


def _kind(annotation: Any) -> ColumnKind:
    """Reduce a field's annotation to the kind of its column."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _kind(next(part for part in get_args(annotation) if part is not NoneType))
    if origin is tuple:
        return "codes"
    kinds: dict[Any, ColumnKind] = {bool: "bool", int: "int", float: "float"}
    return kinds.get(annotation, "text")


#: What each column of ``results.csv`` holds; ``codes`` are words joined by ``;``.
COLUMN_KINDS: dict[str, ColumnKind] = {
    name: _kind(field.annotation) for name, field in ResultRow.model_fields.items()
}
