"""Made-up slides for the pictures and pages: a piece of tissue, tiles with counts, results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pathology.cells.table import CELL_CLASSES, N_RAYS, PATTERNS, CellTable
from pathology.geometry import Box0, Spacing
from pathology.report.scene import Backdrop, TileMarks
from pathology.runs.result import SlideResult, count_columns
from pathology.scoring.counts import PatternCounts

SPACING = Spacing(x=0.25, y=0.25)
SHA = "0123456789abcdef" * 4


def tissue_picture(width: int, height: int, *, seed: int = 1) -> tuple[Any, Any]:
    """Return an (H, W, 3) picture of a bluish brown blob on glass, and its mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    angle = np.arctan2(rows - height / 2, columns - width / 2)
    reach = 0.4 + 0.05 * np.sin(5 * angle) + 0.03 * np.sin(11 * angle)
    away = np.hypot((rows - height / 2) / height, (columns - width / 2) / width)
    mask = away < reach
    rgb = np.full((height, width, 3), 243, dtype=np.float64)
    rgb[mask] = (196, 178, 190)
    rgb[mask] += rng.normal(0, 12, (int(mask.sum()), 1))
    return np.clip(rgb, 0, 255).astype(np.uint8), mask


def backdrop_of(width: int, height: int, *, mpp: float = 8.0) -> tuple[Backdrop, Any]:
    rgb, mask = tissue_picture(width, height)
    factor = round(mpp / SPACING.x)
    box = Box0(x=0, y=0, width=width * factor, height=height * factor)
    return Backdrop(rgb=rgb, box=box, spacing=SPACING), mask


def tiles_on(
    backdrop: Backdrop, mask: Any, *, side: int = 2048, shares: tuple[float, ...], seed: int = 3
) -> TileMarks:
    """Lay tiles over tissue; their tumour cells follow ``shares``, more so towards the right."""
    rng = np.random.default_rng(seed)
    boxes, counts, failed = [], [], []
    _height, width = mask.shape
    factor = backdrop.box.width // width
    for y in range(0, backdrop.box.height, side):
        for x in range(0, backdrop.box.width, side):
            part = mask[y // factor : (y + side) // factor, x // factor : (x + side) // factor]
            if part.size == 0 or part.mean() < 0.05:
                continue
            tilt = 2.0 * x / backdrop.box.width
            weights = np.asarray(shares) * np.array([2.2 - tilt, 1, 1, tilt, tilt])
            n = int(rng.poisson(900 * part.mean() * (side / 2048) ** 2))
            counts.append(rng.multinomial(n, weights / weights.sum()))
            boxes.append((x, y, side, side))
            failed.append(False)
    return TileMarks(
        tile_id=np.arange(len(boxes)),
        boxes=np.asarray(boxes, dtype=np.int64).reshape(-1, 4),
        failed=np.asarray(failed, dtype=np.bool_),
        counts=np.asarray(counts, dtype=np.int64).reshape(-1, len(PATTERNS)),
    )


def scored(counts: PatternCounts, **changes: Any) -> SlideResult:
    """Return a scored result with these counts; pass other columns to change them."""
    fields: dict[str, Any] = {
        "slide_id": "case-12_block-A-0123456789",
        "path": "slides/case 12, block A.svs",
        "case_id": "case-12",
        "status": "scored",
        "ihc_score": "2+",
        "her2_status": "equivocal",
        "her2_tier": "her2_equivocal",
        "ish_reflex": True,
        "deciding_rule": "complete_weak_moderate_above_10",
        "deciding_clause": "Complete, weak to moderate staining in more than 10 % of tumour cells",
        "deciding_lo": 14.2,
        "deciding_hi": 21.9,
        "distance_to_cutoff_pp": 8.1,
        "boot_share_null": 0.0,
        "boot_share_ultralow": 0.0,
        "boot_share_1": 0.04,
        "boot_share_2": 0.95,
        "boot_share_3": 0.01,
        "borderline": False,
        "flags": ("invasive_region_unverified", "heterogeneous"),
        "region_source": "model",
        "tissue_mm2": 38.4,
        "tumour_mm2": 21.7,
        "tiles": 180,
        "failed_tiles": 0,
        "mean_membrane_od": 0.231,
        "h_score": 88.0,
        "mpp": 0.25,
        "mpp_source": "header",
        "guideline": "asco-cap-breast-2018",
        "model": "her2-cells/0.1.0",
        "model_sha256": SHA,
        "control_status": "not_assessed",
        "n_in_situ_excluded": 0,
    }
    return SlideResult(**{**fields, **count_columns(counts), **changes})


def refused(reason: str, *, status: str = "not_scorable", **changes: Any) -> SlideResult:
    fields: dict[str, Any] = {
        "slide_id": "blank-0123456789",
        "path": "slides/blank.svs",
        "status": status,
        "reasons": (reason,),
        "mpp": 0.25,
        "mpp_source": "header",
    }
    return SlideResult(**{**fields, **changes})


def cells_of(n: int, *, seed: int = 5, tiles: int = 4, side_um: float = 500.0) -> CellTable:
    """Return n cells in a row of square tiles, with every class and pattern."""
    rng = np.random.default_rng(seed)
    tile = np.sort(rng.integers(0, tiles, n))
    real = {
        name: rng.random(n).astype(np.float32)
        for name in (
            "tumour_probability",
            "cytoplasm_od",
            "membrane_od",
            "membrane_od_stained",
            "membrane_completeness",
        )
    }
    pattern = rng.integers(0, len(PATTERNS), n).astype(np.uint8)
    return CellTable(
        tile_id=tile.astype(np.int64),
        x_um=(tile * side_um + rng.random(n) * side_um).astype(np.float32),
        y_um=(rng.random(n) * side_um).astype(np.float32),
        area_um2=rng.uniform(50, 200, n).astype(np.float32),
        cell_class=rng.choice(len(CELL_CLASSES), n, p=[0.7, 0.06, 0.06, 0.06, 0.06, 0.06]).astype(
            np.uint8
        ),
        outline_r=rng.integers(20, 60, (n, N_RAYS)).astype(np.uint8),
        ray_od=rng.integers(0, 90, (n, N_RAYS)).astype(np.uint8),
        intensity=np.minimum(pattern, 4).astype(np.uint8),
        complete=np.asarray(pattern > 2),
        pattern=pattern,
        **real,
    )


COUNTS = PatternCounts(
    unstained=30_211,
    faint_incomplete=8_000,
    weak_incomplete=2_118,
    moderate_incomplete=1_207,
    weak_complete=6_004,
    moderate_complete=2_881,
    intense_complete=1_499,
)


@pytest.fixture
def make_scored() -> Callable[..., SlideResult]:
    return lambda counts=COUNTS, **changes: scored(counts, **changes)


@pytest.fixture
def make_refused() -> Callable[..., SlideResult]:
    return refused


@pytest.fixture
def make_backdrop() -> Callable[..., tuple[Backdrop, Any]]:
    return backdrop_of


@pytest.fixture
def make_tiles() -> Callable[..., TileMarks]:
    return tiles_on


@pytest.fixture
def make_cells() -> Callable[..., CellTable]:
    return cells_of
