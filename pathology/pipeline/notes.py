"""What is known of one slide as the work goes on, and the result that is made of it.

Both a slide that is read and one that is scored again from stored cells come to their result here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pathology.errors import SlideError
from pathology.geometry import Spacing
from pathology.pipeline.gathered import TileReading
from pathology.pipeline.quality import Quality
from pathology.provenance import sha256_file
from pathology.runs import (
    ErrorBlock,
    HiddenNames,
    OutputFile,
    RegionsBlock,
    SlideResult,
    StainBlock,
    count_columns,
    result_from_error,
)
from pathology.scoring import ContinuousScores, SlideScore, load_guideline, provenance_flags
from pathology.tissue import Regions, TissueFinding

__all__ = ["Notes"]

#: What a result takes over from the score as it is.
_SCORE_COLUMNS = (
    "status",
    "reasons",
    "ihc_score",
    "her2_status",
    "her2_tier",
    "ish_reflex",
    "mean_membrane_od",
    "h_score",
    "deciding_rule",
    "deciding_clause",
    "deciding_lo",
    "deciding_hi",
    "distance_to_cutoff_pp",
    "deciding_pct",
    "cutoff_pct",
    "nearest_score",
    "nearest_score_pp",
    "boot_share_null",
    "boot_share_ultralow",
    "boot_share_1",
    "boot_share_2",
    "boot_share_3",
    "ultralow_upper_pct",
    "borderline",
    "n_in_situ_excluded",
)


@dataclass(kw_only=True)
class Notes:
    """Gather what is known of one slide; it grows with every stage.

    Parameters
    ----------
    slide_id, path
        As in :class:`~pathology.runs.row.ResultRow`.
    known
        Other fields of the result.
    slide_flags
        Flags that no guideline, cut-off or region can change.
    flags, warnings, outputs
        The other flags, and the rest of the result.
    hidden
        Names that the result must not hold, in a pseudonymised run.
    """

    slide_id: str
    path: str
    known: dict[str, Any] = field(default_factory=dict)
    slide_flags: set[str] = field(default_factory=set)
    flags: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    outputs: list[OutputFile] = field(default_factory=list)
    hidden: HiddenNames | None = None

    def add_regions(self, regions: Regions, path: Path, spacing: Spacing) -> None:
        """Note which regions were used.

        Parameters
        ----------
        regions, path
            The regions and the file that they are from.
        spacing
            Size of a level-0 pixel in µm.
        """
        # "unknown_region_class:Name" names what was drawn: the name is for people.
        self.flags |= {flag.partition(":")[0] for flag in regions.flags}
        self.warnings += [flag for flag in regions.flags if ":" in flag]
        areas = {
            kind.name.lower(): shape.area * spacing.area_um2 / 1e6
            for kind, shape in regions.shapes.items()
        }
        self.known |= {
            "region_source": "annotation" if regions.has_tumour else "model",
            "regions": RegionsBlock(name=path.name, sha256=sha256_file(path), areas_mm2=areas),
        }

    def add_stain(self, finding: TissueFinding) -> None:
        """Note what the colours of the overview say."""
        measured = {
            name: value
            for name, value in vars(finding.stain).items()
            if name not in ("kind", "reason")
            and not (isinstance(value, float) and math.isnan(value))
        }
        self.known |= {
            "white_point": finding.white_point,
            "stain_check": StainBlock(verdict=finding.stain.kind, measured=measured),
        }
        self.slide_flags |= set(finding.flags)

    def add_areas(self, finding: TissueFinding) -> None:
        """Note how much tissue there is, and how much was left out."""
        self.known |= {
            "tissue_mm2": finding.tissue_mm2,
            "qc": {
                f"excluded_{kind}_mm2": mask.area_mm2 for kind, mask in finding.excluded.items()
            },
        }

    def add_reading(self, reading: TileReading, quality: Quality) -> None:
        """Note what the tiles gave."""
        self.known["qc"] = self.known["qc"] | quality.measured
        self.flags |= quality.flags
        self.warnings += [
            f"{n} tiles failed: {cause}" if n > 1 else f"1 tile failed: {cause}"
            for cause, n in sorted(reading.failures.items())
        ]
        self.known |= {
            "tiles": len(reading.rows),
            "failed_tiles": reading.n_failed,
            "tumour_mm2": reading.tumour_mm2,
            "class_counts": dict(reading.class_counts),
        }

    def result(
        self, score: SlideScore, quality: Quality, continuous: ContinuousScores
    ) -> SlideResult:
        """Make the result of a slide whose tiles were read.

        Parameters
        ----------
        score
            The score, or why there is none.
        quality
            What forbids a score beside the cells.
        continuous
            The measures that are no category; given for scored slides only.
        """
        scored = score.status == "scored"
        columns = {name: getattr(score, name) for name in _SCORE_COLUMNS}
        if quality.explanations:
            columns["deciding_clause"] = f"no score: {' '.join(filter(None, quality.explanations))}"
        # A number of a slide without a score would be read as one that may be used.
        columns |= vars(continuous) if scored else {}
        region_flags = {"invasive_region_unverified"} if score.counts.total else set()
        region_flags |= self._provenance(score.ihc_score)
        message = f"{self.path}: {columns['deciding_clause']}"
        result = SlideResult(
            **self._fields(set(score.flags) | region_flags),
            **columns,
            **count_columns(score.counts),
            error=None if scored else ErrorBlock(message=message),
        )
        return result if self.hidden is None else self.hidden.result(result)

    def stopped(self, error: SlideError) -> SlideResult:
        """Make the result of a slide that an error ended."""
        known = {**self._fields(self._provenance(None)), "outputs": ()}
        result = result_from_error(error, **known)
        return result if self.hidden is None else self.hidden.result(result)

    def _provenance(self, ihc_score: str | None) -> set[str]:
        """Return what is to be said of the guideline and the assay."""
        guideline = load_guideline(self.known["guideline"])
        assay = self.known.get("assay") or ""
        return set(provenance_flags(guideline, ihc_score=ihc_score, assay=assay))

    def _fields(self, flags: set[str]) -> Mapping[str, Any]:
        return {
            **self.known,
            "slide_id": self.slide_id,
            "path": self.path,
            "flags": tuple(self.slide_flags | self.flags | flags),
            "slide_flags": tuple(self.slide_flags),
            "warnings": tuple(self.warnings),
            "outputs": tuple(self.outputs),
        }
