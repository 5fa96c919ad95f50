"""The last event of the record, noted apart: without it a cut-off end would not be seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pathology.errors import SlideError
from pathology.review.problems import StoreError
from pathology.runs import atomic_write_bytes

__all__ = ["HEAD", "Head", "note_head", "read_head", "write_head"]

#: File beside the record.
HEAD: Final = "head.json"


@dataclass(frozen=True, kw_only=True)
class Head:
    """Name the last event of a record.

    Parameters
    ----------
    events
        How many events there are, at least 1.
    sha256
        Hash of the last one.

    Examples
    --------
    >>> Head.parse(Head(events=3, sha256="0" * 64).text()).events
    3
    """

    events: int
    sha256: str

    def __post_init__(self) -> None:
        digits = len(self.sha256) == 64 and set(self.sha256) <= set("0123456789abcdef")
        if self.events < 1 or not digits:
            raise ValueError("a head is a number of events and a SHA-256")

    def text(self) -> str:
        """Write it for keeping elsewhere: ``3:0000...``."""
        return f"{self.events}:{self.sha256}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read what :meth:`text` wrote.

        Raises
        ------
        ValueError
            If it is something else.
        """
        number, _, digest = text.strip().partition(":")
        if not number.isascii() or not number.isdigit():
            raise ValueError("a head looks like 3:0123456789abcdef...")
        return cls(events=int(number), sha256=digest)


def write_head(folder: Path, head: Head) -> None:
    """Note the head, never back to an earlier one.

    Raises
    ------
    SlideError
        If the disk is full or the folder cannot be written.
    StoreError
        If what is there is no head.
    """
    there = read_head(folder)
    if there is None or there.events < head.events:
        content = json.dumps({"events": head.events, "sha256": head.sha256}) + "\n"
        atomic_write_bytes(folder / HEAD, content.encode())


def read_head(folder: Path) -> Head | None:
    """Read the noted head; None where there is none.

    Raises
    ------
    StoreError
        If the file cannot be read or holds something else.
    """
    path = folder / HEAD
    try:
        tree = json.loads(path.read_bytes())
        return Head(events=int(tree["events"]), sha256=str(tree["sha256"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}: does not name the last event of the record",
            fix="Put your backup in its place, or move it away: then a cut-off end cannot be seen.",
        ) from error


def note_head(folder: Path, head: Head) -> bool:
    """Note the head where that is possible; the record itself is whole without it."""
    try:
        write_head(folder, head)
    except SlideError:
        return False
    return True
