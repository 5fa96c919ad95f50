"""What every request has to pass before anything looks at it, and what every answer carries.

The checks against attacks from other pages in the same browser: the ``Host`` header (DNS
rebinding), ``Origin`` and ``Sec-Fetch-Site`` (cross-site requests), sizes, and headers that forbid
scripts, frames and sniffing.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pathology.errors import UsageError

__all__ = ["Policy", "SecurityMiddleware", "check_binding", "is_loopback"]

#: Largest body of a request in bytes; regions have a limit of their own below it.
MAX_BODY: Final = 8 << 20
#: Longest path and query in bytes.
MAX_TARGET: Final = 8 << 10
#: The page's own scripts, styles and pictures only; pictures may be made in the page.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine only.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "lab-pc")]
    [True, True, True, False, False]
    """
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(
    host: str,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    named_users: bool = False,
    allow_plain_http: bool = False,
) -> bool:
    """Refuse to listen where others could read along or come in without a name.

    Parameters
    ----------
    host
        Address to listen on.
    certificate, key
        Files for TLS; both or none.
    named_users
        Whether there are named users.
    allow_plain_http
        The explicit flag for a network that protects the traffic itself.

    Returns
    -------
    bool
        Whether TLS is used.

    Raises
    ------
    UsageError
        Names what is missing.

    Examples
    --------
    >>> check_binding("127.0.0.1")
    False
    """
    if (certificate is None) != (key is None):
        raise UsageError(
            "a certificate and its key go together", fix="Give --tls-cert and --tls-key."
        )
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise UsageError(f"{path}: no such file", fix="Check the path.")
    if is_loopback(host):
        return certificate is not None
    if not named_users:
        raise UsageError(
            f"{host}: others can reach this address, and there are no named users",
            fix="Add users first, or leave out --host.",
        )
    if certificate is None and not allow_plain_http:
        raise UsageError(
            f"{host}: others can reach this address, and passwords would travel in the clear",
            fix="Give --tls-cert and --tls-key, or --allow-plain-http where the network itself is "
            "encrypted.",
        )
    return certificate is not None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Hold where the program listens, and what it accepts.

    Parameters
    ----------
    host, port
        The address.
    tls
        Whether it is https.
    names
        Other names under which it may be asked for, such as the machine's name.
    max_body
        Largest body of a request in bytes.

    Examples
    --------
    >>> policy = Policy(host="127.0.0.1", port=8765)
    >>> policy.accepts_host("localhost:8765"), policy.accepts_host("evil.example:8765")
    (True, False)
    """

    host: str
    port: int
    tls: bool = False
    names: tuple[str, ...] = ()
    max_body: int = MAX_BODY

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the ``Host`` header that are meant for this program."""
        names = {self.host, *self.names}
        if is_loopback(self.host):
            names |= {"127.0.0.1", "localhost", "::1"}
        written = {f"[{name}]" if ":" in name else name.casefold() for name in names}
        found = {f"{name}:{self.port}" for name in written}
        return frozenset(found | (written if self.port == (443 if self.tls else 80) else set()))

    @property
    def cookie(self) -> str:
        """Name of the session's cookie: cookies are shared by all ports of a machine."""
        return f"{'__Host-' if self.tls else ''}her2_session_{self.port}"

    def accepts_host(self, host: str) -> bool:
        """Tell whether a ``Host`` header is meant for this program."""
        return host.casefold() in self.hosts

    def accepts_origin(self, origin: str) -> bool:
        """Tell whether an ``Origin`` header is that of the program's own page."""
        scheme, _, host = origin.partition("://")
        return scheme == ("https" if self.tls else "http") and self.accepts_host(host)

    def problem(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        """Return the status and the reason for which a request is refused; None where it is not."""
        headers = [(name.decode("latin-1"), v.decode("latin-1")) for name, v in scope["headers"]]
        hosts = [value for name, value in headers if name == "host"]
        if len(hosts) != 1 or not self.accepts_host(hosts[0]):
            return 421, "the request is addressed to another host"
        target = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
        if target > MAX_TARGET:
            return 414, "the address is too long"
        values = dict(headers)
        if values.get("sec-fetch-site") in ("cross-site", "same-site") and (
            scope["method"] not in _SAFE or values.get("sec-fetch-mode") != "navigate"
        ):
            return 403, "the request comes from another page"
        if scope["method"] in _SAFE:
            return None
        origin = values.get("origin")
        if origin is not None and not self.accepts_origin(origin):
            return 403, "the request comes from another page"
        length = values.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return 400, "the length of the request is no number"
        return (413, self.too_large) if int(length) > self.max_body else None

    @property
    def too_large(self) -> str:
        """What is said of a body that is too large."""
        return f"the request is larger than {self.max_body // 1024:,} KiB"


class _TooLarge(Exception):
    """The body grew beyond the limit while it was read."""


class SecurityMiddleware:
    """Check every request and mark every answer; plain ASGI, so that nothing runs before it.

    Parameters
    ----------
    app
        The application.
    policy
        What is accepted.
    """

    def __init__(self, app: Application, policy: Policy) -> None:
        self.app, self.policy = app, policy

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        marked = _marking(send, scope)
        refused = self.policy.problem(scope)
        if refused is not None:
            await _refuse(marked, *refused)
            return
        await self._pass_on(scope, receive, marked)

    async def _pass_on(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let the application answer, unless the body grows beyond the limit on the way."""
        total, started = 0, False

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self.policy.max_body:
                raise _TooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            if total > self.policy.max_body and not started:
                return  # whatever the application makes of the error, the answer is 413
            started = True
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except _TooLarge:
            if started:
                raise
        if total > self.policy.max_body and not started:
            await _refuse(send, 413, self.policy.too_large)


def _marking(send: Send, scope: MutableMapping[str, Any]) -> Send:
    private = scope["path"].startswith("/api")

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in _HEADERS}
            headers = [item for item in message.get("headers", []) if item[0].lower() not in own]
            headers += _HEADERS
            # Pictures of the slide say themselves for how long they may be kept.
            if private and not any(item[0].lower() == b"cache-control" for item in headers):
                headers.append((b"cache-control", b"no-store"))
            message["headers"] = headers
        await send(message)

    return marked


async def _refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps({"message": message, "fix": ""}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
