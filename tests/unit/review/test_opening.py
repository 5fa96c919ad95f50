from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from reviewing import ADA, POLICY, Reader, rewrite

from pathology.errors import OutputError, SlideError
from pathology.provenance import file_identity
from pathology.review.context import ReviewContext, open_context
from pathology.review.problems import Refused, StoreError, UnknownSlide
from pathology.review.relink import find_moved, relink
from pathology.review.users import Users
from pathology.runs import SlideFolder
from pathology.synthesis.tiff import write_pyramid
from pathology.wsi import open_slide


def test_a_run_that_has_not_finished_shows_what_is_done(run: Path) -> None:
    (run / "results.csv").unlink()
    SlideFolder(root=run, slide_id="b").result.unlink()
    SlideFolder(root=run, slide_id="c").result.write_text("{", encoding="utf-8")
    context = open_context(run, local=ADA, policy=POLICY)
    assert list(context.rows) == ["a"]
    context.close()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        open_context(tmp_path, local=ADA, policy=POLICY)
    assert not (tmp_path / "review").exists()


def test_either_named_users_or_one_person(run: Path, named: Users) -> None:
    for users, local in ((named, ADA), (Users(), None)):
        with pytest.raises(ValueError, match="named users, or one local"):
            open_context(run, users=users, local=local, policy=POLICY)


def test_a_damaged_result_is_an_error_of_its_slide_alone(context: ReviewContext) -> None:
    ada = Reader(context, ADA)
    ada.sign("b")
    SlideFolder(root=context.run, slide_id="a").result.write_text("{", encoding="utf-8")
    answer = ada.client.get("/api/slides/a/review")
    assert answer.status_code == 422
    assert "result.json" in answer.json()["message"]
    assert ada.get("b")["status"] == "signed"
    with pytest.raises(UnknownSlide):
        context.loaded("z")


def test_a_slide_without_a_folder_has_its_row(context: ReviewContext) -> None:
    shutil.rmtree(SlideFolder(root=context.run, slide_id="a").path)
    assert context.loaded("a").result.path == context.rows["a"].path


def test_a_folder_that_cannot_be_written_is_named(run: Path) -> None:
    (run / "review").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be made"):
        open_context(run, local=ADA, policy=POLICY)


def slide(path: Path, value: int) -> Path:
    pixels = np.full((256, 300, 3), value, dtype=np.uint8)
    write_pyramid(path, pixels, mpp=0.5, levels=1, compression="deflate")
    return path


def test_a_moved_slide_is_found_by_its_content(context: ReviewContext, tmp_path: Path) -> None:
    there = tmp_path / "slides" / "deep"
    there.mkdir(parents=True)
    moved = slide(there / "renamed.tif", 200)
    other = slide(there / "slide.tif", 100)
    with open_slide(moved) as opened:
        quickhash = opened.info.quickhash
    identity = file_identity(moved, quickhash=quickhash)
    rewrite(context.run, "a", path="/gone/slide.tif", identity=identity, spacing=None)
    result = context.loaded("a").result
    assert find_moved(result, tmp_path / "slides") == moved
    assert find_moved(context.loaded("b").result, tmp_path / "slides") is None
    with pytest.raises(Refused, match="is not the slide"):
        relink(context, ADA, "a", other)
    with pytest.raises(SlideError, match="no such file"):
        relink(context, ADA, "a", tmp_path / "nowhere.tif")
    relink(context, None, "a", moved)
    review = context.store.review("a")
    assert review.path == str(moved.resolve())
    assert review.status.value == "open"
    assert context.store.events("a")[0].before["path"] == "/gone/slide.tif"
