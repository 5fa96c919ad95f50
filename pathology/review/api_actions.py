"""Requests that read and change the record of a review; the page's half that writes.

Every answer that is no success is JSON with ``message`` and ``fix``: 401 without a session, 403 by
role or without the session's CSRF token, 404 for a slide that the run does not hold, 409 where
someone else was faster, 422 where the request is wrong, 429 after too many wrong passwords, 503
where the record cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from pathology.errors import PathologyError
from pathology.review import actions
from pathology.review.api_models import (
    AddendumBody,
    ChecklistBody,
    DecisionBody,
    IshBody,
    LoginBody,
    ReadBody,
    RegionsBody,
    SecondReaderBody,
    SignBody,
)
from pathology.review.api_views import session_view, slide_view
from pathology.review.context import ReviewContext
from pathology.review.problems import (
    Conflict,
    NotAllowed,
    NotSignedIn,
    Refused,
    StoreError,
    TooManyAttempts,
    UnknownSlide,
)
from pathology.review.relink import look_for
from pathology.review.sessions import LONGEST_S, Session

__all__ = ["CSRF_HEADER", "RecordRoute", "current_session", "review_context", "router"]

#: Header that every request that changes something carries.
CSRF_HEADER: Final = "X-CSRF-Token"
_STATUS: Final[tuple[tuple[type[PathologyError], int], ...]] = (
    (Conflict, 409),
    (NotAllowed, 403),
    (NotSignedIn, 401),
    (TooManyAttempts, 429),
    (UnknownSlide, 404),
    (StoreError, 503),
)
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class RecordRoute(APIRoute):
    """Answer errors of the review in one form, whatever application the router is put into."""

    def get_route_handler(self) -> _Handler:
        """Return the handler, with errors turned into answers."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                place = ".".join(str(part) for part in first["loc"] if part != "body")
                return _say(422, f"{place or 'the request'}: {first['msg']}", "")
            except PathologyError as error:
                status = next((code for kind, code in _STATUS if isinstance(error, kind)), 422)
                return _say(status, error.message, error.fix)

        return handled


router = APIRouter(prefix="/api", route_class=RecordRoute, tags=["record"])


def review_context(request: Request) -> ReviewContext:
    """Return the run under review, which the application keeps as ``app.state.context``."""
    found = request.app.state.context
    assert isinstance(found, ReviewContext)  # noqa: S101 - set by whoever makes the application
    return found


Context = Annotated[ReviewContext, Depends(review_context)]


def current_session(request: Request, context: Context) -> Session:
    """Return the session of a request that only reads."""
    return context.sessions.find(request.cookies.get(context.policy.cookie))


def acting_session(request: Request, context: Context) -> Session:
    """Return the session of a request that changes something, with its CSRF token checked."""
    session = current_session(request, context)
    try:
        context.sessions.check_csrf(session, request.headers.get(CSRF_HEADER))
    except NotSignedIn as error:
        raise NotAllowed(error.message, fix=error.fix) from error
    return session


Reading = Annotated[Session, Depends(current_session)]
Acting = Annotated[Session, Depends(acting_session)]


@router.get("/session")
def get_session(context: Context, session: Reading) -> dict[str, Any]:
    """Say who is signed in."""
    return session_view(context, session)


@router.post("/login")
def log_in(body: LoginBody, request: Request, response: Response, context: Context) -> Any:
    """Begin a session; an older one of this browser ends."""
    if body.token is not None:
        cookie, session = context.sessions.sign_in_with_token(body.token)
    elif body.name is not None and body.password is not None:
        cookie, session = context.sessions.sign_in(body.name, body.password)
    else:
        raise Refused("name and password, or the token, are missing", fix="Fill them in.")
    _end_older(request, context)
    response.set_cookie(
        context.policy.cookie,
        cookie,
        max_age=int(LONGEST_S),
        path="/",
        secure=context.policy.tls,
        httponly=True,
        samesite="strict",
    )
    return session_view(context, session)


@router.post("/logout")
def log_out(response: Response, context: Context, session: Acting) -> dict[str, Any]:
    """End the session."""
    context.sessions.end(session)
    response.delete_cookie(
        context.policy.cookie,
        path="/",
        secure=context.policy.tls,
        httponly=True,
        samesite="strict",
    )
    return {"user": None}


@router.get("/slides/{slide_id}/review")
def get_review(slide_id: str, context: Context, session: Reading) -> dict[str, Any]:
    """Say what the record holds of a slide."""
    context.folder(slide_id)
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/regions")
def post_regions(
    slide_id: str, body: RegionsBody, context: Context, session: Acting
) -> dict[str, Any]:
    """Replace the regions, and count the cells again."""
    actions.save_regions(
        context,
        session.user,
        slide_id,
        expected=body.expected,
        features=body.features,
        unit=body.unit,
    )
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/decision")
def post_decision(
    slide_id: str, body: DecisionBody, context: Context, session: Acting
) -> dict[str, Any]:
    """Agree, or override."""
    actions.decide(context, session.user, slide_id, **body.model_dump())
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/ish")
def post_ish(slide_id: str, body: IshBody, context: Context, session: Acting) -> dict[str, Any]:
    """Enter readings of in-situ hybridisation."""
    actions.enter_ish(
        context,
        session.user,
        slide_id,
        expected=body.expected,
        entries=body.readings,
        text=body.text,
    )
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/second-reader")
def post_second_reader(
    slide_id: str, body: SecondReaderBody, context: Context, session: Acting
) -> dict[str, Any]:
    """Ask for a second reader."""
    actions.ask_second_reader(context, session.user, slide_id, **body.model_dump())
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/checklist")
def post_checklist(
    slide_id: str, body: ChecklistBody, context: Context, session: Acting
) -> dict[str, Any]:
    """Fill in the checklist."""
    actions.tick(
        context,
        session.user,
        slide_id,
        expected=body.expected,
        checks=body.checklist.model_dump(),
        note=body.note,
    )
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/sign")
def post_signature(
    slide_id: str, body: SignBody, context: Context, session: Acting
) -> dict[str, Any]:
    """Sign one slide."""
    secret = body.token if context.sessions.local is not None else body.password
    try:
        actions.sign(
            context,
            session,
            slide_id,
            expected=body.expected,
            secret=secret or "",
            checks=None if body.checklist is None else body.checklist.model_dump(),
            note=body.note,
        )
    except NotSignedIn as error:
        # Not 401: the session is valid, and the page must not throw away what was entered.
        raise NotAllowed(error.message, fix=error.fix) from error
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/addendum")
def post_addendum(
    slide_id: str, body: AddendumBody, context: Context, session: Acting
) -> dict[str, Any]:
    """Add to a signed slide."""
    actions.add_addendum(context, session.user, slide_id, **body.model_dump())
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/relink")
def post_relink(
    slide_id: str, request: Request, context: Context, session: Acting
) -> dict[str, Any]:
    """Look for a moved slide file where the program was told to; the request names no path."""
    context.folder(slide_id)
    look_for(context, session.user, slide_id, getattr(request.app.state, "slides", None))
    return slide_view(context, session, slide_id)


@router.post("/slides/{slide_id}/read")
def post_read(slide_id: str, body: ReadBody, context: Context, session: Acting) -> dict[str, Any]:
    """Lock a read of a blinded study."""
    actions.give_read(context, session.user, slide_id, score=body.score, tier=body.tier)
    return slide_view(context, session, slide_id)


def _end_older(request: Request, context: ReviewContext) -> None:
    try:
        older = context.sessions.find(request.cookies.get(context.policy.cookie))
    except NotSignedIn:
        return
    context.sessions.end(older)


def _say(status: int, message: str, fix: str) -> JSONResponse:
    return JSONResponse({"message": message, "fix": fix}, status_code=status)
