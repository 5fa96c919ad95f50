"""The study as a whole: consensus and ties, leaving readers out, sites, unanimity."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.agreement import Bootstrap, Options, Study, consensus, evaluate_study
from pathology.agreement.consensus import ish_negative_by_panel

FEW = Bootstrap(replicates=100)


def make_study(readings, program=None, **changes) -> Study:  # type: ignore[no-untyped-def]
    readings = np.array(readings, dtype=np.int8)
    n, r = readings.shape
    values = {
        "slides": tuple(f"s{k}" for k in range(n)),
        "patient": np.arange(n),
        "sites": (None,) * n,
        "program": np.zeros(n, dtype=np.int8) if program is None else np.array(program),
        "readers": tuple("ABCDEFGH"[:r]),
        "readings": readings,
        "ish": np.full((n, r), -1, dtype=np.int8),
    }
    return Study(**{**values, **changes})


def evaluate(study: Study, **options):  # type: ignore[no-untyped-def]
    return evaluate_study(study, Options(**{"bootstrap": FEW, **options}))


def slow_consensus(row: list[int], ties: str) -> tuple[int, bool]:
    votes = Counter(code for code in row if code > -2)
    if sum(votes.values()) < 2:
        return -2, False
    most = max(votes.values())
    top = sorted(code for code, n in votes.items() if n == most)
    if len(top) == 1:
        return top[0], False
    scores = [code for code in top if code >= 0]
    return {"leave-out": -2, "lower": scores[0], "higher": scores[-1]}[ties], True


@given(
    st.lists(st.lists(st.integers(-2, 3), min_size=4, max_size=4), min_size=1, max_size=8),
    st.sampled_from(["leave-out", "lower", "higher"]),
)
def test_the_consensus_is_that_of_counting_votes(rows: list[list[int]], ties: str) -> None:
    found, tied = consensus(np.array(rows), ties=ties)  # type: ignore[arg-type]
    expected = [slow_consensus(row, ties) for row in rows]
    assert list(zip(found.tolist(), tied.tolist(), strict=True)) == expected


def test_a_rule_for_ties_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="toss"):
        consensus(np.array([[0, 1]]), ties="toss")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="toss"):
        Options(ties="toss")  # type: ignore[arg-type]


def test_ish_is_a_fact_of_the_slide() -> None:
    readings = np.array([[2, 2], [2, 2], [2, 2], [1, 2]])
    ish = np.array([[1, -1], [1, 0], [-1, -1], [1, -1]])
    assert ish_negative_by_panel(readings, ish).tolist() == [True, False, False, False]


def test_ties_and_single_readings_leave_the_table_with_their_reason() -> None:
    study = make_study([[0, 0], [0, 1], [1, -2], [-2, -2], [3, 3]], program=[0, 0, 1, 2, 3])
    found = evaluate(study)
    assert found.reference.name == "consensus"
    assert dict(found.program.flow.left_out) == {"not_read": 1, "read_by_one": 1, "tie": 1}
    assert found.program.share("all").total == 2
    lower = evaluate(study, ties="lower")
    assert dict(lower.program.flow.left_out) == {"not_read": 1, "read_by_one": 1}


def test_one_reader_is_the_reference_and_no_panel() -> None:
    found = evaluate(make_study([[0], [1]], program=[0, 0]))
    assert found.reference.name == "A"
    assert found.program.share("all").value == 0.5
    assert found.panel is None
    assert found.leave_one_out == ()
    named = evaluate(make_study([[0, 3], [1, 3]]), reference="B")
    assert named.reference.name == "B"
    assert named.leave_one_out == ()
    with pytest.raises(ValueError, match="'Z'"):
        evaluate(make_study([[0], [1]]), reference="Z")


def test_leaving_one_out_is_that_of_doing_it_by_hand() -> None:
    generator = np.random.default_rng(7)
    truth = generator.integers(0, 4, 60)
    readings = np.clip(truth[:, None] + generator.integers(-1, 2, (60, 5)), 0, 3)
    readings[generator.random(readings.shape) < 0.1] = -1
    program = np.clip(truth + generator.integers(-1, 2, 60), 0, 3)
    program[:5] = -1
    found = evaluate(make_study(readings, program)).leave_one_out
    for column, one in enumerate(found):
        others = np.delete(readings, column, axis=1)
        panel = np.array([slow_consensus(list(row), "leave-out")[0] for row in others])
        used = (panel >= 0) & (readings[:, column] >= 0) & (program >= 0)
        assert one.flow.slides_used == used.sum()
        ours, theirs = (program == panel)[used].mean(), (readings[:, column] == panel)[used].mean()
        assert one.program_overall.value == pytest.approx(ours)
        assert one.reader_overall.value == pytest.approx(theirs)
        assert one.difference.value == pytest.approx(ours - theirs)
        assert one.slides_unscored == (panel >= 0).sum()
        assert one.program_unscored.value == pytest.approx((program == panel)[panel >= 0].mean())


def test_a_reader_is_not_compared_with_themselves() -> None:
    # Two readers agree and one always differs: with themselves in the panel A would look better.
    readings = [[0, 1, 2]] * 6
    found = evaluate(make_study(readings), ties="lower").leave_one_out
    assert [one.reader_overall.value for one in found] == [0.0, 0.0, 0.0]


def test_by_site_adds_up() -> None:
    study = make_study(
        [[0], [1], [2], [3], [1]],
        program=[0, 1, 1, 3, 0],
        sites=("x", "x", "y", "y", None),
    )
    found = evaluate(study)
    assert [(name, one.share("all").value) for name, one in found.by_site] == [
        ("x", 1.0),
        ("y", 0.5),
    ]
    assert evaluate(make_study([[0], [1]], sites=("x", "x"))).by_site == ()


def test_the_panel_says_what_it_used() -> None:
    found = evaluate(make_study([[0, 0, 0], [1, 1, -1], [2, 2, -2], [3, -2, -2], [1, 1, 2]])).panel
    assert found is not None
    assert (found.complete.slides_used, dict(found.complete.left_out)) == (
        2,
        {"not_read_by_all": 2, "not_scored_by_all": 1},
    )
    assert found.twice.slides_used == 4
    assert (found.left_out.unanimous, found.left_out.flow.slides_used) == (1, 2)
    assert (found.disagreement.unanimous, found.disagreement.flow.slides_used) == (1, 3)
    assert [point.readers for point in found.left_out.curve] == [2, 3]
    assert found.left_out.curve[-1].share == found.left_out.share.value == 0.5


def test_readers_without_a_common_slide_have_no_panel_figures() -> None:
    found = evaluate(make_study([[0, -2, -2], [-2, 1, -2], [-2, -2, 2]], program=[0, 1, 2]))
    assert found.panel is not None
    assert found.panel.fleiss.value is None
    assert found.panel.alpha.value is None
    assert found.panel.left_out.curve == ()
    assert [one.reader_overall.value for one in found.leave_one_out] == [None] * 3
    assert found.program.share("all").value is None
    assert [one.share("all").value for _, one in found.by_reader] == [1.0] * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"readers": ("A", "A")},
        {"sites": ("x",)},
        {"patient": np.arange(3)},
        {"program": np.array([4, 0])},
        {"ish": np.zeros((1, 2))},
        {"readings": np.array([[0, 9], [0, 0]])},
    ],
)
def test_a_study_checks_itself(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"study|entry|×|program|codes"):
        make_study(**{"readings": [[0, 0], [1, 1]], **changes})
