"""How far a run folder is, whoever works in it; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pathology.runs.layout import RESULT, SHARDS, SLIDES
from pathology.runs.leases import ShardRecord, Watch, read_records
from pathology.runs.run_info import RunInfo, read_run_info
from pathology.runs.shard_folder import read_slide_lists

__all__ = ["RunState", "ShardState", "read_state"]


@dataclass(frozen=True, kw_only=True)
class ShardState:
    """Say how one part of a run is.

    Parameters
    ----------
    record
        The latest process that worked on it.
    word
        ``finished``, ``at work``, ``stopped`` or ``dead``.
    """

    record: ShardRecord
    word: str


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Say how a run is.

    Parameters
    ----------
    model
        Name and version.
    info
        The last run in the folder; None before one has begun.
    shards
        Its parts, in order; empty where it was not split.
    expected
        How many slides there are to be, as far as that is known.
    with_result
        Slides that have a result, whatever it says.
    missing
        Path by slide id of those that have none.
    """

    model: str
    info: RunInfo | None
    shards: tuple[ShardState, ...]
    expected: int
    with_result: int
    missing: dict[str, str]


def read_state(folder: Path) -> RunState:
    """Read how far a run is.

    Parameters
    ----------
    folder
        The run folder.

    Returns
    -------
    RunState
        As of this moment.

    Raises
    ------
    OutputError
        If the folder is not that of a run.
    """
    key, info = read_run_info(folder)
    slides = read_slide_lists(folder)
    there = _with_result(folder)
    expected = len(slides) or (info.counts.get("slides", 0) if info else 0) or len(there)
    return RunState(
        model=key.model,
        info=info,
        shards=tuple(_shards(folder)),
        expected=expected,
        with_result=len(there & slides.keys()) if slides else len(there),
        missing={name: path for name, path in slides.items() if name not in there},
    )


def _with_result(folder: Path) -> set[str]:
    root = folder / SLIDES
    if not root.is_dir():
        return set()
    return {entry.name for entry in root.iterdir() if (entry / RESULT).is_file()}


def _shards(folder: Path) -> list[ShardState]:
    watch = Watch(folder / SHARDS)
    latest: dict[tuple[int, int], ShardState] = {}
    for record in read_records(folder / SHARDS):
        word = _word(record, watch)
        known = latest.get(record.part)
        # Of several processes with one part, the one that has done it or is at it counts.
        if known is None or known.word not in ("finished", "at work") or word == "at work":
            latest[record.part] = ShardState(record=record, word=word)
    return [latest[part] for part in sorted(latest, key=lambda part: (part[1], part[0]))]


def _word(record: ShardRecord, watch: Watch) -> str:
    if record.finished is not None:
        return "finished"
    if watch.is_alive(record.owner):
        return "at work"
    return "stopped" if record.stopped is not None else "dead"
