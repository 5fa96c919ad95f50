"""What the tiles of one slide give, whether they are read or were read long ago."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pathology.cells.table import CELL_CLASSES, CellTable
from pathology.config import Config
from pathology.errors import ReasonCode
from pathology.geometry import Spacing
from pathology.pipeline.counting import IN_SITU, TileSums
from pathology.runs import TileRow
from pathology.scoring import (
    CellMeasures,
    ContinuousScores,
    Evidence,
    Presence,
    SlideScore,
    continuous_scores,
    score_evidence,
)
from pathology.timing import Stopwatch
from pathology.types import AnyArray

__all__ = ["EVIDENCE_COLUMNS", "TileReading"]

#: Columns of the counting cells that the score and the continuous measures need: 22 bytes of a
#: cell's 108.
EVIDENCE_COLUMNS = (
    "x_um",
    "y_um",
    "intensity",
    "complete",
    "membrane_od",
    "membrane_completeness",
    "cytoplasm_od",
)


@dataclass(kw_only=True)
class TileReading:
    """Gather what the tiles of one slide give.

    Parameters
    ----------
    spacing
        Size of a level-0 pixel in µm.
    rows
        One row per tile that was taken up, in grid order.
    class_counts
        Cells of every class.
    n_in_situ
        Cells left out because they are in situ, by the model or by annotation.
    failures
        Why tiles failed, with their number.
    tumour_um2
        Area of the evaluable tumour cells of each tile, µm².
    n_nuclei, n_sure, n_grouped
        Cells of any class in evaluable tissue, the sure tumour cells among them, and those of them
        that lie in groups.
    tumour_drawn
        A person drew the tumour: its presence is not asked.
    watch
        Takes the time of all this.
    """

    spacing: Spacing
    rows: list[TileRow] = field(default_factory=list)
    class_counts: Counter[str] = field(default_factory=Counter)
    n_in_situ: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    tumour_um2: list[float] = field(default_factory=list)
    n_nuclei: int = 0
    n_sure: int = 0
    n_grouped: int = 0
    tumour_drawn: bool = False
    watch: Stopwatch = field(default_factory=Stopwatch, compare=False)
    _off_scale: list[AnyArray] = field(default_factory=list)
    _columns: dict[str, list[AnyArray]] = field(
        default_factory=lambda: {name: [] for name in EVIDENCE_COLUMNS}
    )

    def add_around(self, nuclei: int, sure: int, grouped: int) -> None:
        """Add what speaks for tumour in a tile."""
        self.n_nuclei += nuclei
        self.n_sure += sure
        self.n_grouped += grouped

    def add_off_scale(self, kinds: AnyArray | None) -> None:
        """Add the kinds of cells that count at other gains of the scale; None where it is exact."""
        if kinds is not None:
            self._off_scale.append(kinds)

    def add_evaluable(self, columns: Mapping[str, AnyArray], sums: TileSums) -> None:
        """Add cells that count, and what they add up to, tile by tile."""
        for name, parts in self._columns.items():
            parts.append(columns[name])
        self.tumour_um2 += sums.area_um2.tolist()

    def add_classes(self, cell_class: AnyArray) -> None:
        """Add the classes of cells, whether they count or not."""
        numbers = np.bincount(cell_class, minlength=len(CELL_CLASSES)).tolist()
        self.class_counts.update(dict(zip(CELL_CLASSES, numbers, strict=True)))
        self.n_in_situ += numbers[IN_SITU]

    @property
    def failed_mm2(self) -> float:
        """Tissue of the failed tiles in mm²."""
        return sum(self._tissue_mm2(row) for row in self.rows if row.status == "failed")

    @property
    def tissue_mm2(self) -> float:
        """Tissue of all tiles that were taken up, in mm²."""
        return sum(self._tissue_mm2(row) for row in self.rows)

    @property
    def n_failed(self) -> int:
        """Number of failed tiles."""
        return sum(row.status == "failed" for row in self.rows)

    def _tissue_mm2(self, row: TileRow) -> float:
        return row.core.area * self.spacing.area_um2 * row.tissue_fraction / 1e6

    @property
    def tumour_mm2(self) -> float:
        """Summed area of the evaluable tumour cells in mm²."""
        # An exact sum, whatever the order in which tiles were read.
        return math.fsum(self.tumour_um2) / 1e6

    def score(
        self, config: Config, refusals: Sequence[ReasonCode], *, specimen_type: str = ""
    ) -> SlideScore:
        """Score the slide by the guideline.

        Parameters
        ----------
        config
            Configuration.
        refusals
            Reasons why there can be no score that were found before.
        specimen_type
            As the manifest states it.
        """
        return score_evidence(
            self.evidence(),
            config.scoring,
            specimen_type=specimen_type,
            limit_of_blank_od=config.measurement.limit_of_blank_od,
            refusals=refusals,
        )

    def evidence(self) -> Evidence:
        """Return what the guideline rules look at."""
        return Evidence(
            x_um=self._join("x_um"),
            y_um=self._join("y_um"),
            intensity=self._join("intensity"),
            complete=self._join("complete"),
            membrane_od=self._join("membrane_od"),
            tissue_mm2=self.tissue_mm2,
            failed_tissue_mm2=min(self.failed_mm2, self.tissue_mm2),
            n_in_situ_excluded=self.n_in_situ,
            presence=self._presence(),
            off_scale=self._join_off_scale(),
        )

    def continuous(self, config: Config) -> ContinuousScores:
        """Measure what is no category.

        Parameters
        ----------
        config
            Configuration.
        """
        cells = CellMeasures(
            x_um=self._join("x_um"),
            y_um=self._join("y_um"),
            membrane_od=self._join("membrane_od"),
            membrane_completeness=self._join("membrane_completeness"),
            cytoplasm_od=self._join("cytoplasm_od"),
            stained=self._join("intensity") > 0,
        )
        blank = config.measurement.limit_of_blank_od
        return continuous_scores(cells, config.scoring, limit_of_blank_od=blank)

    def _join(self, name: str) -> AnyArray:
        parts = self._columns[name]
        if len(parts) != 1:
            # In place of its parts: the cells of a large slide are not held twice.
            joined = np.concatenate([getattr(CellTable.empty(), name), *parts])
            parts[:] = [joined]
        return parts[0]

    def _join_off_scale(self) -> AnyArray | None:
        if len(self._off_scale) > 1:
            self._off_scale[:] = [np.concatenate(self._off_scale, axis=1)]
        return self._off_scale[0] if self._off_scale else None

    def _presence(self) -> Presence | None:
        if self.tumour_drawn:
            return None
        return Presence(
            n_tumour=sum(len(part) for part in self._columns["x_um"]), n_nuclei=self.n_nuclei,
            n_grouped=self.n_grouped, n_sure=self.n_sure,
        )  # fmt: skip
