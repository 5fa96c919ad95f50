"""The executor against simulated workers that say and die what a seed makes of them.

No process is started: a worker is a generator of messages, and whatever could be next is drawn.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_reader import FakeFactory
from hypothesis import given, settings
from hypothesis import strategies as st
from running import quick_config

from pathology.batch import executor as module
from pathology.batch.executor import LocalExecutor, _Worker
from pathology.batch.jobs import QueuedJobs
from pathology.batch.messages import Advanced, Assignment, Broke, Finished, Job, Preparing, Ready
from pathology.batch.observer import SilentObserver
from pathology.pipeline import Progress, SlideRequest
from pathology.runs import SlideResult

CONFIG = quick_config()
#: What a slide does to the worker that opens it ahead, or scores it in its own turn.
KINDS = ("good", "kills", "kills in its turn", "breaks in its turn", "breaks beside another")
#: Slides that nothing is wrong with where they are alone.
SOUND = ("good", "breaks beside another")


class Died(Exception):
    """The simulated process has ended."""


class Simulated:
    """A worker process with both ends of its pipe."""

    def __init__(self, rng: random.Random, kinds: dict[str, str], devices: int) -> None:
        self.rng, self.kinds, self.devices = rng, kinds, devices
        self.inbox: deque[Assignment | None] = deque()
        self.outbox: deque[object] = deque()
        self.alive, self.ready, self.exitcode = True, False, None
        self.sentinel = object()
        self.ahead: str | None = None  # the slide that the thread is opening
        self.script = self.live()

    # The process.
    def is_alive(self) -> bool:
        return self.alive

    def join(self, _: float | None = None) -> None:
        return

    def kill(self) -> None:
        self.alive = False

    # The pipe, as the parent sees it.
    def poll(self) -> bool:
        return bool(self.outbox) or not self.alive

    def recv(self) -> object:
        if not self.outbox:
            raise EOFError
        return self.outbox.popleft()

    def send(self, task: Assignment | None) -> None:
        if not self.alive:
            raise BrokenPipeError
        self.inbox.append(task)

    def close(self) -> None:
        return

    # Its life.
    def step(self) -> bool:
        """Do the next thing; False where there is nothing to do but to wait for the parent."""
        if not self.alive:
            return False
        try:
            return next(self.script)
        except (Died, StopIteration):
            self.alive, self.exitcode = False, 1
            return True

    def open_ahead(self, *, end: bool = False) -> None:
        if self.ahead is not None and (end or self.rng.random() < 0.3):
            if self.kinds[self.ahead] == "kills":
                raise Died
            self.outbox.append(Preparing(busy=False))
            self.ahead = None

    def live(self) -> Iterator[bool]:
        self.outbox.append(Ready(devices=("cpu",) * self.devices))
        yield True
        self.ready = True
        while True:
            while not self.inbox:
                busy = self.ahead is not None
                self.open_ahead()
                yield busy
            task = self.inbox.popleft()
            if task is None:
                return
            self.open_ahead(end=True)
            yield from self.score(task)

    def score(self, task: Assignment) -> Iterator[bool]:
        slide_id, upcoming = task.job.slide_id, task.upcoming
        self.outbox.append(Advanced(progress=Progress(stage="open")))
        yield True
        kind = self.kinds[slide_id]
        if kind == "kills":
            raise Died
        for part in range(4):
            if part == 1 and upcoming is not None:
                self.outbox.append(Preparing(busy=True))
                self.ahead = upcoming.slide_id
            if part == 2 and kind == "kills in its turn":
                raise Died
            if (kind == "breaks in its turn" and part == 3) or (
                kind == "breaks beside another" and self.ahead is not None
            ):
                self.outbox.append(Broke(kind="ZeroDivisionError", traceback=""))
                raise Died
            self.open_ahead()
            yield True
        self.outbox.append(Finished(result=result_of(task.job)))
        yield True


class HeldJobs(QueuedJobs):
    """A source that at times has nothing to give, as where other processes hold the slides."""

    def __init__(self, jobs: list[Job], rng: random.Random) -> None:
        super().__init__(jobs)
        self.rng = rng

    def take(self) -> Job | None:
        return super().take() if self.rng.random() < 0.7 else None


def result_of(job: Job) -> SlideResult:
    return SlideResult.model_construct(slide_id=job.slide_id, status="scored", reasons=())


def simulate(
    kinds: list[str], *, workers: int, seed: int, held: bool, stray_kills: int = 0
) -> tuple[list[SlideResult], int]:
    """Run all slides; return the results as they came, and how many workers were started."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    named = {f"s{number}": kind for number, kind in enumerate(kinds)}
    jobs = [
        Job(
            slide_id=name,
            request=SlideRequest(path=Path(f"{name}.tif")),
            out_dir=Path("out"),
            config=CONFIG,
        )
        for name in named
    ]
    started: list[Simulated] = []
    kills = [stray_kills]

    class Watched(LocalExecutor):
        def _launch(self, index: int, *, failed_starts: int = 0) -> _Worker:
            made: Any = Simulated(rng, named, workers)
            started.append(made)
            worker = _Worker(
                index=index, process=made, connection=made, failed_starts=failed_starts
            )
            self._workers.append(worker)
            return worker

    def wait(handles: list[object], timeout: float | None = None) -> list[object]:
        there = [s for s in started if s in handles or s.sentinel in handles]
        for _ in range(1000):
            moved = False
            for simulated in rng.sample(there, rng.randint(1, len(there))):
                if kills[0] and simulated.ready and simulated.alive and rng.random() < 0.05:
                    kills[0] -= 1
                    simulated.alive, simulated.exitcode = False, -9
                moved |= simulated.step()
            ready = [s for s in there if s.poll()]
            ends = [s.sentinel for s in there if not s.alive]
            if ready or ends:
                return rng.sample([*ready, *ends], rng.randint(1, len(ready) + len(ends)))
            if not moved and timeout is not None:
                return []
        raise AssertionError("the executor waits for what never comes")

    results: list[SlideResult] = []
    runner = Watched(factory=FakeFactory(), config=CONFIG, device="cpu", observer=SilentObserver())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.multiprocessing.connection, "wait", wait)
        runner.run(HeldJobs(jobs, rng) if held else QueuedJobs(jobs), results.append)
        runner.stop(kill=True)
    return results, len(started)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=7),
    st.integers(1, 3),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_every_slide_has_one_result_and_none_pays_for_another(
    kinds: list[str], workers: int, seed: int, held: bool
) -> None:
    results, starts = simulate(kinds, workers=workers, seed=seed, held=held)
    assert sorted(result.slide_id for result in results) == [f"s{n}" for n in range(len(kinds))]
    for result in results:
        assert (result.status == "scored") == (kinds[int(result.slide_id[1:])] in SOUND)
    # A bad slide ends a worker at most three times: beside another slide, in its own turn with
    # another one beside it, and alone.
    ends = {"good": 0, "breaks beside another": 1}
    assert starts <= workers + sum(ends.get(kind, 3) for kind in kinds)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(1, 3), st.integers(0, 2**32), st.integers(1, 3))
def test_a_worker_that_is_killed_costs_at_most_the_slide_that_it_was_at(
    count: int, workers: int, seed: int, kills: int
) -> None:
    results, _ = simulate(
        ["good"] * count, workers=workers, seed=seed, held=False, stray_kills=kills
    )
    assert sorted(result.slide_id for result in results) == [f"s{n}" for n in range(count)]
    assert sum(result.status != "scored" for result in results) <= kills
