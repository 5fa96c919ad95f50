"""What the browser tests share: a served run, and how a reader works with the page."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pathology.review.context import open_context
from pathology.review.security import Policy
from pathology.review.serve import make_app
from pathology.review.store import ReviewStore
from pathology.review.study import start_study
from pathology.review.users import Role, User, Users

try:
    from playwright.sync_api import Error as PageGone
except ImportError:  # the fixtures skip every test then
    PageGone = RuntimeError  # type: ignore[assignment, misc]

PASSWORD = "right horse battery"  # noqa: S105 - of users that the tests make
ANNA = User(name="Anna", role=Role.SENIOR_READER)
BO = User(name="Bo", role=Role.READER)


class Site:
    """A run, served as ``her2 review`` serves it, with a record of its own.

    Parameters
    ----------
    run
        The run folder; the record is written below it.
    users
        Named users; None: Anna works alone, and comes in with the token.
    slides
        Folder in which moved slide files are looked for.
    """

    def __init__(
        self, run: Path, *, users: Users | None = None, slides: Path | None = None
    ) -> None:
        import uvicorn

        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.port = int(listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.context = open_context(
            run, users=users, local=None if users else ANNA,
            policy=Policy(host="127.0.0.1", port=self.port),
        )  # fmt: skip
        self.door = self.url if users else f"{self.url}/#token={self.context.sessions.token}"
        config = uvicorn.Config(
            make_app(self.context, slides=slides), log_level="error", ws="none",
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._listening = listening
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, daemon=True
        )
        self._thread.start()
        limit = time.monotonic() + 60
        while not self._server.started:
            assert time.monotonic() < limit, "the server did not start"
            time.sleep(0.02)

    def slide(self, part: str) -> str:
        """Return the id of the slide whose id holds a text."""
        return next(name for name in self.context.rows if part in name)

    def review(self, slide_id: str) -> Any:
        """Return what the record holds of a slide."""
        return self.context.store.review(slide_id)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)
        self._listening.close()
        self.context.close()


def copy_run(root: Path, to: Path) -> Path:
    """Copy a run without its record; the slides stay where they are."""
    shutil.copytree(root, to, ignore=shutil.ignore_patterns("review"))
    return to


def begin_study(run: Path) -> None:
    """Begin a blinded study, as the command line does."""
    with ReviewStore(run) as store:
        store.append_to_run(None, lambda study: start_study(study, None, {}, name="x", seed=3))


def until(page: Any, expression: str) -> None:
    """Wait until an expression is true; the page's own policy forbids playwright's eval."""
    for _ in range(600):
        with suppress(PageGone):  # on the way to another page
            if page.evaluate(expression):
                return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")


def still(page: Any) -> None:
    """Wait until the view stands and its squares and cells are there."""
    until(
        page,
        """(() => { const { eye } = her2; const { viewport, world } = eye.osd;
        const [now, end] = [viewport.getBounds(true), viewport.getBounds(false)];
        if (Math.abs(now.x - end.x) + Math.abs(now.y - end.y) + Math.abs(now.width - end.width)
          > 1e-4 * now.width) return false;
        for (let i = 0; i < world.getItemCount(); i += 1)
          if (!world.getItemAt(i).getFullyLoaded()) return false;
        return true; })()""",
    )
    page.wait_for_timeout(120)


def log_in(page: Any, name: str) -> None:
    """Fill in the form of the log-in."""
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector(".slide")


def open_slide(page: Any, site: Site, part: str) -> str:
    """Come in by the door, and open the slide whose id holds a text."""
    slide_id = site.slide(part)
    page.goto(site.door)
    page.wait_for_selector(".slide")
    page.goto(f"{site.url}/slide/{slide_id}")
    until(page, "Boolean(window.her2) && her2.eye.osd.world.getItemCount() > 1")
    still(page)
    return slide_id


def drag_box(page: Any, left: float, top: float, right: float, bottom: float) -> None:
    """Draw around a box given as shares of the slide's view."""
    box = page.locator("#main-eye").bounding_box()
    x = [box["x"] + box["width"] * share for share in (left, right)]
    y = [box["y"] + box["height"] * share for share in (top, bottom)]
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for to in ((x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0] + 6)):
        page.mouse.move(*to, steps=8)
    page.mouse.up()


def on_screen(page: Any, x_um: float, y_um: float) -> tuple[float, float]:
    """Return where a place of the slide is on the screen."""
    box = page.locator("#main-eye").bounding_box()
    frame = page.evaluate("her2.eye.frame")
    return (
        box["x"] + (x_um - frame["left"]) / frame["mpp"],
        box["y"] + (y_um - frame["top"]) / frame["mpp"],
    )
