"""What was found on the overview of one slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pathology.errors import ReasonCode
from pathology.geometry import Box0
from pathology.tissue.mask import TissueMask
from pathology.tissue.stain_check import StainCheck
from pathology.types import U8Array

__all__ = ["ExcludedKind", "TissueFinding"]

#: What was taken out, and why: ink; black areas; small specks; long thin lines (cover-slip edges,
#: scratches); faint or untextured areas (smears, shading, a ghost of lost tissue); parts of the
#: scanned box that the file holds nothing of.
ExcludedKind = Literal["pen", "black", "dust", "edge", "smear", "no_data"]


@dataclass(frozen=True, kw_only=True)
class TissueFinding:
    """Hold what the overview of a slide shows.

    Parameters
    ----------
    overview
        (H, W, 3) uint8, the overview; white where there is no data.
    box
        The level-0 box that the overview and every mask cover.
    tissue
        Where tissue is. Parts of the overview that could not be decoded count as tissue, so that
        they are tried again as tiles and never pass for glass.
    excluded
        One mask per kind that was found; kinds with no pixel are absent.
    white_point
        R, G, B of clear glass in grey levels.
    tissue_mm2
        Area of ``tissue``.
    stain
        Outcome of the stain check.
    flags
        Doubts that do not forbid a score, from: ``white_point_uncertain``, ``white_saturated``,
        ``pen_marks``, ``overview_incomplete``, ``no_data_in_tissue``, ``stain_unchecked``,
        ``nuclear_dab``, ``clipped_pixels``; sorted.
    reasons
        Why the slide can have no score: ``no_tissue``, ``not_ihc``, ``clipped_image``; usually
        empty.
    explanations
        One sentence with the measured numbers per entry of ``reasons``.
    """

    overview: U8Array
    box: Box0
    tissue: TissueMask
    excluded: Mapping[ExcludedKind, TissueMask]
    white_point: tuple[float, float, float]
    tissue_mm2: float
    stain: StainCheck
    flags: tuple[str, ...] = ()
    reasons: tuple[ReasonCode, ...] = ()
    explanations: tuple[str, ...] = ()

    @property
    def scorable(self) -> bool:
        """True where nothing on the overview forbids a score."""
        return not self.reasons
