"""Permuted blocks: balance, reproducibility, independence of strata, fairness."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.cohort.blocks import BlockDesign, draw_list, draw_lists

DESIGNS = st.sampled_from(
    [
        BlockDesign(ratio={"A": 2, "B": 1}, block_sizes=(3,)),
        BlockDesign(ratio={"A": 2, "B": 1}, block_sizes=(3, 6, 9)),
        BlockDesign(ratio={"A": 1, "B": 1}, block_sizes=(2, 4)),
        BlockDesign(ratio={"A": 3, "B": 2, "C": 1}, block_sizes=(6, 12)),
    ]
)
SEEDS = st.integers(0, 2**63)


@given(DESIGNS, SEEDS, st.integers(1, 80))
def test_every_block_is_whole_and_keeps_the_ratio(
    design: BlockDesign, seed: int, length: int
) -> None:
    lines = draw_list(design, stratum="s", length=length, seed=seed)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert length <= len(lines) < length + max(design.block_sizes)
    for number, (block, members) in enumerate(groupby(lines, key=lambda line: line.block), start=1):
        held = list(members)
        assert block == number
        assert {line.block_size for line in held} == {len(held)}
        assert len(held) in design.block_sizes
        whole = {arm: part * len(held) // design.unit for arm, part in design.ratio.items()}
        assert Counter(line.arm for line in held) == whole


@given(DESIGNS, SEEDS, st.integers(1, 40), st.integers(0, 40))
def test_a_list_is_the_same_again_and_a_longer_one_begins_with_it(
    design: BlockDesign, seed: int, length: int, more: int
) -> None:
    lines = draw_list(design, stratum="s", length=length, seed=seed)
    assert draw_list(design, stratum="s", length=length, seed=seed) == lines
    longer = draw_list(design, stratum="s", length=length + more, seed=seed)
    assert longer[: len(lines)] == lines


@given(DESIGNS, SEEDS, st.permutations(["w", "x", "y", "z"]), st.integers(1, 4))
def test_a_stratum_does_not_depend_on_the_others(
    design: BlockDesign, seed: int, order: list[str], kept: int
) -> None:
    alone = {name: draw_list(design, stratum=name, length=12, seed=seed) for name in "wxyz"}
    together = draw_lists(design, strata=order[:kept], length=12, seed=seed)
    for name in order[:kept]:
        assert tuple(line for line in together if line.stratum == name) == alone[name]


def test_strata_and_seeds_give_different_lists() -> None:
    design = BlockDesign(ratio={"A": 2, "B": 1}, block_sizes=(3, 6))
    lists = {
        tuple(line.arm for line in draw_list(design, stratum=name, length=60, seed=seed))
        for name in ("x", "y", "z")
        for seed in range(5)
    }
    assert len(lists) == 15


def test_every_order_of_a_block_is_as_likely() -> None:
    design = BlockDesign(ratio={"A": 2, "B": 1}, block_sizes=(3,))
    lines = draw_list(design, stratum="s", length=9000, seed=3)
    orders = Counter("".join(line.arm for line in lines[k : k + 3]) for k in range(0, 9000, 3))
    assert set(orders) == {"AAB", "ABA", "BAA"}
    # Expected 1,000 each; a chi-square with two degrees of freedom passes 18.4 once in 10,000.
    assert sum((n - 1000) ** 2 / 1000 for n in orders.values()) < 18.4


def test_mixed_sizes_are_as_likely() -> None:
    design = BlockDesign(ratio={"A": 2, "B": 1}, block_sizes=(3, 6))
    lines = draw_list(design, stratum="s", length=9000, seed=4)
    sizes = Counter({line.block: line.block_size for line in lines}.values())
    total = sum(sizes.values())
    assert abs(sizes[3] - total / 2) < 4 * (total / 4) ** 0.5


def test_the_list_of_a_seed_never_changes() -> None:
    # A list in use must come out again after any update: this one is written down.
    design = BlockDesign(ratio={"A": 2, "B": 1}, block_sizes=(3, 6))
    lines = draw_list(design, stratum="IHC 1+, 1 line, HR-negative", length=12, seed=20180511)
    assert "".join(line.arm for line in lines) == GOLDEN


GOLDEN = "BAAABAABAAAB"


@pytest.mark.parametrize(
    ("ratio", "sizes", "message"),
    [
        ({"A": 2, "B": 1}, (4,), "not a multiple of 3"),
        ({"A": 2, "B": 1}, (0,), "not a multiple of 3"),
        ({"A": 2, "B": 1}, (), "at least one block size"),
        ({"A": 2, "B": 1}, (3, 3), "each once"),
        ({"A": 2}, (2,), "two arms"),
        ({"A": 2, "B": 0}, (2,), "two arms"),
    ],
)
def test_designs_check_themselves(
    ratio: dict[str, int], sizes: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        BlockDesign(ratio=ratio, block_sizes=sizes)


def test_seed_and_length_are_checked() -> None:
    design = BlockDesign(ratio={"A": 1, "B": 1}, block_sizes=(2,))
    for wrong in ({"length": 0, "seed": 1}, {"length": 1, "seed": -1}):
        with pytest.raises(ValueError, match="must be"):
            draw_list(design, stratum="s", **wrong)
    with pytest.raises(ValueError, match="named twice"):
        draw_lists(design, strata=("a", "a"), length=2, seed=1)
