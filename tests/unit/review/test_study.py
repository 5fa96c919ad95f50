from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from reviewing import ADA, ADMIN, BO, PASSWORD, TICKED, Browser, Reader, application

from pathology.agreement import Bootstrap, Options
from pathology.cli.review import check_names
from pathology.errors import UsageError
from pathology.report.evaluation import EvaluationRequest, evaluate_results
from pathology.review.context import ReviewContext
from pathology.review.gatekeeper import RecordGate
from pathology.review.problems import NotAllowed, Refused
from pathology.review.study import (
    end_study,
    reading_order,
    render_reads,
    start_study,
    telling_names,
)
from pathology.review.verify import verify
from pathology.review.visible import NEUTRAL_FIELDS, viewer_of, visible
from pathology.runs import read_readings, read_results


def begin(context: ReviewContext, seed: int = 7) -> None:
    reviews = context.store.reviews()
    context.store.append_to_run(
        None, lambda study: start_study(study, None, reviews, name="washout", seed=seed)
    )


def test_nothing_that_tells_the_score_is_sent_before_the_read_is_locked(
    context: ReviewContext,
) -> None:
    begin(context)
    ada, bo = Reader(context, ADA), Reader(context, BO)
    bo.act("a", "read", score="3+", tier="her2_positive")
    answer = ada.client.get("/api/slides/a/review")
    seen = answer.json()
    assert (seen["withheld"], seen["status"], seen["version"]) == (True, "unread", 0)
    result = context.loaded("a").result
    for secret in ("Bo", "3+", "her2_positive", str(result.her2_tier), "2+ <script>"):
        assert secret not in json.dumps(seen)
    view = visible(result, context.store.review("a"), viewer_of(context, ADA))
    assert set(view.result) == set(NEUTRAL_FIELDS)
    own = visible(result, context.store.review("a"), viewer_of(context, BO))
    assert own.result["ihc_score"] == result.ihc_score
    assert not visible(result, context.store.review("a"), viewer_of(context, ADMIN)).withheld
    session = ada.client.get("/api/session").json()
    assert (session["blinded"], session["study"]) == (True, {"name": "washout", "on": True})


def test_a_read_is_locked_and_the_second_one_is_post(context: ReviewContext) -> None:
    begin(context)
    ada = Reader(context, ADA)
    seen = ada.act("a", "read", score="0", tier="her2_ultralow")
    assert not seen["withheld"]
    assert [read["phase"] for read in seen["reads"]] == ["pre"]
    seen = ada.act("a", "read", score="1+", tier="her2_low")
    assert [(read["phase"], read["score"]) for read in seen["reads"]] == [
        ("pre", "0"),
        ("post", "1+"),
    ]
    third = ada.post("a", "read", score="0")
    assert (third.status_code, "both are locked" in third.json()["message"]) == (422, True)
    assert ada.post("b", "read", score="1").status_code == 422
    assert ada.post("b", "read", score="1+", tier="her2_null").status_code == 422


def test_in_a_study_slides_are_read_and_nothing_else(context: ReviewContext) -> None:
    ada = Reader(context, ADA)
    assert ada.post("a", "read", score="0").status_code == 422
    begin(context)
    bodies = {
        "decision": {"kind": "agree"},
        "regions": {"features": []},
        "checklist": {"checklist": TICKED},
        "sign": {"password": PASSWORD},
    }
    for what, body in bodies.items():
        answer = ada.post("a", what, expected=0, **body)
        assert (answer.status_code, "study is on" in answer.json()["message"]) == (422, True)
    assert Reader(context, ADMIN).post("a", "read", score="0").status_code == 403


def test_who_begins_and_ends_a_study(context: ReviewContext) -> None:
    with pytest.raises(NotAllowed):
        start_study(context.store.study, ADA, {}, name="x", seed=1)
    begin(context)
    with pytest.raises(Refused, match="is on"):
        begin(context)
    with pytest.raises(NotAllowed):
        end_study(context.store.study, ADA, why="")
    context.store.append_to_run(ADMIN, lambda study: end_study(study, ADMIN, why="all read"))
    assert not context.store.study.on
    seen = Reader(context, ADA).act("a", "decision", kind="agree")
    assert not seen["withheld"]
    with pytest.raises(Refused, match="have seen the scores"):
        begin(context)
    assert verify(context.run).ok


def test_a_study_is_not_begun_on_slides_whose_scores_were_seen(context: ReviewContext) -> None:
    Reader(context, ADA).act("a", "decision", kind="agree")
    with pytest.raises(Refused, match="1 slides"):
        begin(context)


def test_the_gate_withholds_and_says_how_far_a_reader_is(context: ReviewContext) -> None:
    begin(context)
    ada = Reader(context, ADA)
    gate = RecordGate(context)
    viewer = viewer_of(context, ADA)

    cookie = f"{context.policy.cookie}={ada.client.cookies[context.policy.cookie]}"
    headers = [(b"cookie", cookie.encode())]
    visitor = gate.enter(Request({"type": "http", "headers": headers}))
    assert (visitor.user, visitor.role, visitor.blinded) == ("Ada", "reader", True)
    assert gate.is_withheld(visitor, "a")
    ada.act("a", "read", score="0")
    Reader(context, BO).act("b", "read", score="0")
    assert not gate.is_withheld(visitor, "a")
    assert gate.is_withheld(visitor, "b")
    assert gate.states(visitor) == {"a": "read", "b": "unread"}
    assert viewer.blinded
    assert gate.reviewed("a") is None
    assert Browser(application(context)).get("/api/slides/a/review").status_code == 401


def test_reads_before_and_after_are_exported_apart_and_read_by_evaluate(
    context: ReviewContext, tmp_path: Path
) -> None:
    begin(context)
    for user, scores in ((ADA, "011"), (BO, "012")):
        reader = Reader(context, user)
        for slide_id, number in zip("abc", scores, strict=True):
            score = ("0", "1+", "2+")[int(number)]
            reader.act(slide_id, "read", score=score)
        reader.act("a", "read", score="3+", tier="her2_positive")
    results = read_results(context.run)
    pre, post = tmp_path / "pre.csv", tmp_path / "post.csv"
    pre.write_bytes(render_reads(results, context.store.reviews(), "pre"))
    post.write_bytes(render_reads(results, context.store.reviews(), "post"))
    found = read_readings(pre)
    assert len(found.readings) == 6
    assert {reading.saw_score for reading in found.readings} == {False}
    assert {reading.patient_id for reading in found.readings} == {"C-a", "C-b", "C-c"}
    after = read_readings(post)
    assert [(x.reader, x.score, x.saw_score) for x in after.readings] == [
        ("Ada", "3+", True),
        ("Bo", "3+", True),
    ]
    options = Options(bootstrap=Bootstrap(replicates=20, seed=1))
    request = EvaluationRequest(results=context.run, readers=(pre,), options=options)
    evaluate_results(request, tmp_path / "study")
    slides = (tmp_path / "study" / "tables" / "slides.csv").read_text(encoding="utf-8")
    assert len(slides.splitlines()) == 4
    with pytest.raises(ValueError, match="neither"):
        render_reads(results, {}, "both")


@given(
    names=st.lists(st.text(min_size=1), unique=True, min_size=2, max_size=30),
    seed=st.integers(min_value=0),
)
def test_an_order_is_a_shuffle_that_everyone_can_repeat(names: list[str], seed: int) -> None:
    names = [name.encode("utf-8", "replace").decode() for name in names]
    order = reading_order(seed, "Ada", names)
    assert sorted(order) == sorted(names)
    assert order == reading_order(seed, "Ada", reversed(names))
    without = [name for name in order if name != names[0]]
    assert without == reading_order(seed, "Ada", names[1:]) or names.count(names[0]) > 1


def test_readers_get_different_orders() -> None:
    names = [f"s{k}" for k in range(50)]
    orders = {tuple(reading_order(seed, who, names)) for seed in (1, 2) for who in ("Ada", "Bo")}
    assert len(orders) == 4
    first = [reading_order(seed, "Ada", names)[0] for seed in range(2000)]
    counts = [first.count(name) for name in names]
    assert min(counts) > 10  # 40 expected: nobody is always first
    assert max(counts) < 90


@pytest.mark.parametrize(
    ("name", "tells"),
    [
        ("case7_3+", True),
        ("case7_2plus", True),
        ("HER2-negative_4", True),
        ("x_score1", True),
        ("x_IHC_0", True),
        ("B24-101_A1_HER2", False),
        ("1_154ae963", False),
        ("S0123_IHC", False),
        ("slow_positron", False),
    ],
)
def test_slide_ids_that_tell_a_score_are_known(name: str, tells: bool) -> None:
    assert bool(telling_names([f"{name}-0123456789"])) is tells


def test_a_study_on_telling_names_is_refused_and_others_are_warned(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_names(run, ["B24-101-0123456789"])
    assert "B24-101-0123456789" in capsys.readouterr().err
    with pytest.raises(UsageError, match="tell a score"):
        check_names(run, ["B24-101-0123456789", "case7_3+-0123456789"])
