"""The web application: pages, what they read, and the routers that write, behind one set of rules.

Pages are plain files of this package without inline script or style; nothing is fetched from
anywhere else. What a request must pass and what an answer carries is the guard's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware

from pathology.errors import OutputError, PathologyError, RegionReadError, SlideError
from pathology.review.gate import Gate
from pathology.review.run import ReviewRun
from pathology.review.views import Views, views_router

__all__ = ["create_app"]


def create_app(
    run: ReviewRun,
    *,
    routers: Sequence[APIRouter] = (),
    security: Gate,
    guard: Middleware,
    state: Mapping[str, object] | None = None,
) -> FastAPI:
    """Put the application together.

    Parameters
    ----------
    run
        The run under review.
    routers
        Routes that log in, read and write the record of the review.
    security
        Says who may see what.
    guard
        Checks every request first (host, origin, size) and marks every answer (content security
        policy and the like).
    state
        What the routers find in ``app.state``, by name.

    Returns
    -------
    fastapi.FastAPI
        Hand it to an ASGI server.
    """
    views = Views(run=run, gate=security)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        views.slides.close()

    app = FastAPI(
        title="her2 review", docs_url=None, redoc_url=None, openapi_url=None,
        lifespan=life, middleware=[guard],
    )  # fmt: skip
    for name, value in (state or {}).items():
        setattr(app.state, name, value)
    app.include_router(views_router(views))
    for router in routers:
        app.include_router(router)
    _add_pages(app)
    _add_errors(app)
    return app


def _add_pages(app: FastAPI) -> None:
    static = Path(str(files("pathology.review") / "static"))

    @app.get("/", include_in_schema=False)
    def read_list_page() -> FileResponse:
        return _page(static / "worklist.html")

    @app.get("/slide/{slide_id}", include_in_schema=False)
    def read_slide_page(slide_id: str) -> FileResponse:
        del slide_id  # the page asks for it, and is told then whether there is one
        return _page(static / "slide.html")

    app.mount("/static", StaticFiles(directory=static, follow_symlink=False), name="static")


def _page(path: Path) -> FileResponse:
    return FileResponse(path, media_type="text/html", headers={"Cache-Control": "no-cache"})


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def say_http(_: Request, error: HTTPException) -> JSONResponse:
        detail: object = error.detail
        content = detail if isinstance(detail, dict) else {"message": str(detail), "fix": ""}
        return JSONResponse(content, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def say_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"message": f"{place}: {first['msg']}", "fix": ""}, status_code=422)

    @app.exception_handler(PathologyError)
    async def say_ours(_: Request, error: PathologyError) -> JSONResponse:
        status = 410 if isinstance(error, SlideError | RegionReadError) else 422
        if isinstance(error, OutputError):
            status = 500
        return JSONResponse({"message": error.message, "fix": error.fix}, status_code=status)
