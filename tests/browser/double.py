"""A stand-in, in memory, for the record of a review: the same routes, nothing kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import shapely
from fastapi import APIRouter, Body, HTTPException, Request
from fastapi.responses import JSONResponse

from pathology.review.gate import Visitor
from pathology.review.run import ReviewRun
from pathology.runs import SlideResult, count_columns, read_cells
from pathology.scoring.counts import PatternCounts

TOKEN = "t" * 20
CSRF = "csrf-of-the-double"
PASSWORD = "right horse battery"  # noqa: S105 - of the double alone


POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Guard:
    """Mark every answer with the content security policy, as the real guard does."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                ]
            await send(message)

        await self.app(scope, receive, marked)


class Double:
    """Gate and router at once."""

    def __init__(
        self, run: ReviewRun, *, role: str = "senior_reader", blinded: bool = False
    ) -> None:
        self.run, self.role, self.blinded = run, role, blinded
        self.slides: dict[str, dict[str, Any]] = {}
        self.results: dict[str, SlideResult] = {}

    # ------------------------------------------------------------------ the gate
    def enter(self, request: Request) -> Visitor:
        if request.cookies.get("her2_session") != TOKEN:
            raise HTTPException(401, {"message": "Log in first.", "fix": ""})
        return Visitor(user="anna", role=self.role, blinded=self.blinded)

    def is_withheld(self, visitor: Visitor, slide_id: str) -> bool:
        return visitor.blinded and "read" not in self._slide(slide_id)["done"]

    def states(self, visitor: Visitor) -> Mapping[str, str]:  # noqa: ARG002
        words = {"open": "unread", "in_review": "read", "second_reader_requested": "second_reader"}
        return {
            name: words.get(item["status"], item["status"]) for name, item in self.slides.items()
        }

    def signed(self, visitor: Visitor) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def order(self, visitor: Visitor) -> Sequence[str] | None:
        return sorted(self.run.rows, key=lambda name: name[::-1]) if visitor.blinded else None

    def reviewed(self, slide_id: str) -> SlideResult | None:
        return self.results.get(slide_id)

    # ------------------------------------------------------------------ the record
    def _slide(self, slide_id: str) -> dict[str, Any]:
        if slide_id not in self.run.rows:
            raise HTTPException(404, {"message": "The run has no such slide.", "fix": ""})
        fresh: dict[str, Any] = {
            "version": 0,
            "status": "open",
            "events": [],
            "decision": None,
            "regions": {"type": "FeatureCollection", "features": []},
            "ish": None,
            "checklist": None,
            "signature": None,
            "editors": [],
            "done": [],
            "reads": [],
            "blinded": self.blinded,
        }
        return self.slides.setdefault(slide_id, fresh)

    def _write(
        self, request: Request, slide_id: str, kind: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        self.enter(request)
        if request.headers.get("x-csrf-token") != CSRF:
            raise HTTPException(403, {"message": "The form is out of date.", "fix": "Reload."})
        item = self._slide(slide_id)
        if kind != "read" and body.get("expected") != item["version"]:
            message = "Someone else changed this slide in the meantime."
            raise HTTPException(
                409, {"message": message, "fix": "Look at the changes, then repeat."}
            )
        item["version"] += 1
        number = len(item["events"])
        item["events"].append(
            {
                "number": number,
                "user": "anna",
                "at": datetime.now(UTC).isoformat(),
                "kind": kind.replace("-", "_"),
                "why": body.get("text") or "",
                "before": None,
                "after": {k: v for k, v in body.items() if k not in ("expected", "password")},
                "sha256": hashlib.sha256(f"{slide_id}{number}".encode()).hexdigest(),
            }
        )
        item["done"].append(kind)
        return item

    def _view(self, slide_id: str) -> dict[str, Any]:
        item = {key: value for key, value in self._slide(slide_id).items() if key != "done"}
        result = self.results.get(slide_id)
        return item | {
            "reviewed_result": None if result is None else result.model_dump(mode="json")
        }

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api")

        @router.get("/session")
        def session(request: Request) -> dict[str, Any]:
            who = self.enter(request)
            return {
                "user": who.user,
                "role": who.role,
                "csrf": CSRF,
                "blinded": who.blinded,
                "local": False,
            }

        @router.post("/login")
        def login(body: Annotated[dict[str, Any], Body()]) -> JSONResponse:
            if body.get("token") != TOKEN and body.get("password") != PASSWORD:
                raise HTTPException(401, {"message": "User or password is wrong.", "fix": ""})
            answer = JSONResponse({"user": "anna"})
            answer.set_cookie("her2_session", TOKEN, httponly=True, samesite="strict")
            return answer

        @router.post("/logout")
        def logout() -> JSONResponse:
            answer = JSONResponse({})
            answer.delete_cookie("her2_session")
            return answer

        @router.get("/slides/{slide_id}/review")
        def read(request: Request, slide_id: str) -> dict[str, Any]:
            self.enter(request)
            return self._view(slide_id)

        @router.post("/slides/{slide_id}/{action}")
        def write(
            request: Request, slide_id: str, action: str, body: Annotated[dict[str, Any], Body()]
        ) -> dict[str, Any]:
            self._act(request, slide_id, action, body)
            return self._view(slide_id)

        return router

    def _act(self, request: Request, slide_id: str, action: str, body: dict[str, Any]) -> None:
        if action == "regions":
            _refuse_crossing(body["features"])
        if action == "sign" and body.get("password") != PASSWORD:
            raise HTTPException(403, {"message": "The password is wrong.", "fix": ""})
        if action == "sign" and not all(body.get("checklist", {}).values()):
            raise HTTPException(422, {"message": "The checklist is not complete.", "fix": ""})
        item = self._write(request, slide_id, action, body)
        if action == "regions":
            item["regions"] = {
                "features": _to_px(self.run, slide_id, body["features"]),
                "version": item["version"],
            }
            self.results[slide_id] = _rescore(self.run, slide_id, body["features"])
        elif action == "decision":
            item["decision"] = {key: body[key] for key in ("kind", "ihc_score", "reason", "text")}
            item["status"] = "in_review"
        elif action == "read":
            item["reads"].append({"phase": "post" if item["reads"] else "pre", **body})
        elif action == "ish":
            item["ish"] = {"readings": body["readings"], "decision": {}}
        elif action == "second-reader":
            item["status"] = "second_reader_requested"
        elif action == "checklist":
            item["checklist"] = body["checklist"]
        elif action == "sign":
            item["status"] = "signed"
            item["signature"] = {
                "by": "anna",
                "at": datetime.now(UTC).isoformat(),
                "superseded": False,
            }


def _refuse_crossing(features: list[dict[str, Any]]) -> None:
    for feature in features:
        if not shapely.geometry.shape(feature["geometry"]).is_valid:
            raise HTTPException(
                422, {"message": "A region crosses itself.", "fix": "Draw it again."}
            )


def _to_px(run: ReviewRun, slide_id: str, features: list[dict[str, Any]]) -> list[dict[str, Any]]:
    spacing = run.spacing(slide_id)
    assert spacing is not None
    return [
        feature
        | {
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [[x / spacing.x, y / spacing.y] for x, y in ring]
                    for ring in feature["geometry"]["coordinates"]
                ],
            }
        }
        for feature in features
    ]


def _rescore(run: ReviewRun, slide_id: str, features: list[dict[str, Any]]) -> SlideResult:
    """Count again without the cells in excluded regions; a plain stand-in for the real rule."""
    old = run.result(slide_id)
    shapes = [
        shapely.geometry.shape(f["geometry"])
        for f in features
        if f["properties"]["classification"]["name"] != "Tumor"
    ]
    counts: dict[str, int] = {}
    total = 0
    for table in read_cells(run.folder(slide_id).cells):
        out = np.zeros(table.n, dtype=bool)
        for shape in shapes:
            out |= shapely.contains_xy(shape, table.x_um, table.y_um)
        kept = table.take(np.asarray(table.is_tumour) & ~out)
        total += kept.n
        for intensity, complete in zip(
            kept.intensity.tolist(), kept.complete.tolist(), strict=True
        ):
            name = (
                _NAMES[intensity]
                if intensity == 0
                else f"{_NAMES[intensity]}_{'complete' if complete else 'incomplete'}"
            )
            counts[name] = counts.get(name, 0) + 1
    new = (
        old.model_dump()
        | count_columns(PatternCounts(**counts))
        | {
            "region_source": "reviewed",
            "deciding_clause": f"Counted again in the reviewed region: {total:,} cells",
            "flags": tuple(f for f in old.flags if f != "invasive_region_unverified"),
        }
    )
    return SlideResult(**new)


_NAMES = ("unstained", "faint", "weak", "moderate", "intense")
