from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pathology.review.worklist import Attention, attention, worklist, worklist_row
from pathology.runs import ResultRow


def scored(name: str, score: str | None = "0", **columns: Any) -> ResultRow:
    status = {"0": "negative", "1+": "negative", "2+": "equivocal", "3+": "positive"}
    tier = {"0": "her2_null", "1+": "her2_low", "2+": "her2_equivocal", "3+": "her2_positive"}
    values: dict[str, Any] = {
        "slide_id": name, "path": f"{name}.svs", "status": "scored", "ihc_score": score,
        "her2_status": status.get(score or "", "indeterminate"), "her2_tier": tier.get(score or ""),
        "ish_reflex": score == "2+", "n_tumour_cells": 0, "n_complete_intense": 0,
        "n_complete_weak_moderate": 0, "n_incomplete_moderate_intense": 0,
        "n_incomplete_faint": 0, "n_unstained": 0, "borderline": False,
    }  # fmt: skip
    return ResultRow(**(values | columns))


def refused(name: str, **columns: Any) -> ResultRow:
    return ResultRow(
        slide_id=name, path=name, status="not_scorable", reasons=("no_tissue",), **columns
    )


ROUTINE, EQUIVOCAL = scored("routine"), scored("two", "2+")
CLOSE, SPREAD = scored("close", borderline=True), scored("spread", "1+", flags=("heterogeneous",))


def order(rows: list[ResultRow], **states: str) -> list[str]:
    return [row["slide_id"] for row in worklist(rows, states)]


def test_each_kind_of_slide_has_its_rank() -> None:
    assert attention(CLOSE) is Attention.BORDERLINE
    assert attention(scored("open", None)) is Attention.BORDERLINE
    assert attention(EQUIVOCAL) is Attention.EQUIVOCAL
    assert attention(refused("r")) is Attention.NOT_SCORABLE
    assert attention(SPREAD) is Attention.HETEROGENEOUS
    assert attention(scored("f", flags=("below_floor",))) is Attention.FLAGGED
    assert attention(scored("u", flags=("invasive_region_unverified",))) is Attention.ROUTINE
    assert attention(scored("c", role="control", borderline=True)) is Attention.CONTROL


def test_what_needs_a_human_comes_first_whatever_the_order_of_the_run() -> None:
    rows = [ROUTINE, SPREAD, refused("refused"), EQUIVOCAL, CLOSE]
    assert order(rows) == ["close", "two", "refused", "spread", "routine"]
    assert order(rows[::-1]) == order(rows)


def test_the_smaller_distance_to_a_cut_off_comes_first() -> None:
    far, near = (
        scored(name, "2+", distance_to_cutoff_pp=distance)
        for name, distance in (("far", 8.0), ("near", -0.4))
    )
    assert order([far, near]) == ["near", "far"]


def test_the_order_goes_by_the_nearest_other_score_whichever_share_leads_there() -> None:
    """A 1+ whose own share is far from its cut-off can be near a 2+."""
    near = scored("near", "2+", distance_to_cutoff_pp=40.0, nearest_score="3+",
                  nearest_score_pp=0.5, deciding_pct=50.0, cutoff_pct=10.0)  # fmt: skip
    far = scored("far", "2+", distance_to_cutoff_pp=3.0, nearest_score="1+", nearest_score_pp=3.0)
    assert order([far, near]) == ["near", "far"]
    row = worklist_row(near, state="unread", withheld=False, signed=None)
    assert (row["distance_pp"], row["nearest_score"]) == (0.5, "3+")
    hidden = worklist_row(near, state="unread", withheld=True, signed=None)
    assert "nearest_score" not in hidden


def test_a_case_stays_together_and_ranks_as_its_most_pressing_open_slide() -> None:
    rows = [
        scored("a1", case_id="A", block_id="1"),
        scored("a2", case_id="A", block_id="2", borderline=True),
        scored("b1", "2+", case_id="B"),
    ]
    assert order(rows) == ["a1", "a2", "b1"]
    assert order(rows, a2="signed") == ["b1", "a1", "a2"]
    assert order(rows, a1="signed", a2="signed", b1="signed")[:2] == ["a1", "a2"]


@given(st.permutations(["routine", "two", "close", "spread"]), st.sampled_from(["x", "y"]))
def test_a_withheld_slide_tells_nothing_of_its_score(names: list[str], who: str) -> None:
    rows = {row.slide_id: row for row in (ROUTINE, EQUIVOCAL, CLOSE, SPREAD)}
    shown = worklist(
        [rows[name] for name in names], {}, withheld=frozenset(rows), order=sorted(rows)
    )
    assert [row["slide_id"] for row in shown] == sorted(rows)  # not by need
    keys = {"slide_id", "name", "case", "block", "state", "withheld"}
    assert all(set(row) == keys and row["name"] == "" for row in shown)
