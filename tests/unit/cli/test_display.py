from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pathology.cli import display as display_module
from pathology.cli.display import BarDisplay, LineDisplay, outcome
from pathology.cli.score import exit_status
from pathology.cli.tables import print_results, summary_line
from pathology.pipeline import Progress
from pathology.runs import SlideResult, count_columns
from pathology.scoring.counts import PatternCounts


def failed(name: str, reason: str, **known: Any) -> SlideResult:
    return SlideResult(
        slide_id=name, path=f"{name}.svs", status="failed", reasons=(reason,), **known
    )


def scored(name: str) -> SlideResult:
    return SlideResult(
        slide_id=name,
        path=f"{name}.svs",
        status="scored",
        ihc_score="3+",
        her2_status="positive",
        her2_tier="her2_positive",
        ish_reflex=False,
        deciding_rule="complete_intense",
        distance_to_cutoff_pp=12.3,
        flags=("few_blocks",),
        tissue_mm2=2.0,
        tiles=4,
        failed_tiles=0,
        **count_columns(PatternCounts(intense_complete=1200)),
    )


def no_tissue(name: str) -> SlideResult:
    return SlideResult(
        slide_id=name, path=f"{name}.svs", status="not_scorable", reasons=("no_tissue",)
    )


def test_the_table_tells_scores_reasons_errors_and_counts() -> None:
    stream = io.StringIO()
    error = {"message": "b.svs: the file is empty", "fix": "Copy it again [now]."}
    refused = [no_tissue("c"), no_tissue("d")]
    results = [scored("a"), failed("b", "unreadable", error=error), *refused]
    print_results(results, console=Console(file=stream, width=120))
    text = stream.getvalue()
    assert "3+" in text
    assert "1,200" in text
    assert "complete_intense; 12.3 pp from the cut-off; few blocks" in text
    assert "b.svs [unreadable]" in text  # brackets are text, not markup
    assert "Copy it again [now]." in text
    # What can be done is said once for a reason, not for each slide.
    assert text.splitlines()[-2:] == [
        "4 slides: 1 scored, 2 not scorable (no_tissue 2), 1 failed (unreadable 1)",
        "  no_tissue: Look at overview.png; if there is tissue, mark it with `--regions`.",
    ]


def test_counts_of_nothing() -> None:
    assert summary_line([]) == "0 slides: 0 scored, 0 not scorable, 0 failed"


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([], 0),
        ([scored("a"), no_tissue("b")], 0),
        ([scored("a"), failed("b", "unreadable")], 1),
        ([failed("a", "internal_error"), failed("b", "unreadable")], 70),
    ],
)
def test_exit_statuses(results: list[SlideResult], status: int) -> None:
    assert exit_status(results) == status


def test_outcomes() -> None:
    assert outcome(scored("a")) == "3+"
    assert outcome(no_tissue("a")) == "not scorable (no_tissue)"
    assert outcome(failed("a", "disk_full")) == "failed (disk_full)"


def test_lines_tell_amount_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(display_module.time, "monotonic", lambda: float(next(clock)))
    with LineDisplay() as shown:  # made at 0 s
        shown.run_started(total=3, done=1, skipped=2)
        shown.slide_started("a", "a.svs")  # 20 s
        shown.slide_progress("a", Progress(stage="open"))  # 40 s
        shown.slide_progress("a", Progress(stage="read", done_mm2=2.0, total_mm2=8.0))  # 60 s
        shown.slide_finished(scored("a"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "3 slides, 1 done before, 2 other files skipped"
    assert lines[1] == "a: 2.0 of 8.0 mm², 0.05 mm²/s, 120 s left"
    assert lines[2].startswith("[2/3] a: 3+, ")


def test_bars_show_slides_and_area(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(
        display_module, "Console", lambda **_: Console(file=stream, force_terminal=True, width=100)
    )
    with BarDisplay() as shown:
        shown.run_started(total=2, done=0, skipped=0)
        shown.slide_started("a", "a.svs")
        shown.slide_progress("a", Progress(stage="tissue"))
        shown.slide_progress("a", Progress(stage="read", done_mm2=2.0, total_mm2=8.0))
        shown._bars.refresh()
        assert "2.0/8.0 mm²" in stream.getvalue()
        assert "0/2" in stream.getvalue()
        shown.note("[1] note")
        shown.slide_finished(scored("a"))
        shown.defect("b", "KeyError", "Traceback")
    assert "[1] note" in stream.getvalue()
    assert "internal error (KeyError)" in stream.getvalue()


def test_the_speed_of_a_run_that_read_nothing_is_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = LineDisplay()
    shown.print_speed()
    assert capsys.readouterr().out == ""
    shown.slide_finished(scored("a"))
    shown.print_speed()
    assert "read 2.0 mm²" in capsys.readouterr().out
