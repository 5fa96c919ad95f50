"""The work of a morning on real cores: from the list to the exported report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Site, copy_run, drag_box, open_slide, still, until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.real]

_EXPORT = "import sys; from pathology.cli.app import app; sys.argv = ['her2', *sys.argv[1:]]; app()"


@pytest.fixture(scope="session")
def real_root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run; HER2_REAL_REVIEW_RUN names one that is there already."""
    from real_run import make_real_run

    if kept := os.environ.get("HER2_REAL_REVIEW_RUN"):
        return Path(kept)
    return make_real_run(real_data, tmp_path_factory.mktemp("real"))


@pytest.fixture
def real_site(real_root: Path, tmp_path: Path) -> Iterator[Site]:
    served = Site(copy_run(real_root, tmp_path / "run"))
    yield served
    served.close()


def shares(page: Any) -> list[str]:
    """Return the percentages of the five patterns as they are read."""
    page.click("#tab-reading")
    return [str(text) for text in page.locator(".bars .line span:nth-child(2)").all_inner_texts()]


def test_a_core_from_the_list_to_the_report(
    page: Any, real_site: Site, pictures: Path, tmp_path: Path
) -> None:
    site = real_site
    page.goto(site.door)
    page.wait_for_selector(".slide")
    until(page, "[...document.images].every((one) => one.complete && one.naturalWidth)")
    page.screenshot(path=pictures / "list.png")
    assert page.locator(".slide").count() == 2
    slide_id = open_slide(page, site, "2_0123a214")
    page.wait_for_selector(".histogram")
    page.screenshot(path=pictures / "slide.png")
    _look_closely(page, pictures)
    _exclude_and_count_again(page, pictures)
    _override_and_sign(page, pictures)
    page.reload()
    page.wait_for_selector("#was")
    assert "1+" in page.locator("#score").inner_text()
    page.screenshot(path=pictures / "signed.png")
    assert site.review(slide_id).signature is not None
    site.context.store.close()
    out = tmp_path / "reports"
    command = ["export", str(tmp_path / "run"), "--to", "html", "--out", str(out)]
    subprocess.run([sys.executable, "-c", _EXPORT, *command], check=True)
    told = [path.read_text(encoding="utf-8") for path in out.rglob("*.html")]
    signed = [text for text in told if re.search(r"[Ss]igned", text) and "Anna" in text]
    assert len(signed) >= 1
    assert all(re.search("research use only", text, re.IGNORECASE) for text in told)


def _look_closely(page: Any, pictures: Path) -> None:
    page.locator(".fields button").first.click()
    still(page)
    page.keyboard.press("5")
    still(page)
    page.screenshot(path=pictures / "x40.png")
    _scale_is_right(page)
    page.keyboard.press("o")
    until(page, "Boolean(her2.cells.cells) && her2.cells.cells.mode === 0")
    still(page)
    page.screenshot(path=pictures / "x40-cells.png")
    page.keyboard.press("g")
    page.wait_for_selector(".cell-card")
    page.screenshot(path=pictures / "cell.png")
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    still(page)
    _scale_is_right(page)
    page.screenshot(path=pictures / "x10-cells.png")
    page.keyboard.press("0")
    still(page)
    page.screenshot(path=pictures / "dots.png")
    page.keyboard.press("o")
    page.keyboard.press("h")
    page.click("#tab-layers")
    still(page)
    page.screenshot(path=pictures / "heat.png")
    page.keyboard.press("h")


def _scale_is_right(page: Any) -> None:
    """The bar is as long on the screen as what it says is on the slide."""
    text = page.locator("#main-eye .scale .rule-box").inner_text()
    number, unit = text.split()
    um = float(number) * {"mm": 1000, "µm": 1}[unit]
    wide = page.locator("#main-eye .scale .rule").bounding_box()["width"]
    assert abs(wide * page.evaluate("her2.eye.frame.mpp") - um) < 0.02 * um


def _exclude_and_count_again(page: Any, pictures: Path) -> None:
    before, clause = shares(page), page.locator(".clause").first.inner_text()
    page.keyboard.press("x")
    drag_box(page, 0.3, 0.3, 0.62, 0.62)
    page.click("#tab-review")
    page.screenshot(path=pictures / "exclude.png")
    page.click("#save-regions")
    page.wait_for_selector("#was")
    assert shares(page) != before
    assert page.locator(".clause").first.inner_text() != clause
    page.screenshot(path=pictures / "counted.png")


def _override_and_sign(page: Any, pictures: Path) -> None:
    page.click("#tab-review")
    page.get_by_role("button", name="Override…").click()
    page.get_by_label("Your score").select_option("1+")
    page.get_by_label("Reason").select_option("cytoplasmic")
    page.get_by_role("button", name="Override", exact=True).click()
    page.get_by_text("Overridden: 1+").first.wait_for()
    page.get_by_role("button", name="Sign…").click()
    for box in page.locator("dialog input[type=checkbox]").all():
        box.check()
    page.get_by_label("Note").fill("looked at the glass slide")
    page.screenshot(path=pictures / "sign.png")
    page.get_by_role("button", name="Sign", exact=True).click()
    page.locator(".verdict", has_text="Signed by Anna").wait_for()
