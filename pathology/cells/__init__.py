"""Cells: what is stored of each, how its membrane is measured and classed, and who reads tiles."""

from __future__ import annotations

from pathology.cells.classify import (
    MembraneClass,
    build_table,
    cell_classes,
    classify,
    reclassify,
)
from pathology.cells.matching import match_points
from pathology.cells.measure import MeasuredCells, area_um2, measure_cells
from pathology.cells.peaks import find_peaks
from pathology.cells.reader import AnyReader, Model, TileCalls, TileClassifier, TileReader
from pathology.cells.table import (
    CELL_CLASSES,
    INTENSITIES,
    N_RAYS,
    OD_STEP,
    PATTERNS,
    RADIUS_STEP_UM,
    CellTable,
)

__all__ = [
    "CELL_CLASSES",
    "INTENSITIES",
    "N_RAYS",
    "OD_STEP",
    "PATTERNS",
    "RADIUS_STEP_UM",
    "AnyReader",
    "CellTable",
    "MeasuredCells",
    "MembraneClass",
    "Model",
    "TileCalls",
    "TileClassifier",
    "TileReader",
    "area_um2",
    "build_table",
    "cell_classes",
    "classify",
    "find_peaks",
    "match_points",
    "measure_cells",
    "reclassify",
]
