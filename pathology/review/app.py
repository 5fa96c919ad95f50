"""The web application: pages, what they read, and the routers that write, behind one set of rules.

Pages are plain files of this package; nothing is fetched from anywhere else. The content security
policy allows no inline script or style and no other origin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pathology.errors import OutputError, PathologyError, RegionReadError, SlideError
from pathology.review.gate import Gate
from pathology.review.run import ReviewRun
from pathology.review.views import Views, views_router

__all__ = ["CONTENT_SECURITY_POLICY", "LOCAL_HOSTS", "create_app"]

#: Pictures may come from memory (blob:) as the viewer makes them; nothing else may.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
#: Names under which a program on this machine is asked; others are a sign of DNS rebinding.
LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
#: A drawn set of regions has kilobytes.
MAX_BODY_BYTES: Final = 4_000_000

_Next = Callable[[Request], Awaitable[Response]]


def create_app(
    run: ReviewRun,
    *,
    routers: Sequence[APIRouter] = (),
    security: Gate,
    hosts: Sequence[str] = LOCAL_HOSTS,
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
    hosts
        Host names under which requests are answered.

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
        title="her2 review", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life
    )
    app.include_router(views_router(views))
    for router in routers:
        app.include_router(router)
    _add_pages(app)
    _add_errors(app)
    app.middleware("http")(_guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    return app


def _add_pages(app: FastAPI) -> None:
    static = Path(str(files("pathology.review") / "static"))

    @app.get("/", include_in_schema=False)
    def read_list_page() -> FileResponse:
        return FileResponse(static / "worklist.html", media_type="text/html")

    @app.get("/slide/{slide_id}", include_in_schema=False)
    def read_slide_page(slide_id: str) -> FileResponse:
        del slide_id  # the page asks for it, and is told then whether there is one
        return FileResponse(static / "slide.html", media_type="text/html")

    app.mount("/static", StaticFiles(directory=static, follow_symlink=False), name="static")


async def _guard(request: Request, proceed: _Next) -> Response:
    """Limit what comes in, and send the rules along with what goes out."""
    if request.method not in ("GET", "HEAD"):
        length = request.headers.get("content-length", "")
        # Without a length a body could be of any size.
        if not length.isdigit():
            return _refuse(411, "The request does not say how long it is.")
        if int(length) > MAX_BODY_BYTES:
            return _refuse(413, f"More than {MAX_BODY_BYTES // 1_000_000} MB at once.")
    response = await proceed(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if not request.url.path.startswith(("/static/", "/api/")):
        response.headers.setdefault("Cache-Control", "no-cache")
    return response


def _refuse(status: int, message: str) -> JSONResponse:
    return JSONResponse({"message": message, "fix": ""}, status_code=status, headers=_HEADERS)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def say_http(_: Request, error: HTTPException) -> JSONResponse:
        detail = error.detail
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
