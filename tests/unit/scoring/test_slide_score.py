from __future__ import annotations

from dataclasses import fields

import pytest

from pathology.errors import ReasonCode
from pathology.scoring import SlideScore, score_evidence


@pytest.fixture
def good(make_evidence, params) -> dict[str, object]:
    score = score_evidence(make_evidence(un=1000, ci=1000), params)
    return {field.name: getattr(score, field.name) for field in fields(score)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reasons": (ReasonCode.NO_TUMOUR,)}, "reasons must be empty"),
        ({"status": "not_scorable"}, "reasons must be empty"),
        ({"status": "not_scorable", "reasons": (ReasonCode.NO_TUMOUR,)}, "has no score"),
        ({"status": "not_scorable", "reasons": (ReasonCode.DISK_FULL,)}, "not be processed"),
        ({"ihc_score": "2+"}, "does not go with"),
        ({"her2_status": "negative"}, "does not go with"),
        ({"her2_tier": "her2_low"}, "does not go with"),
        ({"ish_reflex": True}, "ish_reflex"),
        ({"ish_reflex": None}, "ish_reflex"),
        ({"flags": ("b", "a")}, "sorted"),
        ({"deciding_pct": 49.9}, "deciding_pct must be"),
        ({"deciding_lo": 51.0}, "deciding_lo <="),
        ({"deciding_hi": 101.0}, "deciding_lo <="),
        ({"deciding_pct": None}, "figures of the decision"),
        ({"borderline": None}, "figures of the decision"),
        ({"h_score": None}, "h_score"),
    ],
)
def test_fields_that_contradict_each_other(change, message, good) -> None:
    assert SlideScore(**good).ihc_score == "3+"
    with pytest.raises(ValueError, match=message):
        SlideScore(**{**good, **change})
