"""What the record of a review says of slides, as exports print it; the record is only read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from pathology.report.decision import Decision, DecisionState
from pathology.review.database import FOLDER, RECORD, connect_to_read, database_errors
from pathology.review.events import Event, sha256_hex
from pathology.review.problems import StoreError
from pathology.review.signing import supersede
from pathology.review.state import CHECKS, Addendum, Signature, SlideReview
from pathology.review.state import Decision as Decided
from pathology.review.verify import verify
from pathology.runs import NOT_SCORABLE, SlideFolder, SlideResult
from pathology.runs.row import IhcScore

__all__ = ["Recorded", "has_record", "read_recorded"]

_SCORES: Final = frozenset(get_args(IhcScore))
_QUESTIONS: Final = dict(
    zip(
        CHECKS,
        ("Controls passed", "Invasive region verified", "No failed area unresolved"),
        strict=True,
    )
)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Hold what exports take over from a record.

    Parameters
    ----------
    decisions
        What was decided, by slide id.
    reviewed
        The result in the reviewer's regions, of slides whose signature rests on it.
    regions
        These regions, as GeoJSON.
    """

    decisions: Mapping[str, Decision] = field(default_factory=dict)
    reviewed: Mapping[str, SlideResult] = field(default_factory=dict)
    regions: Mapping[str, bytes] = field(default_factory=dict)

    def only(self, slides: Collection[str]) -> Recorded:
        """Return what is recorded of some slides, by their ids."""
        return Recorded(
            decisions={name: x for name, x in self.decisions.items() if name in slides},
            reviewed={name: x for name, x in self.reviewed.items() if name in slides},
            regions={name: x for name, x in self.regions.items() if name in slides},
        )


def has_record(run: Path) -> bool:
    """Tell whether a run was reviewed."""
    return (run / FOLDER / RECORD).is_file()


def read_recorded(run: Path, *, organization: str = "") -> Recorded:
    """Read the decisions and signatures of a run's review.

    Parameters
    ----------
    run
        The run folder. Nothing is written: a signature on a result that was scored again since
        counts as superseded, whether or not the record says so yet.
    organization
        Where the reviewers work, as exports name it.

    Returns
    -------
    Recorded
        Nothing where there is no record.

    Raises
    ------
    StoreError
        If the record cannot be read, or its chain is broken: no signature is taken from it then.
    """
    if not has_record(run):
        return Recorded()
    checked = verify(run)
    if not checked.ok:
        raise StoreError(
            f"{run / FOLDER / RECORD}: broken at event {checked.broken}: {checked.problem}",
            fix="Put a backup in its place, or export with --no-review.",
        )
    decisions, reviewed, regions = {}, {}, {}
    for slide_id, events in _events(run).items():
        review = SlideReview(slide_id=slide_id)
        for event in events:
            review = review.apply(event)
        result = SlideFolder(root=run, slide_id=slide_id).result
        now = sha256_hex(result.read_bytes()) if result.is_file() else ""
        drawn = _signed_result(run, review, now)
        made = _decision(review, events, now, organization, run_score(run, slide_id, drawn))
        if made is not None:
            decisions[slide_id] = made
        if drawn is not None:
            reviewed[slide_id] = drawn
            regions[slide_id] = _signed_regions(run, review)
    return Recorded(
        decisions=decisions,
        reviewed=reviewed,
        regions={name: document for name, document in regions.items() if document is not None},
    )


def run_score(run: Path, slide_id: str, drawn: SlideResult | None) -> str:
    """Return the run's own score in words, where the reviewer's regions gave a result of theirs."""
    if drawn is None:
        return ""
    stored = SlideFolder(root=run, slide_id=slide_id).load()
    return "" if stored is None else stored.ihc_score or "no score"


def _events(run: Path) -> dict[str, list[Event]]:
    path = run / FOLDER / RECORD
    found: dict[str, list[Event]] = {}
    connection = connect_to_read(path)
    try:
        with database_errors(path):
            rows = connection.execute(
                "SELECT body FROM events WHERE slide_id != '' ORDER BY number"
            ).fetchall()
    finally:
        connection.close()
    for (body,) in rows:
        event = Event.from_body(body)
        found.setdefault(event.slide_id, []).append(event)
    return found


def _signed_result(run: Path, review: SlideReview, run_sha256: str) -> SlideResult | None:
    """Return the result that the valid signature rests on, where it is not the run's."""
    signed = review.signature
    if signed is None or supersede(review, run_sha256=run_sha256) is not None:
        return None
    if signed.basis == signed.run_sha256:
        return None
    found = _document(run, signed.basis)
    return None if found is None else SlideResult.from_json(found)


def _signed_regions(run: Path, review: SlideReview) -> bytes | None:
    return None if review.drawn is None else _document(run, review.drawn.document)


def _document(run: Path, sha256: str) -> bytes | None:
    path = run / FOLDER / RECORD
    connection = connect_to_read(path)
    try:
        with database_errors(path):
            row = connection.execute(
                "SELECT content FROM documents WHERE sha256 = ?", (sha256,)
            ).fetchone()
    finally:
        connection.close()
    return None if row is None else bytes(row[0])


def _decision(
    review: SlideReview, events: Iterable[Event], run_sha256: str, organization: str, run_words: str
) -> Decision | None:
    signed = review.signature
    state: DecisionState = "signed"
    if signed is None or supersede(review, run_sha256=run_sha256) is not None:
        if signed is None and review.decision is not None:
            return _open(review.decision, organization)
        signed = signed or (review.superseded[-1] if review.superseded else None)
        state = "superseded"
    if signed is None:
        return None
    event = next(item for item in events if item.number == signed.number)
    later = [item for item in review.addenda if item.version > signed.version]
    # Addenda to a signature that is void say nothing of the slide as it is now.
    final, tier = _corrected(signed, later if state == "signed" else [])
    corrected = (final, tier) != (signed.ihc_score, signed.tier)
    agrees = signed.kind == "agree" and not corrected
    added = [f"addendum of {item.at} by {item.by}: {item.text}" for item in later]
    reason = str(event.after.get("reason") or "").replace("_", " ")
    if corrected:
        was = f" ({signed.tier})" if signed.tier else ""
        reason = f"corrected by addendum; {signed.ihc_score}{was} was signed"
    return Decision(
        reviewer=signed.by,
        organization=organization,
        state=state,
        agrees=agrees,
        **_reading(final, tier),
        run_score=run_words,
        reason=reason,
        comment="; ".join([*filter(None, [event.why]), *added]),
        at=signed.at,
        checklist=tuple(
            (_QUESTIONS[name], bool(value))
            for name, value in event.after["checklist"].items()
            if name in _QUESTIONS
        ),
    )


def _open(decision: Decided, organization: str) -> Decision:
    return Decision(
        reviewer=decision.by,
        organization=organization,
        state="open",
        agrees=decision.kind == "agree",
        **_reading(decision.ihc_score, decision.tier),
        reason=(decision.reason or "").replace("_", " "),
        comment=decision.text,
        at=decision.at,
    )


def _corrected(signed: Signature, later: Iterable[Addendum]) -> tuple[str, str | None]:
    """Return score and tier that hold: the signed ones, or those of the last addendum with any."""
    score, tier = signed.ihc_score, signed.tier
    for item in later:
        if item.ihc_score is not None:
            same = item.ihc_score == score
            score, tier = item.ihc_score, item.tier or (tier if same else None)
    return score, tier


def _reading(score: str | None, tier: str | None) -> dict[str, Any]:
    """Return score and tier as exports hold them."""
    if score not in _SCORES:
        return {"not_scorable": score == NOT_SCORABLE}
    return {"ihc_score": score, "her2_tier": tier}
