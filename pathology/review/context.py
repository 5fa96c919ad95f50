"""Everything that answering a request about a run needs, put together once at the start."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pathology.config import Config
from pathology.errors import OutputError
from pathology.review.events import sha256_hex
from pathology.review.problems import StoreError, UnknownSlide
from pathology.review.rules import Shown
from pathology.review.security import Policy
from pathology.review.sessions import Presence, Sessions
from pathology.review.signing import supersede
from pathology.review.state import SlideReview
from pathology.review.store import ReviewStore
from pathology.review.users import User, Users
from pathology.runs import (
    NOT_SCORABLE,
    ResultRow,
    SlideFolder,
    SlideResult,
    read_rows,
    read_run_info,
)
from pathology.runs.layout import RESULTS_CSV, SLIDES, is_slide_id

__all__ = ["Loaded", "ReviewContext", "open_context"]

#: Reviewed results that are kept in memory, about 10 KB each.
_KEPT_RESULTS = 256


#: Time, size and number of a file: they differ when it was written again.
_FileState = tuple[int, int, int]


class Loaded(NamedTuple):
    """Hold a result, and the SHA-256 of what it was read from."""

    result: SlideResult
    sha256: str


class _Cache:
    """Keep the newest results by key; a key is never given to another content."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[object, ...], Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...]) -> Loaded | None:
        with self._lock:
            return self._held.get(key)

    def put(self, key: tuple[object, ...], loaded: Loaded) -> Loaded:
        with self._lock:
            self._held[key] = loaded
            while len(self._held) > _KEPT_RESULTS:
                self._held.popitem(last=False)
        return loaded


@dataclass(frozen=True, kw_only=True)
class ReviewContext:
    """Hold a run under review.

    Parameters
    ----------
    run
        The run folder.
    config
        Its configuration.
    rows
        Its slides by id, in the order of ``results.csv``; no other slide is ever looked for.
        Brought up to date in place by :meth:`refresh`.
    store
        The record.
    sessions
        Who is signed in.
    policy
        Where the program listens.
    presence
        Who is looking at what.
    """

    run: Path
    config: Config
    rows: dict[str, ResultRow]
    store: ReviewStore
    sessions: Sessions
    policy: Policy
    presence: Presence = field(default_factory=Presence)
    _cache: _Cache = field(default_factory=_Cache, repr=False, compare=False)
    _signed: dict[str, _FileState] = field(default_factory=dict, repr=False, compare=False)
    _tables: list[_FileState] = field(default_factory=list, repr=False, compare=False)

    def finished(self) -> bool:
        """Tell whether the run has finished by now."""
        _, info = read_run_info(self.run)
        return info is not None and info.finished is not None

    def refresh(self) -> None:
        """See what the run has scored since: for the first time, or again after a signature."""
        state = _file_state(self.run / RESULTS_CSV)
        if not self._tables or state is None or self._tables[0] != state:
            self._tables[:] = [] if state is None else [state]
            self.rows.update(_rows(self.run, known=self.rows))
        for slide_id, review in self.store.reviews().items():
            if review.signature is None or slide_id not in self.rows:
                continue
            state = _file_state(self.folder(slide_id).result)
            if state is not None and self._signed.get(slide_id) != state:
                with suppress(OutputError):  # a damaged result is an error of its own page
                    self.current(slide_id)
                    self._signed[slide_id] = state

    def folder(self, slide_id: str) -> SlideFolder:
        """Return the folder of a slide of the run.

        Raises
        ------
        UnknownSlide
            If the run holds no such slide.
        """
        if slide_id not in self.rows:
            raise UnknownSlide("this run holds no such slide", fix="Go back to the list.")
        return SlideFolder(root=self.run, slide_id=slide_id)

    def loaded(self, slide_id: str) -> Loaded:
        """Read the run's result of a slide as it is now.

        Raises
        ------
        UnknownSlide
            If the run holds no such slide.
        OutputError
            If its ``result.json`` cannot be read.
        """
        path = self.folder(slide_id).result
        try:
            state = path.stat()
            key = (slide_id, state.st_mtime_ns, state.st_size, state.st_ino)
            found = self._cache.get(key)
            if found is not None:
                return found
            content = path.read_bytes()
            result = SlideResult.from_json(content)
        except FileNotFoundError:
            # A slide whose folder could not be written has a row, and no more.
            values = {name: getattr(self.rows[slide_id], name) for name in ResultRow.model_fields}
            result = SlideResult(**values)
            return Loaded(result, sha256_hex(result.to_json()))
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{path}: cannot be read ({error})", fix="Score the slide again."
            ) from error
        return self._cache.put(key, Loaded(result, sha256_hex(content)))

    def current(self, slide_id: str) -> SlideReview:
        """Return the review of a slide; a signature of an older result is marked superseded.

        Raises
        ------
        UnknownSlide, OutputError
            As :meth:`loaded`; and as :meth:`~pathology.review.store.ReviewStore.append`.
        """
        sha256 = self.loaded(slide_id).sha256
        review = self.store.review(slide_id)
        if supersede(review, run_sha256=sha256) is not None:
            self.store.append_if(slide_id, lambda now: supersede(now, run_sha256=sha256))
            return self.store.review(slide_id)
        return review

    def reviewed(self, review: SlideReview) -> Loaded | None:
        """Return the result that a reviewer's regions gave; None where none were drawn.

        Raises
        ------
        StoreError
            If the record does not hold it.
        """
        if review.drawn is None:
            return None
        sha256 = review.drawn.result
        found = self._cache.get((sha256,))
        if found is None:
            try:
                result = SlideResult.from_json(self.store.document(sha256))
            except ValueError as error:
                raise StoreError(
                    f"{review.slide_id}: the reviewed result cannot be read ({error})",
                    fix="Draw the regions again.",
                ) from error
            found = self._cache.put((sha256,), Loaded(result, sha256))
        return found

    def in_force(self, review: SlideReview) -> Loaded:
        """Return the result to be looked at: the reviewed one, else the run's."""
        return self.reviewed(review) or self.loaded(review.slide_id)

    def shown(self, review: SlideReview) -> Shown:
        """Return what the rules look at."""
        run, now = self.loaded(review.slide_id), self.in_force(review)
        result = now.result
        return Shown(
            run_sha256=run.sha256,
            basis=now.sha256,
            ihc_score=result.ihc_score or NOT_SCORABLE,
            tier=result.her2_tier,
            failed_tiles=result.failed_tiles or 0,
            control_failed=result.control_status == "failed",
            outdated=review.drawn is not None and review.drawn.run_sha256 != run.sha256,
        )

    def close(self) -> None:
        """Close the record."""
        self.store.close()


def open_context(
    run: Path, *, users: Users | None = None, local: User | None = None, policy: Policy
) -> ReviewContext:
    """Open a run for review.

    Parameters
    ----------
    run
        The run folder.
    users
        Named users; None or none where one person works on this machine.
    local
        That person.
    policy
        Where the program listens.

    Returns
    -------
    ReviewContext
        Close it after use.

    Raises
    ------
    OutputError
        If the folder holds no run of this version, or the record cannot be used.
    ValueError
        If there are both named users and a local one, or neither.
    """
    if bool(users) == (local is not None):
        raise ValueError("a review has named users, or one local user")
    key, _ = read_run_info(run)
    rows = _rows(run)
    if not rows:
        raise OutputError(
            f"{run}: no slide of this run has a result yet",
            fix="Wait for `her2 score`, or give its command again.",
        )
    return ReviewContext(
        run=run,
        config=key.restore(where=run),
        rows=rows,
        store=ReviewStore(run),
        sessions=Sessions(users, local=local),
        policy=policy,
    )


def _file_state(path: Path) -> _FileState | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _rows(run: Path, known: Mapping[str, ResultRow] | None = None) -> dict[str, ResultRow]:
    """List the slides of a run; of one that has not finished, those that are done."""
    if (run / RESULTS_CSV).exists():
        return {row.slide_id: row for row in read_rows(run / RESULTS_CSV)}
    folders = (run / SLIDES).iterdir() if (run / SLIDES).is_dir() else ()
    names = sorted(folder.name for folder in folders if is_slide_id(folder.name))
    names = [name for name in names if name not in (known or {})]
    done = (SlideFolder(root=run, slide_id=name).load() for name in names)
    return {result.slide_id: result for result in done if result is not None}
