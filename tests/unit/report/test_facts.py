"""What pages say of a result in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from pathology.report.facts import Facts
from pathology.runs import SlideResult
from pathology.scoring.counts import PatternCounts

Make = Callable[..., SlideResult]
COUNTS = PatternCounts(unstained=439, weak_incomplete=314, moderate_incomplete=61,
                       moderate_complete=164)  # fmt: skip


def test_each_figure_says_which_share_it_is_of(make_scored: Make) -> None:
    """A page that said "16.8 % > 10 %" and "10.0 points to the cut-off" mixed two shares."""
    assert Facts(result=make_scored(COUNTS,
        deciding_pct=16.77, cutoff_pct=10.0, deciding_lo=0.0, deciding_hi=44.6,
        distance_to_cutoff_pp=6.77, nearest_score="3+", nearest_score_pp=10.0,
    )).measure_lines == (
        "The share that decided, 16.8 %, lies between 0.0 % and 44.6 % (resampled tiles and scale "
        "of density).",
        "It is 6.8 percentage points from its cut-off of 10 %.",
        "Nearest other score: 3+, 10.0 percentage points of the cells away.",
    )  # fmt: skip


def test_results_of_before_claim_no_more_than_they_know(make_scored: Make) -> None:
    said = Facts(result=make_scored(COUNTS, distance_to_cutoff_pp=8.1)).measure_lines
    assert said[1:] == ("Distance to the cut-off: 8.1 percentage points.",)
    assert said[0].startswith("The share that decided lies between 14.2 % and 21.9 %")


def test_the_nearest_score_and_its_distance_go_together(make_scored: Make) -> None:
    with pytest.raises(ValidationError, match="given together"):
        make_scored(COUNTS, nearest_score="3+")
    old: SlideResult = make_scored(COUNTS)
    new: SlideResult = make_scored(COUNTS, nearest_score="1+", nearest_score_pp=1.5)
    assert (old.margin_pp, new.margin_pp) == (8.1, 1.5)
