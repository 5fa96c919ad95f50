"""What a review can refuse, each with the cause and the fix."""

from __future__ import annotations

from pathology.errors import OutputError, PathologyError

__all__ = [
    "Conflict",
    "NotAllowed",
    "NotSignedIn",
    "Refused",
    "ReviewError",
    "StoreError",
    "TooManyAttempts",
    "UnknownSlide",
]


class ReviewError(PathologyError):
    """An action of a review cannot be done; nothing was recorded."""


class Refused(ReviewError):
    """The action is wrong in itself or breaks a rule of the review."""


class Conflict(ReviewError):
    """Someone else has changed the slide since it was looked at."""


class NotAllowed(ReviewError):
    """The user's role does not permit the action."""


class NotSignedIn(ReviewError):
    """There is no valid session, or its proof is missing from the request."""


class TooManyAttempts(ReviewError):
    """Too many wrong passwords in a short time."""


class UnknownSlide(ReviewError):
    """The run holds no such slide."""


class StoreError(OutputError):
    """The record of the review cannot be read or written (exit status 2)."""
