"""What may be done with a slide, by whom and when: pure rules that turn a wish into an event.

Every function returns what is to be recorded, or raises; none records anything itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pathology.review.events import Draft, clean_text
from pathology.review.problems import NotAllowed, Refused
from pathology.review.state import CHECKS, SlideReview
from pathology.review.users import Role, User
from pathology.runs.readings import READING_SCORES, TIERS_OF

__all__ = [
    "OVERRIDE_REASONS",
    "READERS",
    "Shown",
    "ask_second_reader",
    "check_score",
    "decide",
    "draw_regions",
    "enter_ish",
    "give_read",
    "need",
    "need_current",
    "need_open",
    "needs_study",
    "tick",
]

#: Why a score may be overridden.
OVERRIDE_REASONS: Final = (
    "in_situ_counted",
    "control_counted",
    "artefact",
    "cytoplasmic",
    "tumour_missed",
    "other",
)
#: Roles that read and sign; who administers does neither.
READERS: Final = (Role.READER, Role.SENIOR_READER)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Hold what rules need to know of the result that a reviewer looks at.

    Parameters
    ----------
    run_sha256
        SHA-256 of the run's ``result.json``.
    basis
        SHA-256 of the result in force: the reviewed one where regions were drawn, else the run's.
    ihc_score, tier
        The program's; a slide without a score has ``not_scorable``.
    failed_tiles
        Tiles that could not be read.
    control_failed
        Whether the run's control failed.
    outdated
        Whether regions were drawn on an older result of the run.
    """

    run_sha256: str
    basis: str
    ihc_score: str
    tier: str | None
    failed_tiles: int = 0
    control_failed: bool = False
    outdated: bool = False


def need(user: User, roles: Sequence[Role], what: str) -> None:
    """Refuse a user whose role does not permit an action.

    Raises
    ------
    NotAllowed
        Names the roles that may.
    """
    if user.role not in roles:
        allowed = " or ".join(role.value.replace("_", " ") for role in roles)
        raise NotAllowed(
            f"{user.name} is {user.role.value.replace('_', ' ')} and may not {what}",
            fix=f"Ask a {allowed}.",
        )


def need_open(review: SlideReview) -> None:
    """Refuse to change a signed slide.

    Raises
    ------
    Refused
        Names who signed, and when.
    """
    if review.closed and review.signature is not None:
        signed = review.signature
        raise Refused(
            f"the slide was signed by {signed.by} at {signed.at}",
            fix="A signed slide is corrected by an addendum.",
        )


def need_current(shown: Shown) -> None:
    """Refuse to build on regions whose cells have been replaced by another scoring.

    Raises
    ------
    Refused
        Says to save the regions again.
    """
    if shown.outdated:
        raise Refused(
            "the run has scored this slide again since its regions were drawn",
            fix="Look at the regions and save them again, so that the new cells are counted.",
        )


def check_score(score: str, tier: str | None) -> None:
    """Refuse a score that is none, or a tier that does not go with it.

    Raises
    ------
    Refused
        Names what is allowed.

    Examples
    --------
    >>> check_score("0", "her2_ultralow")
    """
    if score not in READING_SCORES:
        raise Refused(f"{score[:40]!r} is not a score", fix=f"Give {', '.join(READING_SCORES)}.")
    if tier is not None and tier not in TIERS_OF[score]:
        allowed = ", ".join(TIERS_OF[score]) or "no tier"
        raise Refused(f"{tier[:40]!r} does not go with {score}", fix=f"With {score}: {allowed}.")


def needs_study(blinded: bool, *, on: bool) -> None:
    """Refuse reads outside a blinded study, and everything else that changes a slide in one.

    Parameters
    ----------
    blinded
        Whether a study is on.
    on
        Whether the action belongs to one.
    """
    if blinded and not on:
        raise Refused(
            "a blinded study is on, in which slides are read and not changed",
            fix="Give your read; slides are reviewed when the study has ended.",
        )
    if on and not blinded:
        raise Refused("no blinded study is on", fix="Give your decision, and sign it.")


def give_read(review: SlideReview, user: User, *, score: str, tier: str | None) -> Draft:
    """Record a read of a study: the first is ``pre`` and locked, the next and last ``post``."""
    need(user, READERS, "read slides")
    check_score(score, tier)
    phase = "pre" if review.read_of(user.name, "pre") is None else "post"
    if review.read_of(user.name, "post") is not None:
        raise Refused("you have read this slide before and after seeing its score; both are locked")
    return Draft(kind="read", after={"phase": phase, "score": score, "tier": tier})


def draw_regions(
    review: SlideReview,
    user: User,
    *,
    document: bytes,
    digests: tuple[str, str],
    count: int,
    result: bytes,
    run_sha256: str,
    scores: Mapping[str, Any],
) -> Draft:
    """Record drawn regions with the result that they give.

    Parameters
    ----------
    review, user
        The slide as it is, and who draws.
    document, result
        GeoJSON of the regions, and the reviewed ``result.json``.
    digests
        Their SHA-256, in this order.
    count
        Number of polygons.
    run_sha256
        The run's result that was counted again.
    scores
        ``before`` and ``after``: score, tier, tumour cells; for people who read the record.
    """
    need(user, READERS, "draw regions")
    need_open(review)
    old = review.drawn
    return Draft(
        kind="regions",
        before={"document": old.document if old else None, **scores["before"]},
        after={
            "document": digests[0],
            "count": count,
            "result": digests[1],
            "run_sha256": run_sha256,
            **scores["after"],
        },
        documents={digests[0]: document, digests[1]: result},
    )


def decide(
    review: SlideReview,
    user: User,
    shown: Shown,
    *,
    kind: str,
    ihc_score: str | None = None,
    tier: str | None = None,
    reason: str | None = None,
    text: str = "",
) -> Draft:
    """Record that a reviewer agrees with the program, or overrides it.

    Parameters
    ----------
    review, user, shown
        The slide, who decides, and the result that was looked at.
    kind
        ``agree`` or ``override``.
    ihc_score, tier
        The score; for ``agree`` the program's own, or nothing.
    reason
        For ``override``, one of :data:`OVERRIDE_REASONS`.
    text
        More words; needed with the reason ``other``.
    """
    need(user, READERS, "decide on a score")
    need_open(review)
    need_current(shown)
    own = (shown.ihc_score, shown.tier)
    if kind == "agree":
        _check_agreement((ihc_score, tier), own, reason)
        ihc_score, tier = own
    elif kind == "override":
        check_score(ihc_score or "", tier)
        _check_override((ihc_score, tier), own, reason)
    else:
        raise Refused(f"{kind[:40]!r} is no decision", fix="Give agree or override.")
    why = clean_text(text, name="text", needed=reason == "other")
    old = review.decision
    return Draft(
        kind="decision",
        before={
            "ihc_score": old.ihc_score if old else None,
            "tier": old.tier if old else None,
            "by": old.by if old else None,
        },
        after={
            "kind": kind,
            "ihc_score": ihc_score,
            "tier": tier,
            "reason": reason,
            "basis": shown.basis,
        },
        why=why,
    )


def _check_agreement(
    given: tuple[str | None, str | None], own: tuple[str, str | None], reason: str | None
) -> None:
    if given[0] not in (None, own[0]) or given[1] not in (None, own[1]) or reason:
        raise Refused(
            f"the program says {own[0]}: another score is no agreement",
            fix="Override it, with a reason.",
        )


def _check_override(
    given: tuple[str | None, str | None], own: tuple[str, str | None], reason: str | None
) -> None:
    if reason not in OVERRIDE_REASONS:
        raise Refused(
            f"{(reason or '')[:40]!r} is no reason to override",
            fix=f"Give one of {', '.join(OVERRIDE_REASONS)}.",
        )
    if given[0] == own[0] and given[1] in (None, own[1]):
        raise Refused(f"the program says {own[0]} as well: this is no override", fix="Agree.")


def enter_ish(
    review: SlideReview, user: User, *, readings: Sequence[Mapping[str, Any]], text: str,
    decision: Mapping[str, Any],
) -> Draft:  # fmt: skip
    """Record readings of in-situ hybridisation; also after signing, as an addendum with a reason.

    Parameters
    ----------
    review, user
        The slide, and who enters.
    readings
        All readings of the slide's block that the review knows from now on, as stored records.
    text
        Why; needed after signing.
    decision
        What follows by the rules, for people who read the record.
    """
    need(user, READERS, "enter ISH")
    why = clean_text(text, name="text", needed=review.closed)
    return Draft(
        kind="ish",
        before={"readings": [dict(item) for item in review.ish]},
        after={"readings": [dict(item) for item in readings], "decision": dict(decision)},
        why=why,
    )


def ask_second_reader(review: SlideReview, user: User, *, text: str) -> Draft:
    """Record that another person is to read the slide before it is signed."""
    need(user, READERS, "ask for a second reader")
    need_open(review)
    if review.decision is None or review.decision.by != user.name:
        raise Refused("you have not decided on this slide yet", fix="Give your own decision first.")
    if review.second is not None and review.second.answered_by is None:
        raise Refused(f"{review.second.asked_by} has asked for a second reader already")
    return Draft(kind="second_reader", why=clean_text(text, name="text"))


def tick(
    review: SlideReview, user: User, shown: Shown, *, checks: Mapping[str, bool], note: str
) -> Draft:
    """Record the checklist, for the result that is in force."""
    need(user, READERS, "fill in the checklist")
    need_open(review)
    need_current(shown)
    if set(checks) != set(CHECKS):
        raise Refused("the checklist is not whole", fix=f"Say each of {', '.join(CHECKS)}.")
    if checks["controls_passed"] and shown.control_failed:
        raise Refused(
            "the control of this slide's stain run failed",
            fix="Have the stain repeated, or decide that the slide is not scorable.",
        )
    failed = checks["no_unresolved_failed_area"] and shown.failed_tiles > 0
    why = clean_text(note, name="note", needed=False)
    if failed and not why:
        raise Refused(
            f"{shown.failed_tiles} tiles could not be read",
            fix="Say in the note how you judged that area, for instance on the glass slide.",
        )
    old = review.checklist
    before = {name: getattr(old, name) for name in CHECKS} if old else {}
    return Draft(kind="checklist", before=before, after={**checks, "basis": shown.basis}, why=why)
