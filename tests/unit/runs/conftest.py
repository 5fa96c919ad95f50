from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pathology.cells.table import CELL_CLASSES, INTENSITIES, PATTERNS, CellTable
from pathology.provenance import SlideIdentity
from pathology.runs import RunKey, SlideResult, count_columns
from pathology.scoring.counts import PatternCounts

STATUS = {"0": "negative", "1+": "negative", "2+": "equivocal", "3+": "positive"}
TIER = {"0": "her2_ultralow", "1+": "her2_low", "2+": "her2_equivocal", "3+": "her2_positive"}


def _scored(slide_id: str = "a-1", score: str = "3+", **changes: Any) -> SlideResult:
    values: dict[str, Any] = {
        "slide_id": slide_id,
        "path": f"cores/{slide_id}.svs",
        "status": "scored",
        "ihc_score": score,
        "her2_status": STATUS[score],
        "her2_tier": TIER[score],
        "ish_reflex": score == "2+",
        **count_columns(PatternCounts(unstained=67, weak_incomplete=11, intense_complete=22)),
        "mean_membrane_od": 1 / 3,
        "mpp": 0.2512345678,
        "mpp_source": "header",
        "model": "her2-cells/0.1.0",
        "model_sha256": "b" * 64,
        "config_hash": "c" * 64,
        "identity": SlideIdentity(size=10, mtime_ns=20, quickhash="q"),
        "flags": ("borderline", "invasive_region_unverified"),
        "distance_to_cutoff_pp": -1.25,
        "tiles": 4,
        "failed_tiles": 0,
        "borderline": False,
    }
    return SlideResult(**{**values, **changes})


def _unscored(slide_id: str = "u-1", reason: str = "no_tissue", **changes: Any) -> SlideResult:
    values: dict[str, Any] = {
        "slide_id": slide_id,
        "path": f"cores/{slide_id}.svs",
        "status": "not_scorable",
        "reasons": (reason,),
        "config_hash": "c" * 64,
        "identity": SlideIdentity(size=10, mtime_ns=20, quickhash="q"),
    }
    return SlideResult(**{**values, **changes})


def _cells(n: int, seed: int = 0) -> CellTable:
    rng = np.random.default_rng(seed)

    def share() -> Any:
        return rng.random(n).astype(np.float32)

    def codes(k: int) -> Any:
        return rng.integers(0, k, n).astype(np.uint8)

    def rays() -> Any:
        return rng.integers(0, 256, (n, 32)).astype(np.uint8)

    return CellTable(
        tile_id=np.sort(rng.integers(0, 50, n)),
        x_um=share(),
        y_um=share(),
        area_um2=share(),
        cell_class=codes(len(CELL_CLASSES)),
        tumour_probability=share(),
        outline_r=rays(),
        ray_od=rays(),
        cytoplasm_od=share(),
        membrane_od=share(),
        membrane_od_stained=share(),
        membrane_completeness=share(),
        intensity=codes(len(INTENSITIES)),
        complete=codes(2).astype(np.bool_),
        pattern=codes(len(PATTERNS)),
    )


@pytest.fixture
def scored() -> Callable[..., SlideResult]:
    return _scored


@pytest.fixture
def unscored() -> Callable[..., SlideResult]:
    return _unscored


@pytest.fixture
def make_cells() -> Callable[..., CellTable]:
    return _cells


@pytest.fixture
def run_key() -> RunKey:
    return RunKey(
        config_hash="c" * 64,
        config={"scoring": {"min_tumour_cells": 100}},
        model="her2-cells/0.1.0",
        model_sha256="b" * 64,
    )
