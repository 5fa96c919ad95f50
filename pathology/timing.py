"""Measure where the time of a slide goes: seconds by stage, rates, and what it is bound by.

Nothing here has an effect on a result. What is measured varies from run to run, so it is written to
``run.json`` and ``log.jsonl`` alone.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

__all__ = ["STAGES", "ReaderUsage", "SlideTiming", "Stage", "Stopwatch", "peak_memory_bytes"]

#: What a slide goes through. ``read``, ``transfer``, ``network``, ``cells`` and ``tables`` run
#: beside each other, each in one or more threads; the others come one after the other. In a folder
#: of slides ``open`` and ``tissue`` of the next slide run beside the last stages of the present
#: one; they count where they belong, and then stages can add up to more than the wall time.
Stage = Literal[
    "open", "tissue", "read", "transfer", "network", "cells", "tables", "score", "pictures"
]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
#: Whose threads a stage runs in, where it has more than one; see ``SlideTiming.threads``.
_THREADS_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "read": "read",
        "transfer": "engine",
        "network": "engine",
        "cells": "engine",
        "tables": "tables",
    }
)
#: A stage that is busy for less than this share of the time does not explain it.
_BOUND_SHARE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class ReaderUsage:
    """Hold what a model has spent since it was loaded.

    Parameters
    ----------
    transfer_s, network_s, cells_s
        Seconds, summed over threads: moving pixels to the device, the network, and the cells and
        their membranes from its maps. On a GPU the three are told apart by its own clock.
    device_bytes
        Most memory of the device that was in use at once; 0 where the device has none of its own.

    Examples
    --------
    >>> ReaderUsage(network_s=2.0).since(ReaderUsage(network_s=0.5)).network_s
    1.5
    """

    transfer_s: float = 0.0
    network_s: float = 0.0
    cells_s: float = 0.0
    device_bytes: int = 0

    def since(self, before: ReaderUsage) -> ReaderUsage:
        """Return what was spent after an earlier reading; the memory stays as it is."""
        return ReaderUsage(
            transfer_s=self.transfer_s - before.transfer_s,
            network_s=self.network_s - before.network_s,
            cells_s=self.cells_s - before.cells_s,
            device_bytes=self.device_bytes,
        )


class Stopwatch:
    """Add up seconds by stage, from any number of threads.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> with watch.timed("open"):
    ...     pass
    >>> watch.seconds["open"] >= 0
    True
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._lock = threading.Lock()

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage so far, summed over threads."""
        with self._lock:
            return dict(self._seconds)

    @property
    def wall_s(self) -> float:
        """Seconds since this was made."""
        return time.perf_counter() - self._begun

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add the time of a block to a stage; also where the block ends in an error."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - begun)

    def add(self, stage: Stage, seconds: float) -> None:
        """Add seconds to a stage."""
        with self._lock:
            self._seconds[stage] += seconds

    def add_all(self, other: Stopwatch) -> None:
        """Add the seconds of another watch, whose work was done beside other work."""
        spent = other.seconds
        for stage in STAGES:
            self.add(stage, spent[stage])

    def add_usage(self, usage: ReaderUsage) -> None:
        """Add what a model has spent on the slide."""
        self.add("transfer", usage.transfer_s)
        self.add("network", usage.network_s)
        self.add("cells", usage.cells_s)


@dataclass(frozen=True, kw_only=True)
class SlideTiming:
    """Hold where the time of one slide, or of several, went.

    Parameters
    ----------
    slides
        Number of slides.
    wall_s
        Seconds from opening to the last file; of several slides their sum, so that on two devices
        it is up to twice what a clock on the wall shows.
    seconds
        Seconds by stage, summed over threads.
    threads
        How many threads shared a stage: ``read``; ``engine`` for what is done on the device; and
        ``tables`` for those that judge what was found, with the one that takes it up.
    tissue_mm2, tiles, megapixels
        What was read: tissue in mm², tiles, and 10^6 pixels of the model's pixel size.
    peak_bytes
        Most memory of the process at once, since it was started; 0 where it is not known.
    device_bytes
        Most memory of the device at once.

    Examples
    --------
    >>> timing = SlideTiming(slides=1, wall_s=10, seconds={"read": 9, "network": 16},
    ...                      threads={"read": 2, "engine": 2}, tissue_mm2=20.0)
    >>> timing.bound_by, timing.busy("network"), timing.rates()["mm2_per_s"]
    ('network', 0.8, 2.0)
    """

    slides: int = 1
    wall_s: float
    seconds: Mapping[str, float]
    threads: Mapping[str, int] = field(default_factory=dict)
    tissue_mm2: float = 0.0
    tiles: int = 0
    megapixels: float = 0.0
    peak_bytes: int = 0
    device_bytes: int = 0

    def __post_init__(self) -> None:
        unknown = self.seconds.keys() - set(STAGES)
        if unknown:
            raise ValueError(f"not a stage: {', '.join(sorted(unknown))}")
        if self.wall_s < 0 or any(value < 0 for value in self.seconds.values()):
            raise ValueError("time does not run backwards")

    def busy(self, stage: Stage) -> float:
        """Return the share of the time, 0 to 1, in which a stage kept all its threads busy."""
        threads = self.threads.get(_THREADS_OF.get(stage, ""), 1)
        spent = self.seconds.get(stage, 0.0) / max(threads, 1)
        return min(1.0, spent / self.wall_s) if self.wall_s > 0 else 0.0

    @property
    def device_busy(self) -> float:
        """Share of the time, 0 to 1, in which the device worked on the network or the cells."""
        return min(1.0, self.busy("network") + self.busy("cells"))

    @property
    def bound_by(self) -> str:
        """The stage that is busiest; ``nothing`` where none is busy half of the time.

        Then threads wait for the processor or the disk, which others use as well, or the slide is
        so small that no stage gets going.
        """
        shares = {stage: self.busy(stage) for stage in STAGES}
        found = max(STAGES, key=lambda stage: shares[stage])
        return found if shares[found] >= _BOUND_SHARE else "nothing"

    def rates(self) -> dict[str, float]:
        """Return what was done per second of ``wall_s``, and slides per hour."""
        wall = self.wall_s or float("nan")
        return {
            "mm2_per_s": self.tissue_mm2 / wall,
            "megapixels_per_s": self.megapixels / wall,
            "tiles_per_s": self.tiles / wall,
            "slides_per_h": 3600 * self.slides / wall,
        }

    def content(self) -> dict[str, Any]:
        """Return everything as ``run.json`` has it, rounded to what is worth reading."""
        return {
            "slides": self.slides,
            "wall_s": round(self.wall_s, 3),
            "seconds": {stage: round(self.seconds.get(stage, 0.0), 3) for stage in STAGES},
            "threads": dict(self.threads),
            "tissue_mm2": round(self.tissue_mm2, 4),
            "tiles": self.tiles,
            "megapixels": round(self.megapixels, 3),
            "device_busy": round(self.device_busy, 3),
            "bound_by": self.bound_by,
            "peak_bytes": self.peak_bytes,
            "device_bytes": self.device_bytes,
            **{name: round(value, 3) for name, value in self.rates().items() if self.wall_s},
        }

    @classmethod
    def of_content(cls, content: object) -> SlideTiming:
        """Return what :meth:`content` wrote, to the digits that it wrote.

        Raises
        ------
        ValueError
            If this is not such a content.

        Examples
        --------
        >>> timing = SlideTiming(wall_s=8.0, seconds={"network": 6.0}, tissue_mm2=12.0, tiles=40)
        >>> SlideTiming.of_content(timing.content()).rates() == timing.rates()
        True
        """
        if not isinstance(content, Mapping):
            raise ValueError("a timing is a mapping")
        seconds, threads = content.get("seconds"), content.get("threads")
        if not isinstance(seconds, Mapping) or not isinstance(threads, Mapping):
            raise ValueError("a timing has seconds and threads by name")
        return cls(
            seconds={str(name): _amount(seconds, name) for name in seconds},
            threads={str(name): int(_amount(threads, name)) for name in threads},
            wall_s=_amount(content, "wall_s"),
            tissue_mm2=_amount(content, "tissue_mm2"),
            megapixels=_amount(content, "megapixels"),
            slides=int(_amount(content, "slides")),
            tiles=int(_amount(content, "tiles")),
            peak_bytes=int(_amount(content, "peak_bytes")),
            device_bytes=int(_amount(content, "device_bytes")),
        )

    def words(self) -> str:
        """Say it in one line.

        Examples
        --------
        >>> SlideTiming(wall_s=8.0, seconds={"network": 6.0}, tissue_mm2=12.0, tiles=40).words()
        '1 slide, 12.0 mm² in 8.0 s: 1.50 mm²/s, 5 tiles/s; network 75 %; bound by network'
        """
        rates = self.rates()
        busiest = sorted(STAGES, key=lambda stage: -self.busy(stage))
        shares = [f"{stage} {100 * self.busy(stage):.0f} %" for stage in busiest[:3]]
        shown = [text for text in shares if not text.endswith(" 0 %")]
        parts = [
            f"{self.slides} slide{'s' if self.slides != 1 else ''}, {self.tissue_mm2:.1f} mm² "
            f"in {self.wall_s:.1f} s: {rates['mm2_per_s']:.2f} mm²/s, "
            f"{rates['tiles_per_s']:.0f} tiles/s",
            ", ".join(shown),
            f"bound by {self.bound_by}",
        ]
        if self.peak_bytes:
            parts.append(f"{self.peak_bytes / 1e9:.1f} GB")
        return "; ".join(part for part in parts if part)

    @classmethod
    def total(cls, parts: Iterable[SlideTiming]) -> SlideTiming | None:
        """Add up the timings of several slides; None of none."""
        result: SlideTiming | None = None
        for part in parts:
            result = part if result is None else result.plus(part)
        return result

    def plus(self, other: SlideTiming) -> SlideTiming:
        """Return both together: sums, and the larger of what is a maximum."""
        names = self.seconds.keys() | other.seconds.keys()
        own, others = self.seconds, other.seconds
        return SlideTiming(
            slides=self.slides + other.slides,
            wall_s=self.wall_s + other.wall_s,
            seconds={name: own.get(name, 0.0) + others.get(name, 0.0) for name in sorted(names)},
            threads={
                name: max(self.threads.get(name, 1), other.threads.get(name, 1))
                for name in sorted(self.threads.keys() | other.threads.keys())
            },
            tissue_mm2=self.tissue_mm2 + other.tissue_mm2,
            tiles=self.tiles + other.tiles,
            megapixels=self.megapixels + other.megapixels,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
            device_bytes=max(self.device_bytes, other.device_bytes),
        )


def _amount(content: Mapping[Any, Any], name: object) -> float:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is no amount")
    return float(value)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had at once, in bytes; 0 on Windows."""
    if sys.platform == "win32":
        return 0
    import resource  # not there on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
