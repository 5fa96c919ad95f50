"""Verdicts: every criterion passes, fails and stays untested where it should."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

sys.path.insert(0, str(Path(__file__).parent))

from made import compared, evidence, fact, pair

from pathology.acceptance import (
    Acceptance,
    CellFacts,
    SetEvidence,
    Verdict,
    judge_set,
    load_criteria,
)
from pathology.acceptance.criteria import Criterion
from pathology.acceptance.judge import judge
from pathology.acceptance.measures import share_measure
from pathology.acceptance.verdicts import DEFINITIONS, Measure

CRITERIA = load_criteria()
PATTERNS = {"unstained": 1.0, "complete_intense": -4.0}
CELLS = CellFacts(true=100, found=95, paired=92, pattern_error_pp=PATTERNS)


def synthetic(**other: object) -> SetEvidence:
    """Make a set on which everything is right."""
    facts = [
        fact(f"s{n}", score, score, cells=CELLS, near=False, distance_pp=20.0, seconds=4.0)
        for n, score in enumerate(("0", "1+", "2+", "3+"))
    ]
    facts.append(fact("blank", "not_scorable:no_tissue", "not_scorable:no_tissue", seconds=1.0))
    repeat = compared(*(pair(item.result.slide_id, "0", "0") for item in facts))
    device = replace(repeat, second="cuda:0")
    known = {"name": "synthetic", "repeat": repeat, "others": (device,), "memory_mib": 900.0}
    return evidence(*facts, **(known | other))  # type: ignore[arg-type]


def verdicts(found: SetEvidence) -> dict[str, Verdict]:
    return {verdict.criterion: verdict for verdict in judge_set(found, CRITERIA)}


def outcomes(found: SetEvidence) -> dict[str, str]:
    return {name: verdict.outcome for name, verdict in verdicts(found).items()}


def accept(*found: SetEvidence) -> Acceptance:
    all_verdicts = [verdict for item in found for verdict in judge_set(item, CRITERIA)]
    return Acceptance(
        criteria=CRITERIA, verdicts=tuple(all_verdicts), evidence=found, model="m/1",
        model_sha256="0" * 64, configurations={}, guideline="g", calibration=None, host="h",
        devices=("cpu",), time="t",
    )  # fmt: skip


def test_all_is_right() -> None:
    found = outcomes(synthetic())
    silent = {"score_agreement_near": "not_tested", "seconds_per_mm2": "reported",
              "memory": "reported"}  # fmt: skip
    assert found == {name: silent.get(name, "pass") for name in CRITERIA.of("synthetic")}
    accepted = accept(synthetic())
    assert accepted.overall == "pass"
    assert accepted.count("not_tested") == 1


def changed(number: int, **other: object) -> SetEvidence:
    found = synthetic()
    facts = list(found.facts)
    facts[number] = fact(**(  # type: ignore[arg-type]
        {"name": f"s{number}", "expected": str(number) + "+" * bool(number), "cells": CELLS,
         "near": False} | other
    ))  # fmt: skip
    return replace(found, facts=tuple(facts))


@pytest.mark.parametrize(
    ("found", "failing"),
    [
        (changed(1, found="2+"), {"score_agreement"}),
        (changed(1, found="not_scorable:too_few_cells"), {"scores_given"}),
        (changed(1, found="failed:unreadable"), {"scores_given", "slides_end"}),
        (changed(1, found="1+", cells=replace(CELLS, paired=79)), {"tumour_cells_found"}),
        (changed(1, found="1+", cells=replace(CELLS, found=200)), {"tumour_cells_right"}),
        (changed(1, found="1+", cells=replace(CELLS, found=0, paired=0)),
         {"tumour_cells_found", "tumour_cells_right"}),
        (changed(1, found="1+", cells=replace(CELLS, pattern_error_pp={"unstained": -15.01})),
         {"pattern_error"}),
        (changed(4, name="blank", expected="not_scorable:no_tissue", cells=None,
                 found="not_scorable:not_ihc"), {"refusal_reasons"}),
        (changed(4, name="blank", expected="not_scorable:no_tissue", cells=None, found="0"),
         {"refusals"}),
        (synthetic(repeat=compared(*(pair(f"s{n}", "0", "0") for n in range(4)),
                                   pair("blank", "0", "0"), different_files=("results.csv",))),
         {"repeat_identical"}),
        (synthetic(repeat=compared(*(pair(f"s{n}", "0", "1+") for n in range(4)),
                                   pair("blank", "0", "0"))), {"repeat_scores"}),
        (synthetic(repeat=compared(*(pair(f"s{n}", "0", "0") for n in range(4)),
                                   only_in_one=("blank",))), {"repeat_scores"}),
        (synthetic(others=(compared(pair("s0", "0", "1+"), second="x"),)), {"device_scores"}),
        (synthetic(others=(compared(pair("s0", "0", "0", h_score_difference=1.1), second="x"),)),
         {"device_h_score"}),
        (synthetic(others=(compared(pair("s0", "0", "0", paired=98), second="x"),)),
         {"device_cells"}),
    ],
)  # fmt: skip
def test_one_thing_wrong_fails_its_criterion_and_the_whole(
    found: SetEvidence, failing: set[str]
) -> None:
    assert {name for name, word in outcomes(found).items() if word == "fail"} == failing
    assert accept(found).overall == "fail"


def test_a_slide_near_a_cut_off_is_counted_apart() -> None:
    found = verdicts(changed(1, found="2+", near=True, distance_pp=1.0))
    assert found["score_agreement"].outcome == "not_tested"  # three slides of at least four
    near = found["score_agreement_near"]
    assert (near.outcome, near.measure.value, near.measure.n) == ("reported", 0.0, 1)
    assert near.measure.detail == "s1: 2+"


def test_a_missing_device_is_not_tested_and_never_passed() -> None:
    without = verdicts(synthetic(others=(), missing={"cuda:0": "no GPU was found"}))
    for name in ("device_scores", "device_h_score", "device_cells"):
        assert without[name].outcome == "not_tested"
        assert (without[name].against, without[name].measure.untested) == (
            "cuda:0", "no GPU was found",
        )  # fmt: skip
    alone = verdicts(synthetic(others=()))
    assert alone["device_scores"].outcome == "not_tested"
    assert "no second device" in alone["device_scores"].measure.untested
    # Not required by the bundled criteria: the whole can pass, and says what it did not test.
    accepted = accept(synthetic(others=()))
    assert (accepted.overall, accepted.count("not_tested")) == ("pass", 4)


def test_without_a_repeat_run_the_whole_is_incomplete() -> None:
    accepted = accept(synthetic(repeat=None))
    assert accepted.overall == "incomplete"


def test_equal_bytes_are_judged_on_the_cpu_alone() -> None:
    bad = compared(pair("s0", "0", "0"), different_files=("results.csv",))
    gpu = verdicts(synthetic(repeat=bad, device="cuda:0"))["repeat_identical"]
    assert (gpu.outcome, gpu.measure.value) == ("not_tested", 50.0)
    assert "promised on the CPU" in gpu.measure.untested


def test_other_files_under_the_same_name_are_not_compared() -> None:
    other = compared(pair("s0", "0", "1+", other_file=True), second="theirs")
    found = verdicts(synthetic(others=(other,)))["device_scores"]
    assert (found.outcome, found.measure.untested) == (
        "not_tested", "the runs read other files under the same names",
    )  # fmt: skip


def test_truth_that_is_refused_is_in_no_figure() -> None:
    facts = [fact(f"a{n}", "3+", "0", near=False, refused="saw_score") for n in range(30)]
    facts += [fact("b", "3+", "3+", near=False)]
    found = verdicts(evidence(*facts))
    assert (found["score_agreement"].measure.value, found["score_agreement"].measure.n) == (100, 1)
    assert found["positive_agreement_3"].measure.n == 1
    assert found["slides_end"].measure.n == 31
    # One slide is fewer than twenty: a required criterion is not tested.
    assert accept(evidence(*facts)).overall == "incomplete"


def test_agreement_at_a_cut_off_counts_no_score_against_the_program() -> None:
    facts = [fact(f"p{n}", "2+;3+", "3+", near=False) for n in range(18)]
    facts += [fact("q", "2+", "not_scorable:too_few_cells"), fact("r", "2+", "1+")]
    facts += [fact(f"n{n}", "0;1+", "0") for n in range(20)]
    found = verdicts(evidence(*facts))
    positive, negative = found["positive_agreement_2"], found["negative_agreement_2"]
    assert (positive.measure.value, positive.measure.n, positive.outcome) == (90.0, 20, "pass")
    assert (negative.measure.value, negative.measure.n, negative.outcome) == (100.0, 20, "pass")
    exact = proportion_confint(18, 20, method="beta")
    assert (positive.measure.low, positive.measure.high) == pytest.approx(
        tuple(100 * end for end in exact), abs=1e-9
    )
    # 0;1+ lies on both sides of 1+, 2+;3+ of 3+: such slides are left out, and said to be.
    at_one = found["negative_agreement_1"]
    assert (at_one.measure.n, at_one.outcome) == (0, "not_tested")
    assert found["positive_agreement_1"].measure.n == 20
    assert "20 slides may be on either side" in found["positive_agreement_1"].measure.detail
    assert found["positive_agreement_3"].measure.n == 0


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_the_interval_is_the_exact_one(right: list[bool]) -> None:
    found = share_measure(right, [None] * len(right), confidence=0.95)
    low, high = proportion_confint(sum(right), len(right), alpha=0.05, method="beta")
    assert found.value == pytest.approx(100 * sum(right) / len(right))
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high), abs=1e-9)
    assert found.interval == "exact"


def test_slides_of_one_patient_are_drawn_together() -> None:
    right = [True] * 10 + [False] * 10
    cases = [f"c{n // 10}" for n in range(20)]
    found = share_measure(right, cases, confidence=0.95)
    assert found.interval == "bootstrap over patients"
    assert (found.low, found.high) == (0.0, 100.0)
    everything = share_measure([True] * 20, cases, confidence=0.95)
    assert everything.interval == "exact, over patients"
    assert everything.low is not None
    assert everything.low < 50


@given(
    st.sampled_from(sorted(DEFINITIONS)),
    st.floats(0, 200),
    st.floats(0, 200),
    st.integers(0, 40),
    st.integers(1, 40),
)
def test_a_better_figure_never_turns_a_pass_into_a_fail(
    name: str, value: float, limit: float, n: int, min_n: int
) -> None:
    criterion = Criterion(limit=limit, min_n=min_n)
    first = judge(criterion, name, Measure(value=value, n=n))
    step = 1.0 if DEFINITIONS[name].at_least else -1.0
    better = judge(criterion, name, Measure(value=value + step, n=n))
    assert (first == "not_tested") == (n < min_n)
    assert first != "pass" or better == "pass"
    assert judge(Criterion(limit=None), name, Measure(value=value, n=n)) == "reported"
    exactly = judge(criterion, name, Measure(value=limit, n=min_n))
    assert exactly == "pass"


def test_the_lower_end_can_be_judged() -> None:
    criterion = Criterion(limit=90.0, judge="lower")
    measure = Measure(value=100.0, n=20, low=83.2, high=100.0)
    assert judge(criterion, "refusals", measure) == "fail"
    assert judge(criterion, "refusals", replace(measure, low=90.0)) == "pass"
    assert judge(criterion, "refusals", replace(measure, low=None)) == "not_tested"
