"""Tissue: where it is, what is in its way, which stain it has, and the regions drawn on it."""

from __future__ import annotations

from pathology.tissue.finder import find_tissue, least_tissue_mm2
from pathology.tissue.finding import ExcludedKind, TissueFinding
from pathology.tissue.focus import focus_score
from pathology.tissue.mask import TissueMask
from pathology.tissue.overview import Overview, read_overview
from pathology.tissue.regions import (
    REGION_FLAGS,
    RegionKind,
    Regions,
    find_regions_file,
    load_regions,
    read_regions,
    region_kind,
)
from pathology.tissue.stain_check import StainCheck, check_stain

__all__ = [
    "REGION_FLAGS",
    "ExcludedKind",
    "Overview",
    "RegionKind",
    "Regions",
    "StainCheck",
    "TissueFinding",
    "TissueMask",
    "check_stain",
    "find_regions_file",
    "find_tissue",
    "focus_score",
    "least_tissue_mm2",
    "load_regions",
    "read_overview",
    "read_regions",
    "region_kind",
]
