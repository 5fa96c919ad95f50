"""A small run with everything that exports are made from: pixels, cells, tiles and ground."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pathology.cells.table import N_RAYS, PATTERNS, CellTable
from pathology.config import load_config
from pathology.geometry import Box0, Spacing
from pathology.runs import (
    BoxBlock,
    CellWriter,
    ErrorBlock,
    GridBlock,
    RunInfo,
    RunKey,
    SlideFolder,
    SlideResult,
    SpacingBlock,
    TileRow,
    count_columns,
    encode_backdrop,
    write_cases,
    write_ground,
    write_results,
    write_run_info,
    write_tiles,
)
from pathology.scoring.counts import PatternCounts
from pathology.tissue import TissueMask

SPACING = Spacing(x=0.25, y=0.25)
SIDE_PX = 1000
#: The scanned part begins here, as in a MIRAX slide.
ORIGIN = (3000, 2000)
SCORED, REFUSED, FAILED = "Smith_Jane-0000000001", "blank-0000000002", "gone-0000000003"
FINISHED = "2026-01-05T09:30:00.000Z"
SHA = "0123456789abcdef" * 4


def some_cells(n: int, *, seed: int = 1) -> CellTable:
    """Return cells on four tiles in a row that begin at the origin."""
    rng = np.random.default_rng(seed)
    tile = np.sort(rng.integers(0, 4, n)).astype(np.int64)
    shares = {
        name: rng.random(n).astype(np.float32)
        for name in ("tumour_probability", "cytoplasm_od", "membrane_od", "membrane_od_stained")
    }
    pattern = rng.choice(5, n, p=[0.5, 0.2, 0.05, 0.2, 0.05]).astype(np.uint8)
    left, top = ORIGIN[0] * SPACING.x, ORIGIN[1] * SPACING.y
    return CellTable(
        tile_id=tile,
        x_um=(left + (tile + rng.random(n)) * SIDE_PX * SPACING.x).astype(np.float32),
        y_um=(top + rng.random(n) * SIDE_PX * SPACING.y).astype(np.float32),
        area_um2=rng.uniform(50, 200, n).astype(np.float32),
        cell_class=rng.choice(6, n, p=[0.75, 0.05, 0.05, 0.05, 0.05, 0.05]).astype(np.uint8),
        outline_r=rng.integers(25, 45, (n, N_RAYS)).astype(np.uint8),
        ray_od=rng.integers(0, 90, (n, N_RAYS)).astype(np.uint8),
        membrane_completeness=(rng.integers(0, 33, n) / 32).astype(np.float32),
        intensity=np.array([0, 1, 3, 2, 4], dtype=np.uint8)[pattern],
        complete=np.asarray(pattern >= 3),
        pattern=pattern,
        **shares,
    )


def evaluable_of(cells: CellTable) -> Any:
    """Every tumour cell counts but each tenth."""
    return np.asarray(cells.is_tumour) & (np.arange(cells.n) % 10 != 0)


def tile_rows(cells: CellTable) -> list[TileRow]:
    rows = []
    counted = evaluable_of(cells)
    for tile in range(4):
        here = cells.tile_id == tile
        tumour = cells.pattern[here & counted]
        counts = {f"n_{name}": int((tumour == k).sum()) for k, name in enumerate(PATTERNS)}
        rows.append(
            TileRow(
                tile_id=tile,
                x_px=ORIGIN[0] + tile * SIDE_PX,
                y_px=ORIGIN[1],
                width_px=SIDE_PX,
                height_px=SIDE_PX,
                status="ok",
                tissue_fraction=1.0,
                n_cells=int(here.sum()),
                n_tumour_cells=len(tumour),
                mean_membrane_od=float(cells.membrane_od[here & counted].mean()),
                **counts,
            )
        )
    return rows


def scored(cells: CellTable, **changes: Any) -> SlideResult:
    found = Counter(cells.pattern[evaluable_of(cells)].tolist())
    counts = PatternCounts(
        unstained=found[0],
        faint_incomplete=found[1],
        moderate_incomplete=found[2],
        weak_complete=found[3],
        intense_complete=found[4],
    )
    box = Box0(x=ORIGIN[0], y=ORIGIN[1], width=4 * SIDE_PX, height=SIDE_PX)
    fields: dict[str, Any] = {
        "slide_id": SCORED,
        "path": "slides/Smith_Jane.png",
        "case_id": "case Smith",
        "block_id": "A1 Smith",
        "status": "scored",
        "ihc_score": "2+",
        "her2_status": "equivocal",
        "her2_tier": "her2_equivocal",
        "ish_reflex": True,
        "deciding_rule": "4_complete_weak_moderate",
        "deciding_clause": "2+: complete weak-moderate staining in > 10 % of tumour cells",
        "deciding_lo": 18.0,
        "deciding_hi": 24.0,
        "distance_to_cutoff_pp": 10.5,
        "boot_share_null": 0.0,
        "boot_share_ultralow": 0.0,
        "boot_share_1": 0.02,
        "boot_share_2": 0.97,
        "boot_share_3": 0.01,
        "borderline": False,
        "flags": ("invasive_region_unverified",),
        "region_source": "model",
        "tissue_mm2": 0.25,
        "tumour_mm2": 0.2,
        "tiles": 4,
        "failed_tiles": 0,
        "h_score": 88.0,
        "mean_membrane_od": 0.231,
        "membrane_od_p5": 0.05,
        "membrane_od_p50": 0.2,
        "membrane_od_p95": 0.9,
        "mpp": SPACING.mean,
        "mpp_source": "header",
        "model": "her2-cells/0.2.2",
        "model_sha256": SHA,
        "guideline": "asco-cap-breast-2018",
        "config_hash": SHA,
        "spacing": SpacingBlock.of(SPACING),
        "size_px": (ORIGIN[0] + 4 * SIDE_PX, ORIGIN[1] + SIDE_PX),
        "grid": GridBlock(box=BoxBlock.of(box), tile_px=512, block_x=64, block_y=64),
        "qc": {"focus": 0.93},
        "warnings": ("slides/Smith_Jane.png: read twice",),
    }
    return SlideResult(**{**fields, **count_columns(counts), **changes})


def write_slide(root: Path, result: SlideResult, cells: CellTable) -> None:
    """Write everything that a scored slide's folder holds but its pictures."""
    folder = SlideFolder(root=root, slide_id=result.slide_id)
    folder.path.mkdir(parents=True)
    with CellWriter(folder.cells) as writer:
        writer.write(cells, evaluable=evaluable_of(cells))
    write_tiles(folder.tiles, tile_rows(cells))
    assert result.grid is not None
    block = result.grid.box
    box = Box0(x=block.x, y=block.y, width=block.width, height=block.height)
    rgb = np.full((50, 200, 3), 225, dtype=np.uint8)
    rgb[10:40, 20:180] = (180, 150, 160)
    tissue = TissueMask(mask=rgb[..., 0] < 200, box=box, spacing=SPACING)
    write_ground(folder, tissue=tissue, excluded={}, backdrop=encode_backdrop(rgb), regions=None)
    (folder.path / "overview.png").write_bytes(b"holds the name of the slide")
    folder.result.write_bytes(result.to_json())


def write_run(root: Path, *, n_cells: int = 600, **changes: Any) -> SlideResult:
    """Write a run of a scored, a refused and a failed slide; pixels in ``root/../slides``."""
    cells = some_cells(n_cells)
    result = scored(cells, **changes)
    write_slide(root, result, cells)
    refused = SlideResult(
        slide_id=REFUSED,
        path="slides/blank.png",
        case_id="=cmd|' /C calc'!A0",
        status="not_scorable",
        reasons=("no_tissue",),
        mpp=0.25,
        mpp_source="header",
        n_tumour_cells=0,
        **{f"n_{name}": 0 for name in PATTERNS},
    )
    failed = SlideResult(
        slide_id=FAILED,
        path="slides/gone <b>.png",
        status="failed",
        reasons=("unreadable",),
        error=ErrorBlock(message="slides/gone <b>.png: empty file", fix="Copy it again."),
    )
    for other in (refused, failed):
        (root / "slides" / other.slide_id).mkdir(parents=True)
        (root / "slides" / other.slide_id / "result.json").write_bytes(other.to_json())
    results = [result, refused, failed]
    write_results(root, results)
    write_cases(root, results)
    key = RunKey.of(load_config(), model="her2-cells/0.2.2", model_sha256=SHA)
    info = RunInfo(
        command=("her2", "score", "/data/Smith"),
        versions={"python": "3"},
        host="pathology-pc",
        device="cpu",
        started="2026-01-05T09:00:00.000Z",
        finished=FINISHED,
    )
    write_run_info(root, key, info)
    return result


def write_pixels(folder: Path, name: str = "Smith_Jane.png") -> None:
    """Write an image as large as the slide."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2)
    coarse = rng.integers(150, 240, (ORIGIN[1] // 8 + 125, ORIGIN[0] // 8 + 500, 3))
    pixels = coarse.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    Image.fromarray(pixels).save(folder / name)
