"""How far ahead of the model windows are read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pathology.config import load_config
from pathology.pipeline import reading
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
