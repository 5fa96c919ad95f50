"""Who asks, and what is kept from them: what the pages need to know of record and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import HTTPException, Request

from pathology.review.context import ReviewContext
from pathology.review.gate import Visitor
from pathology.review.problems import NotSignedIn
from pathology.review.study import reading_order
from pathology.review.visible import Viewer, is_withheld, states, viewer_of
from pathology.runs import SlideResult

__all__ = ["RecordGate"]


@dataclass(frozen=True)
class RecordGate:
    """Answer for the pages who may see what, from the sessions and the record.

    Parameters
    ----------
    context
        The run under review.
    """

    context: ReviewContext

    def enter(self, request: Request) -> Visitor:
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
        return Visitor(user=viewer.name, role=viewer.role, blinded=viewer.blinded)

    def is_withheld(self, visitor: Visitor, slide_id: str) -> bool:
        """Tell whether the program's reading of a slide is kept from the visitor for now."""
        viewer = _viewer(visitor)
        return is_withheld(self.context.store.review(slide_id), viewer)

    def states(self, visitor: Visitor) -> Mapping[str, str]:
        """Return the state of every slide that has a review, by slide id.

        Looks at the run again first: slides may have been scored again, or for the first time.
        """
        self.context.refresh()
        return states(self.context, _viewer(visitor))

    def signed(self, visitor: Visitor) -> Mapping[str, str]:
        """Return the score that was signed, by slide id; nothing to a blinded reader."""
        if visitor.blinded:
            return {}
        reviews = self.context.store.reviews().items()
        return {name: score for name, review in reviews if (score := review.final_score)}

    def order(self, visitor: Visitor) -> Sequence[str] | None:
        """Return the slide ids in the visitor's own order of a blinded study; None: by need."""
        if not visitor.blinded:
            return None
        return reading_order(self.context.store.study.seed, visitor.user, self.context.rows)

    def reviewed(self, slide_id: str) -> SlideResult | None:
        """Return the result that the reviewer's regions gave, None before there is one."""
        found = self.context.reviewed(self.context.store.review(slide_id))
        return None if found is None else found.result


def _viewer(visitor: Visitor) -> Viewer:
    return Viewer(name=visitor.user, role=visitor.role, blinded=visitor.blinded)
