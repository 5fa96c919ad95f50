"""Find a slide file again that was moved: by its content, never by its name alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pathology.errors import PathologyError
from pathology.geometry import Spacing
from pathology.provenance import file_identity
from pathology.review.context import ReviewContext
from pathology.review.events import Draft, Event
from pathology.review.problems import Refused
from pathology.review.state import SlideReview
from pathology.review.users import User
from pathology.runs import SlideResult, is_pseudonymised, path_text
from pathology.wsi import find_slides, open_slide

__all__ = ["find_moved", "is_same_slide", "look_for", "relink"]

_FIX: Final = "Name the file that was scored, or score this one."


def is_same_slide(path: Path, result: SlideResult) -> bool:
    """Tell whether a file is the slide that was scored, by size and OpenSlide's quickhash.

    Parameters
    ----------
    path
        The file; opened only where its size fits. Its time plays no part: copying changes it.
    result
        The slide's result, which holds its identity.

    Raises
    ------
    SlideError
        If the file cannot be opened.
    """
    identity = result.identity
    if identity is None or identity.quickhash is None:
        return False
    spacing = result.spacing
    given = None if spacing is None else Spacing(x=spacing.x, y=spacing.y)
    with open_slide(path, mpp=given) as slide:
        return slide.info.quickhash == identity.quickhash


def find_moved(result: SlideResult, folder: Path) -> Path | None:
    """Look for a slide's file in a folder and below: files of its name first, then of its size.

    Parameters
    ----------
    result
        The slide's result.
    folder
        Where to look.

    Returns
    -------
    pathlib.Path or None
        The file, or None.
    """
    for path in _candidates(result, folder):
        try:
            if is_same_slide(path, result):
                return path
        except PathologyError:
            continue  # a file that cannot be opened is not the one that was read
    return None


def _candidates(result: SlideResult, folder: Path) -> Iterator[Path]:
    name = Path(result.path).name
    found = [slide.path for slide in find_slides([folder]).slides]
    yield from (path for path in found if path.name == name)
    size = result.identity.size if result.identity is not None else None
    for path in found:
        if path.name != name and _size(path) == size:
            yield path


def _size(path: Path) -> int | None:
    try:
        return file_identity(path).size
    except PathologyError:
        return None


def look_for(
    context: ReviewContext, user: User | None, slide_id: str, folder: Path | None
) -> Event:
    """Find a moved slide file and record where it is.

    Parameters
    ----------
    context, user, slide_id
        As for :func:`relink`.
    folder
        Where to look, with the folders below; None: where the run read the slide.

    Raises
    ------
    Refused
        If no file there is the slide that was scored.
    """
    result = context.loaded(slide_id).result
    where = folder or Path(result.path).parent
    found = find_moved(result, where) if where.is_dir() else None
    if found is None:
        raise Refused(
            "no file in the folder of slides is the one that was scored",
            fix="Start `her2 review` with --slides FOLDER that holds it, and look again.",
        )
    return relink(context, user, slide_id, found)


def relink(context: ReviewContext, user: User | None, slide_id: str, path: Path) -> Event:
    """Record where a slide's file is now.

    Parameters
    ----------
    context
        The run.
    user
        Who says so; None: the person at the command line.
    slide_id
        The slide.
    path
        The file.

    Raises
    ------
    Refused
        If it is another slide, or the run does not know the slide's hash.
    SlideError
        If it cannot be opened.
    """
    if is_pseudonymised(context.run):
        raise Refused(
            f"{slide_id}: the record of a pseudonymised run may not name a file",
            fix="Name the folder of the slides with --slides: they are found by their content.",
        )
    result = context.loaded(slide_id).result
    if result.identity is None or result.identity.quickhash is None:
        raise Refused(
            f"{slide_id}: the run never opened this slide, so no file can be shown to be it",
            fix="Score the slide again.",
        )
    if not is_same_slide(path, result):
        raise Refused(f"{path.name}: is not the slide that was scored", fix=_FIX)
    where = path_text(path.resolve())

    def make(review: SlideReview) -> Draft:
        return Draft(
            kind="relinked",
            before={"path": review.path or result.path},
            after={"path": where},
            why="the file was moved",
        )

    return context.store.append(slide_id, user, make)
