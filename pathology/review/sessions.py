"""Who is signed in: the token of this start, sessions, CSRF tokens, and limits on guessing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pathology.review.problems import NotSignedIn, TooManyAttempts
from pathology.review.users import MAX_PASSWORD, User, Users

__all__ = ["Presence", "Session", "Sessions"]

#: A session ends after this long without a request, and after this long at all, in seconds: a
#: working day, and a long break (OWASP session management: hours for low-risk, minutes for
#: high-risk applications; signing asks for the password again).
IDLE_S = 4 * 3600.0
LONGEST_S = 12 * 3600.0
#: Wrong passwords per name, and in all, before waiting; and how long they count, in seconds.
TRIES_PER_NAME = 5
TRIES_IN_ALL = 50
TRIES_S = 300.0
#: After this long without a request a reader is no longer looking at a slide, in seconds.
LOOKING_S = 45.0


@dataclass(frozen=True, kw_only=True)
class Session:
    """Hold one session.

    Parameters
    ----------
    user
        Who is signed in.
    csrf
        What every request that changes something must repeat in ``X-CSRF-Token``.
    key
        SHA-256 of the cookie's value; the value itself is kept nowhere.
    """

    user: User
    csrf: str
    key: str


@dataclass
class _Held:
    session: Session
    began: float
    used: float


class Sessions:
    """Keep the sessions of one start of the program, in memory only.

    Parameters
    ----------
    users
        Named users; empty where one person works on this machine.
    local
        The one person, who signs in with the token; None where there are named users.
    clock
        Seconds that only go forward; for tests.

    Examples
    --------
    >>> from pathology.review.users import Role
    >>> sessions = Sessions(local=User(name="Ada", role=Role.SENIOR_READER))
    >>> cookie, session = sessions.sign_in_with_token(sessions.token)
    >>> sessions.find(cookie).user.name
    'Ada'
    """

    def __init__(
        self,
        users: Users | None = None,
        *,
        local: User | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.users, self.local = users or Users(), local
        self.token = secrets.token_urlsafe(32)
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._wrong: list[tuple[float, str]] = []

    def sign_in(self, name: str, password: str) -> tuple[str, Session]:
        """Begin a session of a named user.

        Returns
        -------
        tuple
            The value of the cookie, and the session.

        Raises
        ------
        NotSignedIn
            If name or password is wrong; which one is not said.
        TooManyAttempts
            After too many wrong ones.
        """
        return self._begin(self._checked(name, password))

    def sign_in_with_token(self, token: str) -> tuple[str, Session]:
        """Begin a session of the one local person, with the token that was printed at the start."""
        self._slow_down("")
        if self.local is None or not self._is_token(token):
            self._count_wrong("")
            raise NotSignedIn(
                "the token is not that of this start",
                fix="Open the address that `her2 review` printed.",
            )
        return self._begin(self.local)

    def confirm(self, session: Session, secret: str) -> None:
        """Check that whoever signs is still the one who signed in.

        Parameters
        ----------
        session
            A valid session.
        secret
            The user's password, or the token where there are no named users.

        Raises
        ------
        NotSignedIn
            If it is wrong.
        TooManyAttempts
            After too many wrong ones.
        """
        if self.local is None:
            self._checked(session.user.name, secret)
            return
        self._slow_down("")
        if not self._is_token(secret):
            self._count_wrong("")
            raise NotSignedIn(
                "the token is not that of this start", fix="Copy it from the printed address."
            )

    def find(self, cookie: str | None) -> Session:
        """Return the session of a cookie.

        Raises
        ------
        NotSignedIn
            If there is none, or it has ended.
        """
        now = self._clock()
        with self._lock:
            held = self._held.get(_digest(cookie or ""))
            if held is None or now - held.used > IDLE_S or now - held.began > LONGEST_S:
                if held is not None:
                    del self._held[held.session.key]
                raise NotSignedIn("you are not signed in", fix="Sign in.")
            held.used = now
            return held.session

    def check_csrf(self, session: Session, token: str | None) -> None:
        """Refuse a request that does not repeat the session's CSRF token.

        Raises
        ------
        NotSignedIn
            If it is missing or wrong.
        """
        if not hmac.compare_digest((token or "").encode(), session.csrf.encode()):
            raise NotSignedIn("the request does not prove where it is from", fix="Load it again.")

    def end(self, session: Session) -> None:
        """End a session."""
        with self._lock:
            self._held.pop(session.key, None)

    def _begin(self, user: User) -> tuple[str, Session]:
        cookie, now = secrets.token_urlsafe(32), self._clock()
        session = Session(user=user, csrf=secrets.token_urlsafe(32), key=_digest(cookie))
        with self._lock:
            for key in [k for k, held in self._held.items() if now - held.used > IDLE_S]:
                del self._held[key]
            self._held[session.key] = _Held(session=session, began=now, used=now)
        return cookie, session

    def _checked(self, name: str, password: str) -> User:
        self._slow_down(name)
        user = self.users.check(name, password) if len(password) <= MAX_PASSWORD else None
        if user is None:
            self._count_wrong(name)
            raise NotSignedIn("the name or the password is wrong", fix="Try again.")
        with self._lock:
            self._wrong = [item for item in self._wrong if item[1] != name.casefold()]
        return user

    def _is_token(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())

    def _slow_down(self, name: str) -> None:
        now = self._clock()
        with self._lock:
            self._wrong = [item for item in self._wrong if now - item[0] < TRIES_S]
            own = [when for when, who in self._wrong if who == name.casefold()]
            if len(own) < TRIES_PER_NAME and len(self._wrong) < TRIES_IN_ALL:
                return
            first = min(own) if len(own) >= TRIES_PER_NAME else self._wrong[0][0]
        wait = max(1, round(TRIES_S - (now - first)))
        raise TooManyAttempts(
            "too many wrong passwords", fix=f"Wait {wait} seconds, then try again."
        )

    def _count_wrong(self, name: str) -> None:
        with self._lock:
            self._wrong.append((self._clock(), name.casefold()[:64]))


@dataclass
class Presence:
    """Know who is looking at which slide, as far as requests tell.

    Examples
    --------
    >>> presence = Presence(clock=lambda: 0.0)
    >>> presence.look("a", "Ada")
    >>> presence.others("a", "Bo"), presence.others("a", "Ada")
    (['Ada'], [])
    """

    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, slide_id: str, name: str) -> None:
        """Note that someone looks at a slide; everyone looks at one at a time."""
        with self._lock:
            self._seen[name] = (slide_id, self.clock())

    def others(self, slide_id: str, name: str) -> list[str]:
        """Return who else looks at a slide."""
        now = self.clock()
        with self._lock:
            return sorted(
                who
                for who, (where, when) in self._seen.items()
                if who != name and where == slide_id and now - when < LOOKING_S
            )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
