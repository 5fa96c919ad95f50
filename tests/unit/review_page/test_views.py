from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import OpenGate, client, tiny_run

import pathology.review
from pathology.review.run import ReviewRun

STATIC = Path(pathology.review.__file__).parent / "static"
SLIDE = "tiny-0123456789"
READINGS = ("panel", "histogram", "fields", "heatmap", "areas/tissue", "cells/0",
            "cells?left=0&top=0&right=9&bottom=9")  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReviewRun:
    return tiny_run(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def web(run: ReviewRun) -> Any:
    return client(run)


def test_every_answer_asks_who_is_there(web: Any) -> None:
    paths = ["worklist", f"slides/{SLIDE}", f"slides/{SLIDE}/thumbnail.jpg",
             f"slides/{SLIDE}/backdrop.jpg", f"slides/{SLIDE}/regions.geojson",
             f"slides/{SLIDE}/tiles/3/0_0.jpg"]  # fmt: skip
    paths += [f"slides/{SLIDE}/{rest}" for rest in READINGS]
    for path in paths:
        request = httpx.Request("GET", f"{web.base_url}/api/{path}")
        assert web.send(request).status_code == 401, path


def test_what_is_withheld_is_not_sent(run: ReviewRun) -> None:
    web = client(run, OpenGate(withheld=frozenset({SLIDE}), blinded=True))
    for rest in READINGS:
        answer = web.get(f"/api/slides/{SLIDE}/{rest}")
        assert answer.status_code == 403, rest
        assert answer.json()["withheld"] is True
    about = web.get(f"/api/slides/{SLIDE}").json()
    assert about["name"] == ""
    assert about["areas"] == []
    assert "status" not in web.get("/api/worklist").json()["rows"][0]
    assert web.get(f"/api/slides/{SLIDE}/tiles/9/0_0.jpg").status_code == 200  # the picture is


@pytest.mark.parametrize(
    "slide_id",
    ["nobody-0123456789", "..", "%2e%2e", "..%2f..%2frun.json", "tiny-0123456789%00", "a" * 300],
)
def test_nothing_outside_the_run_is_served(web: Any, slide_id: str) -> None:
    for rest in ("", "/thumbnail.jpg", "/backdrop.jpg", "/cells/0", "/tiles/0/0_0.jpg"):
        assert web.get(f"/api/slides/{slide_id}{rest}").status_code in (404, 422)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/docs",
             "/openapi.json", "/static/", "/static/js"]
)  # fmt: skip
def test_no_other_file_is_served(web: Any, path: str) -> None:
    assert web.get(path).status_code == 404


def test_label_and_macro_images_have_no_route(web: Any) -> None:
    for name in ("label", "macro", "label.jpg", "associated/label"):
        assert web.get(f"/api/slides/{SLIDE}/{name}").status_code == 404


def test_squares_come_as_jpeg_and_are_not_sent_twice(web: Any) -> None:
    first = web.get(f"/api/slides/{SLIDE}/tiles/9/0_0.jpg")
    assert first.content[:2] == b"\xff\xd8"
    tag = first.headers["etag"]
    again = web.get(f"/api/slides/{SLIDE}/tiles/9/0_0.jpg", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert web.get(f"/api/slides/{SLIDE}/tiles/9/1_0.jpg").status_code == 404
    assert web.get(f"/api/slides/{SLIDE}/tiles/99/0_0.jpg").status_code == 404


def test_odd_numbers_are_refused(web: Any) -> None:
    for value in ("nan", "inf", "1e9", "x"):
        path = f"/api/slides/{SLIDE}/cells?left={value}&top=0&right=1&bottom=1"
        assert web.get(path).status_code == 422
    assert web.get(f"/api/slides/{SLIDE}/cells/500").status_code == 404
    assert web.get(f"/api/slides/{SLIDE}/cells/-1").status_code == 404
    assert web.get(f"/api/slides/{SLIDE}/cells/{10**30}").status_code in (404, 422)


def test_one_cell_is_the_one_in_the_table(web: Any, run: ReviewRun) -> None:
    from pathology.runs import read_cells

    (table,) = read_cells(run.folder(SLIDE).cells)
    cell = web.get(f"/api/slides/{SLIDE}/cells/321").json()
    assert cell["x_um"] == pytest.approx(float(table.x_um[321]))
    assert cell["sectors_od"] == pytest.approx(table.ray_od[321] / 100)


def test_failed_tiles_are_shown_with_their_area(web: Any) -> None:
    found = web.get(f"/api/slides/{SLIDE}/heatmap").json()
    assert found["tiles"][0][:6] == [0.0, 0.0, 150.0, 100.0, -1, 1]
    assert found["mm2_failed"] == pytest.approx(0.015)


def test_a_slide_whose_file_is_gone_still_has_its_reading(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    run.file(SLIDE).unlink()
    web = client(run)
    about = web.get(f"/api/slides/{SLIDE}").json()
    assert "no such file" in about["problem"]["message"]
    assert "--slides" in about["problem"]["fix"]
    assert about["picture"]["width"] == 300
    assert web.get(f"/api/slides/{SLIDE}/tiles/9/0_0.jpg").status_code == 410
    assert web.get(f"/api/slides/{SLIDE}/panel").json()["run"]["headline"] == "No score"
    assert web.get(f"/api/slides/{SLIDE}/heatmap").status_code == 200


def test_pages_have_no_inline_script_or_style_and_nothing_from_elsewhere() -> None:
    for page in STATIC.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "<style" not in text
        assert not re.search(r"\sstyle=|\son\w+=|javascript:", text)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
        assert not re.search(r"(?:src|href)=\"(?!/|#|data:,)", text)
    for script in (STATIC / "js").glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text


def test_own_front_end_files_are_small() -> None:
    for path in [*(STATIC / "js").glob("*.js"), *(STATIC / "css").glob("*.css")]:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 400, path.name


def test_vendored_files_are_those_that_are_named() -> None:
    table = (STATIC / "vendor" / "VENDORED.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `([^`]+)` .* ([0-9a-f]{64}) \|$", table, re.MULTILINE))
    there = {path.name for path in (STATIC / "vendor").iterdir()} - {"VENDORED.md"}
    assert set(named) == there
    for name, digest in named.items():
        content = (STATIC / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
