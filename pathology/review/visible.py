"""What a user may see of a slide: in a blinded study nothing that tells the program's score.

The server withholds it: what is not to be seen is never sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pathology.review.context import ReviewContext
from pathology.review.state import SlideReview, Status
from pathology.review.users import Role, User
from pathology.runs import SlideResult

__all__ = [
    "NEUTRAL_FIELDS",
    "Viewer",
    "VisibleSlide",
    "is_withheld",
    "review_state",
    "states",
    "viewer_of",
    "visible",
]

#: Fields of a result that say nothing of its score. The path is not among them: files are named
#: after scores more often than one thinks.
NEUTRAL_FIELDS: Final = (
    "slide_id",
    "block_id",
    "role",
    "specimen_type",
    "assay",
    "stain_run",
    "vendor",
    "spacing",
    "size_px",
    "mpp",
    "mpp_source",
)


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Hold who looks.

    Parameters
    ----------
    name, role
        Of the user.
    blinded
        Whether a blinded study is on that the user takes part in.
    """

    name: str
    role: str
    blinded: bool


@dataclass(frozen=True, kw_only=True)
class VisibleSlide:
    """Hold what may be sent of a slide.

    Parameters
    ----------
    withheld
        Whether score, tier, percentages, flags, order, heat map, cells and colours are kept back.
    result
        The result as JSON; only :data:`NEUTRAL_FIELDS` while it is withheld.
    reads
        Reads of the study: the user's own ones only, while it is on.
    """

    withheld: bool
    result: dict[str, Any]
    reads: tuple[dict[str, Any], ...]


def viewer_of(context: ReviewContext, user: User) -> Viewer:
    """Say whether a user is blinded now; an administrator reads nothing and runs the study."""
    blinded = context.store.study.on and user.role != Role.ADMIN
    return Viewer(name=user.name, role=user.role.value, blinded=blinded)


def is_withheld(review: SlideReview, viewer: Viewer) -> bool:
    """Tell whether the program's reading of a slide is kept from a user for now.

    Examples
    --------
    >>> viewer = Viewer(name="Ada", role="reader", blinded=True)
    >>> is_withheld(SlideReview(slide_id="a"), viewer)
    True
    """
    return viewer.blinded and review.read_of(viewer.name, "pre") is None


def visible(result: SlideResult, review: SlideReview, user: Viewer) -> VisibleSlide:
    """Return what may be sent of a slide to a user.

    Parameters
    ----------
    result
        The result in force.
    review
        The slide's review.
    user
        Who asks.
    """
    withheld = is_withheld(review, user)
    tree = result.model_dump(mode="json")
    return VisibleSlide(
        withheld=withheld,
        result={name: tree[name] for name in NEUTRAL_FIELDS} if withheld else tree,
        reads=tuple(
            vars(read) for read in review.reads if not user.blinded or read.reader == user.name
        ),
    )


def review_state(review: SlideReview, viewer: Viewer) -> str:
    """Return one word for a list: how far the review is, as far as the user may know.

    Returns
    -------
    str
        ``unread``, ``read``, ``agreed``, ``overridden``, ``second_reader``, ``signed`` or
        ``superseded``.
    """
    if viewer.blinded:
        return "unread" if review.read_of(viewer.name, "pre") is None else "read"
    if review.closed:
        return "signed"
    if review.status == Status.SUPERSEDED:
        return "superseded"
    if review.status == Status.SECOND_READER_REQUESTED:
        return "second_reader"
    if review.decision is not None:
        return "agreed" if review.decision.kind == "agree" else "overridden"
    return "unread" if review.status == Status.OPEN else "read"


def states(context: ReviewContext, viewer: Viewer) -> Mapping[str, str]:
    """Return the state of every slide that has a review."""
    found = context.store.reviews().items()
    return {slide_id: review_state(review, viewer) for slide_id, review in found}
