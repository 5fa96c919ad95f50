"""A small finished run to review, and a client of its record."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from pathology.batch import rescore_run
from pathology.review.api_actions import router
from pathology.review.context import ReviewContext
from pathology.review.events import Draft
from pathology.review.security import Policy, SecurityMiddleware
from pathology.review.state import CHECKS
from pathology.review.users import Role, User, Users
from pathology.runs import SlideFolder, write_cases, write_results
from pathology.runs.layout import SLIDES

ROOT = Path(__file__).parents[3]
POLICY = Policy(host="127.0.0.1", port=8765)
BASE = "http://127.0.0.1:8765"
ADA = User(name="Ada", role=Role.READER)
BO = User(name="Bo", role=Role.READER)
SENIOR = User(name="Sena", role=Role.SENIOR_READER)
ADMIN = User(name="Admin", role=Role.ADMIN)
PASSWORD = "a long enough one"  # noqa: S105 - of users that the tests make
TICKED = dict.fromkeys(CHECKS, True)


def _benchmark() -> Any:
    path = ROOT / "scripts" / "benchmark_rescore.py"
    spec = importlib.util.spec_from_file_location("benchmark_rescore_for_review", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_run(folder: Path, *, cells: int = 2500, slides: Sequence[str] = ("a", "b", "c")) -> Path:
    """Make a run of slides with the same random cells, really scored."""
    _benchmark().write_run(folder / "drawn", cells)
    (first,) = rescore_run(
        folder / "drawn", folder / "run", overrides=["scoring.bootstrap_replicates=20"]
    )
    run = folder / "run"
    for name in slides:
        there = SlideFolder(root=run, slide_id=name)
        shutil.copytree(run / SLIDES / first.slide_id, there.path)
        there.write_result(
            first.model_copy(
                update={
                    "slide_id": name,
                    "path": f"2+ <script>alert('{name}')<script>.svs",
                    "case_id": f"C-{name}",
                    "block_id": f"B-{name}",
                }
            )
        )
    shutil.rmtree(run / SLIDES / first.slide_id)
    _write_tables(run)
    return run


def _write_tables(run: Path) -> None:
    folders = sorted((run / SLIDES).iterdir())
    found = [SlideFolder(root=run, slide_id=folder.name).load() for folder in folders]
    ordered = write_results(run, [result for result in found if result is not None])
    write_cases(run, ordered)


def rewrite(run: Path, slide_id: str, **fields: Any) -> None:
    """Change a stored result, as another scoring would."""
    folder = SlideFolder(root=run, slide_id=slide_id)
    result = folder.load()
    assert result is not None
    folder.write_result(result.model_copy(update=fields))
    _write_tables(run)


def users() -> Users:
    found = Users()
    for user in (ADA, BO, SENIOR, ADMIN):
        found = found.with_user(user, PASSWORD)
    return found


def application(context: ReviewContext) -> Any:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    app.include_router(router)
    return SecurityMiddleware(app, context.policy)


class Browser:
    """Ask an application without a network, and keep its cookies."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.cookies = httpx.Cookies()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    async def _ask(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(
            transport=transport, base_url=BASE, cookies=self.cookies
        ) as client:
            answer = await client.request(method, path, **options)
            self.cookies = client.cookies
        return answer


class Reader:
    """A signed-in user of the record, as a browser would be one."""

    def __init__(self, context: ReviewContext, user: User) -> None:
        self.client = Browser(application(context))
        answer = self.client.post("/api/login", json={"name": user.name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        self.csrf: str = answer.json()["csrf"]

    def get(self, slide_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/slides/{slide_id}/review")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, slide_id: str, what: str, **body: Any) -> Any:
        return self.client.post(
            f"/api/slides/{slide_id}/{what}", json=body, headers={"X-CSRF-Token": self.csrf}
        )

    def act(self, slide_id: str, what: str, **body: Any) -> dict[str, Any]:
        """Act on the newest version, and expect success."""
        if what != "read":
            body = {"expected": self.get(slide_id)["version"], **body}
        answer = self.post(slide_id, what, **body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def sign(self, slide_id: str) -> dict[str, Any]:
        self.act(slide_id, "decision", kind="agree")
        # The made run knows no tiles around its cells, so new regions find some unread.
        note = "looked at the glass slide"
        return self.act(slide_id, "sign", checklist=TICKED, password=PASSWORD, note=note)


def square(name: str, x: float, y: float, side: float) -> dict[str, Any]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": name}},
    }


def a_draft(n: int = 0) -> Draft:
    return Draft(kind="relinked", after={"path": f"/there/{n}"}, why=f"try {n}")
