from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pathology.cells.table import CellTable
from pathology.errors import OutputError, ReasonCode, SlideError
from pathology.runs import (
    AtomicFile,
    CellWriter,
    OutputFile,
    SlideFolder,
    SlideResult,
    TileRow,
    atomic_write_bytes,
    write_cases,
    write_results,
    write_tiles,
)
from pathology.runs.atomic import is_temporary, remove_temporary

FULL = OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def fill(path: Path, tables: list[CellTable]) -> None:
    with CellWriter(path) as writer:
        for table in tables:
            writer.write(table)


def fail(error: OSError) -> Callable[..., Any]:
    def raiser(*args: object, **kwargs: object) -> None:
        raise error

    return raiser


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with AtomicFile(path) as file:
        file.stream.write(b"new")
        assert path.read_bytes() == b"old"
        assert [is_temporary(name) for name in names(tmp_path)] == [True, False]
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.txt"]
    with pytest.raises(ValueError, match="closed"):
        _ = file.stream


def test_order_is_write_sync_rename_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    sync, rename = os.fsync, Path.replace

    def noted_sync(handle: int) -> None:
        seen.append("sync folder" if Path(f"/dev/fd/{handle}").is_dir() else "sync file")
        sync(handle)

    def noted_rename(self: Path, target: Path) -> Path:
        seen.append("rename")
        assert self.read_bytes() == b"x"
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    atomic_write_bytes(tmp_path / "a", b"x")
    assert seen == ["sync file", "rename", "sync folder"]


class _ForgetfulDisk:
    """Note what a power cut would leave of a folder: synced files under synced names, no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.whole: set[int] = set()  # inodes whose content is durable
        self.kept: dict[Path, dict[str, int]] = {}  # names that are durable, by folder
        self.syncs = 0
        sync, one_at_a_time = os.fsync, threading.Lock()

        def noted(handle: int) -> None:
            sync(handle)
            with one_at_a_time:
                note(handle)

        def note(handle: int) -> None:
            self.syncs += 1
            place = Path(f"/dev/fd/{handle}").resolve()
            if place.is_dir():
                self.kept[place] = {e.name: e.stat().st_ino for e in place.iterdir()}
            else:
                self.whole.add(os.fstat(handle).st_ino)

        monkeypatch.setattr(os, "fsync", noted)

    def after_power_cut(self, folder: Path) -> dict[str, bool]:
        """Return the names that are left, and whether each holds all of its file.

        The name of the result is the one that may have reached the disk by chance as well.
        """
        names = dict(self.kept.get(folder, {}))
        result = folder / "result.json"
        if result.exists():
            names["result.json"] = result.stat().st_ino
        return {name: inode in self.whole for name, inode in names.items()}


@pytest.mark.skipif(sys.platform != "linux", reason="looks at open files by /dev/fd")
def test_after_a_power_cut_a_result_has_all_its_files(
    tmp_path: Path,
    make_cells: Callable[..., CellTable],
    scored: Callable[..., SlideResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = _ForgetfulDisk(monkeypatch)
    place = SlideFolder(root=tmp_path, slide_id="a")
    tile = TileRow(
        tile_id=0, x_px=0, y_px=0, width_px=1, height_px=1, status="ok", tissue_fraction=0.0
    )
    names = ("cells.parquet", "tiles.parquet", "overview.png", "tissue.png")
    result = scored("a").model_copy(
        update={"outputs": tuple(OutputFile(name=name) for name in names)}
    )
    rename, seen = Path.replace, []

    def checked(self: Path, target: Path) -> Path:
        renamed = rename(self, target)
        left = disk.after_power_cut(place.path)
        if "result.json" in left:
            seen.append(target.name)
            assert all(left.get(name) for name in (*names, "result.json")), left
        return renamed

    monkeypatch.setattr(Path, "replace", checked)
    for _ in range(2):  # anew, and over an older reading
        place.begin()
        assert "result.json" not in disk.after_power_cut(place.path)
        fill(place.cells, [make_cells(100)])
        write_tiles(place.tiles, [tile])
        place.write(place.overview, b"picture")
        place.write(place.tissue, b"mask")
        place.write_result(result)
    assert seen == ["result.json"] * 2
    # Each file once, the folder before and after the result; once more to take an old result away.
    assert disk.syncs == 2 * (len(names) + 3) + 1


@pytest.mark.parametrize("place", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, ReasonCode.DISK_FULL),
        (errno.EDQUOT, ReasonCode.DISK_FULL),
        (errno.EROFS, ReasonCode.OUTPUT_NOT_WRITABLE),
        (errno.EIO, ReasonCode.OUTPUT_NOT_WRITABLE),
    ],
)
def test_disk_errors_leave_the_old_file_and_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, number: int, reason: ReasonCode
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    target = os if place == "fsync" else Path
    monkeypatch.setattr(target, place, fail(OSError(number, os.strerror(number))))
    with pytest.raises(SlideError, match=str(path)) as caught:
        atomic_write_bytes(path, b"new")
    assert caught.value.reason == reason
    assert caught.value.fix
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


class _FullStream:
    """A stream on a disk that takes ``room`` bytes."""

    def __init__(self, inner: Any, room: int) -> None:
        self._inner, self._room = inner, room

    def write(self, content: Any) -> int:
        self._room -= memoryview(content).nbytes
        if self._room < 0:
            raise FULL
        return int(self._inner.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("room", [0, 3, 100, 5_000, 60_000])
@pytest.mark.parametrize("group", [100, 100_000])
def test_cells_on_a_full_disk(
    tmp_path: Path,
    make_cells: Callable[..., CellTable],
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    group: int,
) -> None:
    monkeypatch.setattr("pathology.runs.cells.ROW_GROUP", group)
    stream = AtomicFile.stream

    def full_stream(self: AtomicFile) -> Any:
        return _FullStream(stream.fget(self), room)  # type: ignore[attr-defined]

    monkeypatch.setattr(AtomicFile, "stream", property(full_stream))
    path = tmp_path / "cells.parquet"
    with pytest.raises(SlideError, match="disk is full") as caught:
        fill(path, [make_cells(200, seed) for seed in range(10)])
    assert caught.value.reason == ReasonCode.DISK_FULL
    assert names(tmp_path) == []


def test_tables_of_the_run_say_that_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: Callable[..., SlideResult]
) -> None:
    write_results(tmp_path, [scored("a")])
    write_cases(tmp_path, [scored("a")])
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    monkeypatch.setattr(os, "fsync", fail(FULL))
    tile = TileRow(
        tile_id=0, x_px=0, y_px=0, width_px=1, height_px=1, status="ok", tissue_fraction=0.0
    )
    with pytest.raises(OutputError, match="disk is full"):
        write_results(tmp_path, [scored("b")])
    with pytest.raises(OutputError, match="disk is full"):
        write_cases(tmp_path, [scored("b")])
    folder = SlideFolder(root=tmp_path, slide_id="b")
    folder.begin()  # a new folder: nothing in it need be durable yet
    write_tiles(folder.tiles, [tile])
    result = scored("b").model_copy(update={"outputs": (OutputFile(name="tiles.parquet"),)})
    with pytest.raises(SlideError, match="disk is full"):
        folder.write_result(result)
    assert names(folder.path) == ["tiles.parquet"]
    folder.result.write_bytes(b"{}")
    with pytest.raises(SlideError, match="disk is full"):
        folder.begin()
    shutil.rmtree(tmp_path / "slides")
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="cannot be written") as caught:
        atomic_write_bytes(tmp_path / "no" / "a", b"")
    assert caught.value.reason == ReasonCode.OUTPUT_NOT_WRITABLE


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside, path = tmp_path / "outside", tmp_path / "a"
    outside.write_bytes(b"safe")
    path.symlink_to(outside)
    atomic_write_bytes(path, b"new")
    assert outside.read_bytes() == b"safe"
    assert not path.is_symlink()


def test_only_our_leftovers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.her2-tmp-1").write_bytes(b"half")
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "b").write_bytes(b"")
    assert remove_temporary(tmp_path) == 1
    assert names(tmp_path) == [".hidden", "b"]
    assert remove_temporary(tmp_path / "missing") == 0


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from pathology.cells.table import CellTable
from pathology.errors import SlideError
from pathology.runs import CellWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
rng, columns = np.random.default_rng(0), {}
for name, column in vars(CellTable.empty()).items():
    shape = (5000, *column.shape[1:])
    columns[name] = rng.integers(0, 5, shape).astype(column.dtype)
try:
    with CellWriter(Path(sys.argv[1]) / "cells.parquet") as writer:
        writer.write(CellTable(**columns))
except SlideError as error:
    print(error.reason)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_the_real_system_call_fails_the_same_way(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("disk_full", "")
    assert names(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    mount, disk = shutil.which("mount"), tmp_path / "disk"
    disk.mkdir()
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield disk
    subprocess.run([shutil.which("umount") or "umount", str(disk)], check=True)


def test_a_really_full_disk(tiny_disk: Path, make_cells: Callable[..., CellTable]) -> None:
    atomic_write_bytes(tiny_disk / "first", b"x" * 20_000)
    with pytest.raises(SlideError, match="disk is full") as caught:
        fill(tiny_disk / "cells.parquet", [make_cells(2000)])
    assert caught.value.reason == ReasonCode.DISK_FULL
    with pytest.raises(SlideError, match="disk is full"):
        atomic_write_bytes(tiny_disk / "second", b"x" * 60_000)
    assert names(tiny_disk) == ["first"]
    assert (tiny_disk / "first").stat().st_size == 20_000
