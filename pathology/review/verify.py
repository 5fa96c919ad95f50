"""Prove the record of a review: every event, every hash, every document, and the end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathology.review.database import FOLDER, RECORD, connect_to_read, database_errors
from pathology.review.events import GENESIS, RUN_LEVEL, Event, sha256_hex
from pathology.review.head import HEAD, Head, read_head
from pathology.review.state import SlideReview
from pathology.review.study import Study

__all__ = ["Verification", "verify"]

#: Keys of ``after`` that name a document.
_NAMING = ("document", "result")


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Hold what checking a record found.

    Parameters
    ----------
    events, slides, signatures
        Whole events, slides that have some, and signatures, up to the first broken event.
    head
        The last whole event; None where there is none.
    broken
        Number of the first event that is wrong or missing; None where all are right.
    problem
        What is wrong with it; empty where nothing is.
    notes
        What is worth knowing and breaks nothing.
    """

    events: int
    slides: int
    signatures: int
    head: Head | None
    broken: int | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the record is whole."""
        return self.broken is None

    def words(self) -> str:
        """Say it in words, one line for each thing.

        Examples
        --------
        >>> print(Verification(events=0, slides=0, signatures=0, head=None).words())
        the record holds: 0 events of 0 slides, 0 signatures
        """
        counted = (
            f"{self.events:,} events of {self.slides:,} slides, {self.signatures:,} signatures"
        )
        if self.ok:
            lines = [f"the record holds: {counted}"]
        else:
            lines = [
                f"BROKEN at event {self.broken}: {self.problem}",
                f"whole before it: {counted}",
            ]
        if self.head is not None:
            lines.append(f"head {self.head.text()}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


class _Broken(Exception):
    """An event is not what it should be."""


def verify(run: Path, *, head: Head | None = None) -> Verification:
    """Check the record of a run's review from its first event to its last.

    Parameters
    ----------
    run
        The run folder; only read.
    head
        A head that was kept elsewhere; the record must contain it.

    Returns
    -------
    Verification
        The first broken event, or none.

    Raises
    ------
    StoreError
        If there is no record, or it cannot be read at all.
    """
    path = run / FOLDER / RECORD
    noted = read_head(run / FOLDER)
    connection = connect_to_read(path)
    try:
        with database_errors(path):
            walk = _Walk(connection)
            try:
                walk.check(tuple(item for item in (noted, head) if item is not None))
                broken, problem = None, ""
            except _Broken as error:
                broken, problem = walk.number + 1, str(error)
            if broken is None:
                _check_pages(connection)
    finally:
        connection.close()
    notes = list(walk.notes)
    if noted is None and walk.number:
        notes.append(f"{HEAD} is missing: a cut-off end could not be seen")
    return Verification(
        events=walk.number,
        slides=len(walk.reviews),
        signatures=walk.signatures,
        head=Head(events=walk.number, sha256=walk.previous) if walk.number else None,
        broken=broken,
        problem=problem,
        notes=tuple(notes),
    )


class _Walk:
    """Go through the events in their order, keeping what the next one must fit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.number, self.previous, self.signatures = 0, GENESIS, 0
        self.reviews: dict[str, SlideReview] = {}
        self.notes: list[str] = []
        self._study = Study()
        self._at = ""
        self._documents: set[str] = set()

    def check(self, heads: tuple[Head, ...]) -> None:
        at = {head.events: head.sha256 for head in heads}
        if len(at) < len({(head.events, head.sha256) for head in heads}):
            raise _Broken("two heads of the same number of events differ")
        for row in self._rows():
            event = self._one(*row)
            if at.get(event.number, event.sha256) != event.sha256:
                raise _Broken(f"event {event.number} is not the one that was noted apart")
            self.number, self.previous = event.number, event.sha256
            self.signatures += event.kind == "signed"
        missing = [number for number in at if number > self.number]
        if missing:
            raise _Broken(
                f"{max(missing)} events were recorded, {self.number} are there: the end is missing"
            )
        extra = self._stored() - self._documents
        if extra:
            self.notes.append(f"{len(extra)} documents belong to no event")

    def _rows(self) -> Iterator[tuple[int, str, int, bytes, str]]:
        query = "SELECT number, slide_id, version, body, sha256 FROM events ORDER BY number"
        yield from self.connection.execute(query)

    def _stored(self) -> set[str]:
        return {str(row[0]) for row in self.connection.execute("SELECT sha256 FROM documents")}

    def _one(self, number: int, slide_id: str, version: int, body: bytes, sha256: str) -> Event:
        if number != self.number + 1:
            raise _Broken(f"event {self.number + 1} is missing")
        try:
            event = Event.from_body(bytes(body))
        except ValueError as error:
            raise _Broken(f"event {number} cannot be read ({error})") from error
        if event.sha256 != sha256:
            raise _Broken(f"event {number} was changed: its hash is another")
        if event.previous != self.previous:
            raise _Broken(f"event {number} does not follow on event {self.number}")
        if (event.number, event.slide_id, event.version) != (number, slide_id, version):
            raise _Broken(f"event {number} stands in the place of another")
        self._fold(event)
        self._check_documents(event)
        if event.at < self._at:
            self.notes.append(f"the clock went back before event {number}")
        self._at = max(event.at, self._at)
        return event

    def _fold(self, event: Event) -> None:
        try:
            if event.slide_id == RUN_LEVEL:
                self._study = self._study.apply(event)
            else:
                there = self.reviews.get(event.slide_id, SlideReview(slide_id=event.slide_id))
                self.reviews[event.slide_id] = there.apply(event)
        except (ValueError, KeyError, TypeError) as error:
            raise _Broken(f"event {event.number} makes no sense here ({error})") from error

    def _check_documents(self, event: Event) -> None:
        if event.kind != "regions":
            return
        for name in (str(event.after[key]) for key in _NAMING):
            query = "SELECT content FROM documents WHERE sha256 = ?"
            row = self.connection.execute(query, (name,)).fetchone()
            if row is None or sha256_hex(bytes(row[0])) != name:
                state = "missing" if row is None else "changed"
                raise _Broken(f"event {event.number}: its document {name[:12]} is {state}")
            self._documents.add(name)


def _check_pages(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(f"database disk image is malformed: {found}")
