"""Bodies of requests: every field named, nothing else taken, sizes limited."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pathology.review.events import MAX_TEXT
from pathology.review.users import MAX_PASSWORD

__all__ = [
    "AddendumBody",
    "ChecklistBody",
    "DecisionBody",
    "IshBody",
    "LoginBody",
    "ReadBody",
    "RegionsBody",
    "SecondReaderBody",
    "SignBody",
]

_Version = Annotated[int, Field(ge=0, strict=True)]
_Words = Annotated[str, Field(max_length=MAX_TEXT)]
_Code = Annotated[str, Field(max_length=40)]
_Secret = Annotated[str, Field(max_length=MAX_PASSWORD)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Action(_Body):
    expected: _Version


class LoginBody(_Body):
    """Sign in: a name and a password, or the token of this start."""

    name: Annotated[str, Field(max_length=64)] | None = None
    password: _Secret | None = None
    token: _Secret | None = None


class RegionsBody(_Action):
    """Replace all regions of a slide."""

    features: Annotated[list[dict[str, Any]], Field(max_length=10_000)]
    unit: Literal["px", "um"] = "px"


class DecisionBody(_Action):
    """Agree, or override."""

    kind: Literal["agree", "override"]
    ihc_score: _Code | None = None
    tier: _Code | None = None
    reason: _Code | None = None
    text: _Words = ""


class Checks(_Body):
    """Tick or untick each point of the checklist."""

    controls_passed: Annotated[bool, Field(strict=True)]
    invasive_region_verified: Annotated[bool, Field(strict=True)]
    no_unresolved_failed_area: Annotated[bool, Field(strict=True)]


class ChecklistBody(_Action):
    """Fill in the checklist."""

    checklist: Checks
    note: _Words = ""


class SignBody(_Action):
    """Sign one slide, with the password or the token given again."""

    checklist: Checks | None = None
    note: _Words = ""
    password: _Secret | None = None
    token: _Secret | None = None


class IshBody(_Action):
    """Enter readings of in-situ hybridisation, with the columns of a file of ISH results."""

    readings: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=400)]
    text: _Words = ""


class SecondReaderBody(_Action):
    """Ask for a second reader."""

    text: _Words = ""


class AddendumBody(_Action):
    """Add to a signed slide."""

    text: _Words
    ihc_score: _Code | None = None
    tier: _Code | None = None


class ReadBody(_Body):
    """Lock a read of a blinded study."""

    score: _Code
    tier: _Code | None = None
