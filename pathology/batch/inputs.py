"""From the INPUT arguments of a command to one request per slide."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pathology.batch.manifest import read_manifest
from pathology.errors import UsageError
from pathology.pipeline import SlideRequest
from pathology.runs import make_slide_id, path_text
from pathology.wsi import SkippedFile, find_slides

__all__ = ["Inputs", "Shard", "collect_inputs"]

_REGION_SUFFIXES = (".geojson", ".json")


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

    def holds(self, slide_id: str) -> bool:
        """Tell whether a slide belongs to this part; its name alone decides, not its neighbours."""
        digest = hashlib.sha256(slide_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


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
    """

    requests: tuple[SlideRequest, ...]
    skipped: tuple[SkippedFile, ...] = ()
    notes: tuple[str, ...] = ()

    def part(self, shard: Shard) -> Inputs:
        """Return the inputs of one part of several; parts are disjoint and together are all.

        Raises
        ------
        UsageError
            If the part is empty.
        """
        kept = tuple(
            request for request in self.requests if shard.holds(make_slide_id(request.path))
        )
        if not kept:
            raise UsageError(
                f"--shard {shard.index}/{shard.count}: this part of {len(self.requests)} slides "
                "is empty",
                fix="Use fewer parts.",
            )
        return replace(self, requests=kept)


def collect_inputs(
    inputs: Sequence[str | Path],
    *,
    mpp: float | None = None,
    regions: Path | None = None,
    exclude: Sequence[Path] = (),
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

    Returns
    -------
    Inputs
        Requests in the order of the arguments; folders in the order of their paths. A file that is
        named twice is taken once.

    Raises
    ------
    UsageError
        If an input does not exist, a manifest is wrong, or there is no slide at all.
    """
    if mpp is not None and not (math.isfinite(mpp) and mpp > 0):
        raise UsageError(f"--mpp {mpp:g} is not a number above 0", fix="Give µm per pixel.")
    requests: list[SlideRequest] = []
    skipped: list[SkippedFile] = []
    for item in map(Path, inputs):
        if item.is_dir():
            found = find_slides([item], exclude=exclude)
            requests += [_request(slide.path, mpp) for slide in found.slides]
            skipped += found.skipped
        elif item.suffix.casefold() == ".csv" and item.exists():
            requests += read_manifest(item, mpp=mpp)
        elif item.exists() or item.is_symlink():
            # A broken link was named by a person: it gets its own failed row.
            requests.append(_request(item, mpp))
        else:
            raise UsageError(f"{item}: there is no such file or folder", fix="Check the path.")
    requests = _once(requests)
    if not requests:
        names = ", ".join(str(item) for item in inputs) or "nothing"
        raise UsageError(
            f"no slides found in {names} ({len(skipped)} other files were skipped)",
            fix="Name slide files, a folder that holds some, or a CSV manifest.",
        )
    notes: list[str] = []
    if regions is not None:
        requests, notes = _pair_regions(requests, regions)
    return Inputs(requests=tuple(requests), skipped=tuple(skipped), notes=tuple(notes))


def _request(path: Path, mpp: float | None) -> SlideRequest:
    return SlideRequest(path=path, display_path=path_text(path), mpp=mpp)


def _once(requests: Iterable[SlideRequest]) -> list[SlideRequest]:
    unique: dict[str, SlideRequest] = {}
    for request in requests:
        unique.setdefault(os.path.normpath(request.path.absolute()), request)
    return list(unique.values())


def _pair_regions(
    requests: list[SlideRequest], folder: Path
) -> tuple[list[SlideRequest], list[str]]:
    """Give each slide the region file of its own name; a name that fits two slides is refused."""
    if not folder.is_dir():
        raise UsageError(f"--regions {folder}: there is no such folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.casefold() in _REGION_SUFFIXES:
            if path.stem in files:
                raise UsageError(
                    f"--regions {folder}: {files[path.stem].name} and {path.name} are for the "
                    "same slide",
                    fix="Keep one of them.",
                )
            files[path.stem] = path
    owners: dict[str, SlideRequest] = {}
    paired: list[SlideRequest] = []
    for request in requests:
        stem = request.path.stem
        if request.regions is not None or stem not in files:
            paired.append(request)
            continue
        if stem in owners:
            raise UsageError(
                f"--regions {folder}: {files[stem].name} fits two slides, {owners[stem].name} and "
                f"{request.name}",
                fix="Name the region files in the column 'regions' of a manifest.",
            )
        owners[stem] = request
        paired.append(replace(request, regions=files[stem]))
    unused = sorted(path.name for stem, path in files.items() if stem not in owners)
    notes = [f"{folder}: no slide for {len(unused)} region files: {', '.join(unused[:5])}"]
    return paired, notes if unused else []
