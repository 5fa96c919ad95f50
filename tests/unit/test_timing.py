"""Seconds by stage, from any number of threads, and what they say."""

from __future__ import annotations

import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathology.timing import STAGES, ReaderUsage, SlideTiming, Stopwatch, peak_memory_bytes

SECONDS = st.dictionaries(st.sampled_from(STAGES), st.floats(0, 1e4), max_size=len(STAGES))
TIMINGS = st.builds(
    SlideTiming,
    slides=st.integers(1, 9),
    wall_s=st.floats(1e-3, 1e4),
    seconds=SECONDS,
    threads=st.fixed_dictionaries({"read": st.integers(1, 8), "engine": st.integers(1, 4)}),
    tissue_mm2=st.floats(0, 500),
    tiles=st.integers(0, 10_000),
    megapixels=st.floats(0, 1e4),
    peak_bytes=st.integers(0, 10**11),
)


def test_threads_add_up() -> None:
    watch = Stopwatch()

    def work() -> None:
        for _ in range(1000):
            watch.add("read", 0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.seconds["read"] == pytest.approx(4.0)
    assert watch.seconds["open"] == 0.0


def test_a_stage_that_fails_has_taken_its_time() -> None:
    watch = Stopwatch()
    with pytest.raises(KeyError), watch.timed("tissue"):
        raise KeyError
    assert watch.seconds["tissue"] > 0


def test_what_a_model_spent_on_a_slide_is_the_difference() -> None:
    watch = Stopwatch()
    before = ReaderUsage(transfer_s=1.0, network_s=5.0, cells_s=2.0, device_bytes=7)
    after = ReaderUsage(transfer_s=1.5, network_s=9.0, cells_s=2.25, device_bytes=9)
    spent = after.since(before)
    watch.add_usage(spent)
    assert spent.device_bytes == 9
    seconds = watch.seconds
    assert (seconds["transfer"], seconds["network"], seconds["cells"]) == (0.5, 4.0, 0.25)


@pytest.mark.parametrize(
    ("seconds", "threads", "bound"),
    [
        ({"read": 9.0, "network": 6.0}, {"read": 1, "engine": 1}, "read"),
        ({"read": 9.0, "network": 6.0}, {"read": 2, "engine": 1}, "network"),
        ({"network": 9.0, "cells": 1.0}, {"read": 1, "engine": 2}, "nothing"),
        ({"tissue": 6.0, "network": 3.0}, {}, "tissue"),
        ({}, {}, "nothing"),
    ],
)
def test_the_busiest_stage_is_what_a_slide_is_bound_by(
    seconds: dict[str, float], threads: dict[str, int], bound: str
) -> None:
    assert SlideTiming(wall_s=10.0, seconds=seconds, threads=threads).bound_by == bound


@given(TIMINGS, TIMINGS, TIMINGS)
def test_timings_add_in_any_order(a: SlideTiming, b: SlideTiming, c: SlideTiming) -> None:
    left, right = a.plus(b).plus(c), c.plus(b.plus(a))
    assert left.slides == right.slides
    assert left.wall_s == pytest.approx(right.wall_s)
    assert dict(left.seconds) == pytest.approx(dict(right.seconds))
    assert left.peak_bytes == max(a.peak_bytes, b.peak_bytes, c.peak_bytes)
    total = SlideTiming.total([a, b, c])
    assert total is not None
    assert total.rates() == pytest.approx(left.rates())


@given(TIMINGS)
def test_shares_are_shares(timing: SlideTiming) -> None:
    assert all(0 <= timing.busy(stage) <= 1 for stage in STAGES)
    assert 0 <= timing.device_busy <= 1
    assert timing.bound_by in {*STAGES, "nothing"}
    assert timing.bound_by in timing.words()
    assert set(timing.content()["seconds"]) == set(STAGES)


def test_no_slide_has_no_timing() -> None:
    assert SlideTiming.total([]) is None


@pytest.mark.parametrize(
    ("wall_s", "seconds"), [(-1.0, {}), (1.0, {"read": -0.1}), (1.0, {"lunch": 1.0})]
)
def test_nonsense_is_refused(wall_s: float, seconds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"time|stage"):
        SlideTiming(wall_s=wall_s, seconds=seconds)


def test_memory_is_known_here() -> None:
    assert peak_memory_bytes() > 10_000_000


@given(TIMINGS)
def test_a_timing_travels_between_processes(timing: SlideTiming) -> None:
    assert pickle.loads(pickle.dumps(timing)) == timing  # noqa: S301 - made here
    watch = Stopwatch()
    assert pickle.loads(pickle.dumps(watch.seconds)) == watch.seconds  # noqa: S301 - made here
