"""A process killed at any moment never leaves anything that is taken as done but is not."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pathology.cells.table import CellTable
from pathology.provenance import SlideIdentity
from pathology.runs import RunFolder, RunKey, read_cells, read_results, read_tiles
from pathology.runs.atomic import is_temporary

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

# One run over two slides, as the program does it. `work` is what gets killed.
WORK = """
import os, shutil, sys
from pathlib import Path
import numpy as np
from pathology.cells.table import CellTable
from pathology.provenance import SlideIdentity
from pathology.runs import *
from pathology.runs import cells as cells_module
from pathology.scoring.counts import PatternCounts

cells_module.ROW_GROUP = 200
# What a killed process has written stays in the page cache: syncing would only cost time here.
os.fsync = lambda handle: None
KEY = RunKey(config_hash="c" * 64, config={}, model="m/1", model_sha256="b" * 64)

def table(n, seed):
    rng, columns = np.random.default_rng(seed), {}
    for name, column in vars(CellTable.empty()).items():
        columns[name] = rng.integers(0, 2, (n, *column.shape[1:])).astype(column.dtype)
    return CellTable(**columns)

def work(folder, version):
    identity = SlideIdentity(size=version, mtime_ns=version)
    with RunFolder(Path(folder), KEY, min_free_bytes=0) as run:
        results = []
        for slide_id in ("a-1", "b-2"):
            result = run.done(slide_id, identity)
            if result is None:
                slide = run.slide(slide_id)
                slide.begin()
                with CellWriter(slide.cells) as writer:
                    for seed in range(3):
                        writer.write(table(150, seed + version))
                tile = TileRow(tile_id=version, x_px=0, y_px=0, width_px=1, height_px=1,
                               status="ok", tissue_fraction=0.0)
                rows = write_tiles(slide.tiles, [tile])
                result = SlideResult(
                    slide_id=slide_id, path=slide_id, status="not_scorable",
                    reasons=("too_few_cells",), identity=identity,
                    config_hash=KEY.config_hash, model=KEY.model, model_sha256=KEY.model_sha256,
                    outputs=(OutputFile(name="cells.parquet", rows=writer.rows),
                             OutputFile(name="tiles.parquet", rows=rows)),
                    **count_columns(PatternCounts(unstained=version)))
                slide.write_result(result)
            results.append(result)
        write_results(run.path, results)
        write_cases(run.path, results)
"""

# Forks a child for every step that touches the disk; the child dies at that step, half-way through
# it where it is a write. `version 1` is finished before, so that there is something to spoil.
FORKS = (
    WORK
    + """
def mortal(fatal, every):
    steps = writes = 0
    def step(call, half=None):
        def wrapped(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == fatal:
                if half is not None:
                    half(*args)
                os._exit(9)
            return call(*args, **kwargs)
        return wrapped
    os.fsync = step(os.fsync)
    Path.replace = step(Path.replace)
    Path.unlink = step(Path.unlink)
    Path.mkdir = step(Path.mkdir)
    inner = AtomicFile.stream.fget
    class Stream:
        def __init__(self, file):
            self._file, self._step = file, step(file.write, half=self._half)
        def write(self, content):
            nonlocal writes
            writes += 1
            # A table is hundreds of small writes, all to a temporary name.
            return (self._file.write if writes % every else self._step)(content)
        def _half(self, content):
            self._file.write(memoryview(content).cast("B")[: memoryview(content).nbytes // 2])
            self._file.flush()
        def __getattr__(self, name):
            return getattr(self._file, name)
    AtomicFile.stream = property(lambda self: Stream(inner(self)))

root, every, stride = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
fatal = 1 - stride
if os.fork() == 0:
    work(root / "old", 1)
    os._exit(0)
os.wait()
while True:
    fatal += stride
    folder = root / f"{fatal:04d}"
    shutil.copytree(root / "old", folder)
    pid = os.fork()
    if pid == 0:
        mortal(fatal, every)
        work(folder, 2)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        break
    if code != 9:
        sys.exit(code)
print(fatal)
"""
)

FINISH = WORK + "\nfor name in sys.argv[1:]: work(name, 2)\n"


def content(folder: Path) -> dict[str, bytes]:
    names = ("results.csv", "results.parquet", "cases.csv")
    files = [folder / name for name in names] + sorted((folder / "slides").rglob("*"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.is_file()}


def check_nothing_is_taken_as_done_that_is_not(folder: Path) -> None:
    key = RunKey(config_hash="c" * 64, config={}, model="m/1", model_sha256="b" * 64)
    for path in folder.rglob("*"):
        if is_temporary(path.name):
            continue
        # Whatever has a final name is whole, old or new.
        if path.name == "cells.parquet":
            assert CellTable.concat(list(read_cells(path))).n == 450
        elif path.name == "tiles.parquet":
            assert len(read_tiles(path)) == 1
    with RunFolder(folder, key, min_free_bytes=0) as run:
        for slide_id in ("a-1", "b-2"):
            for version in (1, 2):
                result = run.done(slide_id, SlideIdentity(size=version, mtime_ns=version))
                if result is not None:
                    assert result.n_unstained == version
                    (tile,) = read_tiles(run.slide(slide_id).tiles)
                    assert tile.tile_id == version, "an old result beside a new table"
    assert not [path for path in folder.rglob("*") if is_temporary(path.name)]


@pytest.mark.parametrize(
    ("every", "stride", "least"),
    [(50, 2, 50), pytest.param(1, 1, 500, marks=pytest.mark.slow, id="every step")],
)
def test_killed_step_by_step(tmp_path: Path, every: int, stride: int, least: int) -> None:
    command = [sys.executable, "-c", FORKS, str(tmp_path), str(every), str(stride)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    last = int(done.stdout)
    assert last > least
    folders = [tmp_path / f"{n:04d}" for n in range(1, last + 1, stride)]
    for folder in folders:
        check_nothing_is_taken_as_done_that_is_not(folder)
    subprocess.run([sys.executable, "-c", FINISH, *map(str, folders)], check=True)
    # The last one was never killed; all others end with the same bytes.
    expected = content(folders[-1])
    assert len(expected) == 9
    for folder in folders[:-1]:
        assert content(folder) == expected
    assert len(read_results(folders[0])) == 2


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment(tmp_path: Path, seed: int) -> None:
    code = WORK + "\nprint('go', flush=True)\nfor n in range(10000): work(sys.argv[1], 1 + n % 2)\n"
    folder = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        time.sleep(random.Random(seed).uniform(0.0, 0.4))  # noqa: S311 - a moment, not a secret
        process.kill()
    assert process.returncode == -9
    if folder.exists():
        check_nothing_is_taken_as_done_that_is_not(folder)
