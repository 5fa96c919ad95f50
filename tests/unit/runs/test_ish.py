"""ISH in a run folder: the store, the tables derived from it, and what happens again and again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pathology.errors import OutputError, UsageError
from pathology.runs import (
    CASE_COLUMNS,
    RunFolder,
    RunInfo,
    RunKey,
    SlideResult,
    apply_ish,
    count_columns,
    summarise_cases,
    write_cases,
    write_results,
)
from pathology.runs.cases import CaseRow
from pathology.runs.csvfile import parse_csv
from pathology.runs.ish_store import read_ish
from pathology.scoring.counts import PatternCounts

Make = Callable[..., SlideResult]
HEADER = (
    "case_id,block_id,cells,her2_total,cep17_total,observer,reading,blinded,"
    "includes_2plus_area,controls_ok"
)
OF_GROUP = {1: (120, 40), 2: (70, 30), 3: (130, 80), 4: (100, 60), 5: (50, 40)}


def line(case: str, block: str, group: int, observer: str = "Ann", reading: str = "") -> str:
    her2, cep17 = OF_GROUP[group]
    blind = "true,true" if reading == "recount" else ","
    return f"{case},{block},20,{her2},{cep17},{observer},{reading},{blind},true"


@pytest.fixture
def run(tmp_path: Path, run_key: RunKey) -> Callable[..., Path]:
    def make(*slides: SlideResult) -> Path:
        out = tmp_path / "out"
        with RunFolder(out, run_key) as folder:
            for slide in slides:
                folder.slide(slide.slide_id).write_result(slide)
            write_results(out, slides)
            write_cases(out, slides)
            folder.write_info(
                RunInfo(command=(), versions={}, host="", device="cpu", started="x", finished="x")
            )
        return out

    return make


def give(out: Path, *lines: str, name: str = "ish.csv", header: str = HEADER) -> Path:
    path = out.parent / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def by_case(rows: tuple[CaseRow, ...] | list[CaseRow]) -> dict[str, CaseRow]:
    return {row.case_id: row for row in rows}


def table(out: Path, name: str) -> list[dict[str, str]]:
    return parse_csv((out / name).read_bytes(), name=name)[1]


def test_new_columns_come_after_the_old_ones() -> None:
    assert CASE_COLUMNS[:17] == (
        "case_id", "case_id_given", "status", "n_slides", "n_scored", "n_not_scorable", "n_failed",
        "n_blocks", "ihc_score", "her2_status", "her2_tier", "ish_reflex", "deciding_slide_id",
        "deciding_block_id", "discordant", "incomplete", "slide_ids",
    )  # fmt: skip


def test_every_case_gets_its_final_status(run: Callable[..., Path], scored: Make) -> None:
    out = run(
        scored("low", "2+", case_id="low", block_id="B"),
        scored("amp", "2+", case_id="amp", block_id="B"),
        scored("wait", "2+", case_id="wait", block_id="B"),
        scored("g3", "2+", case_id="g3", block_id="B"),
        scored("one", "1+", case_id="one", block_id="B"),
        scored("three", "3+", case_id="three", block_id="B"),
        scored("none", "2+", case_id="none", block_id="B"),
        scored("zero", "0", case_id="zero", block_id="B"),
        scored("other", "2+", case_id="other", block_id="B"),
    )
    before = (out / "results.csv").read_bytes()
    slides = {path: path.read_bytes() for path in (out / "slides").rglob("*.json")}
    path = give(
        out,
        line("low", "B", 5),
        line("amp", "B", 1),
        line("wait", "B", 4),
        line("g3", "B", 3),
        line("g3", "B", 3, "Bob", "recount"),
        line("one", "B", 1),
        line("three", "B", 5),
        line("zero", "B", 4),
        line("other", "B9", 5),
    )
    found = by_case(apply_ish(out, path).cases)
    status = {name: (row.final_her2_status, row.final_her2_tier) for name, row in found.items()}
    assert status == {
        "low": ("negative", "her2_low"),
        "amp": ("positive", "her2_positive"),
        "wait": ("equivocal", "her2_equivocal"),
        "g3": ("positive", "her2_positive"),
        "one": ("positive", "her2_positive"),
        "three": ("positive", "her2_positive"),
        "none": ("equivocal", "her2_equivocal"),
        "zero": ("negative", "her2_ultralow"),
        "other": ("equivocal", "her2_equivocal"),
    }
    assert {name for name, row in found.items() if row.final_discordant} == {"one", "three"}
    assert "there is ISH of block B9, which says nothing about this one" in (
        found["other"].final_clause
    )
    assert found["other"].final_flags == "ish_of_other_block"
    assert found["none"].final_clause == "block B: IHC 2+ without ISH of this block: equivocal"
    # What the slides said by themselves stays.
    assert found["amp"].her2_status == "equivocal"
    assert (out / "results.csv").read_bytes() == before
    assert {path: path.read_bytes() for path in slides} == slides
    rows = table(out, "ish.csv")
    assert [row["joined"] for row in rows].count("other_block") == 1
    assert {row["observer"] for row in rows} == {"Ann", "Bob"}
    assert {row["source"] for row in rows} == {"ish.csv"}
    assert len({row["source_sha256"] for row in rows}) == 1


def test_the_same_file_again_changes_nothing(run: Callable[..., Path], scored: Make) -> None:
    out = run(scored("a", "2+", case_id="C", block_id="B"))
    path = give(out, line("C", "B", 4), line("C", "B", 4, "Bob", "recount"))
    first = apply_ish(out, path)
    files = {name: (out / name).read_bytes() for name in ("ish.json", "ish.csv", "cases.csv")}
    again = apply_ish(out, path)
    assert {name: (out / name).read_bytes() for name in files} == files
    assert (first.counts.new, again.counts.new, again.counts.unchanged) == (2, 0, 2)
    copy = give(out, line("C", "B", 4), line("C", "B", 4, "Bob", "recount"), name="copy.csv")
    assert apply_ish(out, copy).counts.unchanged == 2
    assert {name: (out / name).read_bytes() for name in files} == files
    assert apply_ish(out).cases == again.cases


def test_replaced_results_are_kept_and_others_stay(run: Callable[..., Path], scored: Make) -> None:
    out = run(
        scored("a", "2+", case_id="C", block_id="B"), scored("b", "2+", case_id="D", block_id="B")
    )
    apply_ish(out, give(out, line("C", "B", 5), line("D", "B", 1)))
    outcome = apply_ish(out, give(out, line("C", "B", 1, "Cy"), name="second.csv"))
    assert (outcome.counts.replaced, outcome.counts.new, outcome.counts.kept) == (1, 0, 1)
    assert {row.final_her2_status for row in outcome.cases} == {"positive"}
    store = read_ish(out)
    (old,) = store.replaced
    assert (old.record.her2, old.record.observer) == (50, "Ann")
    assert [store.source_name(sha) for sha in (old.record.source, old.by)] == [
        "ish.csv",
        "second.csv",
    ]
    back = apply_ish(out, give(out, line("C", "B", 5)))
    assert (len(read_ish(out).replaced), back.counts.replaced) == (2, 1)
    events = [json.loads(text)["event"] for text in (out / "log.jsonl").read_text().splitlines()]
    assert events.count("ish_imported") == 3


def test_a_wrong_file_changes_nothing(run: Callable[..., Path], scored: Make) -> None:
    out = run(scored("a", "2+", case_id="C", block_id="B"))
    apply_ish(out, give(out, line("C", "B", 5)))
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    bad = give(out, line("C", "B", 1), "C,B,20,x,40,Ann,recount,,,true", name="bad.csv")
    with pytest.raises(UsageError, match=r"bad\.csv: line 3, column 'her2_total'"):
        apply_ish(out, bad)
    with pytest.raises(UsageError, match="cannot be read"):
        apply_ish(out, out / "nowhere.csv")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files


def test_tables_written_anew_keep_the_ish_and_follow_the_slides(
    run: Callable[..., Path], scored: Make
) -> None:
    out = run(scored("a", "2+", case_id="C", block_id="B"))
    apply_ish(out, give(out, line("C", "B", 1)))
    # What a resumed `her2 score` does with slides that changed, came and went.
    (row,) = write_cases(out, [scored("a", "1+", case_id="C", block_id="B")])
    assert (row.final_her2_status, row.final_discordant) == ("positive", True)
    assert table(out, "ish.csv")[0]["block_ihc_score"] == "1+"
    (row,) = write_cases(out, [scored("z", "2+", case_id="Z", block_id="B")])
    assert row.final_her2_status == "equivocal"
    assert table(out, "ish.csv")[0]["joined"] == "not_in_run"
    (row,) = write_cases(out, [scored("a", "2+", case_id="C", block_id="B2")])
    assert row.final_her2_status == "equivocal"
    assert "other_block_positive" in row.final_flags
    assert row.final_discordant
    assert table(out, "ish.csv")[0]["joined"] == "other_block"


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"guideline": "unheard-of"}', '{"schema_version": 2}', '{"readings": [{}]}'],
)
def test_a_damaged_store_is_named(text: str, run: Callable[..., Path], scored: Make) -> None:
    out = run(scored("a", "2+", case_id="C", block_id="B"))
    (out / "ish.json").write_text(text)
    with pytest.raises(OutputError, match=r"ish\.json"):
        apply_ish(out)


def test_a_folder_in_use_or_without_a_run_is_refused(
    run: Callable[..., Path], scored: Make, run_key: RunKey, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"run\.json"):
        apply_ish(tmp_path)
    out = run(scored("a", "2+", case_id="C", block_id="B"))
    with RunFolder(out, run_key), pytest.raises(OutputError, match="is working in this"):
        apply_ish(out)
    apply_ish(out)


def test_cells_of_blocks_are_not_pooled_and_the_highest_block_decides(
    run: Callable[..., Path], scored: Make
) -> None:
    out = run(
        scored("a", "2+", case_id="C", block_id="B1"),
        scored("b", "2+", case_id="C", block_id="B2"),
        scored("c", "1+", case_id="C", block_id="B3"),
    )
    (row,) = apply_ish(out, give(out, line("C", "B1", 5))).cases
    assert (row.final_her2_status, row.final_block_id) == ("equivocal", "B2")
    assert "there is ISH of block B1" in row.final_clause
    (row,) = apply_ish(out, give(out, line("C", "B2", 5))).cases
    assert (row.final_her2_tier, row.final_block_id) == ("her2_low", "B1")
    assert not row.final_discordant
    (row,) = apply_ish(out, give(out, line("C", "B3", 1))).cases
    assert (row.final_her2_tier, row.final_block_id) == ("her2_positive", "B3")
    assert {"blocks_discordant", "ish_ihc_discordant"} <= set(row.final_flags.split(";"))


def test_the_index_block_decides_where_one_is_declared(scored: Make, unscored: Make) -> None:
    slides = [
        scored("a", "3+", case_id="C", block_id="B1"),
        scored("b", "1+", case_id="C", block_id="B2", index_block=True),
        scored("c", "0", case_id="C", block_id="B2"),
    ]
    (row,) = summarise_cases(slides)
    assert (row.case_rule, row.index_block_id, row.ihc_score) == ("index_block", "B2", "1+")
    assert (row.deciding_slide_id, row.final_her2_tier) == ("b", "her2_low")
    assert (row.discordant, row.final_discordant) == (True, True)
    assert row.final_clause.startswith("index block B2: ")
    lost = unscored(
        "b", "unreadable", status="failed", case_id="C", block_id="B2", index_block=True
    )
    (row,) = summarise_cases([slides[0], lost])
    assert (row.status, row.ihc_score, row.her2_status) == ("failed", None, None)
    assert (row.final_her2_status, row.final_her2_tier) == ("indeterminate", None)
    assert "ihc_incomplete" in row.final_flags
    empty = unscored("b", "no_tumour", case_id="C", block_id="B2", index_block=True)
    (row,) = summarise_cases([slides[0], empty])
    assert row.final_clause == (
        "the index block has neither a score nor an ISH result: indeterminate"
    )
    both = [slides[0].model_copy(update={"index_block": True}), slides[1]]
    (row,) = summarise_cases(both)
    assert (row.ihc_score, row.final_her2_status) == (None, "indeterminate")
    assert (row.index_block_id, "index_block_ambiguous" in row.final_flags) == ("B1;B2", True)
    (row,) = summarise_cases([slide.model_copy(update={"index_block": None}) for slide in slides])
    assert (row.case_rule, row.final_her2_tier) == ("highest_tier", "her2_positive")


def test_a_slide_that_could_be_higher_keeps_its_block_open(
    run: Callable[..., Path], scored: Make, unscored: Make
) -> None:
    out = run(
        scored("a", "2+", case_id="C", block_id="B"),
        unscored("b", "unreadable", status="failed", case_id="C", block_id="B"),
    )
    (row,) = apply_ish(out, give(out, line("C", "B", 5))).cases
    assert (row.final_her2_status, row.final_rule) == ("indeterminate", "ihc_incomplete")
    (row,) = apply_ish(out, give(out, line("C", "B", 1))).cases
    assert row.final_her2_status == "positive"


def test_a_block_without_a_score_is_positive_only_where_every_score_would_be(
    run: Callable[..., Path], unscored: Make
) -> None:
    few = count_columns(PatternCounts(unstained=3))
    out = run(unscored("a", "too_few_cells", case_id="C", block_id="B", **few))
    (row,) = apply_ish(out, give(out, line("C", "B", 5))).cases
    assert (row.final_her2_status, row.final_flags) == ("indeterminate", "ihc_missing")
    (row,) = apply_ish(out, give(out, line("C", "B", 1))).cases
    assert (row.status, row.final_her2_status) == ("not_scorable", "positive")


def test_without_ish_the_final_columns_are_those_of_ihc(scored: Make, unscored: Make) -> None:
    slides = [scored(f"s{n}", score) for n, score in enumerate(("0", "1+", "2+", "3+"))]
    for slide, row in zip(slides, summarise_cases(slides), strict=True):
        assert row.final_her2_tier == row.her2_tier == slide.her2_tier
        assert row.final_her2_status == row.her2_status
        assert row.final_clause.startswith(f"slide {slide.slide_id}: IHC {slide.ihc_score}")
    (row,) = summarise_cases([unscored("u")])
    assert (row.final_her2_status, row.final_rule) == ("indeterminate", "nothing")


def test_names_that_spreadsheets_would_run_are_guarded(
    run: Callable[..., Path], scored: Make
) -> None:
    out = run(scored("a", "2+", case_id="=C", block_id="B"))
    apply_ish(out, give(out, line("=C", "B", 5, observer="@Ann")))
    (row,) = csv.DictReader(io.StringIO((out / "ish.csv").read_text()))
    assert (row["case_id"], row["observer"]) == ("'=C", "'@Ann")
    assert table(out, "ish.csv")[0]["case_id"] == "=C"


def test_a_run_moved_away_takes_its_ish_along(
    run: Callable[..., Path], scored: Make, run_key: RunKey
) -> None:
    out = run(scored("a", "2+", case_id="C", block_id="B"))
    apply_ish(out, give(out, line("C", "B", 5)))
    RunFolder(out, run_key, force=True).close()
    assert not (out / "ish.json").exists()
    assert (out / "previous" / "0001" / "ish.json").exists()


def test_a_stop_between_the_files_is_mended_by_the_next_command(
    run: Callable[..., Path], scored: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run(scored("a", "2+", case_id="C", block_id="B"))
    before = (out / "cases.csv").read_bytes()

    def full(*_: object) -> None:
        raise OutputError("cases.csv: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("pathology.runs.ish_import.write_cases", full)
        with pytest.raises(OutputError, match="full"):
            apply_ish(out, give(out, line("C", "B", 5)))
    assert (out / "cases.csv").read_bytes() == before
    (row,) = apply_ish(out).cases
    assert row.final_her2_tier == "her2_low"
