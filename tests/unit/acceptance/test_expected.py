"""What a slide may come out as: a small language, strict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.acceptance.expected import ExpectedOutcome
from pathology.errors import FAILED_REASONS, ReasonCode
from pathology.scoring.decision import SCORES

SCORE_SETS = st.sets(st.sampled_from(SCORES), min_size=1).map(sorted)
BARRED = sorted(set(ReasonCode) - FAILED_REASONS)


@given(SCORE_SETS, st.permutations([" ", "", "  "]))
def test_a_set_of_scores_reads_back_and_allows_its_members_alone(
    scores: list[str], blanks: list[str]
) -> None:
    expected = ExpectedOutcome.parse(f"{blanks[0]};{blanks[1]}".join(scores))
    assert ExpectedOutcome.parse(expected.text) == expected
    for score in SCORES:
        assert expected.allows("scored", score, ()) == (score in scores)
    assert not expected.allows("scored", None, ())
    assert not expected.allows("not_scorable", None, ("no_tissue",))


@given(SCORE_SETS)
def test_a_side_is_known_where_all_allowed_scores_lie_on_it(scores: list[str]) -> None:
    expected = ExpectedOutcome.parse(";".join(scores))
    for rank in (1, 2, 3):
        above = [SCORES.index(score) >= rank for score in scores]
        assert expected.side(rank) == (above[0] if len(set(above)) == 1 else None)


@given(st.sets(st.sampled_from(BARRED), min_size=1).map(sorted))
def test_a_refusal_is_right_for_its_reasons_alone(reasons: list[ReasonCode]) -> None:
    expected = ExpectedOutcome.parse(";".join(f"not_scorable:{code}" for code in reasons))
    assert ExpectedOutcome.parse(expected.text) == expected
    assert expected.side(1) is None
    assert expected.allows("not_scorable", None, reasons)
    other = next(code for code in ReasonCode if code not in reasons)
    assert not expected.allows("not_scorable", None, [*reasons, other])
    assert not expected.allows("scored", "0", ())
    assert not expected.allows("failed", None, reasons)


def test_a_refusal_without_reason_allows_every_reason() -> None:
    expected = ExpectedOutcome.parse("not_scorable")
    assert expected.allows("not_scorable", None, ("not_ihc", "out_of_focus"))
    assert ExpectedOutcome.parse("not_scorable;not_scorable:no_tissue").reasons == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2", "'2' is not allowed"),
        ("2 +", "is not allowed"),
        ("II", "is not allowed"),
        ("", "is not allowed"),
        ("0;", "is not allowed"),
        ("0;0", "names something twice"),
        ("0;not_scorable", "is not allowed"),
        ("not_scorable:blank", "reasons: anisotropic_mpp"),
        ("not_scorable:", "is not allowed"),
        ("not_scorable:unreadable", "is not allowed"),
        ("failed:no_tissue", "reasons: disk_full"),
        ("failed;not_scorable", "mixes failed and not_scorable"),
    ],
)
def test_anything_else_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("'", "'")):
        ExpectedOutcome.parse(text)


def test_an_outcome_allows_something() -> None:
    with pytest.raises(ValueError, match="either"):
        ExpectedOutcome()
    with pytest.raises(ValueError, match="either"):
        ExpectedOutcome(scores=("0",), status="failed")
    with pytest.raises(ValueError, match="not all"):
        ExpectedOutcome(scores=("4+",))
    with pytest.raises(ValueError, match="no refusal"):
        ExpectedOutcome(status="refused")
