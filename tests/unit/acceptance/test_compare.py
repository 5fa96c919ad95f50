"""Two run folders: what differs is found, byte by byte, slide by slide."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pathology.acceptance import compare_runs
from pathology.cells.table import CellTable
from pathology.errors import OutputError
from pathology.provenance import SlideIdentity
from pathology.runs import (
    CellWriter,
    RunFolder,
    RunInfo,
    RunKey,
    SlideResult,
    count_columns,
    now,
    write_cases,
    write_results,
)
from pathology.scoring.counts import PatternCounts

CONFIG: dict[str, Any] = {"scoring": {"min_tumour_cells": 100}}
KEY = RunKey(config_hash="c" * 64, config=CONFIG, model="m/1", model_sha256="d" * 64)


def result(name: str, **changes: Any) -> SlideResult:
    known: dict[str, Any] = {
        "slide_id": name, "path": f"{name}.tif", "status": "scored", "ihc_score": "0",
        "her2_status": "negative", "her2_tier": "her2_null", "ish_reflex": False, "h_score": 10.0,
        "identity": SlideIdentity(size=100, mtime_ns=1, quickhash=f"hash-{name}"),
        **count_columns(PatternCounts(unstained=100)),
    }  # fmt: skip
    return SlideResult(**(known | changes))


def cells(n: int) -> CellTable:
    """Make n tumour cells in a row, 10 µm apart."""
    one = CellTable.empty()
    columns = {
        name: np.zeros((n, *getattr(one, name).shape[1:]), dtype=getattr(one, name).dtype)
        for name in one.__dataclass_fields__
    }
    columns["x_um"] = (10 * np.arange(n)).astype(np.float32)
    return CellTable(**columns)


def write(folder: Path, *results: SlideResult, key: RunKey = KEY, n: int = 100) -> Path:
    with RunFolder(folder, key) as run:
        for one in results:
            place = run.slide(one.slide_id)
            place.path.mkdir(parents=True)
            with CellWriter(place.cells) as writer:
                writer.write(cells(n))
            (place.path / "result.json").write_bytes(one.to_json())
        write_results(run.path, results)
        write_cases(run.path, results)
        run.write_info(
            RunInfo(command=(), versions={}, host="", device="cpu", started=now(), finished=now())
        )
    return folder


def compare(first: Path, second: Path) -> Any:
    return compare_runs(first, second, names=("one", "two"), same_cell_um=0.5)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run", result("a"), result("b"))


def test_a_copy_is_the_same_in_every_byte(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "copy")
    found = compare(run, tmp_path / "copy")
    assert (found.different_files, found.only_in_one) == ((), ())
    assert set(found.files) == {
        "results.csv", "results.parquet", "cases.csv",
        "slides/a/result.json", "slides/a/cells.parquet",
        "slides/b/result.json", "slides/b/cells.parquet",
    }  # fmt: skip
    assert [(pair.same_score, pair.paired, pair.cells) for pair in found.pairs] == [
        (True, 100, 100)
    ] * 2


@pytest.mark.parametrize("name", ["cases.csv", "results.parquet", "slides/b/cells.parquet"])
def test_one_byte_is_found(run: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "copy"
    shutil.copytree(run, other)
    content = bytearray((other / name).read_bytes())
    content[len(content) // 2] ^= 1
    (other / name).write_bytes(content)
    assert compare(run, other).different_files == (name,)
    (other / name).unlink()
    assert compare(run, other).different_files == (name,)


def test_scores_cells_and_h_scores_that_differ(run: Path, tmp_path: Path) -> None:
    low = {"ihc_score": "1+", "her2_tier": "her2_low", "h_score": 12.5}
    other = write(tmp_path / "other", result("a", **low), result("c"), n=90)
    found = compare(run, other)
    assert found.only_in_one == ("b", "c")
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.same_score) == ("0", "1+", False)
    assert (pair.h_score_difference, pair.paired, pair.cells) == (2.5, 90, 100)
    assert pair.paired_pct == 90


def test_another_file_under_the_same_name_is_not_compared(run: Path, tmp_path: Path) -> None:
    identity = SlideIdentity(size=100, mtime_ns=7, quickhash="another")
    touched = SlideIdentity(size=100, mtime_ns=7, quickhash="hash-b")
    other = write(tmp_path / "other", result("a", identity=identity), result("b", identity=touched))
    assert [pair.slide_id for pair in compare(run, other).comparable] == ["b"]


def test_runs_of_other_settings_are_refused(run: Path, tmp_path: Path) -> None:
    changed = KEY.model_copy(update={"config_hash": "e" * 64, "config": {"scoring": {}}})
    other = write(tmp_path / "other", result("a"), key=changed)
    with pytest.raises(OutputError, match=r"different settings .*min_tumour_cells"):
        compare(run, other)
