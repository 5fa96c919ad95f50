"""``her2 merge``: parts of a run in, one run out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pathology.cli.score import exit_status
from pathology.cli.status import EXIT_FAILED_SLIDES

__all__ = ["merge"]


def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...",
            help="Output folders of `her2 score --shard`: one that the shards shared, or one each.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR2",
            help="Folder for the whole run; the parts are only read. Left out: the tables are "
            "written in DIR, which the shards shared.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Move what another run left to DIR2/previous/ first."),
    ] = False,
) -> None:
    """Join the parts of a run into tables that one run over all slides would have written.

    Every slide that a shard was started with must have a result, else the missing ones are listed,
    nothing is written and the exit status is 1. Parts of another configuration or model, and slides
    with different results in two folders, are refused (2). No slide is read, no model loaded.
    """
    from pathology.cli.tables import print_results
    from pathology.errors import UsageError
    from pathology.runs import MissingSlidesError, merge_runs

    if force and out is None:
        raise UsageError("--force is for --out", fix="Leave it out.")
    try:
        results, joined = merge_runs(folders, out, force=force)
    except MissingSlidesError as error:
        for slide_id, path in sorted(error.missing.items(), key=lambda item: item[1]):
            print(f"missing  {slide_id}  {path}")
        print(f"her2: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_FAILED_SLIDES) from None
    for note in joined.notes:
        print(note, file=sys.stderr)
    print_results(results)
    print(f"results in {out or folders[0]}")
    raise typer.Exit(exit_status(results))
