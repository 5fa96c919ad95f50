"""What a slide's events add up to: a pure fold, the same for whoever reads the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from pathology.review.events import Event

__all__ = [
    "ACTIONS",
    "CHECKS",
    "Addendum",
    "Checklist",
    "Decision",
    "Drawn",
    "Read",
    "SecondReader",
    "Signature",
    "SlideReview",
    "Status",
    "fold",
]

#: What has to be ticked before a score is signed.
CHECKS: Final = ("controls_passed", "invasive_region_verified", "no_unresolved_failed_area")
#: Kinds of events of a slide.
ACTIONS: Final = (
    "read",
    "regions",
    "decision",
    "ish",
    "checklist",
    "second_reader",
    "signed",
    "superseded",
    "addendum",
    "relinked",
)


class Status(StrEnum):
    """Name how far the review of a slide is."""

    OPEN = "open"
    IN_REVIEW = "in_review"
    SECOND_READER_REQUESTED = "second_reader_requested"
    SIGNED = "signed"
    SUPERSEDED = "superseded"
    ADDENDUM = "addendum"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Hold what a person decided.

    Parameters
    ----------
    kind
        ``agree`` or ``override``.
    ihc_score, tier
        The decided ones; a score of ``not_scorable`` has no tier.
    reason, text
        Why a score was overridden: a code, and words.
    by, at, version
        Who, when, and with which event.
    basis
        SHA-256 of the result that was looked at.
    """

    kind: str
    ihc_score: str
    tier: str | None
    reason: str | None
    text: str
    by: str
    at: str
    version: int
    basis: str


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """Hold what a person ticked; ``basis`` as in :class:`Decision`."""

    controls_passed: bool
    invasive_region_verified: bool
    no_unresolved_failed_area: bool
    note: str
    by: str
    at: str
    basis: str

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not ticked."""
        return tuple(name for name in CHECKS if not getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Hold the regions in force.

    Parameters
    ----------
    document
        SHA-256 of their GeoJSON in the record.
    count
        Number of polygons.
    result
        SHA-256 of the reviewed result in the record.
    run_sha256
        SHA-256 of the run's ``result.json`` that was counted again.
    by, at, version
        Who, when, and with which event.
    """

    document: str
    count: int
    result: str
    run_sha256: str
    by: str
    at: str
    version: int


@dataclass(frozen=True, kw_only=True)
class SecondReader:
    """Hold a request for a second reader, and who answered it."""

    asked_by: str
    text: str
    at: str
    answered_by: str | None = None
    agrees: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Hold a signature.

    Parameters
    ----------
    by, at, version, number
        Who, when, and with which event of the slide and of the record.
    kind, ihc_score, tier
        The decision that was signed.
    run_sha256
        SHA-256 of the run's ``result.json``: the signature is bound to it.
    basis
        SHA-256 of the result that was looked at: the run's, or the reviewed one.
    event_sha256
        Hash of the signing event.
    """

    by: str
    at: str
    version: int
    number: int
    kind: str
    ihc_score: str
    tier: str | None
    run_sha256: str
    basis: str
    event_sha256: str


@dataclass(frozen=True, kw_only=True)
class Addendum:
    """Hold what was added after signing; a corrected score where there is one."""

    text: str
    ihc_score: str | None
    tier: str | None
    by: str
    at: str
    version: int


@dataclass(frozen=True, kw_only=True)
class Read:
    """Hold one read of a study: ``pre`` before the program's score was shown, or ``post``."""

    reader: str
    phase: str
    score: str
    tier: str | None
    at: str


@dataclass(frozen=True, kw_only=True)
class SlideReview:
    """Hold the review of one slide after some number of events.

    Parameters
    ----------
    slide_id
        The slide.
    version
        Events so far; an action states the one that it saw.
    status
        How far the review is.
    decision, drawn, checklist, second, signature
        What is in force; None where there is none.
    opinions
        The newest decision of each reader on the result in force, by name.
    ish
        Readings of in-situ hybridisation, as they were entered.
    superseded
        Signatures that a later scoring has made void.
    addenda, reads
        In their order.
    path
        Where the slide file was found again; None where it did not move.
    last
        Who did the last thing, and when; empty before.
    """

    slide_id: str
    version: int = 0
    status: Status = Status.OPEN
    decision: Decision | None = None
    opinions: Mapping[str, Decision] | None = None
    drawn: Drawn | None = None
    ish: tuple[Mapping[str, Any], ...] = ()
    checklist: Checklist | None = None
    second: SecondReader | None = None
    signature: Signature | None = None
    superseded: tuple[Signature, ...] = ()
    addenda: tuple[Addendum, ...] = ()
    reads: tuple[Read, ...] = ()
    path: str | None = None
    last: tuple[str, str] = ("", "")

    @property
    def closed(self) -> bool:
        """Whether the slide is signed, so that corrections are addenda."""
        return self.status in (Status.SIGNED, Status.ADDENDUM)

    @property
    def final_score(self) -> str | None:
        """The score that was signed, or the one that the last addendum corrects it to."""
        if not self.closed or self.signature is None:
            return None
        signed = self.signature  # addenda to an older signature, since superseded, say nothing
        corrected = [x for x in self.addenda if x.version > signed.version and x.ihc_score]
        return corrected[-1].ihc_score if corrected else signed.ihc_score

    def read_of(self, reader: str, phase: str) -> Read | None:
        """Return a reader's own read."""
        found = (x for x in self.reads if x.reader == reader and x.phase == phase)
        return next(found, None)

    def apply(self, event: Event) -> SlideReview:
        """Return the review after one more event.

        Raises
        ------
        ValueError
            If the event is not the next one of this slide, or of an unknown kind.
        """
        if event.slide_id != self.slide_id or event.version != self.version + 1:
            raise ValueError(f"event {event.number} is not the next one of {self.slide_id}")
        if event.kind not in ACTIONS:
            raise ValueError(f"event {event.number}: {event.kind!r} is unknown")
        changed: SlideReview = getattr(self, f"_{event.kind}")(event)
        return replace(changed, version=event.version, last=(event.user, event.at))

    @property
    def _working(self) -> Status:
        busy = (Status.OPEN, Status.SUPERSEDED)
        return Status.IN_REVIEW if self.status in busy else self.status

    def _read(self, event: Event) -> SlideReview:
        read = Read(reader=event.user, at=event.at, **event.after)
        return replace(self, reads=(*self.reads, read), status=self._working)

    def _regions(self, event: Event) -> SlideReview:
        after = event.after
        drawn = Drawn(
            document=after["document"],
            count=after["count"],
            result=after["result"],
            run_sha256=after["run_sha256"],
            by=event.user,
            at=event.at,
            version=event.version,
        )
        second, status = self.second, self._working
        if second is not None and second.answered_by is not None:
            # The second reader has not seen the result that these regions give.
            second = replace(second, answered_by=None, agrees=None)
            status = Status.SECOND_READER_REQUESTED
        return replace(self, drawn=drawn, second=second, status=status)

    def _decision(self, event: Event) -> SlideReview:
        decision = Decision(
            **event.after, text=event.why, by=event.user, at=event.at, version=event.version
        )
        second, status = self.second, self._working
        asked = second is not None and second.answered_by is None
        if second is not None and asked and second.asked_by != event.user:
            first = self.decision
            agrees = first is not None and (first.ihc_score, first.tier) == (
                decision.ihc_score,
                decision.tier,
            )
            second = replace(second, answered_by=event.user, agrees=agrees)
            status = Status.IN_REVIEW
        opinions = {**(self.opinions or {}), event.user: decision}
        return replace(self, decision=decision, opinions=opinions, second=second, status=status)

    def _ish(self, event: Event) -> SlideReview:
        status = Status.ADDENDUM if self.closed else self._working
        return replace(self, ish=tuple(event.after["readings"]), status=status)

    def _checklist(self, event: Event) -> SlideReview:
        ticked = Checklist(**event.after, note=event.why, by=event.user, at=event.at)
        return replace(self, checklist=ticked, status=self._working)

    def _second_reader(self, event: Event) -> SlideReview:
        asked = SecondReader(asked_by=event.user, text=event.why, at=event.at)
        return replace(self, second=asked, status=Status.SECOND_READER_REQUESTED)

    def _signed(self, event: Event) -> SlideReview:
        after = event.after
        names = ("kind", "ihc_score", "tier", "run_sha256", "basis")
        signature = Signature(
            **{name: after[name] for name in names},
            by=event.user,
            at=event.at,
            version=event.version,
            number=event.number,
            event_sha256=event.sha256,
        )
        return replace(self, signature=signature, status=Status.SIGNED)

    def _superseded(self, event: Event) -> SlideReview:
        del event  # the time and the new hash stand in the record
        old = (self.signature,) if self.signature is not None else ()
        return replace(
            self,
            superseded=(*self.superseded, *old),
            signature=None,
            decision=None,
            opinions=None,
            checklist=None,
            second=None,
            status=Status.SUPERSEDED,
        )

    def _addendum(self, event: Event) -> SlideReview:
        added = Addendum(**event.after, text=event.why, by=event.user, at=event.at,
                         version=event.version)  # fmt: skip
        return replace(self, addenda=(*self.addenda, added), status=Status.ADDENDUM)

    def _relinked(self, event: Event) -> SlideReview:
        return replace(self, path=event.after["path"])


def fold(slide_id: str, events: Iterable[Event]) -> SlideReview:
    """Add up the events of a slide.

    Parameters
    ----------
    slide_id
        The slide.
    events
        Its events, in their order.

    Raises
    ------
    ValueError
        If one is missing, of another slide, or of an unknown kind.

    Examples
    --------
    >>> fold("a", []).status.value
    'open'
    """
    review = SlideReview(slide_id=slide_id)
    for event in events:
        review = review.apply(event)
    return review
