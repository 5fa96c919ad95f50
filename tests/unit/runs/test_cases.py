from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pathology.runs import (
    CASE_COLUMNS,
    SlideResult,
    count_columns,
    summarise_cases,
    write_cases,
)
from pathology.scoring.counts import PatternCounts

Make = Callable[..., SlideResult]


def test_the_highest_tier_decides_and_cells_are_not_pooled(scored: Make) -> None:
    (case,) = summarise_cases(
        [
            scored("a", "1+", case_id="C", block_id="B1"),
            scored("b", "2+", case_id="C", block_id="B2"),
            scored("c", "0", case_id="C", block_id="B2"),
        ]
    )
    assert (case.ihc_score, case.her2_status, case.ish_reflex) == ("2+", "equivocal", True)
    assert (case.deciding_slide_id, case.deciding_block_id) == ("b", "B2")
    assert (case.n_slides, case.n_scored, case.n_blocks) == (3, 3, 2)
    assert case.discordant
    assert not case.incomplete
    assert case.slide_ids == "a;b;c"
    assert not any("cells" in name or name.startswith("pct") for name in CASE_COLUMNS)


def test_tiers_decide_among_slides_of_one_score(scored: Make) -> None:
    (case,) = summarise_cases(
        [
            scored("a", "0", case_id="C", her2_tier="her2_null"),
            scored("b", "0", case_id="C", her2_tier="her2_ultralow"),
        ]
    )
    assert (case.her2_tier, case.deciding_slide_id, case.discordant) == (
        "her2_ultralow",
        "b",
        False,
    )


def test_equal_slides_are_told_apart_by_path(scored: Make) -> None:
    slides = [scored("b", case_id="C", path="1.svs"), scored("a", case_id="C", path="2.svs")]
    assert summarise_cases(slides) == summarise_cases(slides[::-1])
    assert summarise_cases(slides)[0].deciding_slide_id == "b"


def test_missing_evidence_is_said(scored: Make, unscored: Make) -> None:
    (case,) = summarise_cases([scored("a", "0", case_id="C"), unscored("b", case_id="C")])
    assert (case.status, case.ihc_score, case.incomplete) == ("scored", "0", True)  # no tissue
    (case,) = summarise_cases([unscored("b", case_id="C")])
    assert (case.status, case.ihc_score, case.her2_status) == ("not_scorable", None, None)
    failed = unscored("b", status="failed", reason="unreadable", case_id="C")
    assert summarise_cases([failed])[0].status == "failed"
    assert summarise_cases([failed, unscored("a", case_id="C")])[0].status == "not_scorable"


def test_an_unresolved_slide_leaves_the_case_incomplete(scored: Make) -> None:
    gap = scored(
        "a", case_id="C", ihc_score=None, her2_status="indeterminate", her2_tier=None,
        ish_reflex=False,
    )  # fmt: skip
    (case,) = summarise_cases([gap, scored("b", "0", case_id="C", her2_tier="her2_null")])
    assert (case.ihc_score, case.her2_status, case.her2_tier) == (None, "indeterminate", None)
    assert (case.incomplete, case.discordant, case.deciding_slide_id) == (True, True, "b")


@pytest.mark.parametrize(
    ("status", "reason", "open_ended"),
    [
        ("failed", "unreadable", True),
        ("not_scorable", "failed_tiles", True),
        ("not_scorable", "missing_mpp", True),
        ("not_scorable", "no_tissue", False),
        ("not_scorable", "not_ihc", False),
        ("not_scorable", "too_few_cells", True),  # nobody knows of which kind they are
    ],
)
def test_a_slide_that_could_be_higher_leaves_only_a_positive_case_decided(
    scored: Make, unscored: Make, status: str, reason: str, open_ended: bool
) -> None:
    lost = unscored("b", status=status, reason=reason, case_id="C")
    for score in ("0", "1+", "2+", "3+"):
        (case,) = summarise_cases([scored("a", score, case_id="C"), lost])
        decided = not open_ended or score == "3+"
        assert case.ihc_score == (score if decided else None)
        assert case.status == ("scored" if decided else "not_scorable")
        assert case.deciding_slide_id == "a"


@pytest.mark.parametrize(
    ("counts", "open_ended"),
    [
        (PatternCounts(unstained=99), False),
        (PatternCounts(unstained=98, faint_incomplete=1), True),
        (PatternCounts(intense_complete=99), True),
    ],
)
def test_too_few_cells_settle_a_case_only_where_none_is_stained(
    scored: Make, unscored: Make, counts: PatternCounts, open_ended: bool
) -> None:
    few = unscored("b", reason="too_few_cells", case_id="C", **count_columns(counts))
    null = scored("a", "0", case_id="C", her2_tier="her2_null")
    (case,) = summarise_cases([null, few])
    assert case.ihc_score == (None if open_ended else "0")
    assert case.final_her2_status == ("indeterminate" if open_ended else "negative")
    (case,) = summarise_cases([scored("a", "3+", case_id="C"), few])
    assert case.ihc_score == "3+"


def test_slides_without_a_case_stand_alone(scored: Make) -> None:
    cases = summarise_cases([scored("a"), scored("b"), scored("c", case_id="a")])
    assert [(case.case_id, case.case_id_given, case.slide_ids) for case in cases] == [
        ("a", True, "c"),
        ("a", False, "a"),
        ("b", False, "b"),
    ]


def test_controls_are_no_cases(scored: Make) -> None:
    assert summarise_cases([scored("a", role="control", case_id="C")]) == []


def test_file_is_guarded_and_independent_of_order(tmp_path: Path, scored: Make) -> None:
    slides = [scored("a", case_id="=1+1"), scored("b", case_id="=1+1"), scored("c", case_id="A")]
    write_cases(tmp_path, slides)
    first = (tmp_path / "cases.csv").read_bytes()
    write_cases(tmp_path, slides[::-1])
    assert (tmp_path / "cases.csv").read_bytes() == first
    header, row, _ = first.decode().splitlines()
    assert header == ",".join(CASE_COLUMNS)
    assert row.startswith("'=1+1,true,scored,2,2,0,0,0,3+,positive,her2_positive,false,a,")


def test_slides_without_low_tiers_rank_by_their_score(scored: Make) -> None:
    """Null, ultralow and low are terms of breast cancer: a gastric 0 or 1+ has no tier."""
    (case,) = summarise_cases(
        [
            scored("a", "0", case_id="C", her2_tier=None),
            scored("b", "1+", case_id="C", her2_tier=None),
        ]
    )
    assert (case.ihc_score, case.her2_tier, case.deciding_slide_id) == ("1+", None, "b")
