"""From the INPUT arguments of a command to one request per slide."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pathology.batch.manifest import read_manifest
from pathology.errors import OutputError, UsageError
from pathology.pipeline import SlideRequest
from pathology.runs import path_text, read_run_info, unique_slide_ids
from pathology.runs.layout import LOCK, RUN
from pathology.tissue import find_regions_file
from pathology.wsi import FoundSlide, SkippedFile, find_slides
from pathology.wsi.discover import group_files

__all__ = ["Inputs", "Shard", "collect_inputs", "pair_region_files"]

#: Files that are listed when no slide takes them; which file a slide takes, tissue says.
_REGION_NAME = re.compile(r"(?P<stem>[^.].*)\.(geojson|geojson\.gz|json)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Name one of several disjoint parts of the inputs.

    Parameters
    ----------
    index
        Which part, from 1 to ``count``.
    count
        Number of parts.

    Raises
    ------
    UsageError
        If ``index`` is not within 1 to ``count``.

    Examples
    --------
    >>> Shard.parse("2/3")
    Shard(index=2, count=3)
    >>> sum(Shard(index=i, count=3).holds("core-7") for i in (1, 2, 3))
    1
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"--shard {self.index}/{self.count}: there must be at least one part")
        if not 1 <= self.index <= self.count:
            raise UsageError(
                f"--shard {self.index}/{self.count}: the first number must be 1 to {self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``.

        Raises
        ------
        UsageError
            If the text is not of this form.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal()):
            raise UsageError(f"--shard {text!r} is not of the form I/N", fix="For example 1/4.")
        return cls(index=int(index), count=int(count))

    @classmethod
    def of(cls, slide_id: str, *, count: int) -> Shard:
        """Return the part that a slide belongs to; its name alone decides, not its neighbours."""
        digest = hashlib.sha256(slide_id.encode()).digest()
        return cls(index=int.from_bytes(digest[:8], "big") % count + 1, count=count)

    @property
    def part(self) -> tuple[int, int]:
        """Index and count."""
        return self.index, self.count

    def holds(self, slide_id: str) -> bool:
        """Tell whether a slide belongs to this part."""
        return self.of(slide_id, count=self.count) == self


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Hold what a command line's INPUT arguments stand for.

    Parameters
    ----------
    requests
        One per slide, in a fixed order, no file twice.
    skipped
        What was passed over in the searched folders, and why.
    notes
        What a person should know, such as region files that fit no slide.

    Examples
    --------
    >>> Inputs(requests=(SlideRequest(path=Path("x.svs"), key="slides/x.svs"),)).ids
    ['x-9a1fbb4bc2']
    """

    requests: tuple[SlideRequest, ...]
    skipped: tuple[SkippedFile, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ids(self) -> list[str]:
        """The slides' ids, in the order of the requests."""
        if all(request.hidden is not None for request in self.requests):
            return [request.name for request in self.requests]  # pseudonyms, told apart already
        return unique_slide_ids([request.key or request.path for request in self.requests])

    def part(self, shard: Shard) -> Inputs:
        """Return the inputs of one part of several; parts are disjoint and together are all.

        A part may be empty: with few slides some parts get none, and a note says so.
        """
        pairs = zip(self.requests, self.ids, strict=True)
        kept = tuple(request for request, slide_id in pairs if shard.holds(slide_id))
        notes = self.notes
        if not kept:
            notes += (
                f"--shard {shard.index}/{shard.count}: this part of {len(self.requests)} slides "
                "is empty",
            )
        return replace(self, requests=kept, notes=notes)


def collect_inputs(
    inputs: Sequence[str | Path],
    *,
    mpp: float | None = None,
    regions: Path | None = None,
    exclude: Sequence[Path] = (),
    truth: bool = False,
) -> Inputs:
    """Turn files, folders and manifests into requests.

    Parameters
    ----------
    inputs
        Slide files, folders (searched with all their subfolders) and CSV manifests, in any mix.
    mpp
        Pixel size in µm/px that replaces the header's, above 0; a manifest's own value comes first.
    regions
        Folder with GeoJSON files named like the slides (``a.geojson`` for ``a.svs``).
    exclude
        Folders that are not searched, such as the output folder.
    truth
        As for :func:`~pathology.batch.manifest.read_manifest`.

    Returns
    -------
    Inputs
        Requests in the order of the arguments, folders in the order of their paths, then the rows
        of manifests. A file that is named twice is taken once; a manifest's row replaces a file or
        folder that holds the same slide, wherever it stands.

    Raises
    ------
    UsageError
        If an input does not exist, a manifest is wrong, two manifests disagree on a slide, no slide
        has a region file in ``regions``, or there is no slide at all.
    """
    if mpp is not None and not (math.isfinite(mpp) and mpp > 0):
        raise UsageError(f"--mpp {mpp:g} is not a number above 0", fix="Give µm per pixel.")
    if "" in inputs:
        # Path("") is the present folder: a script with an unset variable would score what is there.
        raise UsageError("an INPUT is empty", fix="Name a slide, a folder or a CSV manifest.")
    places = [Path(item) for item in inputs]
    manifests = [item for item in places if _is_manifest(item)]
    searched = [item for item in places if item not in manifests]
    for item in searched:
        # A broken link was named by a person: it gets its own failed row.
        if not (item.exists() or item.is_symlink()):
            raise UsageError(f"{item}: there is no such file or folder", fix="Check the path.")
    found = find_slides(searched, exclude=exclude, is_output=_is_run_folder)
    rows = [row for item in manifests for row in _whole(read_manifest(item, mpp=mpp, truth=truth))]
    requests = _merge([_request(slide, mpp) for slide in found.slides], rows)
    if not requests:
        raise _nothing_found(places, found.skipped)
    requests = _with_unique_keys(requests)
    notes: tuple[str, ...] = ()
    if regions is not None:
        requests, notes = _pair_regions(requests, regions)
    return Inputs(requests=tuple(requests), skipped=found.skipped, notes=notes)


def _is_manifest(path: Path) -> bool:
    return path.suffix.casefold() == ".csv" and path.exists() and not path.is_dir()


def _is_run_folder(folder: Path) -> bool:
    """Tell whether a run was begun in a folder, even if it was killed before its first table."""
    if (folder / LOCK).is_file():
        return True
    if not (folder / RUN).is_file():
        return False
    try:
        read_run_info(folder)
    except OutputError:
        return False  # of another program
    return True


def _nothing_found(inputs: Sequence[Path], skipped: Sequence[SkippedFile]) -> UsageError:
    names = ", ".join(map(str, inputs)) or "nothing"
    text = f"no slides found in {names} ({len(skipped)} other files were skipped)"
    words = {
        "excluded": "is the output folder, which is not searched",
        "run_folder": "holds the output of a run, which is not searched",
    }
    for entry in skipped:
        if entry.reason in words and entry.path in inputs:
            text += f"; {entry.path} {words[entry.reason]}"
    return UsageError(text, fix="Name slide files, a folder that holds some, or a CSV manifest.")


def _request(slide: FoundSlide, mpp: float | None) -> SlideRequest:
    root = Path(os.path.realpath(slide.root))
    return SlideRequest(
        path=slide.path,
        display_path=path_text(slide.path),
        mpp=mpp,
        companions=slide.companions,
        key=f"{root.name}/{slide.path.relative_to(slide.root).as_posix()}",
    )


def _whole(rows: Sequence[SlideRequest]) -> list[SlideRequest]:
    """Give each row of a manifest the other files of its slide."""
    whole = []
    for row, slide in zip(rows, group_files([row.path for row in rows]), strict=True):
        name = row.display_path if slide.path == row.path else path_text(slide.path)
        whole.append(replace(row, path=slide.path, display_path=name, companions=slide.companions))
    return whole


def _place(path: Path) -> str:
    """Name a file independently of how its folder was typed; the file itself may be a link."""
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118


def _merge(found: Iterable[SlideRequest], rows: Iterable[SlideRequest]) -> list[SlideRequest]:
    """Take each file once; what a manifest says of it comes before a folder that holds it."""
    merged: dict[str, SlideRequest] = {}
    for request in found:
        merged.setdefault(_place(request.path), request)
    listed: dict[str, SlideRequest] = {}
    for row in rows:
        place = _place(row.path)
        first = listed.setdefault(place, row)
        if _content(first) != _content(row):
            raise UsageError(
                f"{row.name}: is listed in two rows of the manifests that say different things",
                fix="Keep one row per slide.",
            )
        merged[place] = first
    return list(merged.values())


def _content(row: SlideRequest) -> SlideRequest:
    """Return what a row says of its slide, without the words by which it names the file."""
    regions = None if row.regions is None else Path(_place(row.regions))
    return replace(row, path=Path(), display_path="", key="", companions=(), regions=regions)


def _with_unique_keys(requests: Sequence[SlideRequest]) -> list[SlideRequest]:
    """Tell slides of folders that have one name apart by their whole paths."""
    counts = Counter(request.key for request in requests)
    return [
        request
        if counts[request.key] == 1
        else replace(request, key=f"{request.key}|{Path(_place(request.path)).as_posix()}")
        for request in requests
    ]


def _pair_regions(
    requests: Sequence[SlideRequest], folder: Path
) -> tuple[list[SlideRequest], tuple[str, ...]]:
    """Give each slide the region file of its own name, where a manifest gives it none."""
    keys = [str(place) for place in range(len(requests))]
    slides = {
        key: request.path
        for key, request in zip(keys, requests, strict=True)
        if request.regions is None
    }
    files, notes = pair_region_files(slides, folder, total=len(requests))
    paired = [
        replace(request, regions=files[key]) if key in files else request
        for key, request in zip(keys, requests, strict=True)
    ]
    return paired, notes


def pair_region_files(
    slides: Mapping[str, Path], folder: Path, *, total: int | None = None
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Give each slide the region file of its own name; a name that fits two slides is refused.

    Parameters
    ----------
    slides
        Paths by any key; the files need not exist.
    folder
        Where region files lie.
    total
        Number of slides in all, for the note; None takes those given.

    Returns
    -------
    tuple
        The region files by key, and what a person should know.

    Raises
    ------
    UsageError
        If there is no such folder, a file fits two slides, or no slide has one.
    """
    if not folder.is_dir():
        raise UsageError(f"--regions {folder}: there is no such folder")
    owners: dict[Path, str] = {}
    for key, path in slides.items():
        file = find_regions_file(folder, path)
        if file is None:
            continue
        if file in owners:
            raise UsageError(
                f"--regions {folder}: {file.name} fits two slides, {slides[owners[file]]} and "
                f"{path}",
                fix="Name the region files in the column 'regions' of a manifest.",
            )
        owners[file] = key
    unused = _unused_regions(folder, owners)
    listed = f": {', '.join(unused[:5])}{', ...' if len(unused) > 5 else ''}" if unused else ""
    n = len(slides) if total is None else total
    text = f"{len(owners)} of {n} slides have a region file in {folder}"
    text += f"; {len(unused)} region files there are not used{listed}"
    if not owners:
        raise UsageError(
            f"--regions: {text}", fix="Name the files like the slides: a.geojson for a.svs."
        )
    return {key: file for file, key in owners.items()}, (text,)


def _unused_regions(folder: Path, used: Iterable[Path]) -> list[str]:
    """List the region files that no slide took; a second file for one slide is refused."""
    stems = {_region_stem(path.name): path.name for path in used}
    unused = []
    for path in sorted(folder.iterdir()):
        stem = _region_stem(path.name)
        if stem is None or path.name in stems.values():
            continue
        if stem in stems:
            raise UsageError(
                f"--regions {folder}: {stems[stem]} and {path.name} are for the same slide",
                fix="Keep one of them.",
            )
        unused.append(path.name)
    return unused


def _region_stem(name: str) -> str | None:
    """Return the name of a region file without its ending; None for any other file."""
    matched = _REGION_NAME.fullmatch(name)
    return None if matched is None else matched["stem"]
