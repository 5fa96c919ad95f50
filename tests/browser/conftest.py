"""A served run and a browser for the tests of the page; skipped, and said so, without Chromium."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

#: An answer of 4xx, and a picture that was still on its way when the page was left.
_HARMLESS = ("Failed to load resource", "Tile %s failed to load")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


class Site:
    """A served run: its address, its slides and the record's double."""

    def __init__(self, root: Path, **options: Any) -> None:
        import uvicorn
        from double import TOKEN, Double, Guard
        from starlette.middleware import Middleware

        from pathology.review.app import create_app
        from pathology.review.run import ReviewRun

        self.run = ReviewRun.open(root)
        self.double = Double(self.run, **options)
        app = create_app(
            self.run, routers=[self.double.router()], security=self.double,
            guard=Middleware(Guard),
        )  # fmt: skip
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        limit = time.monotonic() + 60
        while not self._server.started:
            assert time.monotonic() < limit, "the server did not start"
            time.sleep(0.02)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.door = f"{self.url}/#token={TOKEN}"

    def slide(self, part: str) -> str:
        return next(name for name in self.run.rows if part in name)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)


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
def site(review_root: Path) -> Iterator[Site]:
    served = Site(review_root)
    yield served
    served.close()


@pytest.fixture
def blinded_site(review_root: Path) -> Iterator[Site]:
    served = Site(review_root, blinded=True)
    yield served
    served.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        pytest.skip("no chromium: the page is not tested in a browser (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page of its own session; errors of the script or of the content security policy fail."""
    context = chromium.new_context(viewport={"width": 1440, "height": 860})
    page = context.new_page()
    page.set_default_timeout(30_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda line: (
            problems.append(line.text)
            if line.type == "error" and not line.text.startswith(_HARMLESS)
            else None
        ),
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert problems == []
    outside = [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    assert outside == [], "the page asked another host"
