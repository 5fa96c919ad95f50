"""What holds for the rules of every guideline, whatever the counts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathology.config import load_config
from pathology.scoring import (
    ClusterSizes,
    Evidence,
    PatternCounts,
    apply_rules,
    guideline_names,
    load_guideline,
    rederive_score,
    score_evidence,
)
from pathology.scoring.breast_steps import RULE_SCORES as BREAST_RULES
from pathology.scoring.gastric_steps import RULE_SCORES as GASTRIC_RULES
from pathology.scoring.guidelines import SPECIMENS, Guideline
from pathology.scoring.rules import OUTCOMES, RULE_SETS, classify_many
from pathology.scoring.tiers import her2_status, her2_tier

PARAMS = load_config().scoring
FIELDS = tuple(PatternCounts.__dataclass_fields__)
RANK = {"0": 0, "1+": 1, "2+": 2, "3+": 3}
SEEDS = st.integers(0, 2**32 - 1)
#: Name of each kind of cell by its code; nothing is complete and unstained.
KINDS = ["unstained", ""] + [
    f"{word}_{how}"
    for word in ("faint", "weak", "moderate", "intense")
    for how in ("incomplete", "complete")
]


def resolved(name: str) -> list[Guideline]:
    """A guideline as slides are scored by it: once for each specimen type."""
    guideline = load_guideline(name)
    return [
        found
        for specimen in guideline.specimens or ("",)
        if (found := guideline.for_specimen(specimen)) is not None
    ]


GUIDELINES = [item for name in guideline_names() for item in resolved(name)]
GASTRIC = [item for item in GUIDELINES if item.rules == "gastric"]
EACH = pytest.mark.parametrize("guideline", GUIDELINES, ids=lambda g: f"{g.id}-{g.specimen}")


def test_every_guideline_is_here() -> None:
    assert {item.id for item in GUIDELINES} == set(guideline_names())
    assert {item.specimen for item in GASTRIC} == set(SPECIMENS)


def slow_gastric(counts: PatternCounts, sizes: ClusterSizes, guideline: Guideline) -> str:
    """The gastric categories once more, in fractions, straight from the table."""
    held = {name: Fraction(getattr(counts, name), counts.total) for name in FIELDS}
    strong = held["intense_incomplete"] + held["intense_complete"]
    middle = sum(
        held[f"{word}_{how}"] for word in ("weak", "moderate") for how in ("incomplete", "complete")
    )
    faint = held["faint_incomplete"] + held["faint_complete"]
    strict = guideline.id.endswith("strict")
    if guideline.specimen == "biopsy":
        clusters = (
            sizes.level_3,
            max(sizes.level_3, sizes.level_2),
            max(sizes.level_3, sizes.level_2, sizes.level_1),
        )
        found = [size > 5 or (size == 5 and not strict) for size in clusters]
    else:
        shares = (strong, strong + middle, strong + middle + faint)
        tenth = Fraction(1, 10)
        found = [share > tenth or (share == tenth and not strict) for share in shares]
    for passed, score in zip(found, ("3+", "2+", "1+"), strict=True):
        if passed:
            return score
    return "ultralow" if strong + middle + faint > 0 else "null"


def columns_of(counts: PatternCounts, guideline: Guideline) -> np.ndarray:
    """The columns that the vectorised rules count in, one kind of cell at a time."""
    row = np.zeros((1, 5), dtype=np.int64)
    rules = RULE_SETS[guideline.rules]
    for kind in range(10):
        if KINDS[kind]:
            code = rules.codes(np.array([kind], dtype=np.uint8), guideline)[0]
            row[0, code] += getattr(counts, KINDS[kind])
    return row


def clustered_of(sizes: ClusterSizes, guideline: Guideline) -> np.ndarray:
    rules = RULE_SETS[guideline.rules]
    least = rules.least(guideline, PARAMS)
    if least is None:
        return np.zeros((1, 3), dtype=np.bool_)
    held = [
        sizes.complete if name == "complete_weak_moderate" else getattr(sizes, name)
        for name in rules.sizes
    ]
    return np.array([held]) >= least


def check(counts: PatternCounts, sizes: ClusterSizes, guideline: Guideline) -> str:
    """Hold the rules, their vectorised twin, the audit and the reference against each other."""
    found = apply_rules(counts, guideline=guideline, params=PARAMS, clusters=sizes)
    outcome = found.below_one or found.score or "unresolved"
    code = classify_many(
        columns_of(counts, guideline),
        clustered_of(sizes, guideline),
        guideline=guideline,
        params=PARAMS,
    )[0]
    assert OUTCOMES[code] == outcome
    if guideline.rules == "gastric":
        assert outcome == slow_gastric(counts, sizes, guideline)
    assert rederive_score(found.rule, counts, guideline=guideline) == found.score
    assert found.clause.startswith(str(found.score))
    assert found.nearest_score != found.score
    assert found.nearest_score in RANK
    assert 0 <= found.distance_pp <= 100
    assert her2_status(found.score) != "indeterminate"
    tier = her2_tier(found.score, below_one=found.below_one, low_tiers=guideline.low_tiers)
    assert (tier is None) == (not guideline.low_tiers and found.score in ("0", "1+"))
    return found.rule.partition("/")[0]


CELLS = st.one_of(st.integers(0, 12), st.integers(90, 110), st.integers(0, 1000))


@st.composite
def inputs(draw: st.DrawFn) -> tuple[PatternCounts, ClusterSizes]:
    """Counts of about a thousand cells, and clusters that such cells can make."""
    keep = draw(st.sets(st.sampled_from(FIELDS[1:])))
    stained = {name: draw(CELLS) for name in sorted(keep)}
    rest = draw(st.one_of(st.just(max(0, 1000 - sum(stained.values()))), st.integers(0, 2000)))
    counts = PatternCounts(unstained=max(rest, 0 if sum(stained.values()) else 1), **stained)
    third = counts.intense_incomplete + counts.intense_complete
    second = third + counts.weak_incomplete + counts.weak_complete
    second += counts.moderate_incomplete + counts.moderate_complete
    first = counts.total - counts.unstained
    most = st.sampled_from([4, 5, 6, 40])
    level_3 = draw(st.integers(0, min(third, draw(most))))
    level_2 = draw(st.integers(level_3, max(level_3, min(second, draw(most)))))
    level_1 = draw(st.integers(level_2, max(level_2, min(first, draw(most)))))
    sizes = ClusterSizes(
        complete_intense=draw(st.integers(0, 40)),
        complete_weak_moderate=draw(st.integers(0, 40)),
        incomplete_moderate_intense=draw(st.integers(0, 40)),
        level_1=level_1,
        level_2=level_2,
        level_3=level_3,
    )
    return counts, sizes


@EACH
@settings(max_examples=60, deadline=None)
@given(made=inputs())
def test_every_face_of_the_rules_agrees(guideline: Guideline, made) -> None:
    check(*made, guideline)


@EACH
def test_every_input_has_one_clause_and_every_clause_is_reached(guideline: Guideline) -> None:
    """All shares around floors and cut-offs, with clusters around their least size."""
    total, marks = 300, (0, 4, 30, 31)
    rules = set()
    for faint, weak, moderate, intense in itertools.product(marks, repeat=4):
        for complete, size in ((False, 4), (True, 5), (False, 6)):
            word = "complete" if complete else "incomplete"
            counts = PatternCounts(
                unstained=total - faint - weak - moderate - intense,
                **{
                    f"faint_{word}": faint,
                    f"weak_{word}": weak,
                    f"moderate_{word}": moderate,
                    f"intense_{word}": intense,
                },
            )
            sizes = ClusterSizes(
                level_3=min(size, intense),
                level_2=min(size, intense + moderate + weak),
                level_1=min(size, intense + moderate + weak + faint),
            )
            rules.add(check(counts, sizes, guideline))
    known = GASTRIC_RULES if guideline.rules == "gastric" else BREAST_RULES
    reachable = {
        name
        for name in known
        # Under the default gap policy the other two have no input.
        if name not in ("7_gap_score_2", "7_gap_unresolved")
        and (guideline.specimen is None or name.startswith(guideline.specimen))
    }
    assert rules == reachable


@pytest.mark.parametrize(
    "guideline",
    [g for g in GUIDELINES if g.specimen != "biopsy"],
    ids=lambda g: f"{g.id}-{g.specimen}",
)
@settings(max_examples=40, deadline=None)
@given(total=st.integers(10, 10**7), data=st.data())
def test_both_sides_of_every_cut_off_on_integers(guideline: Guideline, total: int, data) -> None:
    """The last count that does not pass, and the next one."""
    breast = guideline.rules == "breast_asco_cap"
    kind, level = data.draw(
        st.sampled_from(
            [("intense_complete", 3), ("weak_complete", 2), ("faint_incomplete", 1)]
            + ([("intense_incomplete", 2)] if breast else [("intense_incomplete", 3)])
        )
    )
    strict = guideline.cutoffs[f"score_{level}"].strict
    last = total // 10 if strict else -(-total // 10) - 1
    params = PARAMS.model_copy(update={"pattern_floor_pct": 0.0})
    scores = [
        apply_rules(
            PatternCounts(**{kind: n, "unstained": total - n}),
            guideline=guideline,
            params=params,
            clusters=ClusterSizes(),
        ).score
        for n in (last, last + 1)
    ]
    below = {3: "2+", 2: "1+", 1: "0"}[level] if breast else "0"
    assert scores == [below if last else "0", f"{level}+"]


@pytest.mark.parametrize(
    "guideline", [g for g in GASTRIC if g.specimen == "biopsy"], ids=lambda g: g.id
)
@given(level=st.integers(1, 3), n=st.integers(6, 10**6))
@settings(max_examples=30, deadline=None)
def test_both_sides_of_the_least_cluster(guideline: Guideline, level: int, n: int) -> None:
    kind = {1: "faint_incomplete", 2: "moderate_incomplete", 3: "intense_incomplete"}[level]
    least = guideline.clusters["biopsy"].least
    counts = PatternCounts(**{kind: n, "unstained": 100})
    scores = [
        apply_rules(
            counts,
            guideline=guideline,
            params=PARAMS,
            clusters=ClusterSizes(**{f"level_{k}": size for k in range(1, level + 1)}),
        ).score
        for size in (least - 1, least)
    ]
    assert scores == ["0", f"{level}+"]


#: Each kind of cell, and what it becomes with stronger or with more complete staining.
LADDER = {
    "unstained": ("faint_incomplete",),
    "faint_incomplete": ("weak_incomplete", "faint_complete"),
    "weak_incomplete": ("moderate_incomplete", "weak_complete"),
    "moderate_incomplete": ("intense_incomplete", "moderate_complete"),
    "intense_incomplete": ("intense_complete",),
    "faint_complete": ("weak_complete",),
    "weak_complete": ("moderate_complete",),
    "moderate_complete": ("intense_complete",),
}


@pytest.mark.parametrize("guideline", GASTRIC, ids=lambda g: f"{g.id}-{g.specimen}")
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, more=st.integers(1, 60))
def test_a_stronger_or_more_complete_cell_never_lowers_a_gastric_score(guideline, seed, more):
    """On slides, so that clusters grow with their cells. Breast and its exceptions: test_rules."""
    generator = np.random.default_rng(seed)
    evidence = replace(slide_of(generator, 300), off_scale=None)
    kinds = 2 * evidence.intensity + evidence.complete
    for row in generator.integers(0, evidence.n, more):
        options = LADDER.get(KINDS[kinds[row]])
        if options:
            kinds[row] = KINDS.index(options[generator.integers(len(options))])
    after = replace(
        evidence, intensity=(kinds // 2).astype(np.uint8), complete=(kinds % 2).astype(np.bool_)
    )
    params = PARAMS.model_copy(update={"bootstrap_replicates": 0})
    before, later = (
        score_evidence(item, params, guideline=guideline).ihc_score for item in (evidence, after)
    )
    assert RANK[str(later)] >= RANK[str(before)]


def slide_of(generator: np.random.Generator, n: int) -> Evidence:
    """Cells in a small tumour, some of them touching, with kinds of any mixture."""
    weights = generator.dirichlet(np.full(5, 0.3))
    intensity = generator.choice(5, n, p=weights).astype(np.uint8)
    x, y = generator.uniform(0, 900, (2, n)).astype(np.float32)
    return Evidence(
        x_um=x,
        y_um=y,
        intensity=intensity,
        complete=(generator.random(n) < 0.5) & (intensity > 0),
        membrane_od=generator.uniform(0, 1, n).astype(np.float32),
        tissue_mm2=1.0,
        # A little fainter: one step of intensity less, and never complete.
        off_scale=np.stack([2 * (np.maximum(intensity, 1) - 1)] * 4).astype(np.uint8),
    )


@EACH
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, side=st.sampled_from([130.0, 512.0]))
def test_neither_order_nor_tiles_matter(guideline: Guideline, seed: int, side: float) -> None:
    params = PARAMS.model_copy(update={"bootstrap_replicates": 60})
    generator = np.random.default_rng(seed)
    evidence = slide_of(generator, 300)
    whole = score_evidence(evidence, params, guideline=guideline)
    tile = (evidence.y_um // side) * 1000 + evidence.x_um // side
    for order in (generator.permutation(300), np.argsort(tile, kind="stable")):
        moved = replace(
            evidence,
            **{
                name: getattr(evidence, name)[order]
                for name in ("x_um", "y_um", "intensity", "complete", "membrane_od")
            },
            off_scale=evidence.off_scale[:, order],
        )
        assert score_evidence(moved, params, guideline=guideline) == whole
