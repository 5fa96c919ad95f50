"""One event of the review record: what is hashed, and how the chain is checked.

Events are linked as in a hash chain (Haber & Stornetta 1991, J Cryptology 3:99): each holds the
SHA-256 of the one before, so that none can be changed, removed or put in between without all later
hashes changing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from pathology.review.problems import Refused

__all__ = [
    "GENESIS",
    "RUN_LEVEL",
    "Draft",
    "Event",
    "canonical",
    "clean_text",
    "sha256_hex",
    "utc_now",
]

#: What the first event names as the hash of the event before it.
GENESIS: Final = "0" * 64
#: Slide id of events that concern the whole run.
RUN_LEVEL: Final = ""
#: Longest text that a person may write into an event.
MAX_TEXT: Final = 4_000
_KEYS: Final = (
    "number",
    "slide_id",
    "version",
    "kind",
    "user",
    "role",
    "at",
    "why",
    "before",
    "after",
    "previous",
)


def canonical(value: Any) -> bytes:
    """Write a JSON value in the one form that is hashed.

    Keys sorted, no blanks, UTF-8, floats as Python writes them (shortest form that reads back).

    Parameters
    ----------
    value
        Of JSON types; keys are texts.

    Raises
    ------
    ValueError
        If it holds NaN, infinity, or text that is not Unicode.

    Examples
    --------
    >>> canonical({"b": 1, "a": [0.5, None]})
    b'{"a":[0.5,null],"b":1}'
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def utc_now() -> str:
    """Return the time in UTC, to the millisecond, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def clean_text(text: str, *, name: str, needed: bool = False) -> str:
    r"""Check a text that a person wrote; blanks around it are taken off.

    Parameters
    ----------
    text
        As it came.
    name
        What it is, for messages.
    needed
        Whether it must not be empty.

    Raises
    ------
    Refused
        If it is empty and must not be, too long, or holds characters that cannot be shown.

    Examples
    --------
    >>> clean_text(" a fold\n", name="text")
    'a fold'
    """
    found = text.strip()
    if needed and not found:
        raise Refused(f"{name}: is empty", fix="Say why, in a few words.")
    if len(found) > MAX_TEXT:
        raise Refused(f"{name}: longer than {MAX_TEXT:,} characters", fix="Shorten it.")
    if not all(char.isprintable() or char in "\n\t" for char in found):
        raise Refused(f"{name}: holds a character that cannot be shown", fix="Remove it.")
    return found


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Hold what an action would record; the store adds who, when and the chain.

    Parameters
    ----------
    kind
        What was done.
    before, after
        The values that it changes, as JSON objects.
    why
        The reason, in words; may be empty.
    documents
        Larger contents that ``after`` names by their SHA-256.

    Raises
    ------
    ValueError
        If a document is not named by its hash, or a value is no JSON.
    """

    kind: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    documents: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        canonical([dict(self.before), dict(self.after), self.why])
        for name, content in self.documents.items():
            if sha256_hex(content) != name:
                raise ValueError("a document is named by its SHA-256")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Hold one event of the record.

    Parameters
    ----------
    number
        Its place in the record, from 1.
    slide_id
        The slide; empty where the event concerns the whole run.
    version
        Its place among the events of the slide, from 1.
    kind, before, after, why
        As in :class:`Draft`.
    user, role
        Who did it, and the role at that time.
    at
        When, UTC.
    previous
        SHA-256 of the event before; :data:`GENESIS` for the first.

    Examples
    --------
    >>> event = Event(number=1, slide_id="a", version=1, kind="decision", user="A", role="reader",
    ...               at="2026-01-01T00:00:00.000+00:00", why="", before={}, after={},
    ...               previous=GENESIS)
    >>> Event.from_body(event.body()) == event
    True
    """

    number: int
    slide_id: str
    version: int
    kind: str
    user: str
    role: str
    at: str
    why: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    previous: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        found = {name: getattr(self, name) for name in _KEYS}
        return found | {"before": dict(self.before), "after": dict(self.after)}

    def body(self) -> bytes:
        """Return the canonical bytes, which are stored and hashed."""
        return canonical(self.as_dict())

    @property
    def sha256(self) -> str:
        """The event's hash, which the next event names."""
        return sha256_hex(self.body())

    @classmethod
    def from_body(cls, body: bytes) -> Event:
        """Read stored bytes.

        Raises
        ------
        ValueError
            If they are not the canonical bytes of an event.
        """
        tree = json.loads(body.decode("utf-8"))
        if not isinstance(tree, dict) or set(tree) != set(_KEYS):
            raise ValueError("not the fields of an event")
        texts = ("slide_id", "kind", "user", "role", "at", "why", "previous")
        if not all(isinstance(tree[name], str) for name in texts):
            raise ValueError("a text of the event is none")
        if not all(type(tree[name]) is int and tree[name] > 0 for name in ("number", "version")):
            raise ValueError("a number of the event is none")
        if not all(isinstance(tree[name], dict) for name in ("before", "after")):
            raise ValueError("a value of the event is no object")
        if canonical(tree) != body:
            raise ValueError("not in the canonical form")
        parts = {name: MappingProxyType(tree[name]) for name in ("before", "after")}
        return cls(**{**tree, **parts})
