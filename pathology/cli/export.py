"""``her2 export``: files for other programs, from a finished run."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export", "export_run", "parse_kinds"]


def export(
    run_dir: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Output folder of `her2 score`.", show_default=False),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="KIND,...",
            help="geojson (cells for QuPath, gzipped) or html (one page per slide).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR2",
            help="Where to write; default DIR/exports/KIND.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the results of a run for other programs; nothing is scored again."""
    kinds = parse_kinds(to)
    _note_unfinished(run_dir)
    export_run(run_dir, kinds, out)


def parse_kinds(text: str) -> tuple[str, ...]:
    """Split ``a,b`` and check the kinds before any work.

    Raises
    ------
    UsageError
        If a kind is not known, or none is named.
    """
    from pathology.report import check_kinds

    return check_kinds(part.strip() for part in text.split(",") if part.strip())


def _note_unfinished(run_dir: Path) -> None:
    from pathology.errors import OutputError
    from pathology.runs import read_run_info

    # The tables alone decide what can be exported: they may lie elsewhere without their run.json.
    with suppress(OutputError):
        _, info = read_run_info(run_dir)
        if info is None or info.finished is None:
            print(
                f"her2: {run_dir}: this run has not finished; only the slides in its results.csv "
                "are exported (the same `her2 score` command goes on with the rest)",
                file=sys.stderr,
            )


def export_run(run_dir: Path, kinds: tuple[str, ...], out: Path | None = None) -> None:
    """Write exports and say where they are."""
    from pathology.report import export as write_exports

    for kind, paths in write_exports(run_dir, kinds, out).items():
        if paths:
            print(f"{kind}: {len(paths)} files in {paths[0].parent}")
        else:
            print(f"{kind}: nothing to write")
