"""Measure the memory and the speed of exporting many cells to GeoJSON.

Writes a made-up slide of N cells in pieces, exports it in a process of its own, and prints that
process's peak memory (maximum resident set size). Example: ``python
scripts/benchmark_export_memory.py --cells 5000000``.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pathology.cells.table import N_RAYS, CellTable
from pathology.geometry import Spacing
from pathology.runs import (
    CellWriter,
    SlideFolder,
    SlideResult,
    SpacingBlock,
    TileRow,
    count_columns,
    write_results,
    write_tiles,
)
from pathology.scoring.counts import PatternCounts

PIECE = 50_000
SIDE_UM = 20_000.0


def some_cells(n: int, seed: int) -> CellTable:
    rng = np.random.default_rng(seed)
    pattern = rng.integers(0, 5, n).astype(np.uint8)
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
    return CellTable(
        tile_id=np.full(n, seed, dtype=np.int64),
        x_um=(rng.random(n) * SIDE_UM).astype(np.float32),
        y_um=(rng.random(n) * SIDE_UM).astype(np.float32),
        area_um2=rng.uniform(50, 200, n).astype(np.float32),
        cell_class=np.zeros(n, dtype=np.uint8),
        outline_r=rng.integers(20, 60, (n, N_RAYS)).astype(np.uint8),
        ray_od=rng.integers(0, 90, (n, N_RAYS)).astype(np.uint8),
        intensity=np.minimum(pattern, 4).astype(np.uint8),
        complete=np.asarray(pattern > 2),
        pattern=pattern,
        **real,
    )


def write_run(root: Path, cells: int) -> None:
    folder = SlideFolder(root=root, slide_id="big-0000000001")
    folder.path.mkdir(parents=True)
    with CellWriter(folder.cells) as writer:
        for start in range(0, cells, PIECE):
            writer.write(some_cells(min(PIECE, cells - start), start // PIECE))
    tile = TileRow(
        tile_id=0, x_px=0, y_px=0, width_px=80_000, height_px=80_000, status="ok",
        tissue_fraction=1.0, n_cells=cells, n_tumour_cells=cells, n_unstained=cells,
    )  # fmt: skip
    write_tiles(folder.tiles, [tile])
    result = SlideResult(
        slide_id=folder.slide_id,
        path="big.svs",
        status="not_scorable",
        reasons=("too_few_cells",),
        mpp=0.25,
        mpp_source="header",
        spacing=SpacingBlock.of(Spacing(x=0.25, y=0.25)),
        **count_columns(PatternCounts(unstained=cells)),
    )
    folder.write_result(result)
    write_results(root, [result])


def export(root: Path, kind: str) -> None:
    from pathology.report import export as write_exports

    begun = time.monotonic()
    paths = write_exports(root, [kind])[kind]
    seconds = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    largest = max(path.stat().st_size for path in paths) / 1e6
    print(f"peak memory {peak:.0f} MB, {seconds:.0f} s, largest file {largest:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=500_000)
    parser.add_argument("--kind", default="geojson")
    parser.add_argument("--run", type=Path, help="(internal) export this run and print")
    arguments = parser.parse_args()
    if arguments.run is not None:
        export(arguments.run, arguments.kind)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        write_run(root, arguments.cells)
        print(f"{arguments.cells:,} cells as {arguments.kind}: ", end="", flush=True)
        words = [sys.executable, __file__, "--run", str(root), "--kind", arguments.kind]
        subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
