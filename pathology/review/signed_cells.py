"""The cells of slides that were signed in a reviewer's own regions, as they count there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pathology.cells.table import PATTERNS
from pathology.pipeline.recount import write_recounted
from pathology.review.drawing import EMPTY
from pathology.review.problems import StoreError
from pathology.review.recorded import Recorded
from pathology.runs import SlideFolder, SlideResult, read_run_info

__all__ = ["write_signed_cells"]

_SAME: Final = ("status", "ihc_score", "her2_tier", *(f"n_{name}" for name in PATTERNS))


def write_signed_cells(run: Path, recorded: Recorded, scratch: Path) -> dict[str, Path]:
    """Write the tables of slides that were signed in a reviewer's regions, counted there.

    The run's own tables stay as they are. What is written gives the signed result again, cell by
    cell: it is compared, and an export never shows other cells than were signed.

    Parameters
    ----------
    run
        The run folder; only read.
    recorded
        Of :func:`~pathology.review.recorded.read_recorded`.
    scratch
        Folder for the tables.

    Returns
    -------
    dict
        The folder of each slide that has one, by slide id.

    Raises
    ------
    StoreError
        If the cells of a slide do not give what was signed.
    SlideError, UsageError
        If its tables are damaged, or of a version that did not store which cells counted.
    """
    if not recorded.regions:
        return {}
    found, (key, _) = {}, read_run_info(run)
    config = key.restore(where=run)
    for slide_id, document in recorded.regions.items():
        folder = SlideFolder(root=run, slide_id=slide_id)
        stored, signed = folder.load(), recorded.reviewed[slide_id]
        if stored is None:
            continue
        target = SlideFolder(root=scratch, slide_id=slide_id)
        drawn = None if document == EMPTY else document
        counted = write_recounted(stored, folder, target, drawn, config=config)
        _check(counted, signed)
        found[slide_id] = target.cells.parent
    return found


def _check(counted: SlideResult, signed: SlideResult) -> None:
    other = [name for name in _SAME if getattr(counted, name) != getattr(signed, name)]
    if other:
        name = other[0]
        raise StoreError(
            f"{signed.slide_id}: the stored cells give {name} {getattr(counted, name)} in the "
            f"signed regions, and {getattr(signed, name)} was signed",
            fix="Look at the slide in `her2 review`; `her2 export --no-review` gives the run's "
            "own cells.",
        )
