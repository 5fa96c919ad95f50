from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reviewing import ADA, BASE, BO, PASSWORD, SENIOR, TICKED, Browser, Reader, application, rewrite
from reviewing import square as region

from pathology.review.context import ReviewContext
from pathology.review.events import canonical, sha256_hex
from pathology.review.hybridisation import render_ish
from pathology.review.verify import verify
from pathology.runs import SlideFolder, SlideResult, apply_ish


@pytest.fixture
def ada(context: ReviewContext) -> Reader:
    return Reader(context, ADA)


@pytest.fixture
def bo(context: ReviewContext) -> Reader:
    return Reader(context, BO)


def program_score(context: ReviewContext) -> str:
    score = context.loaded("a").result.ihc_score
    assert score is not None
    return score


def another(score: str) -> str:
    return "1+" if score != "1+" else "2+"


def test_from_the_first_look_to_the_signature(ada: Reader, context: ReviewContext) -> None:
    seen = ada.get("a")
    assert (seen["version"], seen["status"], seen["signature"]) == (0, "open", None)
    score = program_score(context)
    seen = ada.act("a", "decision", kind="agree")
    assert (seen["status"], seen["decision"]["ihc_score"]) == ("in_review", score)
    refused = ada.post("a", "sign", expected=1, password=PASSWORD)
    assert refused.status_code == 422
    assert "controls_passed" in refused.json()["message"]
    assert refused.json()["fix"]
    wrong = ada.post("a", "sign", expected=1, checklist=TICKED, password="x" * 20)
    assert wrong.status_code == 403
    seen = ada.act("a", "sign", checklist=TICKED, password=PASSWORD)
    assert (seen["status"], seen["final_score"]) == ("signed", score)
    signature = seen["signature"]
    content = SlideFolder(root=context.run, slide_id="a").result.read_bytes()
    assert signature["run_sha256"] == sha256_hex(content)
    assert signature["by"] == "Ada"
    kinds = [event["kind"] for event in seen["events"]]
    assert kinds == ["decision", "checklist", "signed"]
    assert seen["events"][-1]["sha256"] == signature["event_sha256"]
    later = ada.post("a", "decision", expected=seen["version"], kind="agree")
    assert (later.status_code, "addendum" in later.json()["fix"]) == (422, True)
    assert verify(context.run).signatures == 1


def test_the_second_of_two_reviewers_sees_what_the_first_did(
    ada: Reader, bo: Reader, context: ReviewContext
) -> None:
    assert ada.get("a")["editors"] == []
    assert bo.get("a")["editors"] == ["Ada"]
    ada.act("a", "decision", kind="agree")
    answer = bo.post(
        "a", "decision", expected=0, kind="override", ihc_score="3+", reason="artefact"
    )
    assert answer.status_code == 409
    assert "Ada has changed this slide at 20" in answer.json()["message"]
    late = bo.post("a", "regions", expected=0, features=[])
    assert late.status_code == 409
    assert context.store.review("a").version == 1


def test_an_override_needs_a_coded_reason(ada: Reader, context: ReviewContext) -> None:
    score = program_score(context)
    wanted = another(score)
    for body, words in (
        ({"kind": "override", "ihc_score": wanted}, "no reason"),
        ({"kind": "override", "ihc_score": wanted, "reason": "because"}, "no reason"),
        ({"kind": "override", "ihc_score": wanted, "reason": "other"}, "is empty"),
        ({"kind": "override", "ihc_score": score, "reason": "artefact"}, "no override"),
        ({"kind": "override", "ihc_score": "2", "reason": "artefact"}, "not a score"),
        ({"kind": "agree", "ihc_score": wanted}, "no agreement"),
        ({"kind": "sign"}, "agree"),
    ):
        answer = ada.post("a", "decision", expected=0, **body)
        assert answer.status_code == 422
        assert words in answer.json()["message"]
    seen = ada.act(
        "a", "decision", kind="override", ihc_score=wanted, reason="other", text="seen at 40x"
    )
    assert seen["decision"]["text"] == "seen at 40x"
    event = seen["events"][0]
    assert (event["user"], event["role"], event["why"]) == ("Ada", "reader", "seen at 40x")


def test_drawing_counts_again_and_the_run_stays_as_it_is(
    ada: Reader, context: ReviewContext
) -> None:
    folder = SlideFolder(root=context.run, slide_id="a")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    there = context.loaded("a").result
    assert there.n_tumour_cells
    seen = ada.act("a", "regions", features=[region("Exclude", 0, 0, 1300)])
    result = seen["reviewed_result"]
    assert result["region_source"] == "reviewed"
    assert 0 < result["n_tumour_cells"] < there.n_tumour_cells
    assert "invasive_region_unverified" in there.flags
    assert "invasive_region_unverified" not in result["flags"]
    drawn = seen["regions"]["features"]
    assert drawn[0]["properties"]["classification"]["name"] == "Exclude"
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    event = seen["events"][-1]
    assert event["before"]["n_tumour_cells"] == there.n_tumour_cells
    assert event["after"]["n_tumour_cells"] == result["n_tumour_cells"]
    seen = ada.act("a", "regions", features=[])
    assert seen["reviewed_result"]["n_tumour_cells"] == there.n_tumour_cells
    assert seen["reviewed_result"]["ihc_score"] == there.ihc_score


def test_regions_in_um_are_those_in_pixels(ada: Reader, context: ReviewContext) -> None:
    mpp = context.loaded("a").result.spacing
    assert mpp is not None
    one = ada.act("a", "regions", features=[region("exclude", 40, 40, 1000)])
    two = ada.act(
        "b",
        "regions",
        unit="um",
        features=[region("exclude", 40 * mpp.x, 40 * mpp.x, 1000 * mpp.x)],
    )
    assert one["regions"]["features"] == two["regions"]["features"]


def test_a_decision_and_a_checklist_are_void_when_the_result_changes(
    ada: Reader, context: ReviewContext
) -> None:
    ada.act("a", "decision", kind="agree")
    ada.act("a", "checklist", checklist=TICKED)
    seen = ada.act("a", "regions", features=[region("In situ", 0, 0, 900)])
    assert (seen["decision"]["stale"], seen["checklist"]["stale"]) == (True, True)
    answer = ada.post("a", "sign", expected=seen["version"], password=PASSWORD)
    assert (answer.status_code, "changed since" in answer.json()["message"]) == (422, True)
    ada.act("a", "decision", kind="agree")
    seen = ada.get("a")
    assert ada.post("a", "sign", expected=seen["version"], password=PASSWORD).status_code == 422
    seen = ada.sign("a")
    assert seen["signature"]["basis"] != seen["signature"]["run_sha256"]


def test_scoring_again_supersedes_the_signature_and_keeps_it(
    ada: Reader, context: ReviewContext
) -> None:
    ada.sign("a")
    rewrite(context.run, "a", site="another")
    seen = ada.get("a")
    assert (seen["status"], seen["signature"]) == ("superseded", None)
    assert seen["superseded"][0]["by"] == "Ada"
    assert seen["events"][-1]["user"] == "her2"
    assert ada.get("a")["version"] == seen["version"]  # recorded once
    assert ada.get("b")["status"] == "open"
    ada.sign("a")
    assert ada.get("a")["status"] == "signed"
    assert verify(context.run).signatures == 2


def test_regions_of_an_older_scoring_are_saved_again_first(
    ada: Reader, context: ReviewContext
) -> None:
    features = [region("Tumor", 100, 100, 1200)]
    ada.act("a", "regions", features=features)
    rewrite(context.run, "a", site="another")
    seen = ada.get("a")
    assert seen["outdated"]
    answer = ada.post("a", "decision", expected=seen["version"], kind="agree")
    assert (answer.status_code, "scored this slide again" in answer.json()["message"]) == (
        422,
        True,
    )
    ada.act("a", "regions", features=features)
    ada.sign("a")


def test_corrections_are_addenda(ada: Reader, bo: Reader, context: ReviewContext) -> None:
    early = ada.post("a", "addendum", expected=0, text="x")
    assert (early.status_code, "not signed" in early.json()["message"]) == (422, True)
    ada.sign("a")
    version = ada.get("a")["version"]
    assert bo.post("a", "addendum", expected=version, text="mine").status_code == 403
    assert ada.post("a", "addendum", expected=version, text=" ").status_code == 422
    seen = ada.act("a", "addendum", text="wrong block on the label", ihc_score="1+")
    assert (seen["status"], seen["final_score"]) == ("addendum", "1+")
    seen = Reader(context, SENIOR).act("a", "addendum", text="agreed in the meeting")
    assert (seen["final_score"], len(seen["addenda"])) == ("1+", 2)
    assert seen["signature"]["by"] == "Ada"


def test_a_second_reader_is_another_person(ada: Reader, bo: Reader, context: ReviewContext) -> None:
    assert ada.post("a", "second-reader", expected=0).status_code == 422
    ada.act("a", "decision", kind="agree")
    seen = ada.act("a", "second-reader", text="near the line")
    assert seen["status"] == "second_reader_requested"
    ada.act("a", "decision", kind="agree")
    seen = ada.get("a")
    assert seen["status"] == "second_reader_requested"
    answer = ada.post("a", "sign", expected=seen["version"], checklist=TICKED, password=PASSWORD)
    assert "has not answered" in answer.json()["message"]
    wanted = another(program_score(context))
    seen = bo.act("a", "decision", kind="override", ihc_score=wanted, reason="artefact")
    assert (seen["second_reader"]["answered_by"], seen["second_reader"]["agrees"]) == ("Bo", False)
    answer = bo.post("a", "sign", expected=seen["version"] + 0, checklist=TICKED, password=PASSWORD)
    assert answer.status_code == 403
    assert "differ" in answer.json()["message"]
    Reader(context, SENIOR).sign("a")


def test_ish_follows_the_rules_and_goes_to_her2_ish(
    ada: Reader, context: ReviewContext, tmp_path: Path
) -> None:
    count = {"cells": 20, "her2_total": 60, "cep17_total": 50}
    answer = ada.post("a", "ish", expected=0, readings=[{**count, "her2_total": -1}])
    assert (answer.status_code, "her2_total" in answer.json()["message"]) == (422, True)
    assert program_score(context) != "2+"
    ada.act("a", "decision", kind="override", ihc_score="2+", reason="artefact")
    seen = ada.act("a", "ish", readings=[count])
    found = seen["ish"]["decision"]
    assert (found["status"], found["tier"], found["category"]) == (
        "negative",
        "her2_low",
        "group_5",
    )
    seen = ada.act("a", "ish", readings=[{**count, "her2_total": 130}])
    assert seen["ish"]["decision"]["status"] == "positive"
    assert len(seen["ish"]["readings"]) == 1  # the same place: replaced, and kept in the record
    ada.act("b", "ish", readings=[{"call": "group 2", "observer": "Bo"}])
    path = tmp_path / "entered.json"
    path.write_bytes(render_ish(context.store.reviews().values()))
    outcome = apply_ish(context.run, path)
    assert (outcome.readings, outcome.joined["block"]) == (2, 2)


def test_ish_after_signing_is_an_addendum_with_a_reason(ada: Reader) -> None:
    ada.sign("a")
    version = ada.get("a")["version"]
    readings = [{"call": "negative"}]
    assert ada.post("a", "ish", expected=version, readings=readings).status_code == 422
    seen = ada.act("a", "ish", readings=readings, text="reflex ISH came back")
    assert seen["status"] == "addendum"


def test_not_scorable_is_signed_without_controls_and_failed_areas_need_a_note(
    ada: Reader, context: ReviewContext
) -> None:
    rewrite(context.run, "a", control_status="failed")
    answer = ada.post("a", "checklist", expected=0, checklist=TICKED)
    assert "control" in answer.json()["message"]
    ada.act("a", "decision", kind="override", ihc_score="not_scorable", reason="artefact")
    assert ada.act("a", "sign", password=PASSWORD)["final_score"] == "not_scorable"
    rewrite(context.run, "b", failed_tiles=2)
    answer = ada.post("b", "checklist", expected=0, checklist=TICKED)
    assert "2 tiles" in answer.json()["message"]
    ada.act("b", "checklist", checklist=TICKED, note="looked at the glass slide")


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([region("Stroma", 0, 0, 10)], "no kind of region"),
        ([region("Tumor", 90000, 90000, 100)], "outside the slide"),
        ([region("Tumor", 0, 0, 1)], "smaller than a cell"),
        ([{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}], "no polygon"),
        ([{}], "no polygon"),
    ],
)
def test_a_region_that_makes_no_sense_is_named(
    ada: Reader, features: list[Any], words: str
) -> None:
    answer = ada.post("a", "regions", expected=0, features=features)
    assert answer.status_code == 422
    assert words in answer.json()["message"]
    assert "region 1" in answer.json()["message"]


@pytest.mark.parametrize(
    ("ring", "words"),
    [
        ([[0, 0], [500, 500], [500, 0], [0, 500], [0, 0]], "crosses"),
        ([[0, 0], [500, 0], [500, 500]], "not closed"),
        ([[0, 0], [500, 0], [500, 500], [0, 500]], "not closed"),
        ([[0, 0], [500, "x"], [500, 500], [0, 0]], "two numbers"),
        ([[0, 0], [1e300, 0], [500, 500], [0, 0]], "two numbers"),
        ([[k / 1e3, (k % 2) / 7] for k in range(60_000)] + [[0, 0]], "corners"),
    ],
)
def test_an_outline_that_makes_no_sense_is_refused(
    ada: Reader, ring: list[Any], words: str
) -> None:
    feature = region("Tumor", 0, 0, 1)
    feature["geometry"]["coordinates"] = [ring]
    answer = ada.post("a", "regions", expected=0, features=[feature])
    assert answer.status_code == 422
    assert words in answer.json()["message"]
    many = ada.post("a", "regions", expected=0, features=[region("Tumor", 0, 0, 99)] * 501)
    assert "more than 500" in many.json()["message"]


def test_what_is_stored_is_canonical(ada: Reader, context: ReviewContext) -> None:
    ada.act("a", "regions", features=[region("tumour", 100, 100, 1200.123456)])
    review = context.store.review("a")
    assert review.drawn is not None
    document = context.store.document(review.drawn.document)
    assert canonical(json.loads(document)) == document
    stored = SlideResult.from_json(context.store.document(review.drawn.result))
    assert stored.regions is not None
    assert stored.regions.sha256 == review.drawn.document


def test_no_session_no_answer(context: ReviewContext) -> None:
    browser = Browser(application(context))
    for path in ("/api/session", "/api/slides/a/review"):
        assert browser.get(path).status_code == 401
    answer = browser.post("/api/slides/a/decision", json={"expected": 0, "kind": "agree"})
    assert answer.status_code == 401
    assert set(answer.json()) == {"message", "fix"}
    assert BASE.startswith("http://127.")
