"""Cells are taken up the same whether a batch holds one tile or many."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.cells.classify import build_table
from pathology.cells.measure import MeasuredCells
from pathology.cells.table import CELL_CLASSES, CellTable
from pathology.config import load_config
from pathology.geometry import Box0, Spacing
from pathology.pipeline.gathered import EVIDENCE_COLUMNS, TileReading
from pathology.pipeline.intake import CellIntake
from pathology.pipeline.reading import judge_threads
from pathology.runs import CellWriter, TileRow
from pathology.tiling import InputSpec, lay_grid
from pathology.timing import SlideTiming
from pathology.tissue import TissueMask

CONFIG = load_config()
SPACING = Spacing(x=0.5, y=0.5)
BOX = Box0(x=0, y=0, width=512, height=256)
SPEC = InputSpec(mpp=0.5, halo_px=0, context_factor=1, context_halo_px=0, tile_px=128)
TILES = list(lay_grid(BOX, SPACING, SPEC, tile_px=512))


def cells_of(tile_id: int, n: int, rng: np.random.Generator) -> CellTable:
    """Cells strewn over a tile of 64 µm; nine of ten are called tumour."""
    core = TILES[tile_id].core
    corner = np.array([core.x, core.y]) * 0.5
    measured = MeasuredCells(
        outline_r=rng.integers(20, 40, (n, 32), dtype=np.uint8),
        ray_od=rng.integers(0, 90, (n, 32), dtype=np.uint8),
        cytoplasm_od=np.round(rng.random(n) * 0.2, 3).astype(np.float32),
    )
    odds = np.where(rng.random(n) < 0.9, 0, 1)
    return build_table(
        tile_id=tile_id,
        centres_um=corner + rng.random((n, 2)) * 64,
        probabilities=np.eye(len(CELL_CLASSES), dtype=np.float32)[odds],
        measured=measured,
        tumour_min=CONFIG.cells.tumour_min,
        config=CONFIG.measurement,
    )


def take_up(
    tables: list[CellTable], sizes: list[int], area: TissueMask, path: Path
) -> tuple[TileReading, list[TileRow]]:
    """Take tiles up in batches of some sizes, each judged before any is taken, last one first."""
    reading, rows = TileReading(spacing=SPACING), []
    with CellWriter(path) as writer:
        intake = CellIntake(reading=reading, writer=writer, area=area, regions=None, config=CONFIG)
        ends = np.cumsum(sizes).tolist()
        parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        judged = {}
        for part in reversed(parts):
            batch: Any = SimpleNamespace(tiles=TILES[part])
            judged[part.start] = intake.judge(batch, tables[part])
        assert reading.n_nuclei == 0  # nothing of the slide changes before its turn
        for part in parts:
            rows += intake.take(judged[part.start])
    return reading, rows


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(0, 40), min_size=8, max_size=8),
    sizes=st.sampled_from([[8], [4, 4], [3, 1, 4], [1, 7]]),
)
def test_the_size_of_a_batch_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, counts: list[int], sizes: list[int]
) -> None:
    folder, rng = tmp_path_factory.mktemp("intake"), np.random.default_rng(seed)
    tables = [cells_of(k, n, rng) for k, n in enumerate(counts)]
    area = TissueMask(mask=rng.random((32, 64)) < 0.8, box=BOX, spacing=SPACING)
    alone, rows = take_up(tables, [1] * 8, area, folder / "alone.parquet")
    joined, same_rows = take_up(tables, sizes, area, folder / "joined.parquet")
    assert same_rows == rows
    assert [row.n_cells for row in rows] == counts
    assert (folder / "alone.parquet").read_bytes() == (folder / "joined.parquet").read_bytes()
    assert joined.class_counts == alone.class_counts
    assert joined.tumour_um2 == alone.tumour_um2
    for name in ("n_nuclei", "n_sure", "n_grouped", "n_in_situ"):
        assert getattr(joined, name) == getattr(alone, name)
    first, second = alone.evidence(), joined.evidence()
    for name in {*EVIDENCE_COLUMNS} & {*vars(first)}:
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert np.array_equal(first.off_scale, second.off_scale)  # type: ignore[arg-type]


def test_a_gpu_has_more_threads_to_judge_and_they_share_the_stage() -> None:
    assert (judge_threads("cpu"), judge_threads("cuda:0")) == (1, 4)
    timing = SlideTiming(wall_s=10.0, seconds={"tables": 20.0}, threads={"tables": 5})
    assert timing.busy("tables") == 0.4
