"""Where exports go, and which slides they are of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pathology.errors import UsageError
from pathology.runs.outputs import OutputFolder
from pathology.runs.result import SlideResult

__all__ = ["EXPORTS", "export_folder", "slide_ids"]

#: Folder below a run folder that holds everything made from it.
EXPORTS = "exports"


def export_folder(run_dir: Path, out: Path | str | None, kind: str) -> OutputFolder:
    """Return the folder for a kind of export; it is made with the first file.

    Parameters
    ----------
    run_dir
        The run folder.
    out
        The folder asked for; None for ``run_dir/exports/<kind>``.
    kind
        Name of the kind.
    """
    folder = run_dir / EXPORTS / kind if out is None else Path(out)
    return OutputFolder(folder, command="her2 export")


def slide_ids(results: Iterable[SlideResult], wanted: Sequence[str] | None) -> frozenset[str]:
    """Return the ids of the slides to export.

    Parameters
    ----------
    results
        All slides of the run.
    wanted
        Ids asked for; None for all.

    Raises
    ------
    UsageError
        If one of them is not in the run; names it.
    """
    known = frozenset(result.slide_id for result in results)
    if wanted is None:
        return known
    unknown = [slide_id for slide_id in wanted if slide_id not in known]
    if unknown:
        raise UsageError(
            f"no slide {', '.join(unknown)} in this run",
            fix="The ids are in the column slide_id of results.csv.",
        )
    return frozenset(wanted)
