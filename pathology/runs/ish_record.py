"""One stored reading of in-situ hybridisation: a row of ``ish.json``."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pathology.runs.row import Count, Sha256, Text
from pathology.scoring.ish_block import BlockReading, Stage
from pathology.scoring.ish_counts import IshCount, IshQuality, IshReading, Probe
from pathology.scoring.ish_guideline import IshCategory

__all__ = ["BlockKey", "IshRecord", "IshSource", "RecordPlace", "ReplacedRecord"]

#: A percentage as it was written, so that it is compared exactly.
PercentText = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]


class BlockKey(NamedTuple):
    """Name a block: by case and block, or by its slide where the manifest leaves one of them out.

    Parameters
    ----------
    case_id, block_id
        None where the manifest has none.
    slide_id
        None where case and block name it.
    """

    case_id: str | None
    block_id: str | None
    slide_id: str | None

    @property
    def name(self) -> str:
        """The block within its case."""
        return f"block {self.block_id}" if self.block_id else f"slide {self.slide_id}"

    @property
    def words(self) -> str:
        """The block within its run."""
        return f"{self.name} of case {self.case_id}" if self.case_id else self.name


class RecordPlace(NamedTuple):
    """Name what no two stored readings share."""

    key: BlockKey
    probe: Probe
    population: int
    stage: Stage


class IshRecord(BaseModel):
    """Hold one reading as it is stored.

    Parameters
    ----------
    case_id, block_id, slide_id
        The block; see :class:`BlockKey`.
    probe, stage, population, population_pct
        As in :class:`~pathology.scoring.ish_block.BlockReading`.
    cells, her2, cep17
        Totals; ``cells`` alone may stand beside a call.
    her2_per_cell, cep17_per_cell
        One number per cell, where they were given.
    call
        A category or ``indeterminate``; None where there is a count.
    observer, blinded, includes_2plus_area
        As in :class:`~pathology.scoring.ish_counts.IshReading`.
    assay
        As given.
    controls_ok, invasive_areas, weak_signals_pct, cytoplasm_signals_pct
        As in :class:`~pathology.scoring.ish_counts.IshQuality`.
    nuclei_resolved, autofluorescence
        The same.
    source, row
        SHA-256 of the file that it came from, and its first row there.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range, or they do not make a reading together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    case_id: Text | None = None
    block_id: Text | None = None
    slide_id: Text | None = None
    probe: Probe
    stage: Stage = "first"
    population: Annotated[int, Field(ge=1)] = 1
    population_pct: PercentText | None = None
    cells: Count | None = None
    her2: Count | None = None
    cep17: Count | None = None
    her2_per_cell: tuple[Count, ...] | None = None
    cep17_per_cell: tuple[Count, ...] | None = None
    call: IshCategory | Literal["indeterminate"] | None = None
    observer: Text | None = None
    blinded: bool | None = None
    includes_2plus_area: bool | None = None
    assay: Text | None = None
    controls_ok: bool | None = None
    invasive_areas: Count | None = None
    weak_signals_pct: PercentText | None = None
    cytoplasm_signals_pct: PercentText | None = None
    nuclei_resolved: bool | None = None
    autofluorescence: bool | None = None
    source: Sha256
    row: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.block_reading()
        if self.her2_per_cell is not None and (
            (len(self.her2_per_cell), sum(self.her2_per_cell)) != (self.cells, self.her2)
        ):
            raise ValueError("her2_per_cell does not add up to the totals")
        if self.cep17_per_cell is not None and (
            (len(self.cep17_per_cell), sum(self.cep17_per_cell)) != (self.cells, self.cep17)
        ):
            raise ValueError("cep17_per_cell does not add up to the totals")
        return self

    @property
    def key(self) -> BlockKey:
        """The block."""
        return BlockKey(self.case_id, self.block_id, self.slide_id)

    @property
    def place(self) -> RecordPlace:
        """What no two stored readings share."""
        return RecordPlace(self.key, self.probe, self.population, self.stage)

    def same_content(self, other: IshRecord) -> bool:
        """Tell whether another record says the same, whatever file it came from."""
        left, right = (record.model_dump(exclude={"source", "row"}) for record in (self, other))
        return left == right

    def block_reading(self) -> BlockReading:
        """Return the reading as the rules take it.

        Raises
        ------
        ValueError
            If the values do not make one.
        """
        count = None
        if self.call is None:
            if self.cells is None or self.her2 is None:
                raise ValueError("a count needs cells and her2")
            count = IshCount(cells=self.cells, her2=self.her2, cep17=self.cep17)
        return BlockReading(
            reading=IshReading(
                probe=self.probe,
                count=count,
                call=self.call,
                called_cells=None if self.call is None else self.cells,
                observer=self.observer or "",
                blinded=self.blinded,
                includes_2plus_area=self.includes_2plus_area,
                quality=IshQuality(
                    controls_ok=self.controls_ok,
                    invasive_areas=self.invasive_areas,
                    weak_signals_pct=_fraction(self.weak_signals_pct),
                    cytoplasm_signals_pct=_fraction(self.cytoplasm_signals_pct),
                    nuclei_resolved=self.nuclei_resolved,
                    autofluorescence=self.autofluorescence,
                ),
            ),
            stage=self.stage,
            population=self.population,
            population_pct=_fraction(self.population_pct),
        )


class IshSource(BaseModel):
    """Name a file that results were taken from.

    Parameters
    ----------
    sha256
        Of its bytes.
    name
        As it was given.
    rows
        Rows in it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Sha256
    name: Text
    rows: Count


class ReplacedRecord(BaseModel):
    """Keep a reading that a later file replaced.

    Parameters
    ----------
    record
        What was replaced.
    by
        SHA-256 of the file that replaced it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: IshRecord
    by: Sha256


def _fraction(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)
