from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from pathology.scoring.ish_block import BlockReading, decide_block
from pathology.scoring.ish_counts import (
    IshCount,
    IshQuality,
    IshReading,
    category_of,
    read_category,
)
from pathology.scoring.ish_guideline import load_ish_guideline
from pathology.scoring.ish_rules import (
    IshDecision,
    Readings,
    decide_readings,
    decide_without_ish,
    tier_with_ish,
)

ASCO_CAP = load_ish_guideline("asco-cap-2018")
OK = IshQuality(controls_ok=True)
#: One count for each category.
COUNTS = {
    "group_1": IshCount(cells=20, her2=120, cep17=40),
    "group_2": IshCount(cells=20, her2=70, cep17=30),
    "group_3": IshCount(cells=20, her2=130, cep17=80),
    "group_4": IshCount(cells=20, her2=100, cep17=60),
    "group_5": IshCount(cells=20, her2=50, cep17=40),
    "single_high": IshCount(cells=20, her2=120),
    "single_middle": IshCount(cells=20, her2=119),
    "single_low": IshCount(cells=20, her2=79),
}


def reading(category: str, observer: str = "Ann", **changes: Any) -> IshReading:
    probe = "single" if category.startswith("single") else "dual"
    values: dict[str, Any] = {"probe": probe, "observer": observer, "quality": OK}
    values["call" if category.startswith("call") else "count"] = COUNTS.get(category, category)
    return IshReading(**{**values, **changes})


def recount(category: str, **changes: Any) -> IshReading:
    values = {"observer": "Bob", "blinded": True, "includes_2plus_area": True, **changes}
    return reading(category, **values)


def decide(ihc: str | None, first: Any = None, second: Any = None, last: Any = None) -> IshDecision:
    return decide_readings(
        Readings(first=first, recount=second, adjudication=last),
        ihc_score=ihc,
        guideline=ASCO_CAP,
    )


@pytest.mark.parametrize(
    ("her2", "cep17", "group"),
    [
        ("4.0", "2.0", 1),
        ("3.9", "1.5", 2),
        ("6.0", "3.1", 3),
        ("5.9", "3.2", 4),
        ("3.99", "2.0", 5),
    ],
)
@pytest.mark.parametrize("cells", [100, 20_000])
def test_printed_vectors_per_cell(her2: str, cep17: str, group: int, cells: int) -> None:
    count = IshCount(
        cells=cells, her2=int(Fraction(her2) * cells), cep17=int(Fraction(cep17) * cells)
    )
    assert category_of(count, ASCO_CAP) == f"group_{group}"


def test_80_over_40_is_a_ratio_of_exactly_two() -> None:
    count = IshCount(cells=20, her2=80, cep17=40)
    assert count.ratio == 2
    assert category_of(count, ASCO_CAP) == "group_1"
    assert category_of(replace(count, her2=79), ASCO_CAP) == "group_5"
    assert category_of(replace(count, cep17=41), ASCO_CAP) == "group_4"


@pytest.mark.parametrize(
    ("cells", "her2", "category"),
    [(30, 180, "high"), (30, 179, "middle"), (30, 120, "middle"), (30, 119, "low"), (20, 0, "low")],
)
def test_single_probe_ranges(cells: int, her2: int, category: str) -> None:
    assert category_of(IshCount(cells=cells, her2=her2), ASCO_CAP) == f"single_{category}"


def test_a_mean_never_reads_as_a_cut_off_that_it_is_not() -> None:
    found = read_category(reading("x", count=IshCount(cells=1000, her2=5999, cep17=3000)), ASCO_CAP)
    assert "= 1.9997, HER2 5999/1000 = 5.999 per cell: group 4" in found.words


# Facts of the guideline's table: rows are groups, columns IHC 0/1+, 2+ before and after an
# unchanged recount, 3+.
TABLE = {
    "group_1": ("positive", "positive", "positive", "positive"),
    "group_2": ("negative", "equivocal", "negative", "positive"),
    "group_3": ("negative", "equivocal", "positive", "positive"),
    "group_4": ("negative", "equivocal", "negative", "positive"),
    "group_5": ("negative", "negative", "negative", "positive"),
}


@pytest.mark.parametrize("group", TABLE)
def test_the_table_of_dual_probe_groups(group: str) -> None:
    first = reading(group)
    low, before, after, high = TABLE[group]
    assert {decide(ihc, first).status for ihc in ("0", "1+")} == {low}
    assert decide("2+", first).status == before
    assert decide("2+", first, recount(group)).status == after
    assert decide("3+", first).status == high
    comment = {"group_2", "group_3", "group_4"}
    assert ("comment_required" in decide("0", first).flags) == (group in comment)
    confirmed = decide("2+", first, recount(group)).flags
    assert ("comment_required" in confirmed) == (group in {"group_2", "group_4"})


@pytest.mark.parametrize(
    ("category", "statuses"),
    [
        ("single_high", ("positive", "positive", "positive")),
        ("single_middle", ("negative", "equivocal", "positive")),
        ("single_low", ("negative", "negative", "positive")),
        ("call_positive", ("positive", "positive", "positive")),
        ("call_negative", ("negative", "negative", "positive")),
    ],
)
def test_single_probe_and_calls(category: str, statuses: tuple[str, ...]) -> None:
    for scores, status in zip((("0", "1+"), ("2+",), ("3+",)), statuses, strict=True):
        for ihc in scores:
            assert decide(ihc, reading(category)).status == status
    assert "dual_probe_needed" in decide("2+", reading("single_middle")).flags


@pytest.mark.parametrize("ihc", ["0", "1+", "2+", "3+", None])
@pytest.mark.parametrize("category", [*COUNTS, "call_positive", "call_negative"])
def test_what_is_discordant(category: str, ihc: str | None) -> None:
    amplified = category in ("group_1", "single_high", "call_positive")
    not_amplified = category in ("group_5", "single_low", "call_negative")
    expected = (amplified and ihc in ("0", "1+")) or (not_amplified and ihc == "3+")
    found = decide(ihc, reading(category))
    assert found.discordant == expected
    assert ("discordant" in found.clause) == expected
    assert not (found.discordant and found.status == "negative")


def test_without_an_ihc_score_only_what_holds_at_every_score_is_said() -> None:
    for category in [*COUNTS, "call_positive", "call_negative"]:
        found = decide(None, reading(category))
        sure = category in ("group_1", "single_high", "call_positive")
        assert found.status == ("positive" if sure else "indeterminate")
        assert "ihc_missing" in found.flags


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"observer": "  ANN "}, "the observer is the same"),
        ({"observer": ""}, "an observer is not named"),
        ({"blinded": None}, "not stated to be blinded"),
        ({"blinded": False}, "not stated to be blinded"),
        ({"includes_2plus_area": None}, "area with IHC 2+"),
        ({"count": IshCount(cells=19, her2=66, cep17=28)}, "too few cells were counted (19)"),
        ({"count": None, "call": "group_2"}, "the number of its cells is not known"),
        ({"count": None, "call": "group_2", "called_cells": 19}, "too few cells"),
        ({"count": None, "call": "call_negative", "called_cells": 40}, "names no category"),
        ({"count": None, "call": "indeterminate"}, "called it indeterminate"),
        ({"quality": IshQuality(controls_ok=False)}, "the controls failed"),
    ],
)
def test_a_recount_that_does_not_count_leaves_a_2_plus_equivocal(
    change: dict[str, Any], words: str
) -> None:
    found = decide("2+", reading("group_2"), recount("group_2", **change))
    assert (found.status, found.rule) == ("equivocal", "group_2.ihc_2.recount_invalid")
    assert {"recount_invalid", "recount_needed"} <= set(found.flags)
    assert words in found.clause


def test_a_recount_by_call_counts_where_its_cells_are_known() -> None:
    second = recount("x", count=None, call="group_2", called_cells=20)
    assert decide("2+", reading("group_2"), second).status == "negative"


@pytest.mark.parametrize("first", [f"group_{n}" for n in range(1, 6)])
@pytest.mark.parametrize("second", [f"group_{n}" for n in range(1, 6)])
def test_a_recount_in_another_category_is_adjudicated(first: str, second: str) -> None:
    if first == second:
        return
    found = decide("2+", reading(first), recount(second))
    assert (found.status, found.rule) == ("equivocal", f"{first}.ihc_2.recount_changed")
    assert "adjudication_pending" in found.flags
    assert "to be adjudicated" in found.clause
    last = decide("2+", reading(first), recount(second), reading(second, "Cy"))
    assert last.rule == f"{second}.ihc_2.adjudicated"
    assert last.status == TABLE[second][2]
    assert f"recounted as {read_category(recount(second), ASCO_CAP).words}" in last.clause
    undecided = decide(
        "2+", reading(first), recount(second), reading("x", call="indeterminate", count=None)
    )
    assert undecided.status == "equivocal"


def test_a_recount_at_another_score_matters_only_where_it_would_change_the_status() -> None:
    same = decide("1+", reading("group_4"), recount("group_5", includes_2plus_area=None))
    assert (same.status, "recount_differs" in same.flags) == ("negative", True)
    other = decide("1+", reading("group_5"), recount("group_1"))
    assert (other.status, "adjudication_pending" in other.flags) == ("equivocal", True)
    assert decide("3+", reading("group_5"), recount("group_1")).status == "positive"


def test_an_adjudication_without_a_changed_recount_decides_nothing() -> None:
    for second in (None, recount("group_2"), recount("group_1", blinded=False)):
        found = decide("2+", reading("group_2"), second, reading("group_1", "Cy"))
        assert found.status == decide("2+", reading("group_2"), second).status != "positive"
        assert "adjudication_unused" in found.flags


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (IshQuality(controls_ok=False), "controls_failed"),
        (IshQuality(invasive_areas=1), "too_few_areas"),
        (IshQuality(weak_signals_pct=Fraction("25.01")), "weak_signals"),
        (IshQuality(cytoplasm_signals_pct=Fraction("10.01")), "cytoplasm_signals"),
        (IshQuality(nuclei_resolved=False), "nuclei_unresolved"),
        (IshQuality(autofluorescence=True), "autofluorescence"),
    ],
)
def test_indeterminate_criteria_leave_the_ihc_score_standing(
    quality: IshQuality, reason: str
) -> None:
    bad = reading("group_5", quality=quality)
    assert read_category(bad, ASCO_CAP).reasons == (reason,)
    statuses = {ihc: decide(ihc, bad).status for ihc in ("0", "1+", "2+", "3+", None)}
    assert statuses == {
        "0": "negative",
        "1+": "negative",
        "2+": "equivocal",
        "3+": "positive",
        None: "indeterminate",
    }
    assert "ish_indeterminate" in decide("2+", bad).flags


def test_at_the_limits_a_reading_still_counts() -> None:
    quality = IshQuality(
        controls_ok=True,
        invasive_areas=2,
        weak_signals_pct=Fraction(25),
        cytoplasm_signals_pct=Fraction(10),
        nuclei_resolved=True,
        autofluorescence=False,
    )
    assert decide("2+", reading("group_5", quality=quality)).status == "negative"


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (IshCount(cells=19, her2=190, cep17=19), "too_few_cells"),
        (IshCount(cells=20, her2=100, cep17=0), "no_cep17_signal"),
    ],
)
def test_too_little_is_counted_for_a_category(count: IshCount, reason: str) -> None:
    assert read_category(reading("x", count=count), ASCO_CAP).reasons == (reason,)
    assert decide("2+", reading("x", count=count)).status == "equivocal"


def test_no_cells_at_all() -> None:
    empty = reading("x", count=IshCount(cells=0, her2=0, cep17=0))
    assert read_category(empty, ASCO_CAP).reasons == ("too_few_cells",)


def test_what_is_not_known_about_a_reading_is_flagged() -> None:
    found = decide("2+", reading("call_negative", quality=IshQuality()))
    assert set(found.flags) == {"controls_not_stated", "counts_not_given"}
    assert decide("2+", reading("group_5")).flags == ()


@pytest.mark.parametrize(
    ("ihc", "status"),
    [
        ("0", "negative"),
        ("1+", "negative"),
        ("2+", "equivocal"),
        ("3+", "positive"),
        (None, "indeterminate"),
    ],
)
def test_without_ish(ihc: str | None, status: str) -> None:
    assert decide_without_ish(ihc).status == status
    assert decide_block([], ihc_score=ihc, guideline=ASCO_CAP) == decide_without_ish(ihc)


def test_tiers() -> None:
    assert tier_with_ish("negative", ihc_score="0", below_one="null") == "her2_null"
    assert tier_with_ish("negative", ihc_score="0", below_one="ultralow") == "her2_ultralow"
    assert tier_with_ish("negative", ihc_score="1+") == "her2_low"
    assert tier_with_ish("negative", ihc_score="2+") == "her2_low"
    assert tier_with_ish("positive", ihc_score="1+") == "her2_positive"
    assert tier_with_ish("equivocal", ihc_score="2+") == "her2_equivocal"
    assert tier_with_ish("indeterminate", ihc_score=None) is None
    for ihc in (None, "3+"):
        with pytest.raises(ValueError, match="cannot end negative"):
            tier_with_ish("negative", ihc_score=ihc)


def block(*readings: BlockReading, ihc: str | None = "2+") -> IshDecision:
    return decide_block(readings, ihc_score=ihc, guideline=ASCO_CAP)


def second(item: IshReading, pct: str) -> BlockReading:
    return BlockReading(reading=item, population=2, population_pct=Fraction(pct))


def test_a_second_population_above_ten_per_cent_is_judged_apart() -> None:
    main = BlockReading(reading=reading("group_5"))
    found = block(main, second(reading("group_1"), "10.1"))
    assert (found.status, found.category) == ("positive", "group_1")
    assert "second_population" in found.flags
    assert "population 2 (10.1 % of the tumour cells)" in found.clause
    assert "group 5" in found.clause
    small = block(main, second(reading("group_1"), "10"))
    assert (small.status, small.flags) == ("negative", ("second_population_minor",))
    assert (
        block(BlockReading(reading=reading("group_1")), second(reading("group_5"), "40")).status
        == "positive"
    )


def test_a_second_population_that_was_not_counted_leaves_a_2_plus_open() -> None:
    main = BlockReading(reading=reading("group_5"))
    few = reading("x", count=IshCount(cells=12, her2=80, cep17=20))
    assert block(main, second(few, "30")).status == "equivocal"
    assert block(main, second(few, "30"), ihc="1+").status == "negative"
    assert block(second(reading("group_5"), "30")).status == "equivocal"  # no main population


def test_the_dual_probe_comes_before_the_single_one() -> None:
    dual, single = (BlockReading(reading=reading(name)) for name in ("group_5", "single_middle"))
    assert block(dual, single).status == block(single, dual).status == "negative"
    assert block(dual, single).flags == ()
    positive = BlockReading(reading=reading("single_high"))
    found = block(dual, positive)
    assert (found.status, found.flags) == ("negative", ("single_probe_disagrees",))
    assert found.discordant
    lost = BlockReading(reading=reading("group_5", quality=IshQuality(controls_ok=False)))
    found = block(lost, positive)
    assert (found.status, "dual_probe_indeterminate" in found.flags) == ("positive", True)
    one = BlockReading(reading=reading("group_1"))
    assert block(one, BlockReading(reading=reading("single_middle"))).status == "positive"


def test_two_readings_of_one_place_are_refused() -> None:
    item = BlockReading(reading=reading("group_5"))
    with pytest.raises(ValueError, match="same place"):
        block(item, item)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: IshCount(cells=20, her2=-1, cep17=3),
        lambda: IshCount(cells=20, her2=1.5, cep17=3),  # type: ignore[arg-type]
        lambda: IshCount(cells=True, her2=1, cep17=3),
        lambda: IshCount(cells=0, her2=1, cep17=0),
        lambda: IshQuality(invasive_areas=-1),
        lambda: IshQuality(weak_signals_pct=Fraction(101)),
        lambda: IshReading(probe="dual"),
        lambda: IshReading(probe="dual", count=COUNTS["group_1"], call="group_1"),
        lambda: IshReading(probe="dual", count=COUNTS["single_low"]),
        lambda: IshReading(probe="single", call="group_1"),
        lambda: IshReading(probe="dual", call="single_low"),
        lambda: IshReading(probe="dual", count=COUNTS["group_1"], called_cells=20),
        lambda: BlockReading(reading=reading("group_1"), population=0),
        lambda: BlockReading(reading=reading("group_1"), population=2),
        lambda: BlockReading(reading=reading("group_1"), population_pct=Fraction(5)),
        lambda: second(reading("group_1"), "101"),
        lambda: IshDecision(status="negative", rule="x", clause="x", flags=("unknown",)),
        lambda: category_of(IshCount(cells=20, her2=1, cep17=0), ASCO_CAP),
        lambda: category_of(IshCount(cells=0, her2=0), ASCO_CAP),
    ],
)
def test_contradictions_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        wrong()
