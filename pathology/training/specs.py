"""Where training data comes from: the entries of ``sources`` in a training configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pathology.cells import CELL_CLASSES
from pathology.synthesis import REGIONS
from pathology.training.classnames import IGNORE, UNKNOWN, patch_label

__all__ = [
    "MODEL_MPP",
    "AnnotatedSpec",
    "PatchesSpec",
    "QuPathCellsSpec",
    "RegionsSpec",
    "SourceSpec",
    "SyntheticSpec",
]

#: Pixel size of the cell network's fields, µm/px.
MODEL_MPP = 0.5

Mpp = Annotated[float, Field(gt=0.0, le=10.0)]
Grey = Annotated[float, Field(ge=1.0, le=255.0)]
White = tuple[Grey, Grey, Grey]
Regex = Annotated[str, Field(min_length=1, max_length=200)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: How often a source is drawn from, relative to the others.
    weight: Annotated[float, Field(gt=0.0, le=1e6)] = 1.0


class SyntheticSpec(_Spec):
    """Procedural tissue.

    Parameters
    ----------
    weight
        How often this source is drawn from, relative to the others.
    fields
        Number of different fields; None: no field is ever seen twice.
    seed
        Seed of the first; the others follow.
    only
        ``without_tumour``: only fields without invasive tumour (muscle, stroma, lymphoid tissue,
        normal and in-situ epithelium), to teach more of what is not tumour; needs ``fields``.

    Examples
    --------
    >>> SyntheticSpec(fields=1000).kind
    'synthetic'
    """

    kind: Literal["synthetic"] = "synthetic"
    fields: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    only: Literal["any", "without_tumour"] = "any"

    @model_validator(mode="after")
    def _countable(self) -> SyntheticSpec:
        if self.only != "any" and self.fields is None:
            raise ValueError(f"only: {self.only} needs a number of fields")
        return self


class _UserSpec(_Spec):
    path: Path
    white: White | None = None
    group: Regex | None = None
    holdout_share: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0

    @field_validator("group")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            _compiled(value)
        return value


class AnnotatedSpec(_UserSpec):
    """Slides or images with GeoJSON annotations beside them: what both kinds have in common.

    Parameters
    ----------
    path
        One GeoJSON file (plain or gzipped), or a folder that is searched for them with its
        subfolders. A file belongs to the image of the same name.
    images
        Folder of the images, where they do not lie beside the GeoJSON files.
    mpp
        Pixel size in µm/px of images whose header states none. A header that states another is a
        problem.
    origin
        What coordinates are counted from: ``level0``, the top left of level 0; or ``bounds``, the
        top left of the scanned part that the header names.
    white
        Colour of the glass; None: measured on each slide's own glass, as scoring does.
    group
        Regular expression that is searched for in the name of the GeoJSON file (relative to
        ``path``); its first group, or all of it, names the patient. None: each slide is a group of
        its own.
    holdout_share
        Share of the groups that is held out of training.
    """

    images: Path | None = None
    mpp: Mpp | None = None
    origin: Literal["level0", "bounds"] = "level0"


class QuPathCellsSpec(AnnotatedSpec):
    """Cells with classes, as QuPath exports them.

    Parameters
    ----------
    classes
        Meaning of class names beyond the usual ones: a cell class, ``unknown`` or ``ignore``.
    annotated_class
        Classes of the annotations in which every cell is annotated; ``*`` stands for anything.
    regions
        Meaning of the class names of larger annotations, where they shall be learnt as regions
        too; empty: they are not.

    Examples
    --------
    >>> QuPathCellsSpec(path="annotated", classes={"Blasts": "tumour"}).annotated_class
    ('Annotated', 'Region*')
    """

    kind: Literal["qupath_cells"] = "qupath_cells"
    classes: dict[str, str] = {}
    annotated_class: tuple[str, ...] = ("Annotated", "Region*")
    regions: dict[str, str] = {}

    @field_validator("classes")
    @classmethod
    def _known_cells(cls, value: dict[str, str]) -> dict[str, str]:
        return _targets(value, (*CELL_CLASSES, UNKNOWN, IGNORE))

    @field_validator("regions")
    @classmethod
    def _known_regions(cls, value: dict[str, str]) -> dict[str, str]:
        return _targets(value, (*REGIONS, IGNORE))

    @field_validator("annotated_class", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class RegionsSpec(AnnotatedSpec):
    """Drawn regions of tissue, without cells.

    Parameters
    ----------
    classes
        Meaning of class names beyond the usual ones: a kind of tissue (``REGIONS``) or ``ignore``.

    Examples
    --------
    >>> RegionsSpec(path="regions", classes={"Nerve": "stroma"}).kind
    'regions'
    """

    kind: Literal["regions"] = "regions"
    classes: dict[str, str] = {}

    @field_validator("classes")
    @classmethod
    def _known_regions(cls, value: dict[str, str]) -> dict[str, str]:
        return _targets(value, (*REGIONS, IGNORE))


class PatchesSpec(_UserSpec):
    r"""Folders of patches with one label each.

    Parameters
    ----------
    path
        The folder; it is searched with its subfolders.
    mpp
        Pixel size of the patches, µm/px. There is no default: it cannot be read from a patch.
    task
        What labels say: ``score`` (0, 1+, 2+, 3+) or ``pattern`` (the five membrane patterns); in
        both, ``no_tumour`` for patches without invasive tumour.
    labels
        Where they stand: in a ``folder``'s name, at the end of the ``filename``, or in a ``csv``
        table with the columns ``file``, ``label`` and, if wanted, ``group``.
    label_pattern
        For ``filename``: regular expression that is searched for in the name without its suffix;
        its first group is the label. None: what follows the last ``_``, ``-`` or blank.
    csv
        The table, relative to ``path``.
    classes
        Meaning of labels that are spelled otherwise, such as ``{negative: "0"}``.
    size_px
        Side, or width and height, of every patch; ``any`` for patches of different sizes; None:
        all must be of one size, whichever.
    target_mpp
        Pixel size to which patches are resampled; None leaves them as they are.
    white
        Colour of the glass; None: estimated over the patches of a group, see ``PatchSource``.
    group
        Regular expression that is searched for in the path relative to ``path``; its first group,
        or all of it, names the patient or slide. None: the table's ``group``, or each patch alone.
    holdout_share
        Share of the groups that is held out.

    Examples
    --------
    >>> spec = PatchesSpec(path="BCI/IHC", mpp=0.46, labels="filename", group=r"^(\d+)_")
    >>> spec.task, spec.holdout_share
    ('score', 0.2)
    """

    kind: Literal["patches"] = "patches"
    mpp: Mpp
    task: Literal["score", "pattern"] = "score"
    labels: Literal["folder", "filename", "csv"] = "folder"
    label_pattern: Regex | None = None
    csv: Path = Path("labels.csv")
    classes: dict[str, str] = {}
    size_px: (
        Annotated[int, Field(ge=16, le=4096)]
        | tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]]
        | Literal["any"]
        | None
    ) = None
    target_mpp: Mpp | None = None
    holdout_share: Annotated[float, Field(ge=0.0, le=0.9)] = 0.2

    @field_validator("label_pattern")
    @classmethod
    def _one_group(cls, value: str | None) -> str | None:
        if value is not None and _compiled(value).groups < 1:
            raise ValueError("must have a group (in brackets) that holds the label")
        return value

    @model_validator(mode="after")
    def _labels_fit(self) -> PatchesSpec:
        if self.label_pattern is not None and self.labels != "filename":
            raise ValueError("label_pattern needs labels: filename")
        for name, label in self.classes.items():
            if patch_label(label, {}, patterns=self.task == "pattern") is None:
                raise ValueError(f"classes: {name!r} maps to {label!r}, which is no {self.task}")
        return self


#: One entry of ``sources``.
SourceSpec = Annotated[
    SyntheticSpec | QuPathCellsSpec | RegionsSpec | PatchesSpec, Field(discriminator="kind")
]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression ({error})") from error


def _targets(mapping: dict[str, str], allowed: tuple[str, ...]) -> dict[str, str]:
    for name, meaning in mapping.items():
        if meaning not in allowed:
            raise ValueError(f"{name!r} maps to {meaning!r}; allowed: {', '.join(allowed)}")
    return mapping
