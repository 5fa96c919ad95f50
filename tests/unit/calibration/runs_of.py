"""Finished run folders without slides: the tables of simulated laboratories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pathology.calibration import SlideSample
from pathology.cells import CellTable, classify
from pathology.config import Config, load_config
from pathology.provenance import SlideIdentity, versions
from pathology.runs import (
    CellWriter,
    RunFolder,
    RunInfo,
    RunKey,
    SlideResult,
    TileRow,
    count_columns,
    now,
    write_cases,
    write_results,
    write_tiles,
)
from pathology.scoring import counts_from_codes
from pathology.stain.calibration import SCORES

MODEL, SHA256 = "fake/1.0.0", "f" * 64
#: Cells of each tile.
TILE_CELLS = 25
_STATUS = {"0": "negative", "1+": "negative", "2+": "equivocal", "3+": "positive"}
_TIER = {"0": "her2_ultralow", "1+": "her2_low", "2+": "her2_equivocal", "3+": "her2_positive"}


def table_of(sample: SlideSample, config: Config) -> CellTable:
    n = sample.n
    membrane = classify(sample.ray_od, sample.cytoplasm_od, config.measurement)
    place = np.arange(n, dtype=np.float32)
    return CellTable(
        tile_id=np.arange(n, dtype=np.int64) // TILE_CELLS,
        x_um=place * 12,
        y_um=place * 0 + 5,
        area_um2=place * 0 + 100,
        cell_class=np.zeros(n, dtype=np.uint8),
        tumour_probability=place * 0 + 1,
        outline_r=np.full((n, 32), 30, dtype=np.uint8),
        ray_od=sample.ray_od,
        cytoplasm_od=sample.cytoplasm_od,
        **{name: getattr(membrane, name) for name in vars(membrane)},
    )


def write_run(
    folder: Path,
    samples: Sequence[SlideSample],
    *,
    config: Config | None = None,
    change: Callable[[SlideSample], dict[str, Any]] = lambda _: {},
    counted: Callable[[SlideSample, int, int], int] = lambda _sample, _tile, n: n,
    finished: bool = True,
) -> Path:
    """Write the run that scored these slides; ``change`` alters results, ``counted`` tiles."""
    config = config or load_config()
    key = RunKey.of(config, model=MODEL, model_sha256=SHA256)
    results = []
    with RunFolder(folder, key) as run:
        for sample in samples:
            place = run.slide(sample.slide_id)
            place.begin()
            cells = table_of(sample, config)
            with CellWriter(place.cells) as writer:
                place_in_tile = np.arange(cells.n) % TILE_CELLS
                many = [counted(sample, int(k), TILE_CELLS) for k in cells.tile_id]
                writer.write(cells, evaluable=place_in_tile < np.array(many))
            numbers = np.bincount(cells.tile_id)
            rows = [_tile(k, int(n), counted(sample, k, int(n))) for k, n in enumerate(numbers)]
            write_tiles(place.tiles, rows)
            results.append(_result(sample, cells, config, change(sample)))
            place.write_result(results[-1])
        write_results(run.path, results)
        write_cases(run.path, results)
        run.write_info(
            RunInfo(
                command=("her2",),
                versions=versions(),
                host="h",
                device="cpu",
                started=now(),
                finished=now() if finished else None,
            )
        )
    return folder


def _tile(tile_id: int, n: int, counted: int) -> TileRow:
    return TileRow(
        tile_id=tile_id,
        x_px=tile_id * 512,
        y_px=0,
        width_px=512,
        height_px=512,
        status="ok",
        tissue_fraction=1.0,
        n_cells=n,
        n_tumour_cells=counted,
        n_unstained=counted,
        mean_membrane_od=0.1 if counted else None,
        tile_score="0" if counted else None,
    )


def _result(
    sample: SlideSample, cells: CellTable, config: Config, changes: dict[str, Any]
) -> SlideResult:
    score = SCORES[sample.rank]
    values: dict[str, Any] = {
        "slide_id": sample.slide_id,
        "path": f"slides/{sample.path}",
        "status": "scored",
        "ihc_score": score,
        "her2_status": _STATUS[score],
        "her2_tier": _TIER[score],
        "ish_reflex": score == "2+",
        **count_columns(counts_from_codes(cells.intensity, cells.complete)),
        "model": MODEL,
        "model_sha256": SHA256,
        "config_hash": config.hash,
        "guideline": config.scoring.guideline,
        "identity": SlideIdentity(size=sample.size_bytes, mtime_ns=1, quickhash=sample.quickhash),
        "expected_score": score,
    }
    return SlideResult(**{**values, **changes})
