"""What the pages need to know of a visitor: who it is, and what is kept from them for now.

The application does not decide either itself: whoever owns users and the record of the review hands
in an object of these shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from pathology.runs import SlideResult

__all__ = ["REVIEW_STATES", "Gate", "Visitor"]

#: States of a slide's review, in the order in which they are reached.
REVIEW_STATES: tuple[str, ...] = (
    "unread",
    "read",
    "agreed",
    "overridden",
    "second_reader",
    "signed",
    "superseded",
)


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Name who asks.

    Parameters
    ----------
    user
        Name of the user.
    role
        ``reader``, ``senior_reader`` or ``admin``.
    blinded
        Whether the visitor reads in a blinded study.

    Examples
    --------
    >>> Visitor(user="anna", role="reader", blinded=False).user
    'anna'
    """

    user: str
    role: str
    blinded: bool


class Gate(Protocol):
    """Say who may see what."""

    def enter(self, request: Request) -> Visitor:
        """Return who asks.

        Raises
        ------
        fastapi.HTTPException
            401 without a session, 403 where the request must be refused.
        """
        ...

    def is_withheld(self, visitor: Visitor, slide_id: str) -> bool:
        """Tell whether the program's reading of a slide is kept from the visitor for now."""
        ...

    def states(self, visitor: Visitor) -> Mapping[str, str]:
        """Return the review's state by slide id, for the slides that have one yet.

        One of :data:`REVIEW_STATES`.
        """
        ...

    def signed(self, visitor: Visitor) -> Mapping[str, str]:
        """Return the score that was signed, by slide id, as far as the visitor may know."""
        ...

    def order(self, visitor: Visitor) -> Sequence[str] | None:
        """Return the slide ids in the visitor's own order of a blinded study; None: by need."""
        ...

    def reviewed(self, slide_id: str) -> SlideResult | None:
        """Return the slide's result as the reviewer's regions gave it, None before there is one."""
        ...
