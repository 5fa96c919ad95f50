"""Names in a run folder: which file is where, and how a slide is called."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePath

from pathology.errors import UsageError

__all__ = [
    "BACKDROP",
    "CASES_CSV",
    "CELLS",
    "CLAIMS",
    "HEATMAP",
    "ISH_CSV",
    "ISH_JSON",
    "LOCK",
    "LOG",
    "OVERVIEW",
    "PREVIOUS",
    "PSEUDONYMS",
    "REGIONS",
    "RESULT",
    "RESULTS_CSV",
    "RESULTS_PARQUET",
    "RUN",
    "SHARDS",
    "SLIDES",
    "TILES",
    "TISSUE",
    "is_slide_id",
    "make_slide_id",
    "path_text",
    "shard_log",
    "slide_folder",
    "unique_slide_ids",
]

RESULTS_CSV = "results.csv"
RESULTS_PARQUET = "results.parquet"
CASES_CSV = "cases.csv"
ISH_JSON = "ish.json"
ISH_CSV = "ish.csv"
RUN = "run.json"
PSEUDONYMS = "pseudonyms.json"
LOG = "log.jsonl"
LOCK = ".her2.lock"
SLIDES = "slides"
SHARDS = "shards"
CLAIMS = "claims"
PREVIOUS = "previous"
RESULT = "result.json"
CELLS = "cells.parquet"
TILES = "tiles.parquet"
OVERVIEW = "overview.png"
HEATMAP = "heatmap.png"
TISSUE = "tissue.png"
BACKDROP = "backdrop.jpg"
REGIONS = "regions.geojson"

#: Longest readable part of a slide id: leaves room below Windows' limit of 260 for a whole path.
_STEM_MAX = 60
#: Hexadecimal digits of the hash in a slide id. 40 bits: among 10,000 slides that all have one
#: stem, two agree with a probability of 5e-5 (and are then refused, not mixed up).
_HASH_DIGITS = 10
_SLIDE_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_STEM_MAX + _HASH_DIGITS}}}")


def path_text(path: str | PurePath) -> str:
    r"""Return a path as text that every table and JSON file can hold.

    Names of files need not be valid UTF-8; Python then gives text with lone surrogates, which
    neither Parquet nor JSON accept.

    Parameters
    ----------
    path
        A path as the user named it; on Windows backslashes become slashes where it is a ``Path``.

    Returns
    -------
    str
        The same text, with ``\xNN`` for bytes that are not UTF-8.

    Examples
    --------
    >>> path_text("Größe/\udcff.svs")
    'Größe/\\xff.svs'
    """
    text = path.as_posix() if isinstance(path, PurePath) else path
    return _raw(text).decode("utf-8", "backslashreplace")


def make_slide_id(key: str | PurePath) -> str:
    """Make the id of a slide: its readable stem and a short hash of its whole key.

    The id depends on nothing but the key, so it stays when other slides come or go, and differs for
    slides with the same stem. It is plain ASCII: accents are dropped and other characters become
    ``_``, because ids are folder names on any file system, in archives and in shells.

    Parameters
    ----------
    key
        What names the slide in the input: its path as given, or the input folder's name and the
        path below it, with ``/``. Not normalised: two files whose names differ only in the Unicode
        form of an accent are two slides.

    Returns
    -------
    str
        ``<stem>-<10 hexadecimal digits>``, at most 71 characters.

    Examples
    --------
    >>> make_slide_id("batch 1/Größe, =A1.svs")
    'Groe_A1-3641b603e4'
    """
    text = key.as_posix() if isinstance(key, PurePath) else key
    digest = hashlib.sha256(_raw(text)).hexdigest()
    stem = text.rstrip("/").rsplit("/", maxsplit=1)[-1]
    stem = stem.rsplit(".", maxsplit=1)[0] if "." in stem[1:] else stem
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^A-Za-z0-9.-]+", "_", plain)[:_STEM_MAX].strip("._-")
    return f"{safe or 'slide'}-{digest[:_HASH_DIGITS]}"


def unique_slide_ids(keys: Iterable[str | PurePath]) -> list[str]:
    """Make the ids of all slides of a run.

    Parameters
    ----------
    keys
        As for :func:`make_slide_id`, one for each slide.

    Returns
    -------
    list of str
        One id for each key, in their order.

    Raises
    ------
    UsageError
        If two slides would share an id, as when one file is given twice.

    Examples
    --------
    >>> len(set(unique_slide_ids(["a/1.svs", "b/1.svs"])))
    2
    """
    ids: list[str] = []
    seen: dict[str, str] = {}
    for key in keys:
        slide_id, text = make_slide_id(key), path_text(key)
        # Compared without case, as some file systems compare names.
        folded = slide_id.casefold()
        if folded in seen:
            raise UsageError(
                f"{text} and {seen[folded]} are the same slide, or their names clash",
                fix="Give each slide once, or rename one of the files.",
            )
        seen[folded] = text
        ids.append(slide_id)
    return ids


def is_slide_id(text: str) -> bool:
    """Tell whether a text can be the name of a slide's folder: no separator, no dots at the start.

    Examples
    --------
    >>> is_slide_id("a-0123456789"), is_slide_id("../a"), is_slide_id("a/b"), is_slide_id("")
    (True, False, False, False)
    """
    return _SLIDE_ID.fullmatch(text) is not None


def slide_folder(root: Path, slide_id: str) -> Path:
    """Return the folder of one slide below a run folder (which need not exist).

    Raises
    ------
    UsageError
        If ``slide_id`` is not a plain name, so that nothing is ever written elsewhere.
    """
    if not is_slide_id(slide_id):
        raise UsageError(f"{slide_id!r} is not a slide id")
    return root / SLIDES / slide_id


def shard_log(owner: str) -> str:
    """Return the name of the log that a process of a split run keeps, below the run folder.

    Examples
    --------
    >>> shard_log("host-1-ab")
    'shards/host-1-ab.log.jsonl'
    """
    return f"{SHARDS}/{owner}.{LOG}"


def _raw(text: str) -> bytes:
    """Return the bytes of a file name, as the file system has them where it has bytes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Names on Windows may hold halves of surrogate pairs.
        return text.encode("utf-8", "backslashreplace")
