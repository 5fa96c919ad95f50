"""Join the parts of a run into the tables that one process would have written."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathology.errors import OutputError, PathologyError
from pathology.provenance import sha256_file, versions
from pathology.runs.atomic import AtomicFile, atomic_write_bytes, disk_errors, output_errors
from pathology.runs.cases import write_cases
from pathology.runs.folder import RunFolder, refuse_living_shards
from pathology.runs.layout import ISH_JSON, RESULTS_CSV, SHARDS
from pathology.runs.leases import ShardRecord, read_records
from pathology.runs.result import SlideResult
from pathology.runs.results import read_rows, write_results
from pathology.runs.run_info import RunInfo, RunKey, now, read_run_info
from pathology.runs.shard_folder import read_slide_lists
from pathology.runs.slide_folder import SlideFolder

__all__ = ["Joined", "MissingSlidesError", "gather_parts", "merge_runs", "write_joined"]


class MissingSlidesError(PathologyError):
    """Slides of the run have no result yet (exit status 1); nothing was written.

    Parameters
    ----------
    message, fix
        As for every error.
    missing
        Path by slide id.
    """

    def __init__(self, message: str, *, missing: dict[str, str], fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.missing = missing


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Hold the parts of a run, put together.

    Parameters
    ----------
    key
        Configuration and model of all parts.
    results
        By slide id.
    homes
        The run folder of each.
    missing
        Path by slide id of what has no result yet.
    records
        The processes that did it.
    notes
        What a person should know.
    """

    key: RunKey
    results: dict[str, SlideResult]
    homes: dict[str, Path]
    missing: dict[str, str]
    records: tuple[ShardRecord, ...]
    notes: tuple[str, ...] = ()


def gather_parts(folders: Sequence[Path]) -> Joined:
    """Read the parts of a run; nothing is written.

    Parameters
    ----------
    folders
        Run folders, each of one or several shards, or of a run that was not split.

    Returns
    -------
    Joined
        Every slide that any part was started with is in ``results`` or in ``missing``.

    Raises
    ------
    OutputError
        If a folder is not that of a run, the parts are of different configurations or models, or a
        slide has different results in two of them.
    """
    key = _common_key(folders)
    expected: dict[str, str] = {}
    results: dict[str, SlideResult] = {}
    homes: dict[str, Path] = {}
    for folder in folders:
        slides = _expected(folder)
        expected.update(slides)
        for slide_id in slides:
            found = SlideFolder(root=folder, slide_id=slide_id).kept(
                config_hash=key.config_hash, model_sha256=key.model_sha256
            )
            if found is None:
                continue
            if slide_id in results:
                _refuse_difference(found, results[slide_id], (homes[slide_id], folder))
                continue
            results[slide_id], homes[slide_id] = found, folder
    records = tuple(record for folder in folders for record in read_records(folder / SHARDS))
    return Joined(
        key=key,
        results=results,
        homes=homes,
        missing={name: path for name, path in expected.items() if name not in results},
        records=records,
        notes=tuple(_version_notes(folders, records)),
    )


def merge_runs(
    folders: Sequence[Path | str], out: Path | str | None = None, *, force: bool = False
) -> tuple[list[SlideResult], Joined]:
    """Join the parts of a run.

    Parameters
    ----------
    folders
        Run folders; shards that shared a folder are one.
    out
        Where the whole run goes; the parts are only read. None writes the tables of a single
        folder in their place.
    force
        Move what another run left in ``out`` to ``previous/`` first.

    Returns
    -------
    tuple
        The results in the order of the tables, and what was joined. ``results.*``, ``cases.csv``
        and the slides' files have the bytes that one run over all slides would have written.

    Raises
    ------
    MissingSlidesError
        If slides have no result yet; nothing is written.
    OutputError
        If the parts do not belong together, one is still at work, or ``out`` cannot be used.
    """
    parts = [Path(folder) for folder in folders]
    if out is None and len(parts) != 1:
        raise OutputError("several folders are joined into another one", fix="Give --out DIR.")
    for part in parts:
        _refuse_unusable(part, None if out is None else Path(out))
    joined = gather_parts(parts)
    if joined.missing:
        raise MissingSlidesError(
            f"{len(joined.missing)} of {len(joined.missing) + len(joined.results)} slides have no "
            "result yet; nothing was written",
            missing=joined.missing,
            fix="Give the command of their shard again, or `her2 score` without --shard.",
        )
    with RunFolder(parts[0] if out is None else Path(out), joined.key, force=force) as folder:
        if out is not None:
            _copy(joined, folder)
            _carry_ish(parts, folder.path)
        return write_joined(folder, joined), joined


def write_joined(folder: RunFolder, joined: Joined) -> list[SlideResult]:
    """Write the tables of a whole run and its ``run.json``.

    Raises
    ------
    OutputError
        If the disk is full or the folder cannot be written.
    """
    ordered = write_results(folder.path, joined.results.values())
    write_cases(folder.path, ordered)
    records = joined.records
    folder.write_info(
        RunInfo(
            command=tuple(sys.argv),
            versions=versions(),
            host=",".join(sorted({entry.host for entry in records})) or platform.node(),
            device=",".join(sorted({entry.device for entry in records} - {""})),
            started=min((entry.started for entry in records), default=now()),
            finished=now(),
            seconds={},
            counts={
                "slides": len(ordered),
                **dict(sorted(Counter(str(result.status) for result in ordered).items())),
            },
            parts=records,
        )
    )
    return ordered


def _refuse_unusable(part: Path, out: Path | None) -> None:
    if not part.is_dir():
        raise OutputError(f"{part}: there is no such folder", fix="Check the path.")
    refuse_living_shards(part)
    if out is None:
        return
    one, other = part.resolve(), out.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise OutputError(
            f"{out}: is, holds or lies in {part}, which is only read",
            fix="Name another folder with --out, or leave it out to write the tables in place.",
        )


def _common_key(folders: Sequence[Path]) -> RunKey:
    first, _ = read_run_info(folders[0])
    for folder in folders[1:]:
        other, _ = read_run_info(folder)
        differences = other.differences(first)
        if differences:
            raise OutputError(
                f"{folder}: is of another configuration than {folders[0]} "
                f"({'; '.join(differences[:5])})",
                fix="Score the slides of one of them again with the settings of the other.",
            )
    return first


def _expected(folder: Path) -> dict[str, str]:
    """Return the slides that a folder should hold, by its shards or by its table."""
    slides = read_slide_lists(folder)
    _, info = read_run_info(folder)
    if info is not None and info.finished is not None and (folder / RESULTS_CSV).exists():
        slides.update({row.slide_id: row.path for row in read_rows(folder / RESULTS_CSV)})
    elif not slides:
        raise OutputError(
            f"{folder}: this run has not finished, and no shard worked in it",
            fix="Give its `her2 score` command again.",
        )
    return slides


def _refuse_difference(one: SlideResult, other: SlideResult, homes: tuple[Path, Path]) -> None:
    first, second = (SlideFolder(root=home, slide_id=one.slide_id) for home in homes)
    names = [file.name for file in one.outputs]
    if one.to_json() == other.to_json() and all(
        sha256_file(first.path / name) == sha256_file(second.path / name) for name in names
    ):
        return
    raise OutputError(
        f"{one.path}: slide {one.slide_id} has different results in {homes[0]} and {homes[1]}",
        fix="Find out which is right, and move the slide's folder away from the other run.",
    )


def _version_notes(folders: Sequence[Path], records: Sequence[ShardRecord]) -> Iterator[str]:
    """Name packages of which the parts used different versions: results may then differ."""
    seen = [record.versions for record in records]
    for folder in folders:
        _, info = read_run_info(folder)
        seen += [] if info is None else [info.versions]
    names = sorted({name for entry in seen for name in entry})
    for name in names:
        values = sorted({entry.get(name, "absent") for entry in seen})
        if len(values) > 1:
            yield f"the parts were made with different versions of {name}: {', '.join(values)}"


def _copy(joined: Joined, folder: RunFolder) -> None:
    for slide_id, result in joined.results.items():
        source = SlideFolder(root=joined.homes[slide_id], slide_id=slide_id)
        target = folder.slide(slide_id)
        if target.load() == result and _same_key(target, joined.key):
            continue
        with output_errors():
            target.begin()
            for file in result.outputs:
                _copy_file(source.path / file.name, target.path / file.name)
            target.write_result(result)


def _same_key(place: SlideFolder, key: RunKey) -> bool:
    return place.kept(config_hash=key.config_hash, model_sha256=key.model_sha256) is not None


def _copy_file(source: Path, target: Path) -> None:
    with AtomicFile(target) as file, disk_errors(target), source.open("rb") as content:
        while block := content.read(1 << 20):
            file.stream.write(block)


def _carry_ish(folders: Sequence[Path], out: Path) -> None:
    """Take over ISH results, if one set of them is all there is."""
    found = {(folder / ISH_JSON).read_bytes() for folder in folders if (folder / ISH_JSON).exists()}
    if len(found) > 1:
        raise OutputError(
            "the parts hold different ISH results",
            fix="Join them without: move ish.json away, then run `her2 ish` on the whole run.",
        )
    for content in found:
        atomic_write_bytes(out / ISH_JSON, content)
