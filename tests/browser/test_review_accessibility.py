"""The review page for people who use a keyboard or a screen reader, as axe-core judges it.

axe-core needs ``eval``, which the page's own policy forbids: it runs in a context that leaves the
policy out. Everything else is as it is served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from driving import drag_box, log_in, open_slide, still, until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABS = ("reading", "layers", "review", "history")


@cache
def axe_source() -> str:
    pytest.importorskip("axe_playwright_python", reason="axe is not installed")
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def audit(pages: Any) -> Iterator[tuple[Any, Callable[[str], None]]]:
    """A page, and a function that notes what axe finds wrong there; the test fails at its end."""
    page = pages.open(bypass_csp=True)
    page.add_init_script(axe_source())
    found: list[str] = []

    def look(where: str) -> None:
        results = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert results["passes"], "axe looked at nothing"
        for item in results["violations"]:
            if item["impact"] in ("serious", "critical", "moderate"):
                places = [node["html"][:140] for node in item["nodes"][:3]]
                found.append(f"{where}: {item['impact']} {item['id']}: {places}")

    yield page, look
    assert found == []


def test_axe_finds_what_is_wrong(audit: Any) -> None:
    """The proof that the other tests can fail."""
    page, _ = audit
    page.set_content("<html lang=en><title>x</title><main><h1>x</h1><button></button></main>")
    page.evaluate(axe_source())
    results = page.evaluate("axe.run()")
    assert [item["id"] for item in results["violations"]] == ["button-name"]


def test_the_list_the_log_in_and_every_tab_are_without_serious_findings(
    audit: Any, shared_site: Any, pictures: Path
) -> None:
    page, look = audit
    site = shared_site
    page.goto(site.door)
    page.get_by_label("Password").wait_for()
    page.screenshot(path=pictures / "log-in.png")
    look("log in")
    page.get_by_label("User").fill("Anna")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("the password is wrong").wait_for()
    look("log in, wrong password")
    log_in(page, "Anna")
    look("list")
    page.keyboard.press("/")
    page.keyboard.type("nothing is called this")
    look("list, nothing found")
    page.get_by_label("Search case, block, slide or flag").fill("")
    page.goto(f"{site.url}/slide/{site.slide('101_A1_HER2')}")
    until(page, "Boolean(window.her2)")
    still(page)
    page.wait_for_selector(".histogram")
    for tab in TABS:
        page.click(f"#tab-{tab}")
        look(f"slide, {tab}")
    page.get_by_label("Beside").select_option(label="A1 · B24-101_A1_HE.tif")
    page.wait_for_selector("#beside-eye .scale")
    look("slide with a companion")
    for part in ("104_A1", "101_A1_HE-", "102_B2"):
        page.goto(f"{site.url}/slide/{site.slide(part)}")
        until(page, "Boolean(window.her2)")
        look(part)


def test_work_and_its_dialogs_are_without_serious_findings(
    audit: Any, site: Any, pictures: Path
) -> None:
    page, look = audit
    slide_id = open_slide(page, site, "102_A1_HER2")
    page.keyboard.press("5")
    still(page)
    page.keyboard.press("o")
    until(page, "Boolean(her2.cells.cells) && her2.cells.cells.mode === 0")
    page.keyboard.press("g")  # the cell in the middle
    page.wait_for_selector(".cell-card")
    look("cell")
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    still(page)
    page.keyboard.press("x")
    drag_box(page, 0.45, 0.45, 0.55, 0.55)
    page.click("#tab-review")
    look("drawn")
    page.reload()
    page.get_by_role("button", name="Bring them back").wait_for()
    look("draft")
    page.get_by_role("button", name="Bring them back").click()
    page.click("#tab-review")
    page.keyboard.press("e")
    page.locator(".work-list .grow").click()
    look("editing")
    page.click("#save-regions")
    page.wait_for_selector("#was")
    look("counted again")
    for name in ("Override…", "Enter ISH…", "Second reader…"):
        opener = page.get_by_role("button", name=name)
        opener.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        look(name)
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        assert opener.evaluate("(node) => node === document.activeElement"), name
    page.get_by_role("button", name="Agree").click()
    page.get_by_text("Agreed: 3+").wait_for()
    look("agreed")
    page.get_by_role("button", name="Sign…").click()
    look("sign")
    for box in page.locator("dialog input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Sign", exact=True).click()
    page.locator(".verdict", has_text="Signed by Anna").wait_for()
    for tab in TABS:
        page.click(f"#tab-{tab}")
        look(f"signed, {tab}")
    page.click("#tab-review")
    page.get_by_role("button", name="Addendum…").click()
    look("addendum")
    page.screenshot(path=pictures / "addendum.png")
    assert site.review(slide_id).signature is not None


def test_a_blinded_study_is_without_serious_findings(audit: Any, blinded_site: Any) -> None:
    page, look = audit
    site = blinded_site
    page.goto(site.door)
    page.wait_for_selector(".slide")
    look("blinded list")
    open_slide(page, site, "101_A1_HER2")
    look("blinded slide")
    page.get_by_role("button", name="Lock a read").click()
    look("lock a read")
    page.get_by_label("Your score").select_option("0")
    look("lock a read of 0")
    page.get_by_role("button", name="Lock", exact=True).click()
    page.wait_for_selector("#score")
    look("after the first read")


def test_a_slide_that_cannot_be_shown_is_without_serious_findings(audit: Any, site: Any) -> None:
    page, look = audit
    page.goto(site.door)
    page.wait_for_selector(".slide")
    page.goto(f"{site.url}/slide/nobody-0123456789")
    page.get_by_text("this run holds no such slide").or_(
        page.get_by_text("no such slide")
    ).first.wait_for()
    look("no such slide")
