"""How far ahead of the model windows are read."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from pathology.config import load_config
from pathology.pipeline import reading
from pathology.pipeline.reading import reader_threads
from pathology.testing import FakeModel


@pytest.mark.parametrize(
    ("batch", "workers", "queue", "wanted"),
    [
        (1, 2, 3, 3),  # the processor, by default
        (1, 8, 3, 9),  # eight threads read, and one window is ready
        (8, 15, 3, 23),  # a GPU takes eight at once
        (1, 2, 40, 40),
    ],
)
def test_no_reader_thread_stands_idle(
    monkeypatch: pytest.MonkeyPatch, batch: int, workers: int, queue: int, wanted: int
) -> None:
    class Stop(Exception):
        pass

    def source(*_: Any, **options: Any) -> None:
        assert (options["workers"], options["queue_tiles"]) == (workers, wanted)
        raise Stop

    def nothing(*_: Any, **__: Any) -> list[Any]:
        return []

    monkeypatch.setattr(reading, "TileSource", source)
    monkeypatch.setattr(reading, "select_tiles", nothing)
    monkeypatch.setattr(reading, "tissue_fractions", nothing)
    monkeypatch.setattr(FakeModel, "batch_size", batch)
    config = load_config(overrides=[f"runtime.workers={workers}", f"runtime.queue_tiles={queue}"])
    grid: Any = SimpleNamespace(core_width=1, core_height=1, spacing=SimpleNamespace(area_um2=1.0))
    unused: Any = SimpleNamespace(tissue=None)
    with pytest.raises(Stop):
        reading.walk_tiles(
            unused, unused, grid, FakeModel(), unused, unused, unused,
            config=config, advance=lambda *_: None,
        )  # fmt: skip


@pytest.mark.parametrize(("cores", "threads"), [(1, 2), (2, 2), (16, 14), (128, 16)])
def test_a_gpu_has_the_cores_that_the_network_does_not_need(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert reader_threads(load_config(), "cuda:1") == threads
    assert reader_threads(load_config(), "cpu") == 2
    assert reader_threads(load_config(overrides=["runtime.workers=3"]), "cuda:1") == 3
