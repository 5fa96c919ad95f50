"""The nested parts of ``result.json``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pathology.geometry import Box0, Spacing

__all__ = [
    "BoxBlock",
    "CalibrationBlock",
    "ErrorBlock",
    "GridBlock",
    "OutputFile",
    "RegionsBlock",
    "RescoredBlock",
    "Scalar",
    "SpacingBlock",
    "StainBlock",
]

#: A measured value or a short word.
Scalar = bool | int | float | str | None
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ErrorBlock(_Block):
    """Say what went wrong with a slide, and what can be done about it.

    Parameters
    ----------
    message
        The cause, naming the file.
    fix
        The remedy as one sentence, or empty.
    """

    message: Name
    fix: str = ""


class SpacingBlock(_Block):
    """Hold a pixel size.

    Parameters
    ----------
    x, y
        µm per pixel, above 0.

    Examples
    --------
    >>> SpacingBlock.of(Spacing(x=0.25, y=0.5)).y
    0.5
    """

    x: Annotated[float, Field(gt=0)]
    y: Annotated[float, Field(gt=0)]

    @classmethod
    def of(cls, spacing: Spacing) -> SpacingBlock:
        """Make the block from a spacing."""
        return cls(x=float(spacing.x), y=float(spacing.y))


class BoxBlock(_Block):
    """Hold a rectangle in level-0 pixels.

    Parameters
    ----------
    x, y
        Top-left corner.
    width, height
        Sides, at least 1.

    Examples
    --------
    >>> BoxBlock.of(Box0(x=0, y=0, width=8, height=4)).width
    8
    """

    x: int
    y: int
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]

    @classmethod
    def of(cls, box: Box0) -> BoxBlock:
        """Make the block from a box."""
        return cls(x=int(box.x), y=int(box.y), width=int(box.width), height=int(box.height))


class GridBlock(_Block):
    """Hold what the tile grid was laid with.

    Parameters
    ----------
    box
        Level-0 pixels that the grid covers.
    tile_px
        Side of a tile's core in model pixels.
    block_x, block_y
        Level-0 pixels per block of model pixels.
    """

    box: BoxBlock
    tile_px: Annotated[int, Field(ge=1)]
    block_x: Annotated[int, Field(ge=1)]
    block_y: Annotated[int, Field(ge=1)]


class StainBlock(_Block):
    """Hold the check of the kind of stain.

    Parameters
    ----------
    verdict
        What the slide was taken for, such as ``ihc`` or ``not_ihc``.
    measured
        The numbers behind it, by name.
    """

    verdict: Name
    measured: Annotated[dict[str, Scalar], Field(default_factory=dict)]


class RegionsBlock(_Block):
    """Hold what the regions of a slide were taken from.

    Parameters
    ----------
    name
        File name of the annotation, or None where the model gave the regions.
    sha256
        SHA-256 of that file.
    areas_mm2
        Area of each class of region in mm².
    """

    name: Name | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    areas_mm2: Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(default_factory=dict)]


class CalibrationBlock(_Block):
    """Hold what the cut-offs of intensity were taken from; its name is a column.

    Parameters
    ----------
    sha256
        SHA-256 of the calibration's content.
    gain
        Densities of the laboratory against the reference scale.
    model_sha256
        Weights that it was made with; None where it holds for all.
    site, assay
        What it holds for, where known.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    gain: Annotated[float, Field(gt=0)]
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    site: Name | None = None
    assay: Name | None = None


class RescoredBlock(_Block):
    """Say which result this one was made from again, and what the older one said.

    Parameters
    ----------
    config_hash
        Of the older run.
    result_sha256
        SHA-256 of the older ``result.json``.
    changes
        What differs between the two runs for this slide, in words; empty where nothing does.
    status, reasons, ihc_score, her2_tier, n_tumour_cells
        As in the older result.
    """

    config_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    result_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    changes: tuple[Name, ...] = ()
    status: Name
    reasons: tuple[Name, ...] = ()
    ihc_score: Name | None = None
    her2_tier: Name | None = None
    n_tumour_cells: Count | None = None


class OutputFile(_Block):
    """Name a file that belongs to a result and lies beside it.

    Parameters
    ----------
    name
        File name without a folder.
    rows
        Number of rows of a table; None for other files.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    rows: Count | None = None
