"""A million cells are scored again in seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from benchmark_rescore import time_rescoring, write_run


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [("scoring.pattern_floor_pct=2",), ("measurement.intense_od=0.5",)], ids=str
)
def test_a_million_cells_take_seconds(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    """The aim is 3 s by the clock on two idle cores, which is at most 6 s of the processor."""
    write_run(tmp_path / "run", 1_000_000)
    found = [time_rescoring(tmp_path / "run", tmp_path / str(k), *overrides) for k in range(3)]
    assert min(processor for _, processor, _ in found) < 6.0
    assert found[0][2].n_tumour_cells > 800_000
