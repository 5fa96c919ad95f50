"""The times of a finished run: what each of its processes read, on what, and how long it took.

A run of one process has its times in ``log.jsonl``. One made in shards has them in the logs of its
parts, and the parts may lie in folders of their own. Whatever the number, the processes must have
worked on one kind of device, as their times are pooled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from statistics import median

from pathology.batch.inputs import Shard
from pathology.errors import OutputError
from pathology.runs import (
    RunInfo,
    gather_parts,
    read_records,
    read_run_info,
    read_slide_timings,
    read_state,
)
from pathology.runs.layout import LOG, SHARDS, SLIDES, shard_log
from pathology.timing import SlideTiming

__all__ = ["ProcessTimes", "RunTimes", "device_kind", "read_run_times"]

#: Parts and hosts that are named one by one.
_SHOWN = 5
#: The number of a GPU, as in ``cuda:1``.
_INDEX = re.compile(r":\d+$")


@dataclass(frozen=True, kw_only=True)
class ProcessTimes:
    """Hold the times of one process that finished.

    Parameters
    ----------
    name
        In words: ``part 1/2``, or the folder of a run that was not split.
    folder
        Its run folder.
    host, device
        Where it worked; several devices are joined by commas.
    outside_s
        Seconds of the process that no slide takes: starting, loading the model, waiting.
    slides
        By slide id, the slides with tissue that it read.
    """

    name: str
    folder: Path
    host: str
    device: str
    outside_s: float
    slides: dict[str, SlideTiming]


@dataclass(frozen=True, kw_only=True)
class RunTimes:
    """Hold the times of a finished run, of at least one slide.

    Parameters
    ----------
    folders
        Its run folder, or those of its parts.
    model
        Name and version.
    finished
        When the last of it finished, ISO 8601, UTC.
    processes
        Those that read slides; all on one kind of device.
    """

    folders: tuple[Path, ...]
    model: str
    finished: str
    processes: tuple[ProcessTimes, ...]

    @cached_property
    def slides(self) -> dict[str, SlideTiming]:
        """Times of all processes by slide id; of a slide that two have read, the last one's."""
        return {name: item for one in self.processes for name, item in one.slides.items()}

    @cached_property
    def homes(self) -> dict[str, Path]:
        """The run folder of each slide."""
        return {name: one.folder for one in self.processes for name in one.slides}

    @property
    def device(self) -> str:
        """What one machine is taken to have: the fewest devices that any process worked on."""
        devices = {one.device for one in self.processes}
        return min(devices, key=lambda text: (text.count(","), text))

    @property
    def host(self) -> str:
        """The hosts in words."""
        hosts = sorted({one.host for one in self.processes})
        return ",".join(hosts) if len(hosts) <= _SHOWN else f"{len(hosts)} hosts"

    @property
    def outside_s(self) -> float:
        """Seconds of one process that no slide takes: the median, as some wait for others."""
        return median(one.outside_s for one in self.processes)

    @property
    def source(self) -> str:
        """Where the figures are from, in words."""
        count = len(self.processes)
        pooled = f", {count} processes pooled" if count > 1 else ""
        return f"run in {_named(self.folders)}, {self.finished[:10]}{pooled}"


def device_kind(device: str) -> str:
    """Return the kinds of device in a run's ``device``, each once.

    Parameters
    ----------
    device
        As runs record it; on Ray the node's name comes before the device's.

    Examples
    --------
    >>> device_kind("cuda:0,cuda:1"), device_kind("cpu"), device_kind("node-7:cuda:0")
    ('cuda', 'cpu', 'cuda')
    """
    names = {_INDEX.sub("", item).rpartition(":")[2] for item in device.split(",")}
    return "+".join(sorted(names))


def read_run_times(folders: Sequence[Path]) -> RunTimes:
    """Read the times of a finished run.

    Parameters
    ----------
    folders
        The run folder; or, where the parts of a run have folders of their own, all of these.

    Returns
    -------
    RunTimes
        Of the processes that came to their end and named their device. What a killed process read
        counts where another one read it again.

    Raises
    ------
    OutputError
        If a folder is not that of a finished run, parts are not finished, the parts ran on
        different kinds of device or are of different configurations, or nothing was timed.
    """
    places = tuple({folder.resolve(): folder for folder in folders}.values())
    runs = {place: read_run_info(place) for place in places}
    for place, (_, info) in runs.items():
        _refuse_merged(place, info)
    if len(places) > 1 or read_records(places[0] / SHARDS):
        _refuse_missing(places)
    processes: list[ProcessTimes] = []
    for place, (_, info) in runs.items():
        processes += _processes(place, _finished(place, info))
    if not processes:
        raise OutputError(
            f"{_named(places)}: its log has timed no slide with tissue",
            fix="Name a folder in which `her2 score` of this version has read slides.",
        )
    _refuse_mixed_devices(places, processes)
    return RunTimes(
        folders=places,
        model=runs[places[0]][0].model,
        finished=max(_finished(place, info).finished or "" for place, (_, info) in runs.items()),
        processes=tuple(processes),
    )


def _processes(folder: Path, info: RunInfo) -> Iterator[ProcessTimes]:
    """Yield the processes of one folder whose device is known, the latest one last."""
    slides = _timed(folder, LOG)
    # Where parts were joined, `run.json` no longer says what a run before them worked on.
    if slides and not info.parts:
        yield ProcessTimes(
            name=str(folder),
            folder=folder,
            host=info.host,
            device=info.device,
            outside_s=_outside(
                info.seconds.get("total", 0.0),
                (info.timing or {}).get("wall_s", 0.0),
                info.device,
            ),
            slides=slides,
        )
    # A process that was killed has not said what it worked on.
    done = [(entry.finished, entry) for entry in read_records(folder / SHARDS) if entry.finished]
    for finished, entry in sorted(done, key=lambda item: item[0]):
        slides = _timed(folder, shard_log(entry.owner))
        if not slides or not entry.device:
            continue
        spent = datetime.fromisoformat(finished) - datetime.fromisoformat(entry.started)
        wall_s = sum(item.wall_s for item in slides.values())
        yield ProcessTimes(
            name=f"part {entry.index}/{entry.count}",
            folder=folder,
            host=entry.host,
            device=entry.device,
            outside_s=_outside(spent.total_seconds(), wall_s, entry.device),
            slides=slides,
        )


def _timed(folder: Path, log: str) -> dict[str, SlideTiming]:
    return {
        name: item
        for name, item in read_slide_timings(folder / log).items()
        if item.tiles and item.tissue_mm2 > 0 and (folder / SLIDES / name).is_dir()
    }


def _outside(total_s: float, wall_s: object, device: str) -> float:
    """Return what of a process's time is no slide's; slides overlap, so never below 0."""
    if not isinstance(wall_s, int | float) or wall_s <= 0:
        return 0.0  # nothing was read: the rest says nothing of a run that reads
    return max(0.0, total_s - wall_s / (device.count(",") + 1))


def _finished(folder: Path, info: RunInfo | None) -> RunInfo:
    if info is not None and info.finished is not None:
        return info
    if read_records(folder / SHARDS):
        raise OutputError(
            f"{folder}: every slide has a result, but the tables are not written",
            fix=f"Wait for the shards at work (`her2 status {folder}`), or, where none is, "
            f"give `her2 merge {folder}`.",
        )
    raise OutputError(
        f"{folder}: no run has finished in it", fix="Name the folder of a finished run."
    )


def _refuse_merged(folder: Path, info: RunInfo | None) -> None:
    """Refuse what `her2 merge --out` wrote: only it writes a finished run without a duration."""
    if info is None or info.finished is None or info.seconds or info.rescored is not None:
        return
    if read_records(folder / SHARDS) or _timed(folder, LOG):
        return
    raise OutputError(
        f"{folder}: was written by `her2 merge`, which takes over results and no logs, so it "
        "holds no times",
        fix="Name the folder of the parts; where each part has a folder of its own, give --from "
        "for each of them.",
    )


def _refuse_missing(folders: Sequence[Path]) -> None:
    joined = gather_parts(folders)
    if not joined.missing:
        return
    words = {
        shard.record.part: shard.word for folder in folders for shard in read_state(folder).shards
    }
    counts = sorted({count for _, count in words})
    lacking = sorted(
        {Shard.of(name, count=count).part for name in joined.missing for count in counts},
        key=lambda part: (part[1], part[0]),
    )
    # One that has finished lacks slides that a part which began later was given.
    texts = [
        f"{index}/{count} {words.get((index, count), 'absent').replace('finished', 'incomplete')}"
        for index, count in lacking
    ]
    raise OutputError(
        f"{_named(folders)}: {len(joined.missing)} of "
        f"{len(joined.missing) + len(joined.results)} slides have no result yet"
        + (f" (part {_listed(texts)})" if texts else ""),
        fix="Give the `her2 score --shard` command of each part that lacks slides; where each part "
        "has a folder of its own, give --from for each of them.",
    )


def _refuse_mixed_devices(folders: Sequence[Path], processes: Sequence[ProcessTimes]) -> None:
    kinds = {device_kind(one.device) for one in processes}
    if len(kinds) < 2:
        return
    names = _listed([f"{one.name} on {one.device}" for one in processes])
    raise OutputError(
        f"{_named(folders)}: its parts ran on different kinds of device ({names}), and a plan is "
        "for one kind",
        fix="Name a run of one kind of device, or measure this machine with --measure.",
    )


def _named(folders: Sequence[Path]) -> str:
    return _listed([str(folder) for folder in folders])


def _listed(texts: Sequence[str]) -> str:
    shown = ", ".join(texts[:_SHOWN])
    return shown if len(texts) <= _SHOWN else f"{shown} and {len(texts) - _SHOWN} more"
