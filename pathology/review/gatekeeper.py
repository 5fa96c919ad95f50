"""Who asks, and what is kept from them: what the pages need to know of record and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import HTTPException, Request

from pathology.review.context import ReviewContext
from pathology.review.problems import NotSignedIn
from pathology.review.visible import Viewer, is_withheld, states, viewer_of
from pathology.runs import SlideResult

__all__ = ["RecordGate", "RecordVisitor"]


@dataclass(frozen=True, kw_only=True)
class RecordVisitor:
    """Name who asks.

    Parameters
    ----------
    user, role
        Of the session.
    blinded
        Whether the visitor reads in a blinded study.
    """

    user: str
    role: str
    blinded: bool


@dataclass(frozen=True)
class RecordGate:
    """Answer for the pages who may see what, from the sessions and the record.

    Parameters
    ----------
    context
        The run under review.
    """

    context: ReviewContext

    def enter(self, request: Request) -> RecordVisitor:
        """Return who asks.

        Raises
        ------
        fastapi.HTTPException
            401 without a session.
        """
        context = self.context
        try:
            session = context.sessions.find(request.cookies.get(context.policy.cookie))
        except NotSignedIn as error:
            raise HTTPException(401, {"message": error.message, "fix": error.fix}) from error
        viewer = viewer_of(context, session.user)
        return RecordVisitor(user=viewer.name, role=viewer.role, blinded=viewer.blinded)

    def is_withheld(self, visitor: RecordVisitor, slide_id: str) -> bool:
        """Tell whether the program's reading of a slide is kept from the visitor for now."""
        viewer = _viewer(visitor)
        return is_withheld(self.context.store.review(slide_id), viewer)

    def states(self, visitor: RecordVisitor) -> Mapping[str, str]:
        """Return the state of every slide that has a review, by slide id."""
        return states(self.context, _viewer(visitor))

    def reviewed(self, slide_id: str) -> SlideResult | None:
        """Return the result that the reviewer's regions gave, None before there is one."""
        found = self.context.reviewed(self.context.store.review(slide_id))
        return None if found is None else found.result


def _viewer(visitor: RecordVisitor) -> Viewer:
    return Viewer(name=visitor.user, role=visitor.role, blinded=visitor.blinded)
