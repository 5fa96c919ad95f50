"""What the record says of a slide, as JSON for the page, cut to what the user may see."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pathology.review.context import ReviewContext
from pathology.review.drawing import parse_document, regions_of_run
from pathology.review.events import Event
from pathology.review.sessions import Session
from pathology.review.state import SlideReview
from pathology.review.visible import Viewer, viewer_of, visible

__all__ = ["session_view", "slide_view"]

#: Large values that an event only names in the list of events.
_LONG = ("signature", "readings")


def session_view(context: ReviewContext, session: Session) -> dict[str, Any]:
    """Say who is signed in, with what further requests have to carry."""
    study = context.store.study
    viewer = viewer_of(context, session.user)
    return {
        "user": viewer.name,
        "role": viewer.role,
        "csrf": session.csrf,
        "blinded": viewer.blinded,
        "study": {"name": study.name, "on": study.on} if study.name else None,
        "local": context.sessions.local is not None,
    }


def slide_view(context: ReviewContext, session: Session, slide_id: str) -> dict[str, Any]:
    """Say everything of a slide's review that the user may see."""
    review = context.current(slide_id)
    viewer = viewer_of(context, session.user)
    context.presence.look(slide_id, viewer.name)
    force = context.in_force(review)
    seen = visible(force.result, review, viewer)
    head: dict[str, Any] = {
        "slide_id": slide_id,
        "version": review.version,
        "withheld": seen.withheld,
        "blinded": viewer.blinded,
        "reads": list(seen.reads),
    }
    if viewer.blinded:
        own = "read" if any(read["phase"] == "pre" for read in seen.reads) else "unread"
        return {**head, **_nothing_of_others(), "status": own, "version": len(seen.reads)}
    return {**head, **_in_the_open(context, review, viewer)}


def _nothing_of_others() -> dict[str, Any]:
    """Return what is sent in a blinded study of what other people do."""
    return {
        "events": [],
        "decision": None,
        "regions": {"type": "FeatureCollection", "features": []},
        "ish": None,
        "checklist": None,
        "second_reader": None,
        "reviewed_result": None,
        "signature": None,
        "superseded": [],
        "addenda": [],
        "final_score": None,
        "editors": [],
    }


def _in_the_open(context: ReviewContext, review: SlideReview, viewer: Viewer) -> dict[str, Any]:
    reviewed = context.reviewed(review)
    shown = context.shown(review)
    document = (
        context.store.document(review.drawn.document)
        if review.drawn
        else regions_of_run(context.folder(review.slide_id))
    )
    events = context.store.events(review.slide_id)
    ticked = review.checklist
    return {
        "status": review.status.value,
        "events": [_event_view(event) for event in events],
        "decision": _stale(review.decision, shown.basis),
        "regions": {**parse_document(document), "version": _drawn_version(review)},
        "ish": _ish_view(review, events),
        "checklist": _stale(ticked, shown.basis),
        "second_reader": asdict(review.second) if review.second else None,
        "reviewed_result": reviewed.result.model_dump(mode="json") if reviewed else None,
        "signature": asdict(review.signature) if review.signature else None,
        "superseded": [asdict(item) for item in review.superseded],
        "addenda": [asdict(item) for item in review.addenda],
        "final_score": review.final_score,
        "outdated": shown.outdated,
        "editors": context.presence.others(review.slide_id, viewer.name),
    }


def _drawn_version(review: SlideReview) -> int:
    return review.drawn.version if review.drawn else 0


def _stale(item: Any, basis: str) -> dict[str, Any] | None:
    """Return a decision or checklist, and whether the result has changed since."""
    return None if item is None else {**asdict(item), "stale": item.basis != basis}


def _ish_view(review: SlideReview, events: list[Event]) -> dict[str, Any] | None:
    if not review.ish:
        return None
    last = next(event for event in reversed(events) if event.kind == "ish")
    return {
        "readings": [dict(item) for item in review.ish],
        "decision": dict(last.after["decision"]),
        "by": last.user,
        "at": last.at,
    }


def _event_view(event: Event) -> dict[str, Any]:
    tree = event.as_dict()
    for side in ("before", "after"):
        tree[side] = {name: value for name, value in tree[side].items() if name not in _LONG}
    return {**tree, "sha256": event.sha256}
