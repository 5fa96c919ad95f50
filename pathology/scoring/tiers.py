"""From the IHC score to the HER2 status, the tier and the reflex to ISH."""

from __future__ import annotations

from typing import Final, Literal

__all__ = [
    "TIER_ORDER",
    "BelowOne",
    "Her2Status",
    "Her2Tier",
    "her2_status",
    "her2_tier",
    "ish_reflex",
]

Her2Status = Literal["negative", "equivocal", "positive", "indeterminate"]
Her2Tier = Literal["her2_null", "her2_ultralow", "her2_low", "her2_equivocal", "her2_positive"]
#: Tiers, lowest first.
TIER_ORDER: Final[tuple[Her2Tier, ...]] = (
    "her2_null",
    "her2_ultralow",
    "her2_low",
    "her2_equivocal",
    "her2_positive",
)
#: What a score of 0 holds: no stained membrane at all, or some.
BelowOne = Literal["null", "ultralow"]

_STATUS: dict[str, Her2Status] = {
    "0": "negative",
    "1+": "negative",
    "2+": "equivocal",
    "3+": "positive",
}
_TIER: dict[str, Her2Tier] = {
    "1+": "her2_low",
    "2+": "her2_equivocal",
    "3+": "her2_positive",
}


def her2_status(score: str | None) -> Her2Status:
    """Return the status of an IHC score: ASCO/CAP 2018 for breast, and the same for stomach.

    Parameters
    ----------
    score
        ``0``, ``1+``, ``2+``, ``3+``; None where there is no score.

    Raises
    ------
    ValueError
        If the text is no score.

    Examples
    --------
    >>> her2_status("2+"), her2_status(None)
    ('equivocal', 'indeterminate')
    """
    if score is None:
        return "indeterminate"
    if score not in _STATUS:
        raise ValueError(f"not an IHC score: {score!r}")
    return _STATUS[score]


def her2_tier(
    score: str | None, *, below_one: BelowOne | None = None, low_tiers: bool = True
) -> Her2Tier | None:
    """Return the HER2 tier of an IHC score without ISH.

    A 2+ whose ISH is not known is equivocal; it is never called low, because a part of such
    tumours is amplified. A 1+ is low without ISH: it is not reflexed.

    Parameters
    ----------
    score
        ``0``, ``1+``, ``2+``, ``3+``; None where there is no score.
    below_one
        What a score of 0 holds; None for other scores.
    low_tiers
        Whether null, ultralow and low are terms of the organ: they are of breast cancer, by trials
        of drugs for it. Where they are not, 0 and 1+ are negative and have no tier.

    Returns
    -------
    str or None
        The tier; None where there is no score, or no such tier in the organ.

    Raises
    ------
    ValueError
        If the text is no score, or ``below_one`` is missing for 0 or given for another score.

    Examples
    --------
    >>> her2_tier("0", below_one="null"), her2_tier("1+"), her2_tier("2+")
    ('her2_null', 'her2_low', 'her2_equivocal')
    >>> her2_tier("1+", low_tiers=False) is None, her2_tier("3+", low_tiers=False)
    (True, 'her2_positive')
    """
    if (score == "0") != (below_one is not None):
        raise ValueError("below_one goes with the score 0, and only with it")
    if not low_tiers and score in ("0", "1+"):
        return None
    if below_one is not None:
        return "her2_null" if below_one == "null" else "her2_ultralow"
    if score is None:
        return None
    if score not in _TIER:
        raise ValueError(f"not an IHC score: {score!r}")
    return _TIER[score]


def ish_reflex(score: str | None) -> bool | None:
    """Tell whether ISH has to follow: True for 2+, False for others, None without a score.

    Examples
    --------
    >>> ish_reflex("2+"), ish_reflex("1+"), ish_reflex(None)
    (True, False, None)
    """
    return None if score is None else score == "2+"
