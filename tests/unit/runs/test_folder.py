from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pathology.cells.table import CellTable
from pathology.errors import OutputError, SlideError, UsageError
from pathology.provenance import SlideIdentity
from pathology.runs import (
    CellWriter,
    OutputFile,
    RunFolder,
    RunKey,
    SlideFolder,
    SlideResult,
    TileRow,
    read_run_info,
    write_tiles,
)
from pathology.runs import folder as module

Make = Callable[..., SlideResult]
SAME = SlideIdentity(size=10, mtime_ns=20, quickhash="q")
TILE = TileRow(tile_id=0, x_px=0, y_px=0, width_px=1, height_px=1, status="ok", tissue_fraction=0.0)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def finish(slide: SlideFolder, cells: CellTable, result: SlideResult) -> SlideResult:
    slide.begin()
    with CellWriter(slide.cells) as writer:
        writer.write(cells)
    tiles = write_tiles(slide.tiles, [TILE])
    slide.overview.write_bytes(b"png")
    outputs = (
        OutputFile(name="cells.parquet", rows=writer.rows),
        OutputFile(name="tiles.parquet", rows=tiles),
        OutputFile(name="overview.png"),
    )
    whole = result.model_copy(update={"outputs": outputs})
    slide.write_result(whole)
    return whole


def test_a_new_folder_is_made_and_bound(tmp_path: Path, run_key: RunKey) -> None:
    path = tmp_path / "deep" / "out"
    with RunFolder(path, run_key) as run:
        assert names(run.path) == [".her2.lock", "run.json", "slides"]
    assert read_run_info(path) == (run_key, None)
    with RunFolder(path, run_key):
        pass


def test_an_empty_folder_is_taken_whatever_file_managers_left(
    tmp_path: Path, run_key: RunKey
) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / ".run.json.her2-tmp-1").write_bytes(b"killed before it was written")
    with RunFolder(tmp_path, run_key) as run:
        assert ".run.json.her2-tmp-1" not in names(run.path)


def test_files_of_others_are_not_touched(tmp_path: Path, run_key: RunKey) -> None:
    (tmp_path / "thesis.docx").write_bytes(b"")
    for force in (False, True):
        with pytest.raises(OutputError, match=r"thesis\.docx"):
            RunFolder(tmp_path, run_key, force=force)
    assert names(tmp_path) == ["thesis.docx"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"program": "other"}', b'{"program": "her2-ihc", "model": 1}']
)
def test_run_json_of_others_is_not_ours(tmp_path: Path, run_key: RunKey, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(OutputError, match=r"run\.json"):
        RunFolder(tmp_path, run_key, force=True)
    assert (tmp_path / "run.json").read_bytes() == content


def test_another_configuration_is_refused_by_name(tmp_path: Path, run_key: RunKey) -> None:
    RunFolder(tmp_path, run_key).close()
    other = run_key.model_copy(
        update={"config_hash": "e" * 64, "config": {"scoring": {"min_tumour_cells": 50}}}
    )
    with pytest.raises(OutputError, match=r"scoring\.min_tumour_cells: 100 there, 50 now.*--force"):
        RunFolder(tmp_path, other)
    # The refusal gives the folder free again.
    RunFolder(tmp_path, run_key).close()


def test_another_model_is_refused_by_name(tmp_path: Path, run_key: RunKey) -> None:
    RunFolder(tmp_path, run_key).close()
    other = run_key.model_copy(update={"model_sha256": "f" * 64, "model": "her2-cells/0.2.0"})
    with pytest.raises(OutputError, match=r"model: her2-cells/0\.1\.0 .* her2-cells/0\.2\.0"):
        RunFolder(tmp_path, other)


def test_force_keeps_every_earlier_run(tmp_path: Path, run_key: RunKey) -> None:
    for content in (b"first", b"second"):
        with RunFolder(tmp_path, run_key, force=True) as run:
            (run.path / "results.csv").write_bytes(content)
            (run.slide("a").path).mkdir()
    with RunFolder(tmp_path, run_key, force=True) as run:
        assert names(run.path) == [".her2.lock", "previous", "run.json", "slides"]
        assert names(run.path / "slides") == []
    kept = [(tmp_path / "previous" / n / "results.csv").read_bytes() for n in ("0001", "0002")]
    assert kept == [b"first", b"second"]
    assert (tmp_path / "previous" / "0002" / "slides" / "a").is_dir()
    assert read_run_info(tmp_path / "previous" / "0001")[0] == run_key


def test_a_killed_move_loses_nothing(
    tmp_path: Path, run_key: RunKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder(tmp_path, run_key) as run:
        (run.path / "results.csv").write_bytes(b"kept")
        (run.path / "cases.csv").write_bytes(b"kept too")
    rename, done = Path.rename, []

    def killed(self: Path, target: Path) -> Path:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(self)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        RunFolder(tmp_path, run_key, force=True)
    monkeypatch.undo()
    RunFolder(tmp_path, run_key, force=True).close()
    kept = [path.read_bytes() for path in sorted(tmp_path.glob("previous/*/*.csv"))]
    assert kept == [b"kept too", b"kept"]


def test_one_run_at_a_time(tmp_path: Path, run_key: RunKey) -> None:
    with RunFolder(tmp_path, run_key):
        with pytest.raises(OutputError, match=f"process {os.getpid()} on .* is working"):
            RunFolder(tmp_path, run_key)
        code = f"""
from pathlib import Path
from pathology.errors import OutputError
from pathology.runs import RunFolder, RunKey
try:
    RunFolder(Path({str(tmp_path)!r}), RunKey(**{run_key.model_dump()!r}))
except OutputError as error:
    print(error)
"""
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert f"process {os.getpid()} on" in done.stdout
    RunFolder(tmp_path, run_key).close()


def test_leftovers_are_removed_at_the_start(tmp_path: Path, run_key: RunKey) -> None:
    with RunFolder(tmp_path, run_key) as run:
        slide = run.slide("a")
        slide.begin()
    for folder in (tmp_path, slide.path):
        (folder / ".cells.parquet.her2-tmp-99").write_bytes(b"half")
        (folder / "notes.txt").write_bytes(b"mine")
    RunFolder(tmp_path, run_key).close()
    assert names(slide.path) == ["notes.txt"]
    assert ".cells.parquet.her2-tmp-99" not in names(tmp_path)


def test_places_that_cannot_be_written_are_refused(tmp_path: Path, run_key: RunKey) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(OutputError, match="is a file"):
        RunFolder(file, run_key)
    with pytest.raises(OutputError, match="cannot be made"):
        RunFolder(file / "below", run_key)


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, run_key: RunKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(OutputError, match=r"Permission denied.*may write to"):
            RunFolder(tmp_path, run_key)


def test_too_little_space_is_refused(
    tmp_path: Path, run_key: RunKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(OutputError, match="only 1 MB"):
        RunFolder(tmp_path, run_key)
    RunFolder(tmp_path, run_key, min_free_bytes=0).close()


def test_links_that_lead_outside_are_refused(
    tmp_path: Path, run_key: RunKey, unscored: Make
) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    with RunFolder(out, run_key) as run:
        (run.path / "slides" / "u-1").symlink_to(outside)
        slide = run.slide("u-1")
        with pytest.raises(SlideError, match="is a link"):
            slide.begin()
        with pytest.raises(SlideError, match="is a link"):
            slide.write_result(unscored("u-1"))
        with pytest.raises(UsageError, match="not a slide id"):
            run.slide("../../outside")
    (out / "slides" / "u-1").unlink()
    (out / "slides").rmdir()
    (out / "slides").symlink_to(outside)
    with pytest.raises(OutputError, match="is a link"):
        RunFolder(out, run_key)
    assert names(outside) == []


def test_a_finished_slide_is_done_and_anything_else_is_not(
    tmp_path: Path, run_key: RunKey, scored: Make, make_cells: Callable[..., CellTable]
) -> None:
    with RunFolder(tmp_path, run_key) as run:
        slide = run.slide("a-1")
        assert not run.is_done("a-1", SAME)
        result = finish(slide, make_cells(30), scored())
        assert run.done("a-1", SAME) == result
        assert run.is_done("a-1", SAME.model_copy(update={"quickhash": None}))
        for change in (
            {"size": 11},
            {"mtime_ns": 21},
            {"quickhash": "other"},
            {"inputs_sha256": "a" * 64},
        ):
            assert not run.is_done("a-1", SAME.model_copy(update=change))
        assert slide.done(SAME, config_hash="c" * 64, model_sha256="b" * 64)
        assert not slide.done(SAME, config_hash="d" * 64, model_sha256="b" * 64)
        assert not slide.done(SAME, config_hash="c" * 64, model_sha256="d" * 64)


# A picture is only looked for, not looked into.
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("overview.png", "gone"),
        *itertools.product(
            ["cells.parquet", "tiles.parquet", "result.json"], ["gone", "empty", "cut", "other"]
        ),
    ],
)
def test_a_slide_with_a_damaged_file_is_not_done(
    tmp_path: Path,
    run_key: RunKey,
    scored: Make,
    make_cells: Callable[..., CellTable],
    name: str,
    damage: str,
) -> None:
    with RunFolder(tmp_path, run_key) as run:
        slide = run.slide("a-1")
        finish(slide, make_cells(30), scored())
        path = slide.path / name
        content = path.read_bytes()
        path.unlink()
        if damage == "empty":
            path.write_bytes(b"")
        elif damage == "cut":
            path.write_bytes(content[:-3])
        elif damage == "other" and name == "result.json":
            path.write_bytes(scored("b-1").to_json())
        elif damage == "other":
            with CellWriter(path) as writer:
                writer.write(make_cells(29))
        assert not run.is_done("a-1", SAME)


def test_failed_slides_are_tried_again_and_refused_ones_are_done(
    tmp_path: Path, run_key: RunKey, unscored: Make
) -> None:
    with RunFolder(tmp_path, run_key) as run:
        run.slide("u-1").write_result(unscored("u-1"))
        run.slide("u-2").write_result(unscored("u-2", status="failed", reason="unreadable"))
        run.slide("u-3").write_result(unscored("u-3", identity=None))
        assert [run.is_done(name, SAME) for name in ("u-1", "u-2", "u-3")] == [True, False, False]


def test_begin_removes_what_an_older_reading_left(
    tmp_path: Path, run_key: RunKey, scored: Make, make_cells: Callable[..., CellTable]
) -> None:
    with RunFolder(tmp_path, run_key) as run:
        slide = run.slide("a-1")
        finish(slide, make_cells(3), scored())
        (slide.path / "notes.txt").write_bytes(b"mine")
        slide.begin()
        assert names(slide.path) == ["notes.txt"]
        assert slide.load() is None


def test_a_result_is_checked_against_its_folder(
    tmp_path: Path, run_key: RunKey, scored: Make
) -> None:
    with RunFolder(tmp_path, run_key) as run:
        with pytest.raises(ValueError, match="result of b-1"):
            run.slide("a-1").write_result(scored("b-1"))
        with pytest.raises(ValueError, match="not written"):
            run.slide("a-1").write_result(
                scored("a-1", outputs=(OutputFile(name="cells.parquet", rows=1),))
            )


def test_same_work_gives_the_same_bytes(
    tmp_path: Path, run_key: RunKey, scored: Make, make_cells: Callable[..., CellTable]
) -> None:
    files = []
    for name in ("one", "two"):
        with RunFolder(tmp_path / name, run_key) as run:
            slide = run.slide("a-1")
            finish(slide, make_cells(30), scored())
            files.append({entry.name: entry.read_bytes() for entry in slide.path.iterdir()})
    assert files[0] == files[1]
