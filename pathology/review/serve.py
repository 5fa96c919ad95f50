"""Serve a run for review: record, pages and security put together, until Ctrl-C."""

from __future__ import annotations

import getpass
import importlib.util
import re
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathology.errors import OutputError, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pathology.review.context import ReviewContext
    from pathology.review.users import User

__all__ = ["ServeOptions", "make_app", "serve"]


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Say how a run is served.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    certificate, key
        Files for TLS; both or none.
    allow_plain_http
        Whether passwords may travel in the clear to another address than this machine.
    names
        Other names under which the program may be asked for.
    users
        File of named users; None: one person works on this machine.
    user
        Name of that person; empty: the account's.
    slides
        Folder in which slide files are looked for that are no longer where the run read them.
    browser
        Whether to open the page.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None
    allow_plain_http: bool = False
    names: Sequence[str] = field(default=())
    users: Path | None = None
    user: str = ""
    slides: Path | None = None
    browser: bool = True


def make_app(context: ReviewContext, *, slides: Path | None = None) -> FastAPI:
    """Put the application together for a run that is open for review.

    Parameters
    ----------
    context
        The run, its record and who is signed in.
    slides
        Folder in which moved slide files are looked for.
    """
    from starlette.middleware import Middleware

    from pathology.review.api_actions import router
    from pathology.review.app import create_app
    from pathology.review.gatekeeper import RecordGate
    from pathology.review.run import ReviewRun
    from pathology.review.security import SecurityMiddleware

    if slides is not None and not slides.is_dir():
        raise OutputError(f"{slides}: is no folder", fix="Name the folder of the slide files.")
    run = ReviewRun(
        root=context.run,
        rows=context.rows,
        slides=slides,
        moved=lambda name: context.store.review(name).path,
        read=lambda name: context.loaded(name).result,
        finished=context.finished,
    )
    return create_app(
        run,
        routers=[router],
        security=RecordGate(context),
        guard=Middleware(SecurityMiddleware, policy=context.policy),
        state={"context": context, "slides": slides},
    )


def serve(run: Path, options: ServeOptions, *, say: Callable[[str], None]) -> None:
    """Serve a run until it is stopped.

    Parameters
    ----------
    run
        Output folder of ``her2 score``.
    options
        How to serve it.
    say
        Takes the lines for the person who started the program.

    Raises
    ------
    UsageError
        If the extra ``review`` is not installed, the address cannot be used, or others could read
        along.
    OutputError
        If the folder holds no run, or the record cannot be used.
    """
    _need_extra()
    import uvicorn

    from pathology.review.context import open_context
    from pathology.review.security import Policy, check_binding
    from pathology.review.users import Users

    users = Users.read(options.users) if options.users is not None else None
    tls = check_binding(
        options.host,
        certificate=options.certificate,
        key=options.key,
        named_users=bool(users),
        allow_plain_http=options.allow_plain_http,
    )
    listening = _listen(options.host, options.port)
    port = int(listening.getsockname()[1])
    policy = Policy(host=options.host, port=port, tls=tls, names=tuple(options.names))
    context = open_context(
        run, users=users, local=None if users else _local(options.user), policy=policy
    )
    try:
        address = _address(policy, None if users else context.sessions.token)
        app = make_app(context, slides=options.slides)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, ws="none",
            ssl_certfile=options.certificate, ssl_keyfile=options.key,
        )  # fmt: skip
        say(f"review of {run}: {address}")
        say("research use only; Ctrl-C ends it, and nothing that was saved is lost")
        if options.browser:
            threading.Timer(0.7, webbrowser.open, [address]).start()
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        context.close()
        listening.close()


def _address(policy: Any, token: str | None) -> str:
    """Return what to open; the token stands behind the #, which browsers send to nobody."""
    host = f"[{policy.host}]" if ":" in policy.host else policy.host
    door = f"{'https' if policy.tls else 'http'}://{host}:{policy.port}/"
    return door if token is None else f"{door}#token={token}"


def _local(name: str) -> User:
    """Return the one person who works on this machine."""
    from pathology.review.users import Role, User

    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            name = "reviewer"
        name = re.sub(r"[^\w .-]", "_", name) or "reviewer"
    return User(name=name, role=Role.SENIOR_READER)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UsageError(
            f"{host}:{port}: cannot be listened on ({error.strerror or error})",
            fix="Give another --port, or 0 for any free one.",
        ) from error
    return listening


def _need_extra() -> None:
    missing = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} not installed: the review page needs the extra `review`",
            fix="Install it: pip install 'her2-ihc[review]'.",
        )
