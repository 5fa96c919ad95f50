from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pathology.cells import CELL_CLASSES
from pathology.errors import UsageError
from pathology.training.config import TrainingConfig
from pathology.training.data.samples import Sample, make_sample
from pathology.training.data.sources import ENDLESS_SEED, Mixture, SyntheticFields
from pathology.training.engine.distributed import Ranks
from pathology.training.engine.stream import Steps, example_at, make_stream
from pathology.training.engine.task import ENDLESS
from pathology.training.specs import SyntheticSpec


@given(length=st.integers(1, 40), seed=st.integers(0, 1000), turn=st.integers(0, 1000))
def test_each_turn_holds_each_example_once(length: int, seed: int, turn: int) -> None:
    places = range(turn * length, (turn + 1) * length)
    assert sorted(example_at(place, length, seed) for place in places) == list(range(length))


def test_turns_and_seeds_differ() -> None:
    orders = {
        tuple(example_at(turn * 20 + k, 20, seed) for k in range(20))
        for turn in range(3)
        for seed in range(3)
    }
    assert len(orders) == 9


@given(world=st.sampled_from([1, 2, 3, 4, 6]), step=st.integers(0, 50))
def test_processes_share_a_batch_without_gap_or_overlap(world: int, step: int) -> None:
    cpu = torch.device("cpu")
    shares = [Ranks(rank=rank, world=world, device=cpu).share(12) for rank in range(world)]
    assert [place for share in shares for place in share] == list(range(12))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UsageError, match="batch of 4 cannot be divided among 3"):
        Ranks(rank=0, world=3, device=torch.device("cpu")).share(4)


def test_a_stream_begins_anywhere(make_task: Any) -> None:
    steps = Steps(task=make_task(), seed=3, batch=4, share=range(2, 4))
    ranks = Ranks(rank=0, world=1, device=torch.device("cpu"))
    whole = list(make_stream(steps, 0, 6, workers=0, ranks=ranks))
    tail = list(make_stream(steps, 4, 6, workers=0, ranks=ranks))
    assert len(whole) == 6
    for one, two in zip(whole[4:], tail, strict=True):
        assert torch.equal(one["image"], two["image"])
    assert whole[0]["image"].shape[0] == 2


class Numbers:
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int) -> Sample:
        raise NotImplementedError


@settings(max_examples=20, deadline=None)
@given(
    weights=st.lists(st.floats(0.05, 20), min_size=1, max_size=4),
    seed=st.integers(0, 100),
)
def test_sources_are_drawn_by_weight(weights: list[float], seed: int) -> None:
    mixture = Mixture([Numbers(7) for _ in weights], weights, seed)
    drawn = Counter(mixture.at(place)[0] for place in range(1000))
    for source, weight in enumerate(weights):
        expected = 1000 * weight / sum(weights)
        assert abs(drawn[source] - expected) <= 0.12 * 1000


@pytest.mark.parametrize(("weights", "rare"), [([300, 1], 3), ([1000, 1], 1), ([1, 199, 200], 2)])
def test_a_rare_source_stays_rare(weights: list[float], rare: int) -> None:
    mixture = Mixture([Numbers(7) for _ in weights], weights, 3)
    source = weights.index(min(weights))
    drawn = sum(mixture.at(place)[0] == source for place in range(1000))
    assert 1 <= drawn <= 2 * rare + 1


def test_within_a_source_each_turn_holds_each_example_once() -> None:
    mixture = Mixture([Numbers(5), Numbers(ENDLESS)], [3, 1], seed=2)
    places = [mixture.at(place) for place in range(200)]
    first = [index for source, index in places if source == 0]
    assert len(first) == 150
    for turn in range(30):
        assert sorted(first[5 * turn : 5 * turn + 5]) == list(range(5))
    assert [index for source, index in places if source == 1] == list(range(50))


def test_kept_fields_are_the_drawn_ones(tmp_path: Path) -> None:
    source = SyntheticFields(fields=2, first=5, size_px=128, cache=tmp_path)
    source.check()
    assert source.missing() == [0, 1]
    drawn, kept = source.sample(1), source.sample(1)
    assert source.missing() == [0]
    for name, value in vars(make_sample(6, 128)).items():
        np.testing.assert_array_equal(getattr(drawn, name), value)
        np.testing.assert_array_equal(getattr(kept, name), value)


def test_another_generator_or_size_has_another_folder(tmp_path: Path) -> None:
    folders = {
        SyntheticFields(fields=2, size_px=size, cache=tmp_path, generator=generator).folder
        for size in (128, 192)
        for generator in ("a", "b")
    }
    assert len(folders) == 4


def test_endless_fields_are_not_kept(tmp_path: Path) -> None:
    source = SyntheticFields(fields=None, size_px=128, cache=tmp_path)
    assert len(source) == ENDLESS
    found = source.sample(3)
    np.testing.assert_array_equal(found.rgb, make_sample(ENDLESS_SEED + 3, 128).rgb)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_is_found_wrong_before_anything_is_drawn(
    make_config: Callable[..., TrainingConfig],
) -> None:
    with pytest.raises(ValueError, match="900000"):
        make_config(sources=[{"kind": "synthetic", "fields": 10, "seed": 899_995}])


def test_fields_without_tumour_hold_none(tmp_path: Path) -> None:
    source = SyntheticFields(fields=4, first=50, size_px=128, only="without_tumour", cache=tmp_path)
    source.check()
    seeds = [source.seed(index) for index in range(4)]
    assert seeds == sorted(set(seeds))
    assert seeds[0] >= 50
    for index in range(4):
        assert CELL_CLASSES.index("tumour") not in source.sample(index).classes
    assert source.missing() == []
    # The same seeds without the choice do hold some.
    every = SyntheticFields(fields=8, first=50, size_px=128, cache=tmp_path)
    assert any((every.sample(index).classes == 0).any() for index in range(8))


def test_a_choice_of_fields_needs_a_number() -> None:
    with pytest.raises(ValidationError, match="needs a number of fields"):
        SyntheticSpec(only="without_tumour")
