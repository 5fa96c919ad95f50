"""Time what an engine does, on the device's own clock where it has one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from pathology.timing import ReaderUsage

__all__ = ["EngineClock"]

_Part = Literal["transfer", "network", "cells"]


class EngineClock:
    """Add up what an engine spends, from any number of threads.

    On a GPU work is only queued when a call returns, so its own clock is read: two marks in the
    queue for each part, looked at after the answers have come back.

    Parameters
    ----------
    device
        Where the work is done.

    Examples
    --------
    >>> clock = EngineClock(torch.device("cpu"))
    >>> with clock.timed("network"):
    ...     pass
    >>> clock.usage.network_s >= 0, clock.usage.device_bytes
    (True, 0)
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        self._seconds: dict[_Part, float] = {"transfer": 0.0, "network": 0.0, "cells": 0.0}
        self._lock = threading.Lock()
        self._marks = threading.local()

    @contextmanager
    def timed(self, part: _Part) -> Iterator[None]:
        """Add the time of a block to a part."""
        if self._cuda:
            begin, end = self._mark(), self._mark()
            begin.record()
            yield
            end.record()
            self._waiting().append((part, begin, end))
            return
        begun = time.perf_counter()
        yield
        self._add(part, time.perf_counter() - begun)

    def settle(self) -> None:
        """Read the device's clock; the answers of this thread's work have come back."""
        waiting = self._waiting()
        for part, begin, end in waiting:
            end.synchronize()
            self._add(part, begin.elapsed_time(end) / 1000)
        waiting.clear()

    @property
    def usage(self) -> ReaderUsage:
        """What was spent so far."""
        with self._lock:
            seconds = {f"{part}_s": spent for part, spent in self._seconds.items()}
        peak = torch.cuda.max_memory_allocated(self._device) if self._cuda else 0
        return ReaderUsage(**seconds, device_bytes=peak)

    def _add(self, part: _Part, seconds: float) -> None:
        with self._lock:
            self._seconds[part] += seconds

    def _mark(self) -> Any:
        return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def _waiting(self) -> list[tuple[_Part, Any, Any]]:
        found: list[tuple[_Part, Any, Any]] | None = getattr(self._marks, "waiting", None)
        if found is None:
            found = self._marks.waiting = []
        return found
