from __future__ import annotations

import pytest

from pathology.scoring import her2_status, her2_tier, ish_reflex


@pytest.mark.parametrize(
    ("score", "below_one", "status", "tier", "reflex"),
    [
        ("0", "null", "negative", "her2_null", False),
        ("0", "ultralow", "negative", "her2_ultralow", False),
        ("1+", None, "negative", "her2_low", False),
        ("2+", None, "equivocal", "her2_equivocal", True),
        ("3+", None, "positive", "her2_positive", False),
        (None, None, "indeterminate", None, None),
    ],
)
def test_status_tier_and_reflex(score, below_one, status, tier, reflex) -> None:
    assert her2_status(score) == status
    assert her2_tier(score, below_one=below_one) == tier
    assert ish_reflex(score) is reflex


@pytest.mark.parametrize("text", ["2", "2 +", "II", "", "4+"])
def test_other_texts_are_no_scores(text: str) -> None:
    with pytest.raises(ValueError, match="not an IHC score"):
        her2_status(text)
    with pytest.raises(ValueError, match="not an IHC score"):
        her2_tier(text)


@pytest.mark.parametrize(("score", "below_one"), [("0", None), ("1+", "null"), (None, "ultralow")])
def test_what_lies_below_one_goes_with_zero(score, below_one) -> None:
    with pytest.raises(ValueError, match="below_one"):
        her2_tier(score, below_one=below_one)
