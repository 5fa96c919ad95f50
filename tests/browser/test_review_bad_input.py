"""What goes wrong in a laboratory, as a reader sees it: a clear message, and nothing is lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from driving import Site, copy_run, drag_box, log_in, on_screen, open_slide, still, until

from pathology.review import database
from pathology.review.events import Draft
from pathology.review.problems import StoreError

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def ring(page: Any) -> list[list[float]]:
    found: list[list[float]] = page.evaluate("her2.regions.shapes[0].rings[0]")
    return found


def test_corners_move_by_mouse_and_keyboard_and_never_cross(
    page: Any, site: Site, pictures: Path
) -> None:
    slide_id = open_slide(page, site, "102_A1_HER2")
    page.keyboard.press("x")
    drag_box(page, 0.4, 0.4, 0.6, 0.6)
    page.keyboard.press("e")
    before = ring(page)
    x, y = on_screen(page, (before[0][0] + before[1][0]) / 2, before[0][1] + 20)
    page.mouse.click(x, y)
    assert page.evaluate("her2.regions.chosen") == 0
    start = on_screen(page, *before[0])
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] - 40, start[1] - 30, steps=4)
    page.mouse.up()
    moved = ring(page)
    mpp = page.evaluate("her2.eye.frame.mpp")
    assert abs(before[0][0] - 40 * mpp - moved[0][0]) < 3 * mpp
    page.keyboard.press(".")
    page.keyboard.press("Shift+ArrowLeft")
    assert ring(page)[0][0] == pytest.approx(moved[0][0] - 8 * mpp)
    page.screenshot(path=pictures / "corner.png")
    corners = len(ring(page))
    page.keyboard.press(",")
    page.keyboard.press("Delete")
    assert len(ring(page)) == corners - 1
    page.keyboard.press("Control+z")
    assert len(ring(page)) == corners
    # A corner dragged across the other side goes back.
    page.mouse.click(x, y)
    kept = ring(page)
    start, far = on_screen(page, *kept[0]), on_screen(page, *kept[len(kept) // 2])
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(far[0] + 60, far[1] + 20, steps=4)
    page.mouse.up()
    page.get_by_text("cross itself").wait_for()
    assert ring(page) == kept
    page.click("#tab-review")
    page.get_by_role("button", name="Delete region 1").click()
    assert page.evaluate("her2.regions.shapes.length") == 0
    assert site.review(slide_id).version == 0


def test_crossing_outlines_and_regions_off_the_slide_are_refused(page: Any, site: Site) -> None:
    slide_id = open_slide(page, site, "102_A1_HER2")
    box = page.locator("#main-eye").bounding_box()
    page.keyboard.press("x")
    for share in ((0.4, 0.4), (0.6, 0.6), (0.6, 0.4), (0.4, 0.6)):
        page.mouse.click(box["x"] + box["width"] * share[0], box["y"] + box["height"] * share[1])
    page.keyboard.press("Enter")
    page.get_by_text("The outline crosses itself").wait_for()
    left = page.evaluate("-her2.eye.frame.left / her2.eye.frame.mpp / her2.eye.frame.width")
    assert left > 0.06, "the view has a margin beside the slide"
    drag_box(page, 0.01, 0.4, left - 0.02, 0.6)
    page.get_by_text("lies outside the slide").wait_for()
    assert page.evaluate("her2.regions.shapes.length") == 0
    # The server says the same to whoever goes round the page.
    width = page.evaluate("her2.eye.width")
    for corners, words in (
        ([[9, 9], [99, 99], [99, 9], [9, 99], [9, 9]], "crosses or touches itself"),
        ([[width + x, y] for x, y in ((9, 9), (99, 9), (99, 99), (9, 9))], "outside the slide"),
    ):
        feature = {
            "type": "Feature", "geometry": {"type": "Polygon", "coordinates": [corners]},
            "properties": {"classification": {"name": "Exclude"}},
        }  # fmt: skip
        answer = page.evaluate(
            """async ([id, feature]) => {
            const { csrf } = await (await fetch('/api/session')).json();
            const answer = await fetch(`/api/slides/${id}/regions`, { method: 'POST',
              headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
              body: JSON.stringify({ expected: 0, features: [feature], unit: 'um' }) });
            return [answer.status, (await answer.json()).message]; }""",
            [slide_id, feature],
        )
        assert answer[0] == 422
        assert words in answer[1]


def test_an_outline_survives_a_closed_browser_and_is_nobody_elses(
    pages: Any, shared_site: Site
) -> None:
    site = shared_site
    slide_id = site.slide("102_A1_HER2")
    page = pages.open()
    page.goto(site.door)
    log_in(page, "Anna")
    page.goto(f"{site.url}/slide/{slide_id}")
    until(page, "Boolean(window.her2)")
    still(page)
    page.keyboard.press("t")
    box = page.locator("#main-eye").bounding_box()
    for share in ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6)):
        page.mouse.click(box["x"] + box["width"] * share[0], box["y"] + box["height"] * share[1])
    page.close()  # in the middle of a drawing
    page = page.context.new_page()
    page.goto(f"{site.url}/slide/{slide_id}")
    page.get_by_role("button", name="Bring them back").click()
    page.keyboard.press("Enter")
    assert page.evaluate("her2.regions.shapes.map((one) => [one.kind, one.rings[0].length])") == [
        ["tumour", 3]
    ]
    page.goto(site.url)
    page.wait_for_selector(".slide")
    page.get_by_role("button", name="Log out").click()
    log_in(page, "Bo")
    page.goto(f"{site.url}/slide/{slide_id}")
    until(page, "Boolean(window.her2)")
    assert page.get_by_role("button", name="Bring them back").count() == 0


def _fill(site: Site) -> None:
    """Use up what is left of the last pages of the file."""
    draft = Draft(kind="relinked", after={"path": "p" * 200}, why="fills the file")
    for _ in range(1000):
        try:
            site.context.store.append("other", None, lambda _: draft)
        except StoreError:
            return
    pytest.fail("the file never was full")


def _nothing_cut_off(page: Any) -> None:
    """A long path in the message made the dialog's content wider than the dialog."""
    wide = page.evaluate(
        """() => { const dialog = document.querySelector("dialog[open]");
        return [...dialog.querySelectorAll("*")].filter((one) =>
          one.getBoundingClientRect().right > dialog.getBoundingClientRect().right + 1)
          .map((one) => one.outerHTML.slice(0, 80)); }"""
    )
    assert wide == []


@pytest.mark.parametrize("what", ["full", "locked"])
def test_a_record_that_cannot_be_written_keeps_what_was_entered(
    page: Any, run: Path, what: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.2)
    site = Site(run)
    slide_id = open_slide(page, site, "102_A1_HER2")
    page.click("#tab-review")
    page.get_by_role("button", name="Agree").click()
    page.get_by_text("Agreed: 3+").wait_for()
    page.get_by_role("button", name="Sign…").click()
    for box in page.locator("dialog input[type=checkbox]").all():
        box.check()
    page.get_by_label("Note").fill("n" * 500)
    other = sqlite3.connect(site.context.store.path, isolation_level=None)
    ours = site.context.store._connection
    if what == "full":
        (pages,) = ours.execute("PRAGMA page_count").fetchone()
        ours.execute(f"PRAGMA max_page_count = {pages}")
        _fill(site)
    else:
        other.execute("BEGIN IMMEDIATE")
    sign = page.get_by_role("button", name="Sign", exact=True)
    sign.click()
    page.locator("dialog .notice").filter(
        has_text="disk is full" if what == "full" else "another process is writing"
    ).wait_for()
    page.screenshot(path=pictures / "refused.png")
    _nothing_cut_off(page)
    assert page.get_by_label("Note").input_value() == "n" * 500
    assert page.locator("dialog input:checked").count() == 3
    assert site.review(slide_id).signature is None
    assert site.review(slide_id).decision is not None
    if what == "full":
        ours.execute("PRAGMA max_page_count = 100000")
    else:
        other.execute("ROLLBACK")
    other.close()
    sign.click()
    page.locator(".verdict", has_text="Signed by Anna").wait_for()
    assert site.review(slide_id).signature is not None
    site.close()


def test_a_moved_slide_is_found_again_by_its_content(
    page: Any, review_root: Path, tmp_path: Path, pictures: Path
) -> None:
    run = copy_run(review_root, tmp_path / "run")
    there = tmp_path / "archive"
    there.mkdir()
    name = next(one.name for one in (run / "slides").iterdir() if "102_A1_HER2" in one.name)
    was = json.loads((run / "slides" / name / "result.json").read_text())["path"]
    gone = str(tmp_path / "gone" / "B24-102_A1_HER2.tif")
    for path in (run / "slides" / name / "result.json", run / "results.csv"):
        text = path.read_text(encoding="utf-8")
        assert was in text
        path.write_text(text.replace(was, gone), encoding="utf-8")
    site = Site(run, slides=there)
    page.goto(site.door)
    page.wait_for_selector(".slide")
    page.goto(f"{site.url}/slide/{name}")
    page.get_by_text("no such file").wait_for()
    page.wait_for_selector(".histogram")
    page.screenshot(path=pictures / "gone.png")
    assert page.locator("#score").inner_text() == "3+"
    # Another slide under the right name is not taken.
    shutil.copy(Path(was).with_name("B24-102_B2_HER2.tif"), there / "B24-102_A1_HER2.tif")
    page.click("#relink")
    page.get_by_text("no file in the folder of slides is the one").or_(
        page.get_by_text("No file in the folder of slides is the one")
    ).wait_for()
    shutil.copy(was, there / "another name.tif")
    page.click("#relink")
    until(page, "Boolean(window.her2) && her2.eye.osd.world.getItemCount() > 1")
    assert page.locator("#problem").is_hidden()
    assert [event.kind for event in site.context.store.events(name)] == ["relinked"]
    site.close()


def test_a_run_that_is_not_done_says_so(page: Any, run: Path) -> None:
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "results.csv").unlink()
    folders = sorted((run / "slides").iterdir())
    (folders[0] / "result.json").unlink()
    (run / "run.json").write_text(json.dumps(_without_finish(info)), encoding="utf-8")
    site = Site(run)
    page.goto(site.door)
    page.wait_for_selector(".slide")
    page.get_by_text(f"Unfinished run: {len(folders) - 1} slides done so far").wait_for()
    assert page.locator(".slide").count() == len(folders) - 1
    site.close()


def _without_finish(info: Any) -> Any:
    if isinstance(info, dict):
        return {
            key: None if key == "finished" else _without_finish(value)
            for key, value in info.items()
        }
    return info


def test_a_server_that_has_gone_says_so_and_the_drawing_stays(page: Any, run: Path) -> None:
    site = Site(run)
    open_slide(page, site, "102_A1_HER2")
    page.keyboard.press("x")
    drag_box(page, 0.4, 0.4, 0.6, 0.6)
    page.click("#tab-review")
    page.route("**/regions", lambda route: route.abort())
    page.click("#save-regions")
    page.get_by_text("The server does not answer.").wait_for()
    assert page.evaluate("her2.regions.dirty")
    assert page.locator(".work-list li").count() == 1
    site.close()
