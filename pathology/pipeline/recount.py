"""Count a slide again with regions that a reviewer drew: in memory, and nothing is written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pathology.config import Config
from pathology.errors import UsageError
from pathology.pipeline.rescore import RescoreJob, RescoreRequest, can_be_rescored, has_tables
from pathology.runs import SlideFolder, SlideResult

__all__ = ["check_recountable", "recount_slide", "write_recounted"]

#: Name of the drawn regions in a recounted result; their SHA-256 stands beside it.
DRAWN = "drawn.geojson"


def check_recountable(result: SlideResult) -> None:
    """Refuse a slide whose cells are not stored, or not with what counting them again needs.

    Parameters
    ----------
    result
        The slide's result.

    Raises
    ------
    UsageError
        Names the slide and what to do.
    """
    if not has_tables(result):
        raise UsageError(
            f"{result.path}: no cells are stored, so regions cannot change its result",
            fix="Mend what the reasons of the slide name, and score it again with `her2 score`.",
        )
    if not can_be_rescored(result) or result.spacing is None or result.grid is None:
        raise UsageError(
            f"{result.path}: the result is of a version that did not store which cells counted",
            fix="Score the slide again with this version.",
        )


def recount_slide(
    result: SlideResult, folder: SlideFolder, drawn: bytes | None, *, config: Config
) -> SlideResult:
    """Score a slide from its stored cells with the regions that a reviewer drew.

    The same machinery as ``her2 rescore --regions``: the numbers are the same, only nothing is
    written and ``region_source`` is ``reviewed``.

    Parameters
    ----------
    result
        The run's result of the slide; it stays as it is.
    folder
        Where the run keeps the slide's tables; only read.
    drawn
        GeoJSON of the regions, level-0 px; None: the reviewer removed all of them.
    config
        The run's configuration.

    Returns
    -------
    SlideResult
        Without files of its own.

    Raises
    ------
    UsageError
        If the slide has no stored cells, or those of an older version.
    SlideError
        If the regions are not valid (:class:`~pathology.errors.RegionsError`), or a stored table is
        damaged.
    """
    # The folder is named by the request, never written by a recount.
    with _drawn_job(result, folder, folder, drawn, config) as job:
        counted = job.recount()
    flags = tuple(flag for flag in counted.flags if flag != "invasive_region_unverified")
    return counted.model_copy(update={"region_source": "reviewed", "flags": flags})


def write_recounted(
    result: SlideResult,
    folder: SlideFolder,
    target: SlideFolder,
    drawn: bytes | None,
    *,
    config: Config,
) -> SlideResult:
    """Write the tables of a slide as they are in the regions that a reviewer drew.

    Parameters
    ----------
    result, folder, drawn, config
        As in :func:`recount_slide`.
    target
        Folder for the tables, in which each cell says whether it counts; not that of the run.

    Returns
    -------
    SlideResult
        What these cells give.

    Raises
    ------
    UsageError, SlideError
        As :func:`recount_slide`.
    """
    with _drawn_job(result, folder, target, drawn, config) as job:
        target.begin()
        return job.run()


@contextmanager
def _drawn_job(
    result: SlideResult,
    folder: SlideFolder,
    target: SlideFolder,
    drawn: bytes | None,
    config: Config,
) -> Iterator[RescoreJob]:
    check_recountable(result)
    with tempfile.TemporaryDirectory(prefix="her2-review-") as scratch:
        path = None if drawn is None else Path(scratch) / DRAWN
        if path is not None and drawn is not None:
            path.write_bytes(drawn)
        request = RescoreRequest(
            old=result,
            source=folder,
            target=target,
            before=config,
            config=config,
            regions=path,
            erase_regions=path is None,
        )
        yield RescoreJob(request)
