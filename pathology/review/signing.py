"""When a slide may be signed, what follows a signature, and what makes it void: pure rules."""

from __future__ import annotations

from dataclasses import asdict

from pathology.review.events import Draft, clean_text
from pathology.review.problems import NotAllowed, Refused
from pathology.review.rules import READERS, Shown, check_score, need, need_current, need_open
from pathology.review.state import CHECKS, SlideReview
from pathology.review.users import Role, User
from pathology.runs import NOT_SCORABLE

__all__ = ["add_addendum", "sign", "supersede"]


def sign(review: SlideReview, user: User, shown: Shown) -> Draft:
    """Record a signature of the signer's own decision on the result that is in force.

    A score needs the whole checklist; ``not_scorable`` states no score, so controls need not have
    passed. One slide is signed at a time.
    """
    need(user, READERS, "sign")
    need_open(review)
    need_current(shown)
    decision = review.decision
    if decision is None or decision.by != user.name:
        raise Refused(
            "the decision on this slide is not yours" if decision else "nothing is decided yet",
            fix="Agree or override, then sign: everyone signs his or her own decision.",
        )
    if decision.basis != shown.basis:
        raise Refused(
            "the result has changed since you decided", fix="Look at it again, and decide again."
        )
    if review.second is not None and review.second.answered_by is None:
        raise Refused("a second reader was asked for and has not answered", fix="Wait for it.")
    _need_seniority(review, user, shown)
    ticked = (
        review.checklist if review.checklist and review.checklist.basis == shown.basis else None
    )
    missing = ticked.missing if ticked else CHECKS
    if decision.ihc_score != NOT_SCORABLE and missing:
        raise Refused(f"not ticked: {', '.join(missing)}", fix="Fill in the checklist.")
    return Draft(
        kind="signed",
        before={"status": review.status.value},
        after={
            "kind": decision.kind,
            "ihc_score": decision.ihc_score,
            "tier": decision.tier,
            "reason": decision.reason,
            "run_sha256": shown.run_sha256,
            "basis": shown.basis,
            "checklist": {name: name not in missing for name in CHECKS},
            "regions": review.drawn.document if review.drawn else None,
        },
        why=decision.text,
    )


def _need_seniority(review: SlideReview, user: User, shown: Shown) -> None:
    """Let a senior reader settle a difference between two readers."""
    opinions = (review.opinions or {}).values()
    now = {(x.ihc_score, x.tier) for x in opinions if x.basis == shown.basis}
    if review.second is not None and len(now) > 1 and user.role != Role.SENIOR_READER:
        raise NotAllowed(
            "the readers of this slide differ: " + ", ".join(sorted(score for score, _ in now)),
            fix="Decide alike, or let a senior reader decide and sign.",
        )


def add_addendum(
    review: SlideReview, user: User, *, text: str, ihc_score: str | None, tier: str | None
) -> Draft:
    """Record an addendum to a signed slide; with a score it corrects the signed one."""
    need(user, READERS, "write an addendum")
    if not review.closed or review.signature is None:
        raise Refused("the slide is not signed", fix="Change the decision itself.")
    if user.name != review.signature.by and user.role != Role.SENIOR_READER:
        raise NotAllowed(
            f"{review.signature.by} signed this slide",
            fix="Ask the signer or a senior reader for the addendum.",
        )
    if ihc_score is not None:
        check_score(ihc_score, tier)
    elif tier is not None:
        raise Refused("a tier without a score", fix="Give both, or none.")
    return Draft(
        kind="addendum",
        before={"ihc_score": review.final_score},
        after={"ihc_score": ihc_score, "tier": tier},
        why=clean_text(text, name="text", needed=True),
    )


def supersede(review: SlideReview, *, run_sha256: str) -> Draft | None:
    """Record that the run's result is no longer the one that was signed; None while it is.

    Parameters
    ----------
    review
        The slide.
    run_sha256
        SHA-256 of the ``result.json`` that is there now.
    """
    signed = review.signature
    if signed is None or signed.run_sha256 == run_sha256:
        return None
    return Draft(
        kind="superseded",
        before={"signature": asdict(signed)},
        after={"run_sha256": run_sha256},
        why="the slide was scored again after it was signed",
    )
