from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pathology.errors import ConfigError, ModelError, UsageError
from pathology.training.engine.checkpoint import read_progress
from pathology.training.engine.loop import Loop, take_step

MakeLoop = Callable[..., Loop]


def same(one: Loop, two: Loop) -> bool:
    first, second = one.state.tensors(), two.state.tensors()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_stopped_training_goes_on_bit_for_bit(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    whole = make_loop("whole")
    assert whole.run()
    halved = make_loop("halved")
    with monkeypatch.context() as patch:
        patch.setattr("time.monotonic", lambda: float(halved.state.step + 1 >= stop))
        assert not halved.run(until=1.0)
    assert halved.state.step == stop
    again = make_loop("halved")
    assert again.state.step == stop
    assert again.run()
    assert same(whole, again)


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    make_loop: MakeLoop, make_task: Any
) -> None:
    whole = make_loop("whole")
    whole.run()
    task = make_task()
    killed = make_loop("killed", task)
    task.example = _failing_at(task, place=5 * 4)  # the sixth step; checkpoints at 2 and 4
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    again = make_loop("killed")
    assert again.state.step == 4
    again.run()
    assert same(whole, again)


def _failing_at(task: Any, place: int) -> Any:
    make = task.example

    def example(index: int, view_seed: tuple[int, int]) -> object:
        if view_seed[1] >= place:
            raise KeyboardInterrupt
        return make(index, view_seed)

    return example


def test_training_learns(make_loop: MakeLoop) -> None:
    loop = make_loop(steps=60, learning_rate=0.05)
    batch = loop.task.collate([loop.task.example(1, (9, k)) for k in range(8)])

    def error() -> float:
        return float(loop.task.loss(loop.state.average, batch)["all"].sum)

    before = error()
    loop.run()
    assert error() < 0.5 * before


def test_the_best_average_is_kept(make_loop: MakeLoop, make_task: Any) -> None:
    loop = make_loop("best", make_task([0.1, 0.9, 0.5]), measure_every=2)
    loop.run()
    assert (loop.state.best_step, loop.state.best_metrics) == (4, {"score": 0.9})
    until_best = make_loop("until", make_task([0.1, 0.9, 0.5]), measure_every=2)
    while until_best.state.step < 4:
        step = until_best.state.step
        examples = [
            until_best.task.example(index, (3, step * 4 + k))
            for k, index in enumerate(_indices(step))
        ]
        take_step(
            until_best.config,
            until_best.task,
            until_best.ranks,
            until_best.state,
            until_best.task.collate(examples),
        )
    best, last = loop.state.chosen("best"), loop.state.chosen("last")
    for name, value in until_best.state.average.state_dict().items():
        assert torch.equal(value, best.state_dict()[name]), name
    assert not torch.equal(best.state_dict()["first.weight"], last.state_dict()["first.weight"])


def _indices(step: int) -> list[int]:
    from pathology.training.engine.stream import example_at

    return [example_at(step * 4 + k, 5, 3) for k in range(4)]


def test_a_measurement_that_failed_never_beats_one_that_did_not(
    make_loop: MakeLoop, make_task: Any
) -> None:
    loop = make_loop("nan", make_task([math.nan, 0.2, math.nan]), measure_every=2)
    loop.run()
    assert loop.state.best_step == 4


def test_lower_can_be_better(make_loop: MakeLoop, make_task: Any) -> None:
    task = make_task([0.3, 0.1, 0.2])
    task.higher_is_better = False
    loop = make_loop("low", task, measure_every=2)
    loop.run()
    assert loop.state.best_step == 4


def test_every_place_has_its_own_example_and_chance(make_loop: MakeLoop, make_task: Any) -> None:
    task = make_task()
    make_loop("seen", task).run()
    assert [seed for _, seed in task.seen] == [(3, place) for place in range(24)]
    for turn in range(4):
        assert sorted(index for index, _ in task.seen[5 * turn : 5 * turn + 5]) == list(range(5))


def test_a_loss_that_is_not_finite_ends_the_training(make_loop: MakeLoop, make_task: Any) -> None:
    task = make_task()
    task.poison_from = 12
    loop = make_loop("poison", task)
    with pytest.raises(UsageError, match=r"not finite at step 4.*learning_rate"):
        loop.run()
    assert read_progress(loop.checkpoint).step == 2


def test_other_settings_are_refused_by_name(make_loop: MakeLoop) -> None:
    make_loop("a").run()
    with pytest.raises(ConfigError, match=r"checkpoint\.safetensors.*steps is 6 there and 8 here"):
        make_loop("a", steps=8)
    # What does not change what is learned may differ.
    assert make_loop("a", workers=2, log_every=3).state.step == 6


def test_another_architecture_is_refused(make_loop: MakeLoop, make_task: Any) -> None:
    make_loop("a").run()
    wider = make_task()
    wider.width = 5
    with pytest.raises(ModelError, match=r"another architecture.*first\.weight.*\[4, 1, 3, 3\]"):
        make_loop("a", wider)


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_a_damaged_checkpoint_is_refused(make_loop: MakeLoop, damage: str) -> None:
    loop = make_loop("a")
    loop.run()
    content = loop.checkpoint.read_bytes()
    changed = {"cut": content[: len(content) // 2], "other": b"not this", "empty": b""}[damage]
    loop.checkpoint.write_bytes(changed)
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors.*--no-resume"):
        make_loop("a")


def test_a_full_disk_leaves_the_old_checkpoint(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_loop("a", steps=2)
    loop.run()
    before = loop.checkpoint.read_bytes()

    def full(_: object, __: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    from pathology.errors import OutputError

    with pytest.raises(OutputError, match="disk is full"):
        loop.state.save(loop.checkpoint, loop.config)
    assert loop.checkpoint.read_bytes() == before
    assert [path.name for path in loop.checkpoint.parent.iterdir()] == [loop.checkpoint.name]


def test_a_checkpoint_holds_no_pickle(make_loop: MakeLoop) -> None:
    loop = make_loop("a")
    loop.run()
    content = loop.checkpoint.read_bytes()
    header = int.from_bytes(content[:8], "little")
    assert content[8:10] == b'{"'
    assert b"her2_training" in content[8 : 8 + header]
