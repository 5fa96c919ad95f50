"""The record of a review: events are appended, one transaction each, and never changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pathology.errors import UsageError
from pathology.review.database import FOLDER, RECORD, connect, database_errors
from pathology.review.events import GENESIS, RUN_LEVEL, Draft, Event, utc_now
from pathology.review.head import Head, note_head, read_head
from pathology.review.problems import Conflict, Refused, StoreError
from pathology.review.state import SlideReview
from pathology.review.study import Study
from pathology.review.users import PROGRAM, User

__all__ = ["ReviewStore"]

_INSERT = "INSERT INTO events (number, slide_id, version, body, sha256) VALUES (?, ?, ?, ?, ?)"


class ReviewStore:
    """Keep the record of a run's review; may be shared by threads, and by processes.

    An event is either recorded, and then on the disk before the call returns, or refused, and then
    nothing of it is there: whatever kills the program, and whenever.

    Parameters
    ----------
    run
        The run folder; ``review/`` is made in it.

    Raises
    ------
    StoreError
        If the record cannot be opened, is damaged, is of a newer version, or has lost its end.

    Examples
    --------
    >>> import tempfile
    >>> from pathology.review.users import Role, User
    >>> with tempfile.TemporaryDirectory() as folder, ReviewStore(Path(folder)) as store:
    ...     draft = Draft(kind="read", after={"phase": "pre", "score": "0", "tier": None})
    ...     event = store.append("a", User(name="Ada", role=Role.READER), lambda _: draft)
    ...     event.number, store.review("a").version
    (1, 1)
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER
        self.path = self.folder / RECORD
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot be made ({error.strerror or error})",
                fix="Name the folder of a run, in which you may write.",
            ) from error
        self._lock = threading.RLock()
        self._reviews: dict[str, SlideReview] = {}
        self._study = Study()
        self._number, self._head = 0, GENESIS
        self._connection = connect(self.path)
        try:
            self._refresh()
            self._check_head()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; nothing is waiting to be written."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    @property
    def head(self) -> Head | None:
        """The last event, to be kept elsewhere; None where nothing was recorded."""
        with self._lock:
            self._refresh()
            return Head(events=self._number, sha256=self._head) if self._number else None

    @property
    def study(self) -> Study:
        """The blinded study that is on, or none."""
        with self._lock:
            self._refresh()
            return self._study

    def review(self, slide_id: str) -> SlideReview:
        """Return the review of a slide as it is now."""
        with self._lock:
            self._refresh()
            return self._of(slide_id)

    def reviews(self) -> Mapping[str, SlideReview]:
        """Return the reviews of all slides that have one."""
        with self._lock:
            self._refresh()
            return dict(self._reviews)

    def events(self, slide_id: str) -> list[Event]:
        """Return the events of a slide (of the run itself: ``""``), in their order."""
        query = "SELECT body FROM events WHERE slide_id = ? ORDER BY version"
        with self._lock, database_errors(self.path):
            rows = self._connection.execute(query, (slide_id,)).fetchall()
        return [self._event(body) for (body,) in rows]

    def document(self, sha256: str) -> bytes:
        """Return a document of the record.

        Raises
        ------
        StoreError
            If it is not there.
        """
        query = "SELECT content FROM documents WHERE sha256 = ?"
        with self._lock, database_errors(self.path):
            row = self._connection.execute(query, (sha256,)).fetchone()
        if row is None:
            raise StoreError(f"{self.path}: document {sha256} is missing", fix="Run --verify.")
        return bytes(row[0])

    def append(
        self,
        slide_id: str,
        user: User | None,
        make: Callable[[SlideReview], Draft],
        *,
        expected: int | None = None,
    ) -> Event:
        """Record an event of a slide.

        Parameters
        ----------
        slide_id
            The slide.
        user
            Who acts; None: the program itself.
        make
            Gets the review as it is when nobody else can write, and returns what to record; what it
            raises is passed on, and nothing is recorded.
        expected
            The version of the slide that the user has seen; None where the action does not depend
            on what others did.

        Raises
        ------
        Conflict
            If someone else has changed the slide since.
        StoreError
            If the record cannot be written; nothing was recorded.
        """
        with self._lock:
            self._begin()
            try:
                self._refresh()
                review = self._of(slide_id)
                if expected is not None:
                    self.expect(review, expected)
                event = self._write(slide_id, review.version, user, make(review))
                changed = review.apply(event)
                self._commit()
            except BaseException:
                self._rollback()
                raise
            self._reviews[slide_id] = changed
            self._note(event)
        return event

    @staticmethod
    def expect(review: SlideReview, expected: int) -> None:
        """Refuse an action of someone who has not seen the newest event of a slide.

        Raises
        ------
        Conflict
            Names who changed the slide, and when.
        """
        if expected != review.version:
            raise _conflict(review, expected)

    def append_if(self, slide_id: str, make: Callable[[SlideReview], Draft | None]) -> None:
        """Record what the program itself has seen, unless it is recorded already.

        Parameters
        ----------
        slide_id
            The slide.
        make
            As in :meth:`append`; None where there is nothing to record.
        """
        with self._lock:
            draft = make(self.review(slide_id))
            if draft is not None:
                try:
                    self.append(slide_id, None, lambda now: make(now) or _nothing())
                except _Nothing:
                    return  # another process was faster

    def append_to_run(self, user: User | None, make: Callable[[Study], Draft]) -> Event:
        """Record an event that concerns the whole run; as :meth:`append`."""
        with self._lock:
            self._begin()
            try:
                self._refresh()
                event = self._write(RUN_LEVEL, self._study.version, user, make(self._study))
                changed = self._study.apply(event)
                self._commit()
            except BaseException:
                self._rollback()
                raise
            self._study = changed
            self._note(event)
        return event

    def _write(self, slide_id: str, version: int, user: User | None, draft: Draft) -> Event:
        event = Event(
            number=self._number + 1,
            slide_id=slide_id,
            version=version + 1,
            kind=draft.kind,
            user=user.name if user else PROGRAM,
            role=user.role.value if user else "program",
            at=utc_now(),
            why=draft.why,
            before=draft.before,
            after=draft.after,
            previous=self._head,
        )
        with database_errors(self.path):
            for sha256, content in draft.documents.items():
                statement = "INSERT OR IGNORE INTO documents (sha256, content) VALUES (?, ?)"
                self._connection.execute(statement, (sha256, content))
            values = (event.number, slide_id, event.version, event.body(), event.sha256)
            self._connection.execute(_INSERT, values)
        return event

    def _begin(self) -> None:
        with database_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        with database_errors(self.path):
            self._connection.execute("COMMIT")

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            with database_errors(self.path):
                self._connection.execute("ROLLBACK")

    def _note(self, event: Event) -> None:
        self._number, self._head = event.number, event.sha256
        note_head(self.folder, Head(events=event.number, sha256=event.sha256))

    def _refresh(self) -> None:
        """Take in what other processes have recorded."""
        query = "SELECT body FROM events WHERE number > ? ORDER BY number"
        with database_errors(self.path):
            rows = self._connection.execute(query, (self._number,)).fetchall()
        for (body,) in rows:
            event = self._event(body)
            if event.number != self._number + 1 or event.previous != self._head:
                raise self._broken(f"event {event.number} does not follow on event {self._number}")
            try:
                if event.slide_id == RUN_LEVEL:
                    self._study = self._study.apply(event)
                else:
                    review = self._of(event.slide_id)
                    self._reviews[event.slide_id] = review.apply(event)
            except (ValueError, KeyError, TypeError) as error:
                raise self._broken(f"event {event.number} cannot be read ({error})") from error
            self._number, self._head = event.number, event.sha256

    def _check_head(self) -> None:
        noted = read_head(self.folder)
        if noted is None:
            return
        if noted.events > self._number:
            raise self._broken(f"{noted.events} events were recorded, {self._number} are there")
        query = "SELECT sha256 FROM events WHERE number = ?"
        with database_errors(self.path):
            row = self._connection.execute(query, (noted.events,)).fetchone()
        if row[0] != noted.sha256:
            raise self._broken(f"event {noted.events} is not the one that was recorded")

    def _of(self, slide_id: str) -> SlideReview:
        if slide_id == RUN_LEVEL:
            raise Refused("no slide is named")
        return self._reviews.get(slide_id) or SlideReview(slide_id=slide_id)

    def _event(self, body: bytes) -> Event:
        try:
            return Event.from_body(bytes(body))
        except (ValueError, UsageError) as error:
            raise self._broken(f"an event cannot be read ({error})") from error

    def _broken(self, problem: str) -> StoreError:
        return StoreError(
            f"{self.path}: the record was changed or damaged: {problem}",
            fix="Give `her2 review --verify DIR`, and put a copy of your backup in its place.",
        )


class _Nothing(Exception):
    """There is nothing to record any more."""


def _nothing() -> Draft:
    raise _Nothing


def _conflict(review: SlideReview, expected: int) -> Conflict:
    who, when = review.last
    if expected > review.version:
        return Conflict(
            f"{review.slide_id}: has {review.version} events, not {expected}",
            fix="Load the slide again.",
        )
    return Conflict(
        f"{review.slide_id}: {who} has changed this slide at {when}; nothing of yours was recorded",
        fix="Load the slide again, look at the change, and repeat what you did.",
    )
