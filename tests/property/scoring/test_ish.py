"""ISH once more, straight from the table in words, and every rule by some input."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.scoring.ish_block import BlockReading, decide_block
from pathology.scoring.ish_case import BlockEvidence, OtherBlock, decide_case
from pathology.scoring.ish_counts import (
    IshCount,
    IshQuality,
    IshReading,
    category_of,
    read_category,
)
from pathology.scoring.ish_guideline import ISH_CATEGORIES, load_ish_guideline
from pathology.scoring.ish_rules import (
    ISH_FLAGS,
    RECOUNT_STATES,
    IshDecision,
    Readings,
    decide_readings,
    tier_with_ish,
)
from pathology.scoring.tiers import TIER_ORDER

ASCO_CAP = load_ish_guideline("asco-cap-2018")
SCORES = ("0", "1+", "2+", "3+", None)
CLASSES = ("ihc_0_1", "ihc_2", "ihc_3", "ihc_missing")


def slow_category(count: IshCount) -> str:
    """The groups once more, in fractions."""
    copies = Fraction(count.her2, count.cells)
    if count.cep17 is None:
        return "single_high" if copies >= 6 else "single_middle" if copies >= 4 else "single_low"
    ratio = Fraction(count.her2, count.cep17)
    tests = {
        "group_1": ratio >= 2 and copies >= 4,
        "group_2": ratio >= 2 and copies < 4,
        "group_3": ratio < 2 and copies >= 6,
        "group_4": ratio < 2 and 4 <= copies < 6,
        "group_5": ratio < 2 and copies < 4,
    }
    (found,) = (name for name, holds in tests.items() if holds)
    return found


@st.composite
def counts(draw: st.DrawFn, *, min_cells: int = 1) -> IshCount:
    """Counts near the cut-offs and far from them."""
    cells = draw(st.integers(min_cells, 60))
    cep17 = draw(st.integers(1, 6 * cells))
    near = draw(st.sampled_from([4 * cells, 6 * cells, 2 * cep17]))
    her2 = draw(st.one_of(st.integers(max(0, near - 1), near + 1), st.integers(0, 20 * cells)))
    return IshCount(cells=cells, her2=her2, cep17=draw(st.sampled_from([cep17, None])))


@given(counts())
def test_every_count_falls_in_the_one_category_of_the_table(count: IshCount) -> None:
    assert category_of(count, ASCO_CAP) == slow_category(count)


@given(counts(), st.integers(1, 50))
def test_the_category_does_not_depend_on_how_often_one_counts(count: IshCount, k: int) -> None:
    more = IshCount(
        cells=k * count.cells,
        her2=k * count.her2,
        cep17=None if count.cep17 is None else k * count.cep17,
    )
    assert category_of(more, ASCO_CAP) == category_of(count, ASCO_CAP)


@given(counts(), st.integers(0, 40))
def test_more_her2_never_takes_amplification_back(count: IshCount, extra: int) -> None:
    more = IshCount(cells=count.cells, her2=count.her2 + extra, cep17=count.cep17)
    amplified = ("group_1", "single_high")
    if category_of(count, ASCO_CAP) in amplified:
        assert category_of(more, ASCO_CAP) in amplified


QUALITIES = st.builds(
    IshQuality,
    controls_ok=st.sampled_from([True, True, None, False]),
    invasive_areas=st.sampled_from([None, 1, 2]),
    weak_signals_pct=st.sampled_from([None, Fraction(25), Fraction(26)]),
    cytoplasm_signals_pct=st.sampled_from([None, Fraction(10), Fraction(11)]),
    nuclei_resolved=st.sampled_from([None, True, False]),
    autofluorescence=st.sampled_from([None, True, False]),
)
FINE = st.just(IshQuality(controls_ok=True))


@st.composite
def readings(draw: st.DrawFn) -> IshReading:
    about = {
        "observer": draw(st.sampled_from(["", "Ann", "Bob"])),
        "blinded": draw(st.sampled_from([True, None])),
        "includes_2plus_area": draw(st.sampled_from([True, None])),
        "quality": draw(st.one_of(FINE, QUALITIES)),
    }
    if draw(st.booleans()):
        count = draw(counts(min_cells=15))
        return IshReading(probe=count.probe, count=count, **about)
    probe = draw(st.sampled_from(["dual", "single"]))
    other = "single_" if probe == "dual" else "group_"
    calls = [name for name in (*ISH_CATEGORIES, "indeterminate") if not name.startswith(other)]
    cells = draw(st.sampled_from([None, 19, 20]))
    return IshReading(probe=probe, call=draw(st.sampled_from(calls)), called_cells=cells, **about)


@st.composite
def blocks(draw: st.DrawFn) -> list[BlockReading]:
    found: dict[object, BlockReading] = {}
    for _ in range(draw(st.integers(0, 6))):
        population = draw(st.sampled_from([1, 1, 2]))
        item = BlockReading(
            reading=draw(readings()),
            stage=draw(st.sampled_from(["first", "recount", "adjudication"])),
            population=population,
            population_pct=None if population == 1 else Fraction(draw(st.integers(5, 15))),
        )
        found.setdefault(item.place, item)
    return list(found.values())


@given(blocks(), st.sampled_from(SCORES), st.randoms())
def test_every_input_gives_one_result_with_a_clause_whatever_the_order(
    given_readings: list[BlockReading], ihc: str | None, random
) -> None:
    found = decide_block(given_readings, ihc_score=ihc, guideline=ASCO_CAP)
    assert found.clause.endswith(found.status) or found.status in found.clause
    assert found.rule in all_rules()
    below = "null" if ihc == "0" else None
    tier = tier_with_ish(found.status, ihc_score=ihc, below_one=below)
    assert (tier is None) == (found.status == "indeterminate")
    shuffled = list(given_readings)
    random.shuffle(shuffled)
    assert decide_block(shuffled, ihc_score=ihc, guideline=ASCO_CAP) == found


@given(blocks(), st.sampled_from(SCORES))
def test_what_is_missing_never_becomes_negative(
    given_readings: list[BlockReading], ihc: str | None
) -> None:
    found = decide_block(given_readings, ihc_score=ihc, guideline=ASCO_CAP)
    if found.status != "negative":
        return
    assert ihc in ("0", "1+", "2+")
    if ihc != "2+":
        return
    # A 2+ is negative only by a category of its own block, never by what was left open.
    assert found.category is not None
    assert not {"recount_needed", "adjudication_pending", "ihc_missing"} & set(found.flags)
    if found.category in ("group_2", "group_4"):
        assert found.rule.endswith((".recount_confirmed", ".adjudicated"))


@given(blocks())
def test_ihc_3_is_never_below_positive(given_readings: list[BlockReading]) -> None:
    assert decide_block(given_readings, ihc_score="3+", guideline=ASCO_CAP).status == "positive"


def all_rules() -> frozenset[str]:
    """Every rule that there may be, from the guideline's file alone."""
    names = {f"{name}.{column}" for name in ("no_ish", "ish_indeterminate") for column in CLASSES}
    for category, column in itertools.product(ISH_CATEGORIES, CLASSES):
        rule, outcome = f"{category}.{column}", ASCO_CAP.outcomes[category][column]  # type: ignore[index]
        names |= {f"{rule}.adjudicated"}
        if outcome.recount:
            names |= {f"{rule}.{state}" for state in RECOUNT_STATES}
            continue
        names.add(rule)
        if _can_change(category, column):
            names.add(f"{rule}.recount_changed")
    return frozenset(names)


def _can_change(category: str, column: str) -> bool:
    """Whether some other category of the same probe has another status or asks for a recount."""
    if category.startswith("single"):
        others = [name for name in ISH_CATEGORIES if name.startswith("single")]
    else:
        others = [name for name in ISH_CATEGORIES if name.startswith("group")]
    own = ASCO_CAP.outcomes[category][column]  # type: ignore[index]
    rest = [ASCO_CAP.outcomes[name][column] for name in others if name != category]  # type: ignore[index]
    return any(item.recount or item.status != own.status for item in rest)


def exhaustive() -> dict[str, IshDecision]:
    """Decide on every triple of one reading per category, valid and invalid recounts."""
    numbers = {
        "group_1": (120, 40), "group_2": (70, 30), "group_3": (130, 80), "group_4": (100, 60),
        "group_5": (50, 40), "single_high": (120, None), "single_middle": (100, None),
        "single_low": (50, None),
    }  # fmt: skip

    def make(category: str, probe: str, observer: str) -> IshReading:
        about = {"observer": observer, "blinded": True, "includes_2plus_area": True}
        if category in numbers:
            her2, cep17 = numbers[category]
            return IshReading(
                probe=probe, count=IshCount(cells=20, her2=her2, cep17=cep17), **about
            )
        return IshReading(probe=probe, call=category, **about)

    found: dict[str, IshDecision] = {}
    for probe, other in (("dual", "single_"), ("single", "group_")):
        names = [n for n in (*ISH_CATEGORIES, "indeterminate") if not n.startswith(other)]
        firsts = [None, *(make(name, probe, "Ann") for name in names)]
        # One recount by the same observer is enough: it is invalid whatever it says.
        seconds = [None, make(names[0], probe, "Ann"), *(make(n, probe, "Bob") for n in names)]
        lasts = [None, *(make(name, probe, "Cy") for name in names)]
        for first, second, last, ihc in itertools.product(firsts, seconds, lasts, SCORES):
            decision = decide_readings(
                Readings(first=first, recount=second, adjudication=last),
                ihc_score=ihc,
                guideline=ASCO_CAP,
            )
            found.setdefault(decision.rule, decision)
    for ihc in SCORES:
        decision = decide_block([], ihc_score=ihc, guideline=ASCO_CAP)
        found.setdefault(decision.rule, decision)
    return found


def test_every_rule_is_reached_by_some_input_and_no_other_exists() -> None:
    assert set(exhaustive()) == all_rules()


@st.composite
def evidence(draw: st.DrawFn) -> BlockEvidence:
    ihc = draw(st.sampled_from(SCORES))
    return BlockEvidence(
        name="block B",
        ihc_score=ihc,
        below_one=draw(st.sampled_from(["null", "ultralow"])) if ihc == "0" else None,
        open_ended=draw(st.sampled_from([False, False, True])),
        readings=tuple(draw(blocks())),
        index=draw(st.sampled_from([False, False, False, True])),
    )


@given(st.lists(evidence(), min_size=1, max_size=4), st.booleans())
def test_a_case_is_its_highest_block_or_its_index_block(
    given_blocks: list[BlockEvidence], with_other: bool
) -> None:
    other = IshReading(probe="dual", count=IshCount(cells=20, her2=120, cep17=40))
    others = [OtherBlock(name="block Z", readings=(BlockReading(reading=other),))]
    found = decide_case(given_blocks, guideline=ASCO_CAP, others=others if with_other else ())
    assert found.clause
    assert set(found.flags) <= set(ISH_FLAGS)
    assert ("other_block_positive" in found.flags) == with_other
    assert found.discordant or not with_other
    alone = decide_case(given_blocks, guideline=ASCO_CAP)
    assert (found.status, found.tier) == (alone.status, alone.tier), "another block never decides"
    declared = [place for place, block in enumerate(given_blocks) if block.index]
    counted = declared or range(len(given_blocks))
    tiers = [found.blocks[place].tier for place in counted if found.blocks[place] is not None]
    if len(declared) > 1 or not tiers:
        assert (found.status, found.tier) == ("indeterminate", None)
    elif "her2_positive" in tiers:
        assert found.tier == "her2_positive"
    elif None in tiers:
        assert found.tier is None
    else:
        assert found.tier == max(tiers, key=TIER_ORDER.index)


@pytest.mark.parametrize("category", [name for name in ISH_CATEGORIES if "call" not in name])
def test_words_name_the_category(category: str) -> None:
    found = exhaustive_words()[category]
    assert found.category == category
    assert "HER2" in found.words


def exhaustive_words() -> dict[str, object]:
    found = {}
    for her2, cep17 in ((120, 40), (70, 30), (130, 80), (100, 60), (50, 40)):
        for other in (cep17, None):
            probe = "single" if other is None else "dual"
            count = IshCount(cells=20, her2=her2, cep17=other)
            words = read_category(IshReading(probe=probe, count=count), ASCO_CAP)
            found[words.category] = words
    return found
