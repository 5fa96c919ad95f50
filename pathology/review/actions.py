"""What a user does with a slide: the run's files looked at, the rules asked, one event recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pathology.errors import RegionsError, SlideError
from pathology.geometry import Size0, Spacing
from pathology.pipeline.recount import check_recountable, recount_slide
from pathology.review import rules, signing
from pathology.review.context import ReviewContext
from pathology.review.drawing import EMPTY, check_drawing
from pathology.review.events import Draft, Event, sha256_hex
from pathology.review.hybridisation import enter_readings
from pathology.review.problems import Refused
from pathology.review.sessions import Session
from pathology.review.state import SlideReview
from pathology.review.users import User
from pathology.runs import SlideResult

__all__ = [
    "add_addendum",
    "ask_second_reader",
    "decide",
    "enter_ish",
    "give_read",
    "save_regions",
    "sign",
    "tick",
]


def give_read(
    context: ReviewContext, user: User, slide_id: str, *, score: str, tier: str | None = None
) -> Event:
    """Lock a read of a blinded study; readers do not wait for each other.

    Raises
    ------
    ReviewError
        If no study is on, both reads are given, or the score is none.
    """
    context.folder(slide_id)
    rules.needs_study(context.store.study.on, on=True)
    return context.store.append(
        slide_id, user, lambda review: rules.give_read(review, user, score=score, tier=tier)
    )


def save_regions(
    context: ReviewContext,
    user: User,
    slide_id: str,
    *,
    expected: int,
    features: Sequence[Any],
    unit: str = "px",
) -> Event:
    """Replace the regions of a slide and count its stored cells again.

    Parameters
    ----------
    context, user
        The run, and who draws.
    slide_id
        The slide.
    expected
        Version of the slide that the user has seen.
    features
        All regions from now on, as :func:`~pathology.review.drawing.check_drawing` takes them.
    unit
        Of their coordinates, ``px`` or ``um``.

    Raises
    ------
    ReviewError, UsageError
        If a region is wrong, the slide has no stored cells, or a rule forbids it.
    """
    review = _begin(context, slide_id, expected)
    run = context.loaded(slide_id)
    check_recountable(run.result)
    size, spacing = _frame(run.result)
    drawn = check_drawing(features, size=size, spacing=spacing, unit=unit)
    content = drawn.document if drawn.document != EMPTY else None
    try:
        counted = recount_slide(
            run.result, context.folder(slide_id), content, config=context.config
        )
    except RegionsError as error:
        raise Refused(error.message, fix=error.fix) from error
    except SlideError as error:
        raise Refused(
            error.message, fix="Score the slide again; its tables are damaged."
        ) from error
    result = counted.to_json()
    before = context.in_force(review).result
    return context.store.append(
        slide_id,
        user,
        lambda now: rules.draw_regions(
            now,
            user,
            document=drawn.document,
            digests=(sha256_hex(drawn.document), sha256_hex(result)),
            count=drawn.count,
            result=result,
            run_sha256=run.sha256,
            scores={"before": _said(before), "after": _said(counted)},
        ),
        expected=expected,
    )


def decide(
    context: ReviewContext,
    user: User,
    slide_id: str,
    *,
    expected: int,
    kind: str,
    ihc_score: str | None = None,
    tier: str | None = None,
    reason: str | None = None,
    text: str = "",
) -> Event:
    """Agree with the score in force, or override it; as :func:`pathology.review.rules.decide`."""
    _begin(context, slide_id, expected)
    return context.store.append(
        slide_id,
        user,
        lambda review: rules.decide(
            review,
            user,
            context.shown(review),
            kind=kind,
            ihc_score=ihc_score,
            tier=tier,
            reason=reason,
            text=text,
        ),
        expected=expected,
    )


def enter_ish(
    context: ReviewContext,
    user: User,
    slide_id: str,
    *,
    expected: int,
    entries: Sequence[Mapping[str, Any]],
    text: str = "",
) -> Event:
    """Enter readings of in-situ hybridisation of the slide's block."""
    _begin(context, slide_id, expected)

    def make(review: SlideReview) -> Draft:
        found = enter_readings(context.run, context.in_force(review).result, review, entries)
        return rules.enter_ish(
            review, user, readings=found.readings, text=text, decision=found.decision
        )

    return context.store.append(slide_id, user, make, expected=expected)


def ask_second_reader(
    context: ReviewContext, user: User, slide_id: str, *, expected: int, text: str = ""
) -> Event:
    """Ask that another person reads the slide before it is signed."""
    _begin(context, slide_id, expected)
    return context.store.append(
        slide_id,
        user,
        lambda review: rules.ask_second_reader(review, user, text=text),
        expected=expected,
    )


def tick(
    context: ReviewContext,
    user: User,
    slide_id: str,
    *,
    expected: int,
    checks: Mapping[str, bool],
    note: str = "",
) -> Event:
    """Fill in the checklist."""
    _begin(context, slide_id, expected)
    return context.store.append(
        slide_id,
        user,
        lambda review: rules.tick(review, user, context.shown(review), checks=checks, note=note),
        expected=expected,
    )


def sign(
    context: ReviewContext,
    session: Session,
    slide_id: str,
    *,
    expected: int,
    secret: str,
    checks: Mapping[str, bool] | None = None,
    note: str = "",
) -> Event:
    """Sign the signer's own decision on one slide.

    Parameters
    ----------
    context
        The run.
    session
        Of the signer.
    slide_id, expected
        The slide, and the version that the signer has seen.
    secret
        The signer's password, or the token of this start, given again.
    checks, note
        The checklist, where it is filled in with the signature; None: as it was ticked before.

    Returns
    -------
    Event
        The signature, which is on the disk.

    Raises
    ------
    ReviewError
        If the secret is wrong or a rule forbids it; then nothing was signed. A checklist given with
        it may have been recorded.
    """
    user = session.user
    review = _begin(context, slide_id, expected)
    context.sessions.confirm(session, secret)
    if checks is not None and not _ticked(context, review, user, checks, note):
        expected = tick(
            context, user, slide_id, expected=expected, checks=checks, note=note
        ).version
    return context.store.append(
        slide_id,
        user,
        lambda now: signing.sign(now, user, context.shown(now)),
        expected=expected,
    )


def add_addendum(
    context: ReviewContext,
    user: User,
    slide_id: str,
    *,
    expected: int,
    text: str,
    ihc_score: str | None = None,
    tier: str | None = None,
) -> Event:
    """Add to a signed slide; with a score, correct the signed one."""
    _begin(context, slide_id, expected)
    return context.store.append(
        slide_id,
        user,
        lambda review: signing.add_addendum(
            review, user, text=text, ihc_score=ihc_score, tier=tier
        ),
        expected=expected,
    )


def _begin(context: ReviewContext, slide_id: str, expected: int) -> SlideReview:
    """Refuse early what cannot be recorded, and see whether the run scored the slide again."""
    context.folder(slide_id)
    rules.needs_study(context.store.study.on, on=False)
    review = context.current(slide_id)
    context.store.expect(review, expected)
    return review


def _ticked(
    context: ReviewContext, review: SlideReview, user: User, checks: Mapping[str, bool], note: str
) -> bool:
    """Tell whether the checklist stands in the record as it is given."""
    there = review.checklist
    if there is None or there.by != user.name or there.basis != context.shown(review).basis:
        return False
    same = all(getattr(there, name, None) == value for name, value in checks.items())
    return same and there.note == note.strip()


def _frame(result: SlideResult) -> tuple[Size0, Spacing]:
    if result.size_px is None or result.spacing is None:
        raise Refused("the size of this slide is not known", fix="Score the slide again.")
    size = Size0(width=result.size_px[0], height=result.size_px[1])
    return size, Spacing(x=result.spacing.x, y=result.spacing.y)


def _said(result: SlideResult) -> dict[str, Any]:
    return {
        "status": result.status,
        "ihc_score": result.ihc_score,
        "tier": result.her2_tier,
        "n_tumour_cells": result.n_tumour_cells,
        "region_source": result.region_source,
    }
