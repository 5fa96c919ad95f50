"""Find the slides among files and folders; count what is passed over, lose nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pathology.wsi.dicom import read_series

__all__ = [
    "FLAT_SUFFIXES",
    "SLIDE_SUFFIXES",
    "Discovery",
    "FoundSlide",
    "SkippedFile",
    "find_slides",
    "group_files",
]

#: File names' ends of OpenSlide's formats (Aperio, DICOM, Hamamatsu, Leica, MIRAX, Philips, Sakura,
#: Trestle, Ventana, Zeiss, generic tiled TIFF).
SLIDE_SUFFIXES: frozenset[str] = frozenset(
    {".bif", ".czi", ".dcm", ".mrxs", ".ndpi", ".scn"}
    | {".svs", ".svslide", ".tif", ".tiff", ".vms", ".vmu"}
)
#: File names' ends of flat images (TIFF is above).
FLAT_SUFFIXES: frozenset[str] = frozenset({".bmp", ".jpeg", ".jpg", ".png"})
#: File names' ends of formats that keep one slide in several files.
_GROUPED = frozenset({".dcm", ".mrxs", ".vms", ".vmu"})
#: Files that make a folder the output of a run: its pictures are no slides.
_RUN_FILES = ("run.json", "results.csv")

SkipReason = Literal[
    "unknown_extension", "hidden", "not_a_file", "folder_unreadable", "run_folder", "excluded"
]


@dataclass(frozen=True, kw_only=True)
class FoundSlide:
    """Name one slide.

    Parameters
    ----------
    path
        The file to open.
    root
        The folder in whose tree it was found; the file's own folder where the file was named.
    companions
        Other files of the same slide (DICOM series, Hamamatsu VMS/VMU), sorted; the data folder of
        a MIRAX slide.
    """

    path: Path
    root: Path
    companions: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SkippedFile:
    """Name a file or folder that was passed over, and why."""

    path: Path
    reason: SkipReason


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """Hold what was found, in the order of the arguments, and sorted by path within a folder."""

    slides: tuple[FoundSlide, ...]
    skipped: tuple[SkippedFile, ...]


def find_slides(
    paths: Sequence[Path],
    *,
    exclude: Iterable[Path] = (),
    is_output: Callable[[Path], bool] = lambda _: False,
) -> Discovery:
    """Find all slides that files and folders hold.

    A file that is named is a slide whatever it is called, even if it does not exist: it will fail
    with its reason rather than vanish. Folders are searched recursively for the extensions of
    slides and images; hidden files, unknown extensions and the output folders of earlier runs are
    skipped and listed. Links to files are followed; a folder is entered once. Files of one slide
    are one slide, also where they are named one by one.

    Parameters
    ----------
    paths
        Files and folders.
    exclude
        Folders not to be searched, such as the output folder of this run.
    is_output
        Tells whether a folder is the output of a run even without a table of results.

    Returns
    -------
    Discovery
        Each slide once.

    Examples
    --------
    >>> find_slides([Path("no-such.svs")]).slides[0].path.name
    'no-such.svs'
    """
    search = _Search(exclude={folder.resolve() for folder in exclude}, is_output=is_output)
    named = iter(group_files([path for path in paths if not path.is_dir()]))
    for path in paths:
        if path.is_dir():
            search.add_folder(path, root=path)
        else:
            search.add(next(named))
    return Discovery(slides=_without_parts(search.slides), skipped=tuple(search.skipped))


def group_files(files: Sequence[Path]) -> list[FoundSlide]:
    """Find the slide that each of some files belongs to, whichever of its files was named.

    Parameters
    ----------
    files
        Files, which need not exist.

    Returns
    -------
    list of FoundSlide
        One for each file, in their order: the file itself with its companions, or, for a file of a
        DICOM series, the file by which the series goes in a search.

    Examples
    --------
    >>> group_files([Path("no-such.dcm")])[0].path.name
    'no-such.dcm'
    """
    owners: dict[Path, dict[Path, tuple[Path, ...]]] = {}
    leaders: dict[Path, Path] = {}
    slides = []
    for file in files:
        folder = file.parent
        if file.suffix.lower() in _GROUPED and folder not in owners:
            owners[folder] = _companions(_grouped_files(folder))
            for owner, parts in owners[folder].items():
                if owner.suffix.lower() == ".dcm":
                    leaders |= dict.fromkeys(parts, owner)
        slide = leaders.get(file, file)
        companions = owners.get(folder, {}).get(slide, ())
        slides.append(FoundSlide(path=slide, root=folder, companions=companions))
    return slides


def _grouped_files(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError:
        return []  # what was named there fails with its reason
    known = SLIDE_SUFFIXES | FLAT_SUFFIXES
    return [
        entry
        for entry in entries
        if entry.suffix.lower() in known and not _hidden(entry) and entry.is_file()
    ]


def _without_parts(slides: Sequence[FoundSlide]) -> tuple[FoundSlide, ...]:
    """Leave out what belongs to another slide of the list, such as the data folder of a MIRAX."""
    owned = {_absolute(part) for slide in slides for part in slide.companions}
    if not owned:
        return tuple(slides)
    return tuple(
        slide
        for slide in slides
        if owned.isdisjoint((place := _absolute(slide.path), *place.parents))
    )


def _absolute(path: Path) -> Path:
    # Not resolved: a link is a name that the user chose, perhaps for a slide of its own.
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps ".." in the path


class _Search:
    def __init__(self, *, exclude: set[Path], is_output: Callable[[Path], bool]) -> None:
        self.slides: list[FoundSlide] = []
        self.skipped: list[SkippedFile] = []
        self._exclude = exclude
        self._is_output = is_output
        self._visited: set[Path] = set()
        self._known: set[Path] = set()

    def add(self, slide: FoundSlide) -> None:
        key = _absolute(slide.path)
        if key not in self._known:
            self._known.add(key)
            self.slides.append(slide)

    def add_folder(self, folder: Path, *, root: Path) -> None:
        real = folder.resolve()
        if real in self._visited:
            return
        self._visited.add(real)
        if real in self._exclude:
            self._skip(folder, "excluded")
            return
        try:
            entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        except OSError:
            self._skip(folder, "folder_unreadable")
            return
        names = {entry.name for entry in entries}
        if names.issuperset(_RUN_FILES) or self._is_output(folder):
            self._skip(folder, "run_folder")
            return
        for slide in self._slides_of(entries, root):
            self.add(slide)
        mirax = {entry.stem for entry in entries if entry.suffix.lower() == ".mrxs"}
        for entry in entries:
            if entry.is_dir() and not _hidden(entry) and entry.name not in mirax:
                self.add_folder(entry, root=root)

    def _slides_of(self, entries: list[Path], root: Path) -> Iterator[FoundSlide]:
        """Yield the slides among the entries of one folder, in their order."""
        files = []
        for entry in entries:
            if _hidden(entry):
                self._skip(entry, "hidden")
            elif entry.is_dir():
                continue
            elif entry.suffix.lower() not in SLIDE_SUFFIXES | FLAT_SUFFIXES:
                self._skip(entry, "unknown_extension")
            elif entry.exists() and not entry.is_file():
                self._skip(entry, "not_a_file")
            else:
                files.append(entry)  # also a broken link, which will fail with its reason
        owners = _companions(files)
        owned = {part for parts in owners.values() for part in parts}
        for file in files:
            if file not in owned:
                yield FoundSlide(path=file, root=root, companions=owners.get(file, ()))

    def _skip(self, path: Path, reason: SkipReason) -> None:
        self.skipped.append(SkippedFile(path=path, reason=reason))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _companions(files: list[Path]) -> dict[Path, tuple[Path, ...]]:
    """Tell which files of one folder belong to which other one."""
    result: dict[Path, tuple[Path, ...]] = {}
    series: dict[str, list[tuple[bool, Path]]] = {}
    present = {file.name: file for file in files}
    for file in files:
        suffix = file.suffix.lower()
        if suffix == ".mrxs":
            data = file.with_suffix("")
            result[file] = (data,) if data.is_dir() else ()
        elif suffix in (".vms", ".vmu"):
            result[file] = tuple(
                present[name] for name in _named_in(file) if name in present and name != file.name
            )
        elif suffix == ".dcm":
            found = read_series(file)
            if found is not None:
                series.setdefault(found.uid, []).append((not found.volume, file))
    for members in series.values():
        # A level of the slide goes before its label; names decide among levels.
        first, *others = (file for _, file in sorted(members))
        result[first] = tuple(sorted(others))
    return result


def _named_in(index: Path) -> list[str]:
    """List the file names on the right-hand sides of a VMS or VMU index (an INI file)."""
    try:
        text = index.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    values = (line.partition("=")[2].strip() for line in text.splitlines())
    return sorted({value for value in values if value})
