"""Names of guidelines for readers: with a warning where the wording was not seen at its source."""

from __future__ import annotations

from collections.abc import Iterable

from pathology.errors import ConfigError
from pathology.runs import SlideResult
from pathology.scoring import Guideline, load_guideline

__all__ = ["guideline_label", "guideline_notes", "has_low_tiers"]


def _known(name: str) -> Guideline | None:
    # A run of another version may name a guideline that is not bundled here.
    try:
        return load_guideline(name)
    except ConfigError:
        return None


def guideline_label(name: str | None) -> str:
    """Return the name of a guideline as people should read it.

    Parameters
    ----------
    name
        As in the column ``guideline``; None gives an empty text.

    Examples
    --------
    >>> guideline_label("asco-cap-breast-2018"), guideline_label("db04-approx")
    ('asco-cap-breast-2018', 'db04-approx (not verified)')
    """
    guideline = _known(name) if name else None
    return guideline.label if guideline else name or ""


def has_low_tiers(name: str | None) -> bool:
    """Tell whether null, ultralow and low mean something under a guideline; True where unknown.

    Examples
    --------
    >>> has_low_tiers("db04-approx"), has_low_tiers("gastric-strict")
    (True, False)
    """
    guideline = _known(name) if name else None
    return guideline is None or guideline.low_tiers


def guideline_notes(results: Iterable[SlideResult]) -> tuple[str, ...]:
    """Say what was not verified about the guidelines of some results, one sentence each.

    Parameters
    ----------
    results
        Slides of a run.

    Examples
    --------
    >>> guideline_notes([])
    ()
    """
    names = sorted({result.guideline for result in results if result.guideline})
    found = [guideline for name in names if (guideline := _known(name)) is not None]
    return tuple(
        f"Guideline {item.id} is not verified: {item.caveat.strip()}."
        for item in found
        if not item.verified
    )
