"""A served run and a browser for the tests of the page; skipped, and said so, without Chromium."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from driving import Site

#: An answer of 4xx, and a picture that was still on its way when the page was left.
_HARMLESS = ("Failed to load resource", "Tile %s failed to load")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@pytest.fixture(scope="session")
def review_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a finished run; HER2_REVIEW_RUN names one that is there already."""
    from review_run import make_run

    if kept := os.environ.get("HER2_REVIEW_RUN"):
        return Path(kept)
    root = tmp_path_factory.mktemp("review")
    make_run(root)
    return root / "run"


@pytest.fixture
def run(review_root: Path, tmp_path: Path) -> Path:
    """A run of the test's own; its slides lie where the first one read them."""
    from driving import copy_run

    return copy_run(review_root, tmp_path / "run")


@pytest.fixture
def site(run: Path) -> Iterator[Site]:
    """One person at her own machine."""
    from driving import Site

    served = Site(run)
    yield served
    served.close()


@pytest.fixture
def shared_site(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Named users with passwords."""
    from driving import ANNA, BO, PASSWORD, Site

    from pathology.review import users as module

    monkeypatch.setattr(module, "SCRYPT", {"n": 2, "r": 8, "p": 1})  # cheap hashes
    users = module.Users().with_user(ANNA, PASSWORD).with_user(BO, PASSWORD)
    served = Site(run, users=users)
    yield served
    served.close()


@pytest.fixture
def blinded_site(run: Path) -> Iterator[Site]:
    """A blinded study of one reader."""
    from driving import Site, begin_study

    begin_study(run)
    served = Site(run)
    yield served
    served.close()


@pytest.fixture
def pictures(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Folder for screenshots: the test's own, or below the one that HER2_SCREENSHOTS names."""
    if not (kept := os.environ.get("HER2_SCREENSHOTS")):
        return tmp_path
    folder = Path(kept) / str(request.node.name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        pytest.skip("no chromium: the page is not tested in a browser (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Pages:
    """Open pages, each of a session of its own, and note what goes wrong in them."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._contexts: list[Any] = []
        self.problems: list[str] = []
        self.asked: list[str] = []

    def open(self, **options: Any) -> Any:
        context = self._browser.new_context(viewport={"width": 1440, "height": 860}, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._hear)
        page.on("request", lambda request: self.asked.append(request.url))
        return page

    def _hear(self, line: Any) -> None:
        if line.type == "error" and not line.text.startswith(_HARMLESS):
            self.problems.append(line.text)

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def pages(chromium: Any) -> Iterator[Pages]:
    """Pages; errors of the script or of the content security policy fail the test."""
    found = Pages(chromium)
    yield found
    found.close()
    assert found.problems == []
    inside = ("http://127.0.0.1:", "data:", "blob:")
    outside = [url for url in found.asked if not url.startswith(inside)]
    assert outside == [], "the page asked another host"


@pytest.fixture
def page(pages: Pages) -> Any:
    """One page."""
    return pages.open()
