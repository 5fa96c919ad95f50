"""Everything of one slide: the content of ``result.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pathology.errors import SlideError
from pathology.provenance import SlideIdentity
from pathology.runs.blocks import (
    CalibrationBlock,
    ErrorBlock,
    GridBlock,
    OutputFile,
    RegionsBlock,
    RescoredBlock,
    Scalar,
    SpacingBlock,
    StainBlock,
)
from pathology.runs.row import (
    PATTERN_COLUMNS,
    RESULT_COLUMNS,
    Count,
    Flag,
    ResultRow,
    Sha256,
    Text,
)
from pathology.scoring.counts import PatternCounts

__all__ = ["RESULT_COLUMNS", "SCHEMA_VERSION", "SlideResult", "count_columns", "result_from_error"]

#: Version of ``result.json``; raised when a reader of the old form could not read the new one.
SCHEMA_VERSION = 2


class SlideResult(ResultRow):
    """Hold everything of one slide: what ``result.json`` says.

    Nothing in it depends on when, where or how fast the slide was read: the same input, model and
    configuration give the same bytes.

    Parameters
    ----------
    **fields
        Those of :class:`ResultRow`, and the blocks below; each carries its own description.

    Examples
    --------
    >>> result = SlideResult(slide_id="a-1", path="a.svs", status="not_scorable",
    ...                      reasons=("no_tissue",), qc={"glass_share": 1.0})
    >>> SlideResult.from_json(result.to_json()) == result
    True
    """

    schema_version: Annotated[
        Literal[1, 2],
        Field(description="1 lacks the continuous measures and what rescoring needs."),
    ] = 2
    specimen_type: Text | None = None
    site: Text | None = None
    stain_run: Text | None = None
    index_block: Annotated[
        bool | None,
        Field(description="Whether the manifest declares the slide's block its case's index."),
    ] = None
    identity: SlideIdentity | None = None
    config_hash: Sha256 | None = None
    error: ErrorBlock | None = None
    deciding_clause: Annotated[
        Text | None, Field(description="The clause of the guideline that decided, in words.")
    ] = None
    counts: Annotated[
        PatternCounts | None,
        Field(description="Tumour cells by intensity and completeness; the score follows."),
    ] = None
    class_counts: Annotated[
        dict[str, Count] | None, Field(description="Cells of every class, tumour or not.")
    ] = None
    vendor: Text | None = None
    spacing: Annotated[SpacingBlock | None, Field(description="Level-0 pixel, µm.")] = None
    model_mpp: Annotated[SpacingBlock | None, Field(description="Model pixel, µm.")] = None
    grid: GridBlock | None = None
    icc_profile: Literal["none", "recorded", "applied"] | None = None
    white_point: Annotated[
        tuple[float, float, float] | None, Field(description="R, G, B of the glass, 1 to 255.")
    ] = None
    stain_check: StainBlock | None = None
    calibration_used: CalibrationBlock | None = None
    qc: Annotated[
        dict[Flag, Scalar],
        Field(default_factory=dict, description="Named measurements of quality."),
    ]
    regions: RegionsBlock | None = None
    warnings: tuple[Text, ...] = ()
    outputs: Annotated[
        tuple[OutputFile, ...], Field(description="Files beside result.json that belong to it.")
    ] = ()
    size_px: Annotated[
        tuple[Count, Count] | None, Field(description="Width and height of level 0, px.")
    ] = None
    slide_flags: Annotated[
        tuple[Flag, ...],
        Field(description="Those of the flags that no guideline, cut-off or region can change."),
    ] = ()
    rescored: Annotated[
        RescoredBlock | None, Field(description="Where this was made from an older result.")
    ] = None
    reader: Annotated[
        Literal["direct", "openslide", "memory"] | None,
        Field(description="What read the pixels: the file's tiles, OpenSlide, or a flat image."),
    ] = None
    reader_note: Annotated[
        Text | None, Field(description="Why OpenSlide read them, where it did.")
    ] = None

    @field_validator("slide_flags")
    @classmethod
    def _sort_slide_flags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    @field_validator("class_counts", "qc")
    @classmethod
    def _sort_keys(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if value is None else dict(sorted(value.items()))

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        if self.counts is not None and self.counts.total != self.n_tumour_cells:
            raise ValueError("counts must add up to n_tumour_cells")
        if len({file.name for file in self.outputs}) != len(self.outputs):
            raise ValueError("outputs names a file twice")
        return self

    def row(self) -> ResultRow:
        """Return the columns of ``results.csv`` alone."""
        return ResultRow.model_construct(**{name: getattr(self, name) for name in RESULT_COLUMNS})

    def to_json(self) -> bytes:
        """Return the content of ``result.json``: UTF-8, two spaces, a fixed order of keys."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> SlideResult:
        """Read the content of a ``result.json``.

        Raises
        ------
        ValueError
            If it is not the JSON of a result of this schema version.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"not a slide result: {place}: {first['msg']}") from error


def count_columns(counts: PatternCounts) -> dict[str, Any]:
    """Spread counts over the columns ``n_*`` and ``pct_*`` (and ``counts``) of a result.

    Parameters
    ----------
    counts
        Evaluable tumour cells.

    Returns
    -------
    dict
        Arguments for :class:`SlideResult`; percentages are None where there is no cell.

    Examples
    --------
    >>> columns = count_columns(PatternCounts(unstained=3, intense_complete=1))
    >>> columns["n_tumour_cells"], columns["pct_complete_intense"]
    (4, 25.0)
    """
    columns: dict[str, Any] = {"counts": counts, "n_tumour_cells": counts.total}
    for name in PATTERN_COLUMNS:
        n = getattr(counts, name)
        columns[f"n_{name}"] = n
        columns[f"pct_{name}"] = 100 * n / counts.total if counts.total else None
    return columns


def result_from_error(error: SlideError, *, slide_id: str, path: str, **known: Any) -> SlideResult:
    """Make the result of a slide that an error stopped.

    Parameters
    ----------
    error
        What stopped it; its reason decides between ``failed`` and ``not_scorable``.
    slide_id, path
        As in :class:`ResultRow`.
    **known
        Whatever other fields are known by then.

    Returns
    -------
    SlideResult
        Without a score.

    Examples
    --------
    >>> from pathology.errors import ReasonCode
    >>> error = SlideError("a.svs: empty file", reason=ReasonCode.UNREADABLE, fix="Copy it again.")
    >>> result = result_from_error(error, slide_id="a-1", path="a.svs", case_id="C1")
    >>> result.status, result.error.fix
    ('failed', 'Copy it again.')
    """
    return SlideResult(
        slide_id=slide_id,
        path=path,
        status="failed" if error.status == "failed" else "not_scorable",
        reasons=(error.reason,),
        error=ErrorBlock(message=error.message, fix=error.fix),
        **known,
    )
