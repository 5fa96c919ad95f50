"""People who review: their roles, and a file of named users with hashed passwords.

The file does not lie in the run folder: a run is copied and handed on, and password hashes must not
travel with it; and one file serves all runs of a laboratory.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pathology.errors import SlideError, UsageError
from pathology.runs import atomic_write_bytes

__all__ = ["PROGRAM", "Role", "User", "Users", "default_users_file", "hash_password"]

#: One of the settings of equal strength that OWASP's password storage cheat sheet lists as least
#: for scrypt (RFC 7914): 32 MiB, some tenths of a second a try.
SCRYPT: Final = {"n": 2**15, "r": 8, "p": 3}
_MAXMEM: Final = 64 << 20
#: NIST SP 800-63B-4, 3.1.1.2: at least 15 characters where a password is the only factor.
MIN_PASSWORD: Final = 15
MAX_PASSWORD: Final = 256
#: Names that mean something else in reader files or in the record.
_RESERVED: Final = frozenset({"consensus", "program", "her2"})
_NAME: Final = re.compile(r"[^\W_](?:[\w .'-]{0,62}\w)?")
_VERSION: Final = 1


class Role(StrEnum):
    """Name what a user may do."""

    READER = "reader"
    SENIOR_READER = "senior_reader"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class User:
    """Hold who acts.

    Parameters
    ----------
    name
        As it stands in the record.
    role
        What the user may do.

    Raises
    ------
    UsageError
        If the name is empty, longer than 64 characters, holds other characters than letters,
        digits, blanks and ``.'-_``, or is reserved.

    Examples
    --------
    >>> User(name="A. Reader", role=Role.READER).name
    'A. Reader'
    """

    name: str
    role: Role

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.casefold() in _RESERVED:
            raise UsageError(
                f"{self.name[:64]!r} cannot be the name of a user",
                fix="Use 1 to 64 letters, digits, blanks, points, hyphens; not "
                f"{', '.join(sorted(_RESERVED))}.",
            )


#: Name under which the program itself records what it saw.
PROGRAM: Final = "her2"


def default_users_file() -> Path:
    """Return where named users are kept unless said otherwise."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "her2-ihc" / "users.json"


def hash_password(password: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    """Hash a password with scrypt (RFC 7914) to 32 bytes."""
    return hashlib.scrypt(
        password.encode("utf-8"), salt=salt, n=n, r=r, p=p, maxmem=_MAXMEM, dklen=32
    )


@dataclass(frozen=True, kw_only=True)
class _Entry:
    role: Role
    salt: bytes
    digest: bytes
    n: int
    r: int
    p: int

    def fits(self, password: str) -> bool:
        found = hash_password(password, self.salt, n=self.n, r=self.r, p=self.p)
        return hmac.compare_digest(found, self.digest)


#: What a wrong name is compared with, so that it takes as long as a wrong password.
_NOBODY: Final = _Entry(role=Role.READER, salt=b"\0" * 16, digest=b"\0" * 32, **SCRYPT)


@dataclass(frozen=True, kw_only=True)
class Users:
    """Hold the named users of a laboratory.

    Parameters
    ----------
    entries
        By name.

    Examples
    --------
    >>> users = Users().with_user(User(name="Ada", role=Role.READER), "a long enough one")
    >>> users.check("Ada", "a long enough one").role.value, users.check("Ada", "guess")
    ('reader', None)
    """

    entries: tuple[tuple[str, _Entry], ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is anyone."""
        return bool(self.entries)

    def names(self) -> tuple[str, ...]:
        """Return the names in order."""
        return tuple(name for name, _ in self.entries)

    def check(self, name: str, password: str) -> User | None:
        """Return the user if the password is right; takes as long where there is no such user."""
        entry = dict(self.entries).get(name)
        fits = (entry or _NOBODY).fits(password[:MAX_PASSWORD])
        if entry is None or not fits or len(password) > MAX_PASSWORD:
            return None
        return User(name=name, role=entry.role)

    def with_user(self, user: User, password: str) -> Users:
        """Return the users with one more, or with a new role and password of one.

        Raises
        ------
        UsageError
            If the password is shorter than 15 or longer than 256 characters, or another user's
            name differs only in case.
        """
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise UsageError(
                f"the password has {len(password)} characters",
                fix=f"Use {MIN_PASSWORD} to {MAX_PASSWORD}; a few words are easy to remember.",
            )
        clash = [x for x in self.names() if x != user.name and x.casefold() == user.name.casefold()]
        if clash:
            raise UsageError(f"{user.name!r}: there is a user {clash[0]!r}", fix="Take another.")
        salt = secrets.token_bytes(16)
        entry = _Entry(
            role=user.role, salt=salt, digest=hash_password(password, salt, **SCRYPT), **SCRYPT
        )
        return replace(
            self, entries=tuple(sorted((dict(self.entries) | {user.name: entry}).items()))
        )

    def without(self, name: str) -> Users:
        """Return the users without one; what he or she did stays in the records.

        Raises
        ------
        UsageError
            If there is no such user.
        """
        if name not in self.names():
            raise UsageError(f"{name!r}: there is no such user")
        return replace(self, entries=tuple(item for item in self.entries if item[0] != name))

    def write(self, path: Path) -> None:
        """Write the file, readable by its owner only.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        entries = {
            name: {
                "role": entry.role.value,
                "salt": base64.b64encode(entry.salt).decode(),
                "scrypt": base64.b64encode(entry.digest).decode(),
                "n": entry.n,
                "r": entry.r,
                "p": entry.p,
            }
            for name, entry in self.entries
        }
        text = json.dumps({"version": _VERSION, "users": entries}, indent=2, ensure_ascii=False)
        before = os.umask(0o077)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(path, (text + "\n").encode())
        except (OSError, SlideError) as error:
            raise UsageError(f"{path}: the users cannot be written ({error})") from error
        finally:
            os.umask(before)

    @classmethod
    def read(cls, path: Path) -> Users:
        """Read the file; nobody where there is none.

        Raises
        ------
        UsageError
            If it is damaged, or others than its owner can change or read it.
        """
        try:
            content = path.read_bytes()
            loose = os.name == "posix" and path.stat().st_mode & 0o077
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise UsageError(f"{path}: the users cannot be read ({error.strerror})") from error
        if loose:
            raise UsageError(
                f"{path}: others than its owner can read or change it", fix=f"chmod 600 {path}"
            )
        try:
            tree = json.loads(content)
            if tree["version"] != _VERSION:
                raise ValueError("of another version")
            return cls(entries=tuple(sorted(map(_read_entry, tree["users"].items()))))
        except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
            raise UsageError(
                f"{path}: is no file of users ({error})", fix="Put a copy of your backup there."
            ) from error


def _read_entry(item: tuple[str, Any]) -> tuple[str, _Entry]:
    name, tree = item
    user = User(name=name, role=Role(tree["role"]))
    return user.name, _Entry(
        role=user.role,
        salt=base64.b64decode(tree["salt"], validate=True),
        digest=base64.b64decode(tree["scrypt"], validate=True),
        n=int(tree["n"]),
        r=int(tree["r"]),
        p=int(tree["p"]),
    )
