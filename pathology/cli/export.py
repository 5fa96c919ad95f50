"""``her2 export``: files for other programs, from a finished run."""

from __future__ import annotations

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
    export_run(run_dir, parse_kinds(to), out)


def parse_kinds(text: str) -> tuple[str, ...]:
    """Split ``a,b`` and check the kinds before any work.

    Raises
    ------
    UsageError
        If a kind is not known.
    """
    from pathology.report import check_kinds

    return check_kinds(part.strip() for part in text.split(",") if part.strip())


def export_run(run_dir: Path, kinds: tuple[str, ...], out: Path | None = None) -> None:
    """Write exports and say where they are."""
    from pathology.report import export as write_exports

    for kind, paths in write_exports(run_dir, kinds, out).items():
        if paths:
            print(f"{kind}: {len(paths)} files in {paths[0].parent}")
        else:
            print(f"{kind}: nothing to write")
